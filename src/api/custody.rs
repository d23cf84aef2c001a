//! What is saved behind a lesson's back: a stage changes at once, whether or not the disk keeps up. What can't be
//! saved is tried again until it can, and whoever watches over the server is told meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::clock::Clock;
use crate::id::LessonId;
use crate::lesson::Identity;
use crate::store::{self, Store, Trouble};

/// How often it is tried whether anything can be written, while all is well.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// How often what failed is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// A stop waits so long for what is unsaved, media going on; the restarted process begins without it otherwise.
const LAST_TRY: Duration = Duration::from_secs(5);

/// What waits to be saved, and whether saving works.
#[derive(Debug, Default)]
pub(crate) struct Custody {
    // Both are held for a few operations, never across an await. One entry per lesson on air, its latest stage.
    unsaved: Mutex<HashMap<LessonId, Vec<Identity>>>,
    trouble: Mutex<Option<Trouble>>,
    wake: Notify,
}

impl Custody {
    /// Save who is on stage, as soon as that is possible; a later stage of the lesson takes its place.
    pub(crate) fn keep_stage(&self, lesson: LessonId, classrooms: Vec<Identity>) {
        self.unsaved().insert(lesson, classrooms);
        self.wake.notify_one();
    }

    fn unsaved(&self) -> MutexGuard<'_, HashMap<LessonId, Vec<Identity>>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps the database from being written to, as far as is known.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Save what comes, and look after the database, for as long as this is polled.
    pub(crate) async fn run(&self, store: &Store, clock: &Clock) {
        loop {
            let outcome = match self.save_all(store).await {
                Ok(()) => store.try_writing(clock.now()).await,
                failed => failed,
            };
            self.take_note(outcome);
            let pause = if self.trouble().is_some() { RETRY_INTERVAL } else { CHECK_INTERVAL };
            // What comes while nothing can be written waits for the next try.
            let woken = async {
                match self.trouble() {
                    Some(_) => std::future::pending().await,
                    None => self.wake.notified().await,
                }
            };
            let _ = tokio::time::timeout(pause, woken).await;
        }
    }

    /// Save what waits, before the process ends.
    pub(crate) async fn finish(&self, store: &Store) {
        let saved = tokio::time::timeout(LAST_TRY, self.save_all(store)).await;
        if !matches!(saved, Ok(Ok(()))) {
            let lessons = self.unsaved().len();
            tracing::error!(
                lessons,
                "who is on stage could not be saved; the restarted server begins with the stage before"
            );
        }
    }

    async fn save_all(&self, store: &Store) -> Result<(), store::Error> {
        let waiting = self.unsaved().clone();
        for (lesson, classrooms) in waiting {
            store.keep_stage(lesson, &classrooms).await?;
            let mut unsaved = self.unsaved();
            if unsaved.get(&lesson) == Some(&classrooms) {
                unsaved.remove(&lesson);
            }
        }
        Ok(())
    }

    fn take_note(&self, outcome: Result<(), store::Error>) {
        let now = outcome.as_ref().err().map(store::Error::trouble);
        let before = std::mem::replace(&mut *self.trouble.lock().unwrap_or_else(PoisonError::into_inner), now);
        match &outcome {
            Err(error) if before != now => {
                tracing::error!(%error, "the database can't be written to; lessons go on, and saving is tried every second");
            }
            Ok(()) if before.is_some() => tracing::info!("the database can be written to again"),
            _ => {}
        }
        if outcome.is_err() {
            metrics::counter!("mingshi_database_failures_total").increment(1);
        }
        metrics::gauge!("mingshi_database_writable").set(if now.is_none() { 1.0 } else { 0.0 });
        let unsaved = self.unsaved().len();
        metrics::gauge!("mingshi_stages_unsaved").set(unsaved as f64);
    }
}
