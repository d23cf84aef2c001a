//! The thread that writes all journals, and the one that waits for the disk on its behalf.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use mingshi_journal::Unsynced;

use crate::id::LessonId;
use crate::lesson::Happening;
use crate::worker::clock;
use crate::worker::tap::Tapped;

use super::desk::{Desk, Wanted};
use super::space::{Limits, Room, room};
use super::{Shared, TroubleOrSlow};

/// Without media it is looked around this often.
const ROUND: Duration = Duration::from_millis(20);
/// Batches that are taken before anything else gets its turn.
const BATCHES_AT_ONCE: usize = 256;
/// What was received is in the kernel's hands after so long.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// What is in the kernel's hands is on the disk after so long, if the disk can.
const SYNC_EVERY: Duration = Duration::from_millis(500);
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// A disk that takes longer is slow.
const SLOW: Duration = Duration::from_secs(2);

/// What the thread is started with.
pub(super) struct Setup {
    pub(super) tapped: Tapped,
    pub(super) happenings: Receiver<(LessonId, Happening)>,
    pub(super) shared: Arc<Shared>,
    pub(super) desk: Desk,
    pub(super) limits: Limits,
    pub(super) want_keyframe: Box<dyn Fn(Wanted) + Send>,
}

/// Writes until the media threads are gone and the journal is told to stop.
pub(super) fn run(mut setup: Setup) {
    let mut syncing = Syncing::start();
    let mut kept = Room::Ample;
    let start = clock::now();
    let (mut flush_at, mut sync_at, mut measure_at) = (start, start, start);
    loop {
        let over = take_media(&mut setup);
        let now = clock::now();
        setup.desk.reconcile(&setup.shared.on_air(), now);
        while let Ok((lesson, happening)) = setup.happenings.try_recv() {
            setup.desk.happened(lesson, happening, now);
        }
        if now >= flush_at {
            flush_at = now + FLUSH_EVERY;
            setup.desk.flush(now);
            let took = clock::now().saturating_duration_since(now);
            setup.desk.is_slow = took >= SLOW || syncing.is_slow(now);
        }
        if now >= sync_at && syncing.is_free() {
            sync_at = now + SYNC_EVERY;
            syncing.sync(setup.desk.take_unsynced(), now);
        }
        if now >= measure_at {
            measure_at = now + MEASURE_EVERY;
            kept = look_around(&mut setup, kept, now);
        }
        if over {
            break;
        }
    }
    setup.desk.finish();
}

/// Takes what the media threads handed over. Returns whether that was all there will ever be.
fn take_media(setup: &mut Setup) -> bool {
    for taken in 0..BATCHES_AT_ONCE {
        match setup.tapped.next(if taken == 0 { ROUND } else { Duration::ZERO }) {
            Ok(batch) => {
                setup.desk.feed(&batch, clock::now());
                setup.tapped.give_back(batch);
            }
            Err(nothing) => {
                let is_stopping = setup.shared.stopping.load(Ordering::Acquire);
                if nothing.is_disconnected() && !is_stopping {
                    std::thread::sleep(ROUND);
                }
                return is_stopping;
            }
        }
    }
    false
}

/// Looks at the disk and the encodings, and tells how the journal does.
fn look_around(setup: &mut Setup, kept: Room, now: Instant) -> Room {
    let free = free_octets(&setup.shared.recordings);
    let next = free.map_or(kept, |free| room(free, setup.limits, kept));
    if next != kept {
        tell_room(next, free.unwrap_or_default());
    }
    for wanted in setup.desk.measure(next, now) {
        (setup.want_keyframe)(wanted);
    }
    setup.shared.set_trouble(TroubleOrSlow { trouble: setup.desk.trouble(), is_slow: setup.desk.is_slow });
    metrics::gauge!("mingshi_journal_queue_bytes").set(setup.tapped.waiting() as f64);
    metrics::gauge!("mingshi_journal_lessons").set(setup.desk.lessons() as f64);
    metrics::gauge!("mingshi_journal_writable").set(if setup.desk.trouble().is_none() { 1.0 } else { 0.0 });
    if let Some(free) = free {
        metrics::gauge!("mingshi_journal_free_bytes").set(free as f64);
    }
    next
}

/// Free octets where recordings are kept; `None` where the system doesn't say.
fn free_octets(recordings: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(recordings).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

fn tell_room(room: Room, free: u64) {
    let free_mib = free >> 20;
    match room {
        Room::Ample => tracing::info!(free_mib, "there is room again: everything is recorded"),
        Room::NoCameraTop => tracing::warn!(
            free_mib,
            "little room is left: of cameras only the small picture is recorded; free some of the disk (磁盘空间不足：摄像头画面只录低清，请清理磁盘)"
        ),
        Room::NoCamera => tracing::warn!(
            free_mib,
            "little room is left: cameras aren't recorded, voice and slides are; free some of the disk (磁盘空间不足：暂不录摄像头，只录声音和课件，请清理磁盘)"
        ),
        Room::NoSlidesTop => tracing::warn!(
            free_mib,
            "hardly any room is left: voice and small slides are recorded; free some of the disk (磁盘空间即将用尽：只录声音和低清课件，请立即清理磁盘)"
        ),
        Room::None => tracing::error!(
            free_mib,
            "no room is left: nothing is recorded, lessons go on; free some of the disk (磁盘空间已用尽：停止录制，课不受影响，请立即清理磁盘)"
        ),
    }
}

/// The thread that waits for the disk.
#[derive(Debug)]
struct Syncing {
    to_do: Option<Sender<Vec<Unsynced>>>,
    done: Receiver<()>,
    since: Option<Instant>,
    /// When it was last told that the disk is slow.
    told: Option<Instant>,
}

impl Syncing {
    fn start() -> Self {
        let (to_do, next) = bounded::<Vec<Unsynced>>(1);
        let (tell, done) = bounded(1);
        let work = move || {
            for files in next {
                let began = clock::now();
                for file in files {
                    if let Err(error) = file.sync() {
                        tracing::error!(%error, "what was recorded may not be on the disk (录制内容未能落盘，请检查硬盘)");
                        metrics::counter!("mingshi_journal_sync_failures_total").increment(1);
                    }
                }
                let took = clock::now().saturating_duration_since(began);
                metrics::histogram!("mingshi_journal_sync_seconds").record(took.as_secs_f64());
                if tell.send(()).is_err() {
                    return;
                }
            }
        };
        let started = std::thread::Builder::new().name("journal-sync".into()).spawn(work);
        if let Err(error) = &started {
            tracing::error!(%error, "the journal's second thread can't be started; the kernel writes when it likes");
        }
        Self { to_do: started.ok().map(|_| to_do), done, since: None, told: None }
    }

    /// Whether it has nothing to do.
    fn is_free(&mut self) -> bool {
        if self.since.is_some() && self.done.try_recv().is_ok() {
            self.since = None;
        }
        self.since.is_none()
    }

    fn sync(&mut self, files: Vec<Unsynced>, now: Instant) {
        let Some(to_do) = self.to_do.as_ref().filter(|_| !files.is_empty()) else { return };
        if to_do.try_send(files).is_ok() {
            self.since = Some(now);
        }
    }

    /// Whether the disk takes its time, which is told once a minute.
    fn is_slow(&mut self, now: Instant) -> bool {
        let is_slow = self.since.is_some_and(|since| now.saturating_duration_since(since) >= SLOW);
        let is_told = self.told.is_some_and(|told| now.saturating_duration_since(told) < Duration::from_secs(60));
        if is_slow && !is_told {
            self.told = Some(now);
            tracing::warn!(
                "the disk takes seconds to write what is recorded; a power cut would cost as much (硬盘太慢，断电会丢失数秒录制内容)"
            );
        }
        is_slow
    }
}
