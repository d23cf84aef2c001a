//! What is let go of when its time has come: whole recordings, what they were made of, leftovers.

use std::io;
use std::path::PathBuf;

use super::{DVR, FILES, JOURNAL, Recordings, StorageError};
use crate::id::LessonId;
use crate::lesson::{Retention, spent};
use crate::store;

/// Folders of recordings that are being removed begin so: nobody takes them for recordings, whatever is left of them.
const GOING: &str = ".going-";

/// Why a recording can't be removed.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] store::Error),
    /// Where its files are.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Recordings {
    /// Remove a recording with all it was made of. Returns whether there was one.
    ///
    /// # Errors
    /// [`DeleteError`]; it can be tried again then.
    pub async fn delete(&self, lesson: LessonId) -> Result<bool, DeleteError> {
        let Some(recording) = self.store().recording(lesson).await? else { return Ok(false) };
        if recording.stored_at.is_some() {
            self.0.storage.remove(lesson, &self.store().contents(lesson).await?.files).await?;
        }
        // One step for all that is in it: what a crash leaves behind is swept up at the next start.
        let going = self.0.root.join(format!("{GOING}{lesson}"));
        remove(going.clone()).await?;
        match tokio::fs::rename(self.folder(lesson), &going).await {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::File { path: self.folder(lesson), source }.into());
            }
            _ => {}
        }
        self.store().delete_recording(lesson).await?;
        remove(going).await?;
        Ok(true)
    }

    /// Remove what a removal that was interrupted left behind.
    pub(super) async fn sweep(&self) {
        let Ok(mut entries) = tokio::fs::read_dir(&self.0.root).await else { return };
        while let Ok(Some(entry)) = entries.next_entry().await {
            if entry.file_name().to_string_lossy().starts_with(GOING)
                && let Err(error) = remove(entry.path()).await
            {
                tracing::warn!(%error, "what is left of a removed recording can't be removed");
            }
        }
    }

    /// Let go of recordings whose time has come, and of what the others were made of and need no longer.
    ///
    /// # Errors
    /// [`store::Error`] when the catalogue can't be read; nothing is let go of then.
    pub async fn let_go(&self) -> Result<(), store::Error> {
        let now = self.now();
        let settings = &self.0.parts.settings;
        let days = |span: std::time::Duration| span.try_into().unwrap_or(time::Duration::MAX);
        let recordings = self.store().all_recordings().await?;
        for recording in &recordings {
            let verified = if self.0.storage.is_elsewhere() { recording.stored_at } else { recording.ready_at };
            let spent = spent(recording, days(settings.keep_journal), verified, now);
            let folder = self.folder(recording.lesson);
            let parts = [(spent.dvr, DVR), (spent.journal, JOURNAL), (recording.stored_at.is_some(), FILES)];
            for (_, part) in parts.into_iter().filter(|(is_spent, _)| *is_spent) {
                let path = folder.join(part);
                if path.is_dir() {
                    match remove(path).await {
                        Ok(()) => tracing::info!(lesson = %recording.lesson, part, "no longer needed, and removed"),
                        Err(error) => tracing::warn!(lesson = %recording.lesson, part, %error, "can't be removed"),
                    }
                }
            }
        }
        let rules = Retention { keep: settings.keep.map(days), quota: settings.quota };
        for (lesson, why) in rules.going(&recordings, now) {
            let why = why.as_str();
            match self.delete(lesson).await {
                Ok(_) => {
                    tracing::info!(%lesson, why, "recording removed");
                    metrics::counter!("mingshi_recordings_removed_total", "why" => why).increment(1);
                }
                Err(error) => tracing::error!(%lesson, why, %error, "a recording can't be removed; it is tried again"),
            }
        }
        Ok(())
    }
}

/// A folder with all that is in it, if it is there.
async fn remove(path: PathBuf) -> Result<(), StorageError> {
    match tokio::fs::remove_dir_all(&path).await {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StorageError::File { path, source }),
        _ => Ok(()),
    }
}
