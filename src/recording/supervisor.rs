//! Media processes: one for each lesson that is recorded, started again when it fails, and its work catalogued.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::process::{self, Ended, Event, Order};
use super::{Disk, FILES, Limits, Manifest, Recordings, StorageError, Trouble, find_media_program, has_journal};
use crate::id::LessonId;
use crate::lesson::{Recorded, Recording, RecordingState, Words, Work};
use crate::store;

/// How often is looked for what there is to do.
const LOOK: Duration = Duration::from_secs(1);
/// How often the disk is looked at, and things are counted.
const COUNT: Duration = Duration::from_secs(10);
/// How often is looked for what has to go.
const LET_GO: Duration = Duration::from_secs(600);
/// How often a disk that is nearly full is told of in the log.
const WARN: Duration = Duration::from_secs(3600);
/// How often the length of a recording that grows is saved.
const SAVE: Duration = Duration::from_secs(10);
/// A process that ran so long was well: its next failure is a new one.
const WELL: Duration = Duration::from_secs(60);
/// After so many failures in a row the files of a lesson that has ended can't be made.
const FAILURES: u32 = 8;
/// After its end, a lesson's own end may take so long to be written down.
const CLOSING: time::Duration = time::Duration::seconds(10);
/// Events of a process that wait to be heard.
const EVENTS: usize = 64;
/// With so many that make further variants or wait for their turn, no other is started for that alone.
const WAITING: usize = 32;
/// An object store that failed is tried again after this.
const UPLOAD_AGAIN: Duration = Duration::from_secs(60);

/// What `mingshi recover` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Recordings that are ready now.
    pub finished: Vec<LessonId>,
    /// Those that can't be made, and why.
    pub failed: Vec<(LessonId, Words)>,
    /// Lessons that have not ended: their recordings go on with the server.
    pub live: Vec<LessonId>,
}

/// How the runs of one lesson's process went.
#[derive(Debug, Default)]
struct Attempts {
    failures: u32,
    not_before: Option<Instant>,
    /// The run that goes on.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    since: Instant,
    finishing: bool,
    seen: Arc<Seen>,
}

impl Running {
    /// Whether it makes the files that a lesson is watched with; what comes after them may take its time.
    fn makes_originals(&self) -> bool {
        self.finishing && !self.seen.has_files.load(Ordering::Acquire)
    }
}

/// What a run and the one who looks after it tell each other.
#[derive(Debug, Default)]
struct Seen {
    /// The lesson is over.
    is_over: AtomicBool,
    /// Its first files are catalogued.
    has_files: AtomicBool,
}

/// Looks after all of them.
struct Supervisor<'a> {
    recordings: &'a Recordings,
    /// Whether lessons that have not ended are left alone.
    only_ended: bool,
    attempts: HashMap<LessonId, Attempts>,
    runs: JoinSet<(LessonId, Ended)>,
    /// Folders that no lesson belongs to, or whose recording is catalogued: seen, and nothing to look at again.
    known: HashSet<LessonId>,
    upload_not_before: Option<Instant>,
    warned: Option<Instant>,
}

impl Recordings {
    /// Look after recordings for as long as this is polled.
    pub async fn run(&self) {
        self.sweep().await;
        self.try_again().await;
        let mut supervisor = Supervisor::new(self, false);
        let (mut look, mut count, mut let_go) = (interval(LOOK), interval(COUNT), interval(LET_GO));
        for tick in [&mut look, &mut count, &mut let_go] {
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut uploads: JoinSet<Result<(), LessonId>> = JoinSet::new();
        loop {
            tokio::select! {
                _ = look.tick() => {
                    let outcome = supervisor.look().await;
                    supervisor.heed_failure(outcome);
                }
                Some(ended) = supervisor.runs.join_next() => supervisor.ended(ended).await,
                _ = count.tick() => {
                    supervisor.count().await;
                    supervisor.begin_upload(&mut uploads).await;
                }
                Some(uploaded) = uploads.join_next() => {
                    if !matches!(uploaded, Ok(Ok(()))) {
                        supervisor.upload_not_before = Some(Instant::now() + UPLOAD_AGAIN);
                    }
                }
                _ = let_go.tick() => {
                    if let Err(error) = self.let_go().await {
                        tracing::warn!(%error, "the catalogue can't be read; nothing is let go of");
                    }
                }
            }
        }
    }

    /// Finish every recording whose lesson has ended, and come back.
    ///
    /// # Errors
    /// [`store::Error`] when the catalogue fails.
    pub async fn recover(&self) -> Result<Recovered, store::Error> {
        self.sweep().await;
        self.try_again().await;
        let mut supervisor = Supervisor::new(self, true);
        supervisor.discover().await?;
        let before = self.store().unfinished_recordings().await?;
        let (ended, live): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|recorded| recorded.recording.work(recorded.lesson.state) == Work::Finish);
        let mut look = interval(LOOK);
        loop {
            supervisor.look().await?;
            let unfinished = self.store().unfinished_recordings().await?;
            let is_left = |recorded: &Recorded| recorded.recording.work(recorded.lesson.state) == Work::Finish;
            if supervisor.runs.is_empty() && !unfinished.iter().any(is_left) {
                break;
            }
            tokio::select! {
                Some(ended) = supervisor.runs.join_next() => supervisor.ended(ended).await,
                _ = look.tick() => {}
            }
        }
        let mut recovered = Recovered { live: ids(&live), ..Recovered::default() };
        for lesson in ids(&ended) {
            match self.store().recording(lesson).await? {
                Some(Recording { state: RecordingState::Failed, reason, .. }) => {
                    recovered
                        .failed
                        .push((lesson, reason.unwrap_or_else(|| Words::new("原因不明", "nobody knows why"))));
                }
                _ => recovered.finished.push(lesson),
            }
        }
        for lesson in recovered.finished.clone() {
            if let Err(error) = self.upload(lesson).await {
                let words = Words::new(
                    format!("录像已做好，但上传失败：{error}"),
                    format!("it is made, but not uploaded: {error}"),
                );
                recovered.failed.push((lesson, words));
            }
        }
        Ok(recovered)
    }

    /// What failed before this start may succeed now.
    async fn try_again(&self) {
        if let Err(error) = self.store().retry_recordings().await {
            tracing::warn!(%error, "the catalogue can't be written to; recordings that failed aren't tried again");
        }
    }

    /// Take the files of a lesson into the catalogue, after they were checked.
    async fn take(&self, lesson: LessonId) -> Result<(), Words> {
        let manifest =
            Manifest::read(&self.folder(lesson).join(FILES), &lesson.to_string()).await.map_err(|error| {
                Words::new(
                    format!("录像文件校验未通过：{error}"),
                    format!("the files aren't as they should be: {error}"),
                )
            })?;
        let taken = async {
            let Some(before) = self.store().recording(lesson).await? else { return Ok(()) };
            self.store().catalogue(&manifest.applied(&before, self.now()), &manifest.contents).await
        };
        taken.await.map_err(|error: store::Error| unsaved(&error))
    }

    /// Upload the files of a recording, where that is wanted, and check what was uploaded.
    async fn upload(&self, lesson: LessonId) -> Result<(), UploadError> {
        if !self.storage().is_elsewhere() {
            return Ok(());
        }
        let Some(recording) = self.store().recording(lesson).await? else { return Ok(()) };
        if recording.stored_at.is_some() || !recording.complete {
            return Ok(());
        }
        for file in &self.store().contents(lesson).await?.files {
            self.storage().upload(lesson, file).await?;
        }
        self.store().stored_recording(lesson, self.now()).await?;
        tracing::info!(%lesson, octets = recording.octets, "recording uploaded and checked; its local files go");
        self.let_go().await?;
        Ok(())
    }

    fn tell(&self, lesson: LessonId, track: Option<String>, at_ms: Option<u64>, words: Words) {
        metrics::counter!("mingshi_recording_troubles_total").increment(1);
        let (en, zh) = (words.en.clone(), words.zh.clone());
        let trouble = Trouble { at: self.now(), lesson, track: track.clone(), at_ms, words, times: 1 };
        if self.0.watch.trouble(trouble) {
            tracing::warn!(%lesson, track, at_ms, en, zh, "trouble with a recording");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error(transparent)]
    Catalogue(#[from] store::Error),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn ids(recorded: &[Recorded]) -> Vec<LessonId> {
    recorded.iter().map(|recorded| recorded.lesson.id).collect()
}

fn unsaved(error: &store::Error) -> Words {
    Words::new(format!("录像目录无法保存：{error}"), format!("the catalogue can't be written to: {error}"))
}

impl<'a> Supervisor<'a> {
    fn new(recordings: &'a Recordings, only_ended: bool) -> Self {
        Self {
            recordings,
            only_ended,
            attempts: HashMap::new(),
            runs: JoinSet::new(),
            known: HashSet::new(),
            upload_not_before: None,
            warned: None,
        }
    }

    fn limits(&self) -> Limits {
        self.recordings.0.parts.limits
    }

    fn heed_failure(&self, outcome: Result<(), store::Error>) {
        if let Err(error) = outcome {
            metrics::counter!("mingshi_database_failures_total").increment(1);
            tracing::warn!(%error, "the catalogue of recordings can't be read or written; it is tried again every second");
        }
    }

    /// Start what there is to do.
    async fn look(&mut self) -> Result<(), store::Error> {
        self.discover().await?;
        let unfinished = self.recordings.store().unfinished_recordings().await?;
        self.attempts.retain(|lesson, attempts| {
            attempts.running.is_some() || unfinished.iter().any(|recorded| recorded.lesson.id == *lesson)
        });
        for recorded in &unfinished {
            self.look_at(recorded).await?;
        }
        self.recordings.0.watch.processes(self.runs.len());
        metrics::gauge!("mingshi_recording_processes").set(self.runs.len() as f64);
        Ok(())
    }

    /// Whatever was received belongs to a recording.
    async fn discover(&mut self) -> Result<(), store::Error> {
        let Ok(mut entries) = tokio::fs::read_dir(&self.recordings.0.root).await else { return Ok(()) };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let Some(lesson) = entry.file_name().to_str().and_then(|name| name.parse::<LessonId>().ok()) else {
                continue;
            };
            if self.known.contains(&lesson) || !has_journal(&entry.path()) {
                continue;
            }
            let store = self.recordings.store();
            if store.insert_recording(&Recording::new(lesson, self.recordings.now())).await? {
                tracing::info!(%lesson, "recording begins");
            } else if store.recording(lesson).await?.is_none() {
                tracing::warn!(folder = %entry.path().display(), "a recording of a lesson that isn't there is left alone");
            }
            self.known.insert(lesson);
        }
        Ok(())
    }

    async fn look_at(&mut self, recorded: &Recorded) -> Result<(), store::Error> {
        let Recorded { lesson, recording } = recorded;
        let work = recording.work(lesson.state);
        let finishing = work == Work::Finish;
        if finishing && recording.state == RecordingState::Recording {
            self.recordings.store().finish_recording(lesson.id).await?;
        }
        let at_work = self.attempts.values().filter_map(|attempts| attempts.running.as_ref());
        let (making, waiting): (Vec<_>, Vec<_>) =
            at_work.filter(|running| running.finishing).partition(|running| running.makes_originals());
        let has_room = making.len() < cores() && (!recording.state.has_files() || waiting.len() < WAITING);
        let attempts = self.attempts.entry(lesson.id).or_default();
        if let Some(running) = &mut attempts.running {
            if finishing && !running.finishing {
                running.finishing = true;
                running.seen.is_over.store(true, Ordering::Release);
            }
            return Ok(());
        }
        let is_due = attempts.not_before.is_none_or(|at| at <= Instant::now());
        let may_run = if finishing { has_room } else { !self.only_ended };
        if work == Work::None || !is_due || !may_run {
            return Ok(());
        }
        let folder = self.recordings.folder(lesson.id);
        if !has_journal(&folder) {
            let words = Words::new("收到的原始数据已不在磁盘上", "what was received isn't on the disk any more");
            return self.recordings.store().fail_recording(lesson.id, &words).await;
        }
        let Some(program) = self.program(recorded).await? else { return Ok(()) };
        let is_closed = lesson.ended_at.is_none_or(|at| self.recordings.now() - at > CLOSING);
        let finish = finishing && (is_closed || self.only_ended);
        let transcode_cores = self.recordings.0.parts.settings.transcode_cores;
        let order = Order { program, folder, finish, transcode_cores, limits: self.limits() };
        self.start(lesson.id, finishing, order);
        Ok(())
    }

    /// The media program. Without it lessons go on, and what is received is kept until it is there.
    async fn program(&mut self, recorded: &Recorded) -> Result<Option<PathBuf>, store::Error> {
        let watch = &self.recordings.0.watch;
        let given = self.recordings.0.parts.program.clone();
        match given.map_or_else(find_media_program, Ok) {
            Ok(program) => {
                watch.hinder(None);
                Ok(Some(program))
            }
            Err(error) => {
                let zh = "本机没有媒体程序 mingshi-media，收到的内容先保存着；装好后会自动做成录像";
                let en = format!("{error}; what is received is kept, and made into a recording once it is there");
                let words = Words::new(zh, en);
                if watch.hinder(Some(words.clone())) {
                    tracing::error!(%error, "lessons aren't made into recordings");
                }
                let attempts = self.attempts.entry(recorded.lesson.id).or_default();
                attempts.not_before = Some(Instant::now() + self.recordings.0.parts.limits.longest_pause);
                if recorded.recording.reason.as_ref() != Some(&words) {
                    self.recordings.store().explain_recording(recorded.lesson.id, Some(&words)).await?;
                }
                Ok(None)
            }
        }
    }

    fn start(&mut self, lesson: LessonId, finishing: bool, order: Order) {
        let seen = Arc::new(Seen { is_over: AtomicBool::new(finishing), has_files: AtomicBool::new(false) });
        let running = Running { since: Instant::now(), finishing, seen: seen.clone() };
        self.attempts.entry(lesson).or_default().running = Some(running);
        tracing::info!(%lesson, finish = order.finish, "media process starts");
        let recordings = self.recordings.clone();
        self.runs.spawn(async move {
            let (sender, events) = mpsc::channel(EVENTS);
            let run = async {
                let ended = process::run(&order, &sender, || seen.is_over.load(Ordering::Acquire)).await;
                drop(sender);
                ended
            };
            let (ended, ()) = tokio::join!(run, listen(&recordings, lesson, events, &seen));
            (lesson, ended)
        });
    }

    /// A process has ended.
    async fn ended(&mut self, ended: Result<(LessonId, Ended), tokio::task::JoinError>) {
        let Ok((lesson, ended)) = ended else {
            tracing::error!("looking after a media process failed; it is started again");
            // The run that is gone has let go of what it shared with us.
            for attempts in self.attempts.values_mut() {
                attempts.running.take_if(|running| Arc::strong_count(&running.seen) == 1);
            }
            return;
        };
        let running = self.attempts.entry(lesson).or_default().running.take();
        let (finishing, was_well) =
            running.map_or((false, false), |running| (running.finishing, running.since.elapsed() > WELL));
        let (why, words) = match ended {
            Ended::Waited => return,
            Ended::Done => match self.done(lesson).await {
                Ok(()) => return,
                Err(words) => ("files", words),
            },
            Ended::Failed(words) => ("failed", words),
            Ended::Hung(words) => ("hung", words),
        };
        metrics::counter!("mingshi_recording_process_failures_total", "why" => why).increment(1);
        self.recordings.tell(lesson, None, None, words.clone());
        let Limits { first_pause, longest_pause, .. } = self.limits();
        let attempts = self.attempts.entry(lesson).or_default();
        attempts.failures = if was_well { 1 } else { attempts.failures.saturating_add(1) };
        let pause = pause(attempts.failures, first_pause, longest_pause);
        attempts.not_before = Some(Instant::now() + pause);
        let store = self.recordings.store();
        let outcome = if finishing && attempts.failures >= FAILURES {
            tracing::error!(%lesson, en = words.en, "the recording can't be made; what was received is kept");
            store.fail_recording(lesson, &words).await
        } else {
            store.explain_recording(lesson, Some(&words)).await
        };
        self.heed_failure(outcome);
    }

    /// A process did all it was to do.
    async fn done(&self, lesson: LessonId) -> Result<(), Words> {
        self.recordings.take(lesson).await?;
        self.recordings.store().complete_recording(lesson).await.map_err(|error| unsaved(&error))?;
        tracing::info!(%lesson, "recording ready");
        Ok(())
    }

    /// The disk, and how many recordings there are.
    async fn count(&mut self) {
        let warn_free = self.recordings.0.parts.settings.warn_free;
        let disk = Disk::of(&self.recordings.0.parts.data).ok();
        self.recordings.0.watch.disk(disk);
        if let Some(Disk { free }) = disk {
            metrics::gauge!("mingshi_recording_disk_free_bytes").set(free as f64);
            metrics::gauge!("mingshi_recording_disk_nearly_full").set(if free < warn_free { 1.0 } else { 0.0 });
            if free < warn_free && self.warned.is_none_or(|at| at.elapsed() >= WARN) {
                self.warned = Some(Instant::now());
                tracing::warn!(
                    free_gb = free as f64 / 1e9,
                    "the disk is nearly full 磁盘空间不足：recordings will stop before lessons do"
                );
            }
        }
        let Ok(counts) = self.recordings.store().count_recordings().await else { return };
        for state in RecordingState::ALL {
            let of_state = counts.iter().find(|(counted, ..)| *counted == state);
            let (number, octets) = of_state.map_or((0, 0), |(_, number, octets)| (*number, *octets));
            metrics::gauge!("mingshi_recordings", "state" => state.as_str()).set(number as f64);
            metrics::gauge!("mingshi_recording_bytes", "state" => state.as_str()).set(octets as f64);
        }
    }

    /// Upload the next recording that is to be elsewhere, one at a time.
    async fn begin_upload(&mut self, uploads: &mut JoinSet<Result<(), LessonId>>) {
        let waits = self.upload_not_before.is_some_and(|at| at > Instant::now());
        if !self.recordings.storage().is_elsewhere() || !uploads.is_empty() || waits {
            return;
        }
        let Ok(all) = self.recordings.store().all_recordings().await else { return };
        let next = all.into_iter().find(|r| r.complete && r.state.has_files() && r.stored_at.is_none());
        let Some(Recording { lesson, .. }) = next else { return };
        let recordings = self.recordings.clone();
        uploads.spawn(async move {
            recordings.upload(lesson).await.map_err(|error| {
                let words = Words::new(
                    format!("上传失败，稍后重试：{error}"),
                    format!("not uploaded; it is tried again: {error}"),
                );
                recordings.tell(lesson, None, None, words);
                metrics::counter!("mingshi_recording_uploads_failed_total").increment(1);
                lesson
            })
        });
    }
}

/// Heed what a process tells, until it has ended.
async fn listen(recordings: &Recordings, lesson: LessonId, mut events: mpsc::Receiver<Event>, seen: &Seen) {
    let mut saved: Option<Instant> = None;
    while let Some(event) = events.recv().await {
        match event {
            Event::Started { resumed } => tracing::info!(%lesson, resumed, "media process at work"),
            Event::Progress { duration_ms, behind_ms } => {
                metrics::histogram!("mingshi_recording_behind_seconds").record(behind_ms as f64 / 1000.0);
                if saved.is_none_or(|at| at.elapsed() >= SAVE) {
                    saved = Some(Instant::now());
                    if let Err(error) = recordings.store().recording_grows(lesson, duration_ms).await {
                        tracing::debug!(%lesson, %error, "the length of a recording isn't saved this time");
                    }
                }
            }
            Event::Problem { track, at_ms, words } => recordings.tell(lesson, track, at_ms, words),
            // Those that are made at once can be watched while the others are made.
            Event::Files { complete: false } => {
                if let Err(words) = recordings.take(lesson).await {
                    recordings.tell(lesson, None, None, words);
                }
                seen.has_files.store(true, Ordering::Release);
            }
            // It is catalogued when the process has ended.
            Event::Files { complete: true } | Event::Finished | Event::Other => {}
        }
    }
}

/// So many lessons that have ended get their first files at once: cutting and copying keeps a core busy each.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_one_second_to_a_minute() {
        let Limits { first_pause, longest_pause, .. } = Limits::default();
        let seconds = |failures| pause(failures, first_pause, longest_pause).as_secs();
        assert_eq!([1, 2, 3, 6, 7, 100].map(seconds), [1, 2, 4, 32, 60, 60]);
    }
}
