//! Whether there is time to encode.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Cores that a million pixels a second take to decode VP8 and encode H.264, measured with 1080p15 and 720p30 at
/// [`super::pipeline`]'s settings.
const CORES_PER_MEGAPIXEL: f64 = 0.006;
/// Pictures in a second, until it is known better.
const FRAME_RATE: f64 = 15.0;

/// Who spends how much of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::record) struct Budget {
    /// Millicores by rendition; refused ones have none.
    spent: BTreeMap<String, Option<u32>>,
    /// What turned out to take more than was thought.
    slow: BTreeSet<String>,
}

/// What a rendition is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::record) enum Verdict {
    /// It may be encoded.
    Granted,
    /// There is no time for it; `is_news` the first time.
    Refused { is_news: bool },
}

impl Budget {
    /// Whether a rendition with pictures of this size may be encoded beside the others, of `cores` in all.
    pub(in crate::record) fn ask(&mut self, rendition: &str, (width, height): (u32, u32), cores: f64) -> Verdict {
        let wanted = f64::from(width) * f64::from(height) * FRAME_RATE / 1e6 * CORES_PER_MEGAPIXEL * 1_000.0;
        let others =
            self.spent.iter().filter(|(name, _)| *name != rendition).filter_map(|(_, spent)| *spent).sum::<u32>();
        if !self.slow.contains(rendition) && f64::from(others) + wanted <= cores * 1_000.0 {
            self.spent.insert(rendition.to_owned(), Some(wanted as u32));
            return Verdict::Granted;
        }
        let before = self.spent.insert(rendition.to_owned(), None);
        Verdict::Refused { is_news: before != Some(None) }
    }

    /// A rendition takes more time than there is.
    pub(in crate::record) fn refuse(&mut self, rendition: &str) {
        self.slow.insert(rendition.to_owned());
        self.spent.insert(rendition.to_owned(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_first_is_granted_until_the_cores_are_spent() {
        let mut budget = Budget::default();
        assert_eq!(budget.ask("slides/high", (1920, 1080), 0.25), Verdict::Granted);
        assert_eq!(budget.ask("camera/high", (1280, 720), 0.25), Verdict::Refused { is_news: true });
        assert_eq!(budget.ask("camera/high", (1280, 720), 0.25), Verdict::Refused { is_news: false });
        assert_eq!(budget.ask("camera/low", (640, 360), 0.25), Verdict::Granted);
        assert_eq!(budget.ask("slides/high", (640, 360), 0.25), Verdict::Granted, "it became smaller");
        assert_eq!(budget.ask("camera/high", (1280, 720), 0.25), Verdict::Granted);
        budget.refuse("camera/high");
        assert_eq!(budget.ask("camera/high", (1280, 720), 9.0), Verdict::Refused { is_news: false });
    }
}
