//! Recordings and what was missed of a lesson come over the same line as the lesson itself. TCP would fill that line's queue, so
//! what is sent over one line is sent at the rate that the lesson leaves.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::id::ConnectionId;
use crate::units::Bitrate;
use crate::worker::mailbox::LineReport;

/// However little is left: a playlist has to get through.
const LEAST: Bitrate = Bitrate::from_bps(100_000);
/// A line of which nothing was told for so long is one that no lesson is on. Reports come every second.
const STALE: Duration = Duration::from_secs(10);
/// Connections of one line that are remembered before those of which nothing is told any more are forgotten.
const REMEMBERED: usize = 1_024;
/// How far ahead of its rate a line may be after a pause.
const AHEAD: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy)]
struct Told {
    at: Instant,
    bitrate: Bitrate,
    budget: Option<Bitrate>,
}

/// What is sent over one line besides lessons, and how fast.
#[derive(Debug)]
pub struct Pace {
    /// What lessons may use of the line where nothing was measured; `None` = as fast as it goes.
    nominal: Option<Bitrate>,
    lessons: HashMap<ConnectionId, Told>,
    free_at: Instant,
}

/// When a piece may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At once.
    Now,
    /// Then.
    At(Instant),
}

impl Pace {
    /// A line that carries so much for lessons, as far as that is known.
    #[must_use]
    pub fn new(nominal: Option<Bitrate>, now: Instant) -> Self {
        Self { nominal, lessons: HashMap::new(), free_at: now }
    }

    /// What was sold or written down for the line, as it is known now.
    pub fn set_nominal(&mut self, nominal: Option<Bitrate>) {
        self.nominal = nominal;
    }

    /// A lesson's connection over this line was measured.
    pub fn report(&mut self, connection: ConnectionId, line: &LineReport, now: Instant) {
        if !line.up {
            if self.lessons.len() >= REMEMBERED {
                self.lessons.retain(|_, told| now.saturating_duration_since(told.at) < STALE);
            }
            let budget = line.budget.map(Bitrate::from_bps);
            self.lessons.insert(connection, Told { at: now, bitrate: Bitrate::from_bps(line.bitrate), budget });
        }
    }

    /// A lesson's connection over this line is gone.
    pub fn gone(&mut self, connection: ConnectionId) {
        self.lessons.remove(&connection);
    }

    /// How fast is sent; `None` = as fast as it goes.
    #[must_use]
    pub fn rate(&self, now: Instant) -> Option<Bitrate> {
        let fresh = || self.lessons.values().filter(|told| now.saturating_duration_since(told.at) < STALE);
        let latest = fresh().filter(|told| told.budget.is_some()).max_by_key(|told| told.at);
        match latest.and_then(|told| told.budget) {
            Some(budget) => Some(budget.less(fresh().map(|told| told.bitrate).sum()).max(LEAST)),
            None => self.nominal.map(|nominal| nominal.less(fresh().map(|told| told.bitrate).sum()).max(LEAST)),
        }
    }

    /// A piece of `octets` wants to leave. Whoever asks waits for that turn and then asks for its next piece: several who
    /// send over one line take turns piece by piece.
    pub fn turn(&mut self, octets: usize, now: Instant) -> Turn {
        let Some(rate) = self.rate(now) else { return Turn::Now };
        let begins = self.free_at.max(now.checked_sub(AHEAD).unwrap_or(now));
        self.free_at = begins + Duration::from_secs_f64(octets as f64 * 8.0 / rate.bps() as f64);
        if begins <= now { Turn::Now } else { Turn::At(begins) }
    }

    /// Whether nothing is known of the line but what was sold, and nobody waits.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        self.free_at <= now && self.lessons.values().all(|told| now.saturating_duration_since(told.at) >= STALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 16 * 1024;

    fn report(bitrate: u64, budget: Option<u64>) -> LineReport {
        LineReport {
            up: false,
            loss: 0.0,
            round_trip: None,
            jitter: Duration::ZERO,
            bitrate,
            octets: 0,
            packets: 0,
            asked_again: 0,
            retransmitted: 0,
            keyframe_requests: 0,
            estimate: None,
            budget,
            tier: None,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    /// How many octets leave within a minute, by `senders` who take turns; of each.
    fn minute(pace: &mut Pace, start: Instant, senders: usize) -> Vec<usize> {
        let mut sent = vec![0; senders];
        let mut next: Vec<Instant> = vec![start; senders];
        while let Some((who, now)) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at) {
            if now > start + Duration::from_secs(60) {
                break;
            }
            next[who] = match pace.turn(PIECE, now) {
                Turn::Now => now,
                Turn::At(at) => at,
            };
            if next[who] <= start + Duration::from_secs(60) {
                sent[who] += PIECE;
            }
        }
        sent
    }

    #[test]
    fn two_who_share_a_line_get_half_each_of_what_the_lesson_leaves() {
        let start = start();
        let mut pace = Pace::new(None, start);
        let lesson = ConnectionId::random_on(0);
        pace.report(lesson, &report(1_500_000, Some(2_700_000)), start);
        assert_eq!(pace.rate(start), Some(Bitrate::from_bps(1_200_000)));
        let mut pace = Pace::new(Some(Bitrate::from_bps(1_200_000)), start);
        let sent = minute(&mut pace, start, 2);
        let expected = 1_200_000.0 / 8.0 * 60.25;
        let all = sent.iter().sum::<usize>() as f64;
        assert!((all - expected).abs() < 3.0 * PIECE as f64, "{all} octets of {expected}");
        assert!(sent[0].abs_diff(sent[1]) <= 2 * PIECE, "{sent:?}");
    }

    #[test]
    fn without_reports_what_was_sold_counts_and_a_full_line_still_carries_a_little() {
        let start = start();
        let mut pace = Pace::new(Some(Bitrate::from_bps(2_880_000)), start);
        assert_eq!(pace.rate(start), Some(Bitrate::from_bps(2_880_000)));
        let lesson = ConnectionId::random_on(0);
        pace.report(lesson, &report(2_000_000, Some(1_900_000)), start);
        assert_eq!(pace.rate(start), Some(LEAST));
        pace.gone(lesson);
        assert_eq!(pace.rate(start), Some(Bitrate::from_bps(2_880_000)));
        pace.report(lesson, &report(2_000_000, Some(1_900_000)), start);
        let later = start + STALE;
        assert_eq!(pace.rate(later), Some(Bitrate::from_bps(2_880_000)), "reports that ceased tell nothing");
    }

    #[test]
    fn a_line_that_nobody_knows_is_not_held_back() {
        let start = start();
        let mut pace = Pace::new(None, start);
        assert_eq!((pace.rate(start), pace.turn(PIECE, start)), (None, Turn::Now));
        assert!(pace.is_idle(start));
    }

    #[test]
    fn a_pause_is_made_up_for_by_a_quarter_of_a_second_at_most() {
        let start = start();
        let mut pace = Pace::new(Some(Bitrate::from_bps(1_000_000)), start);
        let late = start + Duration::from_secs(3600);
        let at_once = (0..100).take_while(|_| pace.turn(PIECE, late) == Turn::Now).count();
        assert!(at_once <= 3, "{at_once} pieces of 131 ms left at once");
    }
}
