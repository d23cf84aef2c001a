//! Which packets of an incoming stream are missing, and when to ask for them (RFC 4585 §6.2.1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A gap is given this long to close by itself, because networks reorder.
const REORDER_GRACE: Duration = Duration::from_millis(8);
/// Asked for at most this often.
const MAX_TRIES: u8 = 8;
/// Older than this a packet is of no use to a live lesson.
const MAX_AGE: Duration = Duration::from_millis(1_500);
/// At most this many are waited for; a wider gap is a new start.
const MAX_MISSING: usize = 512;
/// Shortest time between two requests for one packet.
const MIN_RETRY: Duration = Duration::from_millis(25);

#[derive(Debug, Clone, Copy)]
struct Gap {
    sequence: u64,
    since: Instant,
    ask_at: Instant,
    tries: u8,
}

/// The missing packets of one stream.
#[derive(Debug, Default)]
pub struct Missing {
    highest: Option<u64>,
    gaps: VecDeque<Gap>,
}

impl Missing {
    /// Takes note of an arrival. Returns whether the packet had been asked for.
    pub fn arrived(&mut self, sequence: u64, now: Instant) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            return false;
        };
        if sequence <= highest {
            let Ok(at) = self.gaps.binary_search_by_key(&sequence, |gap| gap.sequence) else { return false };
            return self.gaps.remove(at).is_some_and(|gap| gap.tries > 0);
        }
        if sequence - highest > MAX_MISSING as u64 {
            self.gaps.clear();
        } else {
            for missing in highest + 1..sequence {
                if self.gaps.len() == MAX_MISSING {
                    self.gaps.pop_front();
                }
                self.gaps.push_back(Gap { sequence: missing, since: now, ask_at: now + REORDER_GRACE, tries: 0 });
            }
        }
        self.highest = Some(sequence);
        false
    }

    /// Appends the numbers that are due to be asked for, in ascending order, and forgets those that are past help.
    pub fn due(&mut self, now: Instant, round_trip: Duration, out: &mut Vec<u16>) {
        let retry = round_trip.max(MIN_RETRY);
        self.gaps.retain(|gap| gap.tries < MAX_TRIES && now.saturating_duration_since(gap.since) < MAX_AGE);
        for gap in &mut self.gaps {
            if gap.ask_at <= now {
                gap.tries += 1;
                gap.ask_at = now + retry * u32::from(gap.tries.min(4));
                out.push(gap.sequence as u16);
            }
        }
    }

    /// When something will be due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.gaps.iter().map(|gap| gap.ask_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(missing: &mut Missing, now: Instant) -> Vec<u16> {
        let mut out = Vec::new();
        missing.due(now, Duration::from_millis(40), &mut out);
        out
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn a_gap_is_asked_for_after_its_grace_and_again_until_it_closes() {
        let start = Instant::now();
        let mut missing = Missing::default();
        missing.arrived(65_535, start);
        missing.arrived(65_538, start);
        assert!(due(&mut missing, start).is_empty());
        let at = missing.poll_timeout().expect("two are missing");
        assert_eq!(due(&mut missing, at), [0, 1]);
        assert!(due(&mut missing, at).is_empty());
        assert!(missing.arrived(65_536, at));
        assert_eq!(due(&mut missing, at + Duration::from_millis(50)), [1]);
        assert!(due(&mut missing, at + Duration::from_secs(2)).is_empty());
        assert_eq!(missing.poll_timeout(), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn reordering_within_the_grace_asks_for_nothing() {
        let start = Instant::now();
        let mut missing = Missing::default();
        for sequence in [10, 12, 11, 14, 13] {
            assert!(!missing.arrived(sequence, start));
        }
        assert!(due(&mut missing, start + Duration::from_secs(1)).is_empty());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn a_jump_is_a_new_start() {
        let start = Instant::now();
        let mut missing = Missing::default();
        missing.arrived(10, start);
        missing.arrived(20_000, start);
        assert_eq!(missing.poll_timeout(), None);
    }
}
