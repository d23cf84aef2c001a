//! When to try again after a connection could not be made or was lost.

use std::time::{Duration, Instant};

/// The first pause that isn't zero.
const SHORTEST: Duration = Duration::from_millis(250);
/// A lesson never waits longer than this for its publisher.
const LONGEST: Duration = Duration::from_secs(1);
/// A connection that lasted this long was a good one.
const GOOD: Duration = Duration::from_secs(5);

/// The pauses between attempts: none before the first, then doubling up to a second.
#[derive(Debug, Default)]
pub struct Retry {
    pause: Duration,
    up_since: Option<Instant>,
}

impl Retry {
    /// A connection is up.
    pub fn connected(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// An attempt failed or a connection ended at `now`: how long to wait before the next attempt.
    pub fn pause(&mut self, now: Instant) -> Duration {
        let good = self.up_since.take().is_some_and(|since| now.saturating_duration_since(since) >= GOOD);
        let pause = if good { Duration::ZERO } else { self.pause };
        self.pause = (pause * 2).clamp(SHORTEST, LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant;

    #[test]
    fn a_server_that_stays_away_is_tried_at_once_and_then_at_least_every_second() {
        let mut retry = Retry::default();
        let pauses: Vec<_> = (0..7).map(|_| retry.pause(instant()).as_millis()).collect();
        assert_eq!(pauses, [0, 250, 500, 1_000, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn after_a_good_connection_the_next_attempt_is_immediate_again_but_not_after_one_that_flapped() {
        let mut retry = Retry::default();
        let start = instant();
        for _ in 0..5 {
            retry.pause(start);
        }
        retry.connected(start);
        assert_eq!(retry.pause(start + Duration::from_secs(2)), LONGEST);
        retry.connected(start);
        assert_eq!(retry.pause(start + Duration::from_secs(60)), Duration::ZERO);
    }
}
