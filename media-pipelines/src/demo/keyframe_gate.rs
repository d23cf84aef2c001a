//! When an encoder makes a keyframe: as soon as somebody asks, but not so often that it makes nothing else.

use std::time::{Duration, Instant};

/// A keyframe costs as much as a second of video; two in a row help nobody who could not use the first.
const SPACING: Duration = Duration::from_millis(300);

/// The requests for keyframes of one encoder. A request that comes too early is kept, not dropped.
#[derive(Debug, Default)]
pub struct KeyframeGate {
    wanted: bool,
    last: Option<Instant>,
}

impl KeyframeGate {
    /// Somebody needs a keyframe.
    pub fn request(&mut self) {
        self.wanted = true;
    }

    /// Whether the frame made at `now` must be a keyframe.
    pub fn pass(&mut self, now: Instant) -> bool {
        let rested = self.last.is_none_or(|last| now.saturating_duration_since(last) >= SPACING);
        if self.wanted && rested {
            self.wanted = false;
            self.last = Some(now);
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant;

    #[test]
    fn a_request_makes_the_next_frame_a_keyframe_and_only_that_one() {
        let mut gate = KeyframeGate::default();
        let now = instant();
        assert!(!gate.pass(now));
        gate.request();
        gate.request();
        assert!(gate.pass(now));
        assert!(!gate.pass(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_storm_of_requests_gets_a_keyframe_per_spacing_and_the_last_one_is_not_forgotten() {
        let mut gate = KeyframeGate::default();
        let start = instant();
        let mut keyframes = 0;
        for frame in 0..30 {
            gate.request();
            keyframes += u32::from(gate.pass(start + frame * Duration::from_millis(66)));
        }
        assert_eq!(keyframes, 6, "30 frames of 66 ms, a keyframe every fifth");
        assert!(gate.pass(start + Duration::from_secs(5)));
    }
}
