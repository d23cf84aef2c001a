//! Why slots got what they got, on its way into the database: in batches, behind a queue that drops rather than waits.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::id::LessonId;
use crate::lesson::Decided;
use crate::store::{self, Store};

/// Decisions that wait to be written; more are dropped and counted.
const QUEUE: usize = 8_192;
/// Decisions written in one transaction at most, so that other writers wait for milliseconds.
const BATCH: usize = 512;
/// What comes within this time is written together, and what failed is tried again after it.
const PAUSE: Duration = Duration::from_secs(1);
/// A stop waits so long for what isn't written.
const LAST_TRY: Duration = Duration::from_secs(2);

/// The queue. Putting something in takes a short lock and never waits for the disk.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    // Held for a few moves of pointers, never across an await.
    waiting: Mutex<VecDeque<(LessonId, Decided)>>,
    wake: Notify,
}

impl Decisions {
    /// Have a decision written soon.
    pub(super) fn keep(&self, lesson: LessonId, decided: Decided) {
        let mut waiting = self.waiting();
        if waiting.len() < QUEUE {
            waiting.push_back((lesson, decided));
            drop(waiting);
            self.wake.notify_one();
        } else {
            metrics::counter!("mingshi_decisions_dropped_total").increment(1);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(LessonId, Decided)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Write what comes, for as long as this is polled.
    pub(super) async fn run(&self, store: &Store) {
        loop {
            if self.waiting().is_empty() {
                self.wake.notified().await;
            }
            tokio::time::sleep(PAUSE).await;
            // Custody tells whoever watches over the server when the database can't be written to.
            let _ = self.write_all(store).await;
        }
    }

    /// Write what waits, before the process ends.
    pub(super) async fn finish(&self, store: &Store) {
        let written = tokio::time::timeout(LAST_TRY, self.write_all(store)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::warn!(decisions = self.waiting().len(), "the last decisions of lessons could not be saved");
        }
    }

    async fn write_all(&self, store: &Store) -> Result<(), store::Error> {
        while let Some((lesson, batch)) = self.next_batch() {
            store.keep_decisions(lesson, &batch).await?;
            // Only now: what failed stays at the head and is tried again.
            self.waiting().drain(..batch.len());
        }
        Ok(())
    }

    /// Those at the head of the queue that belong to one lesson.
    fn next_batch(&self) -> Option<(LessonId, Vec<Decided>)> {
        let waiting = self.waiting();
        let lesson = waiting.front()?.0;
        let own = waiting.iter().take(BATCH).take_while(|(of, _)| *of == lesson);
        Some((lesson, own.map(|(_, decided)| decided.clone()).collect()))
    }
}
