//! What people who watch over the server are told of recordings.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Disk;
use crate::id::LessonId;
use crate::lesson::Words;

/// Troubles that are remembered; the oldest are forgotten.
const TROUBLES: usize = 100;

/// Something that went wrong with a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RecordingTrouble)]
pub struct Trouble {
    /// When, for the last time.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// With which.
    #[schema(value_type = String)]
    pub lesson: LessonId,
    /// In which track.
    pub track: Option<String>,
    /// Where in the recording, in milliseconds from its zero.
    pub at_ms: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub words: Words,
    /// How often.
    pub times: u32,
}

/// How recording goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RecordingOverview)]
pub struct Overview {
    /// Octets that can still be written to the disk of the data folder; `null` where the disk can't be asked.
    pub free_bytes: Option<u64>,
    /// With less than this, the disk is nearly full.
    pub warn_free_bytes: u64,
    /// Whether it is.
    pub nearly_full: bool,
    /// Media processes that run.
    pub processes: usize,
    /// Why lessons aren't made into recordings at present; `null` where they are.
    pub hindered: Option<Words>,
    /// What went wrong lately, the latest first.
    pub troubles: Vec<Trouble>,
}

#[derive(Debug, Default)]
struct Known {
    disk: Option<Disk>,
    processes: usize,
    hindered: Option<Words>,
    troubles: VecDeque<Trouble>,
}

/// What is known at present.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Known>);

impl Watch {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn overview(&self, warn_free_bytes: u64) -> Overview {
        let known = self.known();
        let free_bytes = known.disk.map(|disk| disk.free);
        Overview {
            free_bytes,
            warn_free_bytes,
            nearly_full: free_bytes.is_some_and(|free| free < warn_free_bytes),
            processes: known.processes,
            hindered: known.hindered.clone(),
            troubles: known.troubles.iter().rev().cloned().collect(),
        }
    }

    pub(super) fn disk(&self, disk: Option<Disk>) {
        self.known().disk = disk;
    }

    pub(super) fn processes(&self, running: usize) {
        self.known().processes = running;
    }

    /// What hinders recording at present. Returns whether that is news.
    pub(super) fn hinder(&self, hindered: Option<Words>) -> bool {
        let mut known = self.known();
        let is_news = known.hindered != hindered;
        known.hindered = hindered;
        is_news
    }

    /// Something went wrong. Returns whether that is news: what goes wrong again and again is told once, and counted.
    pub(super) fn trouble(&self, trouble: Trouble) -> bool {
        let mut known = self.known();
        let is_same =
            |one: &Trouble| (one.lesson, &one.track, &one.words) == (trouble.lesson, &trouble.track, &trouble.words);
        if let Some(mut same) = known.troubles.iter().position(is_same).and_then(|at| known.troubles.remove(at)) {
            (same.at, same.at_ms, same.times) = (trouble.at, trouble.at_ms, same.times.saturating_add(1));
            known.troubles.push_back(same);
            return false;
        }
        if known.troubles.len() == TROUBLES {
            known.troubles.pop_front();
        }
        known.troubles.push_back(trouble);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_again_and_again_is_told_once_and_counted() {
        let watch = Watch::default();
        let trouble = |seconds: i64, en: &str| Trouble {
            at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds),
            lesson: LessonId::from_u64(1),
            track: Some("camera".into()),
            at_ms: None,
            words: Words::new("坏", en),
            times: 1,
        };
        assert!(watch.trouble(trouble(1, "broken")) && watch.trouble(trouble(2, "late")));
        assert!(!watch.trouble(trouble(3, "broken")));
        let told = watch.overview(0).troubles;
        assert_eq!(
            told.iter().map(|one| (one.words.en.as_str(), one.times)).collect::<Vec<_>>(),
            [("broken", 2), ("late", 1)]
        );
        for number in 0..2 * TROUBLES {
            watch.trouble(trouble(4, &number.to_string()));
        }
        assert_eq!(watch.overview(0).troubles.len(), TROUBLES);
    }
}
