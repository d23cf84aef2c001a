//! What is missing, and why.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::timeline::{Gap, GapReason};

/// A hole is told from this length on when something is known to have gone wrong there.
const TROUBLED_MS: u64 = 1_000;
/// Without a known reason it may be a pause in a picture that doesn't move.
const UNEXPLAINED_MS: u64 = 4_000;
/// Troubles that are remembered: those of the last holes.
const TROUBLES_AT_MOST: usize = 64;
/// Gaps of one lesson. More than that is a lesson that nobody can follow anyway; the first ones are kept.
const GAPS_AT_MOST: usize = 4_096;

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Gaps {
    told: Vec<Gap>,
    troubles: VecDeque<Gap>,
}

impl Gaps {
    /// Something went wrong; holes at this time come from it.
    pub(super) fn trouble(&mut self, trouble: Gap) {
        if let Some(known) = self.troubles.back_mut()
            && known.track == trouble.track
            && known.why == trouble.why
            && trouble.from_ms <= known.to_ms + TROUBLED_MS
        {
            known.to_ms = known.to_ms.max(trouble.to_ms);
            return;
        }
        if self.troubles.len() == TROUBLES_AT_MOST {
            self.troubles.pop_front();
        }
        self.troubles.push_back(trouble);
    }

    /// Something is missing on every track, whatever else is.
    pub(super) fn everything(&mut self, from_ms: u64, to_ms: u64, why: GapReason) {
        let gap = Gap { from_ms, to_ms, track: None, why };
        self.trouble(gap.clone());
        self.tell(gap);
    }

    /// A track has nothing between these times.
    pub(super) fn hole(&mut self, track: &str, from_ms: u64, to_ms: u64) {
        if let Some(gap) = self.explained(track, from_ms, to_ms) {
            self.tell(gap);
        }
    }

    /// The gap that a hole is, if it is worth telling. What is missing on every track isn't told of each of them.
    pub(super) fn explained(&self, track: &str, from_ms: u64, to_ms: u64) -> Option<Gap> {
        let mut from_ms = from_ms;
        for gap in self.told.iter().rev().filter(|gap| gap.track.is_none() && gap.why == GapReason::ServerDown) {
            if gap.to_ms > from_ms && gap.from_ms <= from_ms + UNEXPLAINED_MS && gap.from_ms < to_ms {
                from_ms = gap.to_ms;
            }
        }
        let concerns = |trouble: &&Gap| {
            trouble.track.as_deref().is_none_or(|of| of == track)
                && trouble.why != GapReason::ServerDown
                && trouble.from_ms < to_ms + TROUBLED_MS
                && trouble.to_ms + TROUBLED_MS > from_ms
        };
        let trouble = self.troubles.iter().rev().find(concerns);
        let at_least = if trouble.is_some() { TROUBLED_MS } else { UNEXPLAINED_MS };
        let why = trouble.map_or(GapReason::StudioAway, |trouble| trouble.why);
        (to_ms > from_ms + at_least).then(|| Gap { from_ms, to_ms, track: Some(track.to_owned()), why })
    }

    /// All of them so far, in the order of their discovery.
    pub(super) fn told(&self) -> &[Gap] {
        &self.told
    }

    pub(super) fn tell(&mut self, gap: Gap) {
        // What the journal lost shows again as a hole of the track, and what can't be shown for want of it as another.
        let is_part = |known: &&mut Gap| {
            let meets = gap.from_ms <= known.to_ms && gap.to_ms >= known.from_ms;
            known.track == gap.track && meets && (known.why == gap.why || gap.track.is_some())
        };
        if let Some(known) = self.told.iter_mut().rev().take(TROUBLES_AT_MOST).find(is_part) {
            (known.from_ms, known.to_ms) = (known.from_ms.min(gap.from_ms), known.to_ms.max(gap.to_ms));
            return;
        }
        if self.told.len() < GAPS_AT_MOST && gap.to_ms > gap.from_ms {
            self.told.push(gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_has_the_reason_that_is_known_for_its_time() {
        let mut gaps = Gaps::default();
        gaps.trouble(Gap { from_ms: 5_000, to_ms: 5_100, track: Some("camera".into()), why: GapReason::Damaged });
        gaps.hole("camera", 5_000, 7_000);
        gaps.hole("slides", 5_000, 8_000);
        gaps.hole("slides", 20_000, 30_000);
        let told: Vec<_> = gaps.told().iter().map(|gap| (gap.from_ms, gap.track.as_deref(), gap.why)).collect();
        assert_eq!(
            told,
            [(5_000, Some("camera"), GapReason::Damaged), (20_000, Some("slides"), GapReason::StudioAway)]
        );
    }

    #[test]
    fn what_was_lost_and_the_hole_that_it_leaves_are_one_gap() {
        let mut gaps = Gaps::default();
        for track in ["camera", "slides"] {
            let lost = Gap { from_ms: 6_000, to_ms: 12_004, track: Some(track.into()), why: GapReason::NotKept };
            gaps.trouble(lost.clone());
            gaps.tell(lost);
        }
        gaps.hole("camera", 7_931, 12_065);
        gaps.trouble(Gap { from_ms: 12_065, to_ms: 12_100, track: Some("slides".into()), why: GapReason::Damaged });
        gaps.hole("slides", 7_917, 12_117);
        gaps.hole("camera", 30_000, 40_000);
        let told: Vec<_> = gaps.told().iter().map(|gap| (gap.from_ms, gap.to_ms, gap.track.as_deref())).collect();
        let [camera, slides] = [Some("camera"), Some("slides")];
        assert_eq!(told, [(6_000, 12_065, camera), (6_000, 12_117, slides), (30_000, 40_000, camera)]);
    }

    #[test]
    fn while_the_server_was_down_nothing_else_is_told_but_what_the_studio_took_to_come_back() {
        let mut gaps = Gaps::default();
        gaps.everything(10_000, 40_000, GapReason::ServerDown);
        gaps.hole("camera", 9_900, 41_000);
        gaps.hole("slides", 9_900, 60_000);
        let told: Vec<_> = gaps.told().iter().map(|gap| (gap.from_ms, gap.to_ms, gap.track.as_deref())).collect();
        assert_eq!(told, [(10_000, 40_000, None), (40_000, 60_000, Some("slides"))]);
    }
}
