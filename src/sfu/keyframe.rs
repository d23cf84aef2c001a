//! Keyframe requests of all receivers of one encoding, made into few.

use std::time::{Duration, Instant};

/// A publisher is asked at most this often. A keyframe of a 1080p slide costs every receiver a quarter of a second of a 4M line.
pub const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// What one encoding owes its receivers.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyframeRequests {
    wanted: bool,
    last: Option<Instant>,
}

impl KeyframeRequests {
    /// Somebody needs a keyframe.
    pub const fn want(&mut self) {
        self.wanted = true;
    }

    /// A keyframe begins: everybody is served.
    pub const fn arrived(&mut self) {
        self.wanted = false;
    }

    /// When to ask, if at all. An unanswered request is repeated.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.wanted.then(|| self.last.map_or(now, |last| last + MIN_INTERVAL))
    }

    /// Whether to ask now; if so, that counts as asked.
    pub fn due(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout(now).is_some_and(|at| at <= now);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn a_thousand_wishes_are_one_request_and_it_is_repeated_until_answered() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        assert!(!requests.due(start));
        for _ in 0..1_000 {
            requests.want();
        }
        assert!(requests.due(start));
        assert!(!requests.due(start + MIN_INTERVAL / 2));
        assert!(requests.due(start + MIN_INTERVAL));
        requests.arrived();
        assert_eq!(requests.poll_timeout(start + MIN_INTERVAL * 3), None);
        requests.want();
        assert!(requests.due(start + MIN_INTERVAL * 3));
    }
}
