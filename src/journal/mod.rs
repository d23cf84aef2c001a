//! Writes down what is received of the lessons on air, packet by packet: one thread for all of them, fed by the media threads'
//! tap. The format is the crate `mingshi-journal`'s, and docs/journal.md says what is kept, and what is lost when.

mod book;
mod desk;
mod select;
pub mod space;
mod thread;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use mingshi_journal::{Closed, Opened, Record, Writer};

use crate::id::{ConnectionId, LessonId, PublicationId};
use crate::lesson::{Chronicle, Happening, Lesson};
use crate::units::ServerClock;
use crate::worker::tap::Tapped;

pub use book::Trouble;
use desk::Desk;
use space::Limits;

/// What happened in lessons and waits to be written; more is let go and counted.
const HAPPENINGS: usize = 4_096;

/// What the journal is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the recordings are: `<lesson>/journal/` in it are the journals.
    pub recordings: PathBuf,
    /// A kept encoding of which no keyframe came for so long is asked for one.
    pub keyframe_every: Duration,
    /// From when on less is kept.
    pub limits: Limits,
}

/// The journal of all lessons. Cheap to clone; nothing that is asked of it waits for the disk.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    happenings: Sender<(LessonId, Happening)>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct TroubleOrSlow {
    trouble: Option<Trouble>,
    is_slow: bool,
}

/// What the thread and those who ask share. Locks are held for a few operations, never for the disk.
#[derive(Debug)]
struct Shared {
    recordings: PathBuf,
    on_air: Mutex<BTreeMap<LessonId, Opened>>,
    trouble: Mutex<TroubleOrSlow>,
    stopping: AtomicBool,
}

impl Shared {
    fn on_air(&self) -> MutexGuard<'_, BTreeMap<LessonId, Opened>> {
        self.on_air.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_trouble(&self, trouble: TroubleOrSlow) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Where a lesson's journal is.
#[must_use]
pub fn folder(recordings: &Path, lesson: LessonId) -> PathBuf {
    recordings.join(lesson.to_string()).join("journal")
}

impl Journal {
    /// Starts the thread. `want_keyframe` asks the publisher of a connection's publication for a keyframe of an encoding.
    ///
    /// # Errors
    /// When the folder can't be made, or the system refuses a thread.
    pub fn start(
        settings: Settings,
        clock: ServerClock,
        tapped: Tapped,
        want_keyframe: impl Fn(ConnectionId, PublicationId, u8) + Send + 'static,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(&settings.recordings)?;
        let shared = Arc::new(Shared {
            recordings: settings.recordings.clone(),
            on_air: Mutex::default(),
            trouble: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let (happenings, received) = bounded(HAPPENINGS);
        let setup = thread::Setup {
            tapped,
            happenings: received,
            shared: Arc::clone(&shared),
            desk: Desk::new(settings.recordings, clock, settings.keyframe_every),
            limits: settings.limits,
            want_keyframe: Box::new(move |(connection, publication, layer)| {
                want_keyframe(connection, publication, layer);
            }),
        };
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || thread::run(setup))?;
        Ok(Self { shared, happenings, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// The lessons that are being recorded.
    #[must_use]
    pub fn recorded(&self) -> Vec<LessonId> {
        self.shared.on_air().keys().copied().collect()
    }

    /// The folder in which all that is recorded of a lesson lies; its journal is in `journal/` in it.
    #[must_use]
    pub fn folder_of(&self, lesson: LessonId) -> PathBuf {
        self.shared.recordings.join(lesson.to_string())
    }

    /// Why recording is cut short or fails at present, if so.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).trouble
    }

    /// Whether the disk takes seconds to write what is recorded.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_slow
    }

    /// Lessons whose journal was not closed: on air, or ended while nobody wrote.
    ///
    /// # Errors
    /// When the recordings can't be listed. A journal that can't be read is told in the log and left out.
    pub fn left_open(&self) -> io::Result<Vec<LessonId>> {
        let mut open = Vec::new();
        for entry in std::fs::read_dir(&self.shared.recordings)? {
            let name = entry?.file_name();
            let Some(lesson) = name.to_str().and_then(|name| name.parse::<LessonId>().ok()) else { continue };
            let folder = folder(&self.shared.recordings, lesson);
            if !folder.is_dir() {
                continue;
            }
            match mingshi_journal::is_closed(&folder) {
                Ok(true) => {}
                Ok(false) => open.push(lesson),
                Err(error) => tracing::error!(%error, %lesson, "a journal can't be read"),
            }
        }
        Ok(open)
    }

    /// Closes the journal of a lesson that ended while nobody wrote; `at` is the present in nanoseconds since 1970.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn close_left_open(
        &self,
        lesson: LessonId,
        what: Option<&Lesson>,
        at: i64,
    ) -> Result<(), mingshi_journal::Error> {
        let mut writer = Writer::open(&folder(&self.shared.recordings, lesson), at)?;
        let opened = what.map_or_else(|| unknown(lesson), opening);
        writer.append(&Record::Opened(Opened { at, ..opened }))?;
        writer.append(&Record::Closed(Closed { at }))?;
        writer.sync()
    }

    /// Writes and syncs what there is, and ends the thread. The media threads have to have ended before.
    pub async fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the journal's thread ended with a panic");
        }
    }
}

impl Chronicle for Journal {
    fn on_air(&self, lesson: &Lesson) {
        self.shared.on_air().entry(lesson.id).or_insert_with(|| opening(lesson));
    }

    fn happened(&self, lesson: LessonId, happening: Happening) {
        if self.happenings.try_send((lesson, happening)).is_err() {
            metrics::counter!("mingshi_journal_events_dropped_total").increment(1);
        }
    }

    fn ended(&self, lesson: LessonId) {
        self.shared.on_air().remove(&lesson);
    }
}

/// What a run's first record says of a lesson; when it is written is filled in then.
fn opening(lesson: &Lesson) -> Opened {
    Opened {
        lesson: lesson.id.to_string(),
        title: lesson.title.clone(),
        teacher: lesson.teacher.clone(),
        subject: lesson.subject.clone(),
        grade: lesson.grade.clone(),
        at: 0,
    }
}

/// What can be said of a lesson that nobody remembers.
fn unknown(lesson: LessonId) -> Opened {
    Opened { lesson: lesson.to_string(), title: String::new(), teacher: None, subject: None, grade: None, at: 0 }
}
