//! What outlives the process: one SQLite database, one file per aggregate. Times are kept as
//! milliseconds since the Unix epoch, so that they sort.
//!
//! Reading and writing have connections of their own: while the disk is full or somebody else holds the database for
//! writing, writers wait and fail, and readers, which a lesson on air lives by, don't notice.

mod decision;
mod lesson;
mod operator_key;
mod recording;
mod school;
mod secret;
mod stage;
mod view;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqliteConnection, SqlitePool};
use time::OffsetDateTime;

pub use decision::DECISIONS_PER_LESSON;
pub use lesson::LessonFilter;
pub use operator_key::OperatorKeyId;
pub use recording::{RECORDINGS_PER_LIST, RecordingCursor, RecordingFilter};
pub use school::Kept;
pub use view::Stretch;

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be opened.
    #[error("the database {path} can't be opened: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// A statement failed.
    #[error("the database failed: {0}")]
    Statement(#[from] sqlx::Error),
    /// The schema can't be brought up to date.
    #[error("the database can't be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A row holds what no version of this program writes.
    #[error("the database holds a {table} that can't be read: {fact}")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// What is wrong.
        fact: String,
    },
    /// Every code that was tried is taken.
    #[error("no free join code was found; too many lessons have not ended")]
    NoFreeCode,
}

/// What stands behind a failure, as far as it matters to whoever is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room on the disk.
    DiskFull,
    /// Somebody else holds the database, or its writers are too many; it may pass within seconds.
    Busy,
    /// Anything else: a broken disk, a damaged file, a mistake of ours.
    Broken,
}

// Primary result codes of SQLite (https://sqlite.org/rescode.html); extended codes carry them in their low octet.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_FULL: i32 = 13;
/// The file that readers share with writers can't grow (SQLITE_IOERR_SHMSIZE): a full disk, too.
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

impl Error {
    /// What stands behind it.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        let error = match self {
            Self::Open { source, .. } | Self::Statement(source) => source,
            Self::Migrate(sqlx::migrate::MigrateError::Execute(source)) => source,
            Self::Migrate(_) | Self::Corrupt { .. } | Self::NoFreeCode => return Trouble::Broken,
        };
        match error {
            sqlx::Error::PoolTimedOut => Trouble::Busy,
            sqlx::Error::Database(error) => {
                let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
                match code & 0xff {
                    _ if code == SQLITE_IOERR_SHMSIZE => Trouble::DiskFull,
                    SQLITE_FULL => Trouble::DiskFull,
                    SQLITE_BUSY | SQLITE_LOCKED => Trouble::Busy,
                    _ => Trouble::Broken,
                }
            }
            _ => Trouble::Broken,
        }
    }
}

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    readers: SqlitePool,
    // SQLite has one writer at a time; that they queue here and not in SQLite keeps them in order.
    writer: SqlitePool,
}

const FILE: &str = "mingshi.db";

const READERS: u32 = 4;
/// How long a writer waits for another process that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(3);

impl Store {
    /// Open the database in the data folder, making it and bringing its schema up to date.
    ///
    /// # Errors
    /// [`Error::Open`] or [`Error::Migrate`].
    pub async fn open(data: &Path) -> Result<Self, Error> {
        let path = data.join(FILE);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With WAL a power cut loses at most the last moments, never the consistency.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                // Kept open for good: to open one again can fail where to use an open one doesn't.
                .min_connections(connections)
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(TURN_TIMEOUT)
        };
        let failed = |source| Error::Open { path: path.clone(), source };
        let writer = pool(1).before_acquire(|connection, _| Box::pin(leave_transaction(connection)));
        let writer = writer.connect_with(options.clone()).await.map_err(failed)?;
        sqlx::migrate!().run(&writer).await?;
        let readers = pool(READERS).connect_with(options).await.map_err(failed)?;
        Ok(Self { readers, writer })
    }

    /// Open the database of a data folder for reading, beside a server that runs or not. Its schema stays as it is, and
    /// whatever would be written fails.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub async fn read_only(data: &Path) -> Result<Self, Error> {
        let path = data.join(FILE);
        let options = SqliteConnectOptions::new().filename(&path).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let opened =
            SqlitePoolOptions::new().max_connections(1).acquire_timeout(TURN_TIMEOUT).connect_with(options).await;
        let readers = opened.map_err(|source| Error::Open { path, source })?;
        Ok(Self { writer: readers.clone(), readers })
    }

    /// Whether something can be written.
    ///
    /// # Errors
    /// [`Error::Statement`] when it can't.
    pub async fn try_writing(&self, now: OffsetDateTime) -> Result<(), Error> {
        let sql = "INSERT INTO written (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at";
        sqlx::query(sql).bind(millis(now)).execute(&self.writer).await?;
        Ok(())
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// [`Error::Statement`] when it doesn't.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    /// Finish what is under way and close it.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Leaves the transaction that the one before may have left open, mostly none. SQLite itself undoes what a full disk broke off,
/// and sqlx counts that transaction as open ever after, so that all later ones would be parts of one that never ends.
async fn leave_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // That there is none is an error, too.
    let _ = sqlx::query("ROLLBACK").execute(connection).await;
    Ok(true)
}

fn millis(time: OffsetDateTime) -> i64 {
    (time.unix_timestamp_nanos() / 1_000_000) as i64
}

fn from_millis(table: &'static str, millis: i64) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .map_err(|error| Error::Corrupt { table, fact: error.to_string() })
}
