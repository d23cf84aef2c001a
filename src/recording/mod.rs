//! Recordings: what the media process makes of lessons, catalogued, stored, and let go in time.
//!
//! The media workers write down what they receive; a process of its own for each lesson makes of that what is watched late and,
//! at the end, the files. Here those processes are started, watched and started again, their work is checked and catalogued,
//! uploaded where that is wanted, and removed when its time has come. A lesson never waits for any of it.

mod disk;
mod manifest;
mod process;
mod program;
mod retention;
mod storage;
mod supervisor;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::config;
use crate::id::LessonId;
use crate::store::Store;

pub use disk::Disk;
pub use manifest::{Manifest, ManifestError};
pub use program::{NoProgram, find_media_program};
pub use retention::DeleteError;
pub use storage::{Readable, Storage, StorageError, inside};
pub use supervisor::Recovered;
pub use watch::{Overview, Trouble};

/// The folder below the data folder that recordings are in.
const FOLDER: &str = "recordings";
/// Of one recording: what was received.
pub const JOURNAL: &str = "journal";
/// Of one recording: what it is cut into while the lesson goes on.
pub const DVR: &str = "dvr";
/// Of one recording: its files.
pub const FILES: &str = "files";

/// Tells the time of day.
pub type TimeOfDay = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// How long is waited for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After a process's first failure, before it is started again; each further failure doubles it.
    pub first_pause: Duration,
    /// And after any.
    pub longest_pause: Duration,
    /// For progress, while more is received.
    pub hang: Duration,
    /// For a word of a process.
    pub silence: Duration,
    /// For a word of a process that has made the first files.
    pub silence_after: Duration,
    /// For the end of a lesson to be written down.
    pub unclosed: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            hang: Duration::from_secs(30),
            silence: Duration::from_secs(600),
            silence_after: Duration::from_secs(7200),
            unclosed: Duration::from_secs(60),
        }
    }
}

/// What recordings are looked after with.
pub struct Parts {
    /// The data folder.
    pub data: PathBuf,
    /// What is wanted of them.
    pub settings: config::Recording,
    /// The catalogue.
    pub store: Store,
    /// The time of day.
    pub now: TimeOfDay,
    /// The media program; `None` = it is looked for.
    pub program: Option<PathBuf>,
    /// How long is waited for what.
    pub limits: Limits,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("data", &self.data).finish_non_exhaustive()
    }
}

/// All recordings of one data folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recordings(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    root: PathBuf,
    storage: Storage,
    watch: watch::Watch,
}

impl Recordings {
    /// Recordings looked after with these parts.
    ///
    /// # Errors
    /// [`StorageError`] when the place where they are to go can't be used.
    pub fn new(parts: Parts) -> Result<Self, StorageError> {
        let root = parts.data.join(FOLDER);
        let storage = Storage::new(root.clone(), parts.settings.storage.as_deref())?;
        Ok(Self(Arc::new(Inner { parts, root, storage, watch: watch::Watch::default() })))
    }

    /// The folder of a lesson's recording, there or not.
    #[must_use]
    pub fn folder(&self, lesson: LessonId) -> PathBuf {
        self.0.root.join(lesson.to_string())
    }

    /// Where files are.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.0.storage
    }

    /// What goes on, for those who watch over the server.
    #[must_use]
    pub fn overview(&self) -> Overview {
        self.0.watch.overview(self.0.parts.settings.warn_free)
    }

    /// A piece of what a lesson is cut into while it goes on, by its path below `dvr/`; `None` where there is none of that name.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub async fn dvr(&self, lesson: LessonId, path: &str) -> std::io::Result<Option<Readable>> {
        match inside(&self.folder(lesson).join(DVR), path) {
            Some(path) => Readable::open(&path).await,
            None => Ok(None),
        }
    }

    fn now(&self) -> OffsetDateTime {
        (self.0.parts.now)()
    }

    fn store(&self) -> &Store {
        &self.0.parts.store
    }
}

/// Whether a lesson's folder holds anything that was received.
fn has_journal(folder: &Path) -> bool {
    folder.join(JOURNAL).is_dir()
}
