//! `mingshi-media record`.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use mingshi_journal::{Next, Opened, Position, Record, Tail};
use rustix::fs::FlockOperation;
use tokio::sync::watch;

use super::events::{Event, Events, Problem, StandardOutput};
use super::files::converter::Converter;
use super::files::{self, FilesError, Report};
use super::recorder::{self, Ended, Job};

/// Held while a recorder is at work in a folder.
const LOCK: &str = "recorder.lock";
/// Beside the lessons' folders; see [`files::Job::turn`].
const TURN: &str = "transcode.lock";
/// A recorder steps back behind the server.
const NICENESS: i32 = 10;
/// A recorder that was killed may be a moment in going.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(100);

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct RecordArguments {
    /// The lesson's folder, with its journal.
    #[arg(long, value_name = "PATH")]
    folder: PathBuf,
    /// Take the journal's end for the end of the lesson, even if it doesn't say so.
    #[arg(long)]
    finish: bool,
    /// Cores that may be spent on encoding what can't be kept as it is.
    #[arg(long, value_name = "CORES", default_value_t = 1.0)]
    transcode_cores: f64,
    /// Stop when standard input ends, as it does when the parent process is gone.
    #[arg(long)]
    pub(crate) exit_with_stdin: bool,
}

/// Record a lesson until it is over or `stopped` says so.
///
/// # Errors
/// What kept it from being recorded.
pub async fn record(arguments: RecordArguments, mut stopped: watch::Receiver<bool>) -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&stop);
    tokio::spawn(async move {
        // Nobody can say stop any more if the sender is gone, which is when the process ends.
        if stopped.wait_for(|stopped| *stopped).await.is_ok() {
            watched.store(true, Ordering::Relaxed);
        }
    });
    tokio::task::spawn_blocking(move || record_here(&arguments, &stop)).await.context("the recorder panicked")?
}

fn record_here(arguments: &RecordArguments, stop: &Arc<AtomicBool>) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    let _lock = lock(folder, stop)?;
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!("the priority can't be lowered: {error}");
    }
    let job = Job { folder: folder.clone(), finish: arguments.finish, cores: arguments.transcode_cores };
    if recorder::record(&job, stop, &mut StandardOutput)? == Ended::Whole {
        finish(arguments, stop, &mut StandardOutput)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Make the files of a lesson that is over.
fn finish(arguments: &RecordArguments, stop: &Arc<AtomicBool>, events: &mut impl Events) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("finding this program")?;
    let converter = Converter { program, cores: arguments.transcode_cores, stop: Arc::clone(stop) };
    let opened = opened(&arguments.folder);
    let job = files::Job {
        folder: arguments.folder.clone(),
        lesson: opened.as_ref().map(|opened| opened.lesson.clone()).unwrap_or_default(),
        title: opened.as_ref().map(|opened| opened.title.clone()).unwrap_or_default(),
        teacher: opened.and_then(|opened| opened.teacher),
        converter: Some(converter),
        turn: arguments.folder.parent().map(|recordings| recordings.join(TURN)),
    };
    let duration_ms = files::dvr::timeline(&arguments.folder.join("dvr")).map_or(0, |timeline| timeline.duration_ms);
    let told = files::finish(&job, &mut |report| match report {
        Report::Files { complete } => events.tell(&Event::Files { complete }),
        Report::Waits => events.tell(&Event::Progress { duration_ms, behind_ms: 0 }),
        Report::Problem { track, at_ms, words } => {
            events.tell(&Event::Problem(Problem { track, at_ms, en: words.en, zh: words.zh }));
        }
    });
    match told {
        Ok(_) => events.tell(&Event::Finished),
        Err(FilesError::Stopped) => {}
        Err(error) => {
            let en = format!(
                "The recording's files can't be made: {error}. Nothing is lost: see to the disk, then start the recorder \
                 again."
            );
            let zh = format!("无法生成录像文件：{error}。已录内容完好；请检查磁盘空间和权限，然后重新启动录制。");
            events.tell(&Event::Problem(Problem { track: None, at_ms: 0, en, zh }));
            return Err(error).context("making the recording's files");
        }
    }
    Ok(())
}

/// What the journal says of its lesson.
fn opened(folder: &Path) -> Option<Opened> {
    let mut tail = Tail::open(&folder.join(recorder::JOURNAL), Position::default());
    loop {
        match tail.next() {
            Ok(Next::Record(Record::Opened(opened))) => return Some(opened),
            Ok(Next::Record(_) | Next::Damaged { .. }) => {}
            Ok(Next::Waiting) | Err(_) => return None,
        }
    }
}

/// Two recorders in one folder would write over each other.
fn lock(folder: &Path, stop: &AtomicBool) -> anyhow::Result<File> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("{}", path.display()))?;
    let mut waited = Duration::ZERO;
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if waited >= LOCK_PATIENCE || stop.load(Ordering::Relaxed) {
            bail!(
                "另一个录制进程正在使用 {0}，请先停止它 / another recorder is at work in {0}; stop it first",
                folder.display()
            );
        }
        std::thread::sleep(LOCK_POLL);
        waited += LOCK_POLL;
    }
    Ok(file)
}
