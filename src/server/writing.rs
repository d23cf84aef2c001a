//! What becomes of lessons' journals at the start of the server.

use std::sync::Arc;

use crate::api::Directory;
use crate::journal::Journal;
use crate::lesson::State;
use crate::store::{self, LessonFilter, Store};
use crate::worker::clock;

/// Goes on with the journals of lessons on air, and closes those of lessons that ended while nobody wrote.
///
/// # Errors
/// When the lessons can't be read. What can't be written is told in the log: lessons go on without.
pub(super) async fn take_up(journal: &Journal, store: &Store, directory: &Arc<Directory>) -> Result<(), store::Error> {
    let live = LessonFilter { state: Some(State::Live), ..LessonFilter::default() };
    for lesson in store.lessons(live).await? {
        directory.on_air(&lesson);
    }
    let looking = journal.clone();
    let left_open = match tokio::task::spawn_blocking(move || looking.left_open()).await {
        Ok(Ok(left_open)) => left_open,
        Ok(Err(error)) => {
            tracing::error!(%error, "the recordings can't be listed");
            return Ok(());
        }
        Err(error) => {
            tracing::error!(%error, "looking through the recordings failed");
            return Ok(());
        }
    };
    for id in left_open {
        let lesson = store.lesson(id).await?;
        if lesson.as_ref().is_some_and(|lesson| lesson.state != State::Ended) {
            continue;
        }
        let writing = journal.clone();
        let closing = move || writing.close_left_open(id, lesson.as_ref(), clock::unix_nanos());
        match tokio::task::spawn_blocking(closing).await {
            Ok(Ok(())) => tracing::info!(lesson = %id, "the journal of a lesson that ended meanwhile is closed"),
            Ok(Err(error)) => tracing::error!(%error, lesson = %id, "a journal can't be closed"),
            Err(error) => tracing::error!(%error, lesson = %id, "closing a journal failed"),
        }
    }
    Ok(())
}
