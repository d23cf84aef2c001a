//! Keyframe requests of all receivers of one encoding, made into few.

use std::time::{Duration, Instant};

/// A publisher is asked at most this often. A keyframe of a 1080p slide costs every receiver a quarter of a second of a 4M line.
pub const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// What one encoding owes its receivers.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyframeRequests {
    wanted: bool,
    unanswered: bool,
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
        self.unanswered = false;
    }

    fn is_time(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= MIN_INTERVAL)
    }

    /// Whether to ask now; if so, that counts as asked.
    pub fn due(&mut self, now: Instant) -> bool {
        let due = self.wanted && self.is_time(now);
        if due {
            *self = Self { wanted: false, unanswered: true, last: Some(now) };
        }
        due
    }

    /// Whether the last request has had no answer in time. Told once: whoever still waits must [`want`](Self::want) again, so
    /// that nobody is asked for what nobody waits for.
    pub fn overdue(&mut self, now: Instant) -> bool {
        let overdue = self.unanswered && self.is_time(now);
        self.unanswered &= !overdue;
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn a_thousand_wishes_are_one_request_and_one_without_answer_is_told() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        assert!(!requests.due(start));
        for _ in 0..1_000 {
            requests.want();
        }
        assert!(requests.due(start));
        requests.want();
        assert!(!requests.due(start + MIN_INTERVAL / 2) && !requests.overdue(start + MIN_INTERVAL / 2));
        assert!(requests.due(start + MIN_INTERVAL));
        assert!(requests.overdue(start + MIN_INTERVAL * 2));
        assert!(!requests.overdue(start + MIN_INTERVAL * 2) && !requests.due(start + MIN_INTERVAL * 2));
        requests.want();
        assert!(requests.due(start + MIN_INTERVAL * 2));
        requests.arrived();
        assert!(!requests.overdue(start + MIN_INTERVAL * 3));
    }
}
