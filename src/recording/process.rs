//! One run of the media program for one lesson: started, listened to, and killed when it hangs.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::codec::{FramedRead, LinesCodec};

use super::{JOURNAL, Limits};
use crate::lesson::Words;

/// The longest line that is heard; what is longer is let go.
const LINE: usize = 64 * 1024;
/// Of what it said last, so much is told.
const LAST_WORDS: usize = 300;
/// How often is looked whether it hangs.
const LOOK: Duration = Duration::from_secs(1);
/// After its end, how long is waited for what it still says.
const ECHO: Duration = Duration::from_secs(1);
/// How much lower than lessons it is served by the processor, as `nice` counts.
const NICE: i32 = 10;

/// What it is to do.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
    /// Whether what was received is all there will be.
    pub(super) finish: bool,
    /// How many cores whatever decodes and encodes may use.
    pub(super) transcode_cores: f64,
    pub(super) limits: Limits,
}

/// What it tells.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// It began, or went on where it was killed.
    Started { resumed: bool },
    /// So much is done, and it is so far behind what was received.
    Progress { duration_ms: u64, behind_ms: u64 },
    /// Something couldn't be kept as it was.
    Problem {
        track: Option<String>,
        at_ms: Option<u64>,
        #[serde(flatten)]
        words: Words,
    },
    /// The files are there, all of them or the first.
    Files { complete: bool },
    /// Nothing is left to do.
    Finished,
    /// What a newer one tells.
    #[serde(other)]
    Other,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It did all it was to do.
    Done,
    /// It failed, or was killed by somebody.
    Failed(Words),
    /// It hung, and was killed.
    Hung(Words),
    /// It waited for an end of the lesson that was never written down, and was ended to be told so.
    Waited,
}

/// Whether it gets anywhere, as far as can be seen from outside.
#[derive(Debug, Clone, Copy)]
struct Signs {
    limits: Limits,
    /// When it told last of anything but trouble.
    told: Instant,
    /// When it told of progress last.
    progressed: Instant,
    /// How far behind it was then.
    behind_ms: u64,
    /// How much was received when that last grew, and when it did.
    received: u64,
    grew: Instant,
    has_files: bool,
}

impl Signs {
    fn new(limits: Limits, now: Instant) -> Self {
        let (told, progressed, grew) = (now, now, now);
        Self { limits, told, progressed, behind_ms: u64::MAX, received: 0, grew, has_files: false }
    }

    fn hear(&mut self, event: &Event, now: Instant) {
        if !matches!(event, Event::Problem { .. } | Event::Other) {
            self.told = now;
        }
        match event {
            Event::Progress { behind_ms, .. } => (self.progressed, self.behind_ms) = (now, *behind_ms),
            Event::Files { .. } => self.has_files = true,
            _ => {}
        }
    }

    fn see(&mut self, received: u64, now: Instant) {
        if received > self.received {
            (self.received, self.grew) = (received, now);
        }
    }

    /// No progress although more is received; or nothing heard at all for longer than anything takes.
    fn hangs(&self, now: Instant) -> bool {
        let Limits { hang, silence, silence_after, .. } = self.limits;
        let is_fed = self.grew.saturating_duration_since(self.progressed) > hang * 2 / 3;
        let without_progress = now.saturating_duration_since(self.progressed);
        let silent = now.saturating_duration_since(self.told);
        (is_fed && without_progress > hang) || silent > if self.has_files { silence_after } else { silence }
    }

    /// It has done all there is and waits for more, of which nothing came for a while.
    fn waits(&self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.grew);
        !self.has_files && self.behind_ms < 2_000 && quiet > self.limits.unclosed
    }
}

/// Run it to its end. What it tells goes to `events`; `is_over` says whether its lesson is.
pub(super) async fn run(order: &Order, events: &mpsc::Sender<Event>, is_over: impl Fn() -> bool) -> Ended {
    let mut child = match spawn(order) {
        Ok(child) => child,
        Err(error) => {
            let program = order.program.display();
            let zh = format!("媒体程序 {program} 无法启动：{error}");
            return Ended::Failed(Words::new(zh, format!("{program} can't be started: {error}")));
        }
    };
    // Waiting would close it, and by its end the child knows that we are gone.
    let _input = child.stdin.take();
    let (mut told, mut said) = (lines(child.stdout.take()), lines(child.stderr.take()));
    let mut last_words = String::new();
    let mut signs = Signs::new(order.limits, Instant::now());
    let mut look = interval(LOOK.min(order.limits.hang / 4));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            line = told.next() => hear(&line, &mut signs, events).await,
            line = said.next() => remember(&line, order, &mut last_words),
            status = child.wait() => {
                let rest = async {
                    while let Some(line) = told.next_or_end().await {
                        hear(&line, &mut signs, events).await;
                    }
                    while let Some(line) = said.next_or_end().await {
                        remember(&line, order, &mut last_words);
                    }
                };
                let _ = timeout(ECHO, rest).await;
                return ended(status, &last_words);
            }
            _ = look.tick() => {
                let now = Instant::now();
                signs.see(received(&order.folder).await, now);
                if signs.hangs(now) {
                    let _ = child.kill().await;
                    let seconds = now.saturating_duration_since(signs.progressed).as_secs();
                    let zh = format!("媒体进程 {seconds} 秒没有进展，已重新启动");
                    return Ended::Hung(Words::new(zh, format!("the media process got nowhere for {seconds} s and was started again")));
                }
                if !order.finish && is_over() && signs.waits(now) {
                    let _ = child.kill().await;
                    return Ended::Waited;
                }
            }
        }
    }
}

fn spawn(order: &Order) -> std::io::Result<Child> {
    let mut command = Command::new(&order.program);
    command.args(["record", "--exit-with-stdin", "--folder"]).arg(&order.folder);
    command.arg("--transcode-cores").arg(order.transcode_cores.to_string());
    if order.finish {
        command.arg("--finish");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn()?;
    let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
    // Lessons come first. Where that isn't granted it runs all the same.
    if let Some(Err(error)) = pid.map(|pid| rustix::process::setpriority_process(Some(pid), NICE)) {
        tracing::debug!(%error, "the media process keeps the priority that lessons have");
    }
    Ok(child)
}

/// What a process writes, line by line.
struct Lines<R>(Option<FramedRead<R, LinesCodec>>);

fn lines<R: AsyncRead>(from: Option<R>) -> Lines<R> {
    Lines(from.map(|from| FramedRead::new(from, LinesCodec::new_with_max_length(LINE))))
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The next line; after the last one, never.
    async fn next(&mut self) -> String {
        match self.next_or_end().await {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }

    async fn next_or_end(&mut self) -> Option<String> {
        let lines = self.0.as_mut()?;
        let mut was_too_long = false;
        loop {
            match lines.next().await {
                Some(Ok(line)) => return Some(line),
                // It goes on behind the line that was too long, or was no text.
                Some(Err(tokio_util::codec::LinesCodecError::MaxLineLengthExceeded)) => was_too_long = true,
                None if was_too_long => was_too_long = false,
                Some(Err(_)) | None => {
                    self.0 = None;
                    return None;
                }
            }
        }
    }
}

async fn hear(line: &str, signs: &mut Signs, events: &mpsc::Sender<Event>) {
    match serde_json::from_str::<Event>(line) {
        Ok(event) => {
            signs.hear(&event, Instant::now());
            // Whoever listens outlives the run.
            let _ = events.send(event).await;
        }
        Err(error) => tracing::debug!(line, %error, "the media process said what nobody understands"),
    }
}

fn remember(line: &str, order: &Order, last_words: &mut String) {
    tracing::debug!(folder = %order.folder.display(), line, "media process");
    if !line.trim().is_empty() {
        *last_words = line.trim().chars().take(LAST_WORDS).collect();
    }
}

fn ended(status: std::io::Result<ExitStatus>, last_words: &str) -> Ended {
    let fact = match status {
        Ok(status) if status.success() => return Ended::Done,
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let and = |sign: &str| if last_words.is_empty() { String::new() } else { format!("{sign}{last_words}") };
    let zh = format!("媒体进程异常结束（{fact}）{}", and("："));
    Ended::Failed(Words::new(zh, format!("the media process ended with {fact}{}", and(": "))))
}

/// How much was received so far.
async fn received(folder: &Path) -> u64 {
    let journal = folder.join(JOURNAL);
    let Ok(mut entries) = tokio::fs::read_dir(journal).await else { return 0 };
    let mut octets = 0;
    while let Ok(Some(entry)) = entries.next_entry().await {
        octets += entry.metadata().await.map_or(0, |facts| facts.len());
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_hangs_when_more_is_received_and_it_gets_nowhere() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let progress = Event::Progress { duration_ms: 1, behind_ms: 100 };
        let mut signs = Signs::new(Limits::default(), start);
        for second in 0..60 {
            signs.see(second + 1, at(second));
            signs.hear(&progress, at(second));
        }
        assert!(!signs.hangs(at(60)));
        for second in 60..90 {
            signs.see(second + 1, at(second));
            assert!(!signs.hangs(at(second)), "{second}");
        }
        assert!(signs.hangs(at(90)), "30 s without progress, though more came all the time");
    }

    #[tokio::test]
    async fn the_making_of_files_is_given_time_and_a_lesson_without_an_end_is_noticed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut signs = Signs::new(Limits::default(), start);
        signs.see(10, at(1));
        signs.hear(&Event::Progress { duration_ms: 1, behind_ms: 100 }, at(1));
        assert!(!signs.hangs(at(300)), "nothing more came");
        assert!(!signs.waits(at(30)) && signs.waits(at(62)));
        let words = Words::new("坏", "broken");
        signs.hear(&Event::Problem { track: None, at_ms: None, words }, at(400));
        assert!(signs.hangs(at(602)), "ten minutes of silence, but for complaints");
        signs.hear(&Event::Files { complete: false }, at(600));
        assert!(!signs.hangs(at(3600)) && !signs.waits(at(3600)), "other variants take long");
        assert!(signs.hangs(at(600 + 7201)));
        for minute in 10..600 {
            signs.hear(&Event::Progress { duration_ms: 1, behind_ms: 0 }, at(minute * 60));
            assert!(!signs.hangs(at(minute * 60 + 59)), "it waits for its turn, and says so");
        }
    }

    #[test]
    fn what_the_media_process_tells_is_understood() {
        let read = |text: &str| serde_json::from_str::<Event>(text).expect(text);
        assert_eq!(read(r#"{"event":"started","resumed":true}"#), Event::Started { resumed: true });
        let problem =
            Event::Problem { track: Some("camera".into()), at_ms: Some(7), words: Words::new("坏", "broken") };
        assert_eq!(read(r#"{"event":"problem","track":"camera","at_ms":7,"en":"broken","zh":"坏"}"#), problem);
        assert_eq!(read(r#"{"event":"finished"}"#), Event::Finished);
        assert_eq!(read(r#"{"event":"sang","song":1}"#), Event::Other);
    }
}
