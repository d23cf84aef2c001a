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
        loop {
            let batch: Vec<_> = self.waiting().iter().take(BATCH).cloned().collect();
            if batch.is_empty() {
                return Ok(());
            }
            store.keep_decisions(&batch).await?;
            // Only now: what failed stays at the head and is tried again.
            self.waiting().drain(..batch.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ParticipantId;
    use crate::lesson::SlotName;
    use crate::units::Bitrate;

    fn decided(members: u32) -> Decided {
        Decided {
            at: time::OffsetDateTime::UNIX_EPOCH,
            participant: ParticipantId::from_u64(1),
            name: None,
            school: None,
            slot: SlotName::Camera,
            index: 0,
            from: None,
            to: Some(0),
            reason: "best".into(),
            budget: None,
            estimate: None,
            allocated: Bitrate::ZERO,
            members,
        }
    }

    #[test]
    fn a_queue_that_nobody_empties_keeps_what_came_first_and_stays_bounded() {
        let decisions = Decisions::default();
        let lesson = LessonId::from_u64(1);
        for number in 0..QUEUE as u32 + 10 {
            decisions.keep(lesson, decided(number));
        }
        assert_eq!(decisions.waiting().len(), QUEUE);
        assert_eq!(decisions.waiting().front().map(|(_, decided)| decided.members), Some(0));
    }
}
