//! Damping: down at once, up only on what has held for some time.
//!
//! A step up costs every receiver a keyframe, and one that has to be taken back costs two and a picture that jumps. So a
//! step that was taken back makes the next one wait longer.

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// How long more has to last at first.
const LEAST: Duration = Duration::from_secs(1);
/// How long at most, however often steps were taken back.
const MOST: Duration = Duration::from_secs(32);
/// A step that stood for this long was right: a cut after it says something of the line, not of the step.
const STOOD: Duration = Duration::from_secs(20);

/// How long more has to last before it is used.
#[derive(Debug, Clone, Copy)]
pub struct Dwell {
    /// What has lasted; `None` until anything was told.
    held: Option<Bitrate>,
    /// Since when there is more, and how much there was at the least since.
    more: Option<(Instant, Bitrate)>,
    wait: Duration,
    stepped_up: Option<Instant>,
}

impl Default for Dwell {
    fn default() -> Self {
        Self { held: None, more: None, wait: LEAST, stepped_up: None }
    }
}

impl Dwell {
    /// What may be spent at this moment. The first is believed at once, and so is every cut.
    pub fn told(&mut self, budget: Bitrate, now: Instant) {
        let Some(held) = self.held.filter(|&held| budget > held) else {
            (self.held, self.more) = (Some(budget), None);
            return;
        };
        let (since, least) = self.more.unwrap_or((now, budget));
        let least = least.min(budget);
        if now.saturating_duration_since(since) >= self.wait {
            (self.held, self.more) = (Some(least.max(held)), Some((now, budget)));
        } else {
            self.more = Some((since, least));
        }
    }

    /// What may be spent on steps up.
    #[must_use]
    pub fn held(&self) -> Option<Bitrate> {
        self.held
    }

    /// How long more has to last at present.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Something went a step up.
    pub fn stepped_up(&mut self, now: Instant) {
        self.stepped_up = Some(now);
    }

    /// Something had to go a step down.
    pub fn stepped_down(&mut self, now: Instant) {
        let Some(at) = self.stepped_up.take() else { return };
        let stood = now.saturating_duration_since(at) >= STOOD.max(self.wait);
        self.wait = if stood { LEAST } else { (self.wait * 2).min(MOST) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    const K: u64 = 1_000;

    fn told(dwell: &mut Dwell, kbps: u64, at: Instant) -> u64 {
        dwell.told(Bitrate::from_bps(kbps * K), at);
        dwell.held().expect("it was told").bps() / K
    }

    #[test]
    fn a_cut_counts_at_once_and_more_when_it_has_lasted() {
        let (start, mut dwell) = (start(), Dwell::default());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(told(&mut dwell, 1_000, at(0)), 1_000, "the first is believed");
        assert_eq!(told(&mut dwell, 600, at(100)), 600);
        assert_eq!(told(&mut dwell, 2_000, at(200)), 600);
        assert_eq!(told(&mut dwell, 900, at(700)), 600);
        assert_eq!(told(&mut dwell, 3_000, at(1_199)), 600);
        assert_eq!(told(&mut dwell, 3_000, at(1_200)), 900, "the least that there was for a second");
        assert_eq!(told(&mut dwell, 3_000, at(2_200)), 3_000);
    }

    #[test]
    fn steps_that_are_taken_back_make_the_next_wait_longer() {
        let (start, mut dwell) = (start(), Dwell::default());
        let mut now = start;
        for secs in [2, 4, 8, 16, 32, 32] {
            dwell.stepped_up(now);
            now += Duration::from_secs(3);
            dwell.stepped_down(now);
            dwell.stepped_down(now);
            assert_eq!(dwell.wait(), Duration::from_secs(secs));
        }
        dwell.stepped_up(now);
        dwell.stepped_down(now + Duration::from_secs(40));
        assert_eq!(dwell.wait(), Duration::from_secs(1), "this one stood");
    }
}
