//! What outlives the process: one SQLite database, one file per aggregate. Times are kept as
//! milliseconds since the Unix epoch, so that they sort.

mod lesson;
mod operator_key;
mod secret;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use time::OffsetDateTime;

pub use lesson::LessonFilter;
pub use operator_key::OperatorKeyId;

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

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

const FILE: &str = "mingshi.db";

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
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(|source| Error::Open { path, source })?;
        sqlx::migrate!().run(&pool).await?;
        Ok(Self { pool })
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// [`Error::Statement`] when it doesn't.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Finish what is under way and close it.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn millis(time: OffsetDateTime) -> i64 {
    (time.unix_timestamp_nanos() / 1_000_000) as i64
}

fn from_millis(table: &'static str, millis: i64) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .map_err(|error| Error::Corrupt { table, fact: error.to_string() })
}
