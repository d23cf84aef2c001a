//! The receiving half of transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions-01): arrivals become feedback for the publisher's estimator.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::rtcp::TransportFeedback;
use super::sequence::Extender;

/// How often feedback is sent while packets arrive.
pub const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);
/// One feedback packet covers at most this many numbers; older ones are dropped.
const MAX_RUN: u64 = 400;

/// Arrival times of one connection's packets since the last feedback.
#[derive(Debug)]
pub struct Arrivals {
    origin: Instant,
    extender: Extender,
    ssrc: u32,
    arrivals: VecDeque<(u64, Instant)>,
    next_base: Option<u64>,
    count: u8,
    due: Option<Instant>,
}

impl Arrivals {
    /// With a time line that begins at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            extender: Extender::default(),
            ssrc: 0,
            arrivals: VecDeque::new(),
            next_base: None,
            count: 0,
            due: None,
        }
    }

    /// Takes note of a packet of the stream `ssrc` with this transport-wide number.
    pub fn arrived(&mut self, ssrc: u32, sequence: u16, now: Instant) {
        self.ssrc = ssrc;
        let sequence = self.extender.extend(sequence);
        if self.next_base.is_some_and(|base| sequence < base) {
            return;
        }
        let at = self.arrivals.partition_point(|&(other, _)| other < sequence);
        if self.arrivals.get(at).is_some_and(|&(other, _)| other == sequence) {
            return;
        }
        self.arrivals.insert(at, (sequence, now));
        while self.arrivals.back().is_some_and(|&(last, _)| last - self.arrivals[0].0 >= MAX_RUN) {
            self.arrivals.pop_front();
        }
        self.due.get_or_insert(now + FEEDBACK_INTERVAL);
    }

    /// When feedback is due.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The feedback on everything since the last, if it is due.
    pub fn feedback(&mut self, now: Instant) -> Option<TransportFeedback> {
        self.due.filter(|&due| due <= now)?;
        self.due = None;
        let &(first, first_at) = self.arrivals.front()?;
        let &(last, _) = self.arrivals.back()?;
        let base = self.next_base.filter(|&base| base < first && last - base < MAX_RUN).unwrap_or(first);
        let quarter_millis = |at: Instant| (at.saturating_duration_since(self.origin).as_micros() / 250) as i64;
        // Reference times count 64 ms, which are 256 quarter milliseconds.
        let reference = quarter_millis(first_at).div_euclid(256);
        let mut deltas = vec![None; (last - base + 1) as usize];
        let mut before = reference * 256;
        for &(sequence, at) in &self.arrivals {
            let at = quarter_millis(at);
            let Ok(delta) = i16::try_from(at - before) else { break };
            deltas[(sequence - base) as usize] = Some(delta);
            before = at;
        }
        self.arrivals.clear();
        self.next_base = Some(last + 1);
        let count = self.count;
        self.count = self.count.wrapping_add(1);
        let reference_time = (reference & 0xff_ffff) as u32;
        Some(TransportFeedback { ssrc: self.ssrc, base: base as u16, count, reference_time, deltas })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn arrivals_and_gaps_are_told_once_in_quarter_milliseconds() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start);
        let at = |millis| start + Duration::from_millis(millis);
        arrivals.arrived(11, 65_535, at(70));
        arrivals.arrived(11, 1, at(72));
        arrivals.arrived(11, 0, at(71));
        arrivals.arrived(11, 3, at(75));
        assert_eq!(arrivals.feedback(at(80)), None);
        let feedback = arrivals.feedback(at(120)).expect("due");
        assert_eq!((feedback.base, feedback.count, feedback.reference_time), (65_535, 0, 1));
        assert_eq!(feedback.deltas, [Some(24), Some(4), Some(4), None, Some(12)]);
        arrivals.arrived(11, 2, at(121));
        assert_eq!(arrivals.feedback(at(300)), None, "what was reported lost stays so");
        arrivals.arrived(22, 6, at(301));
        let next = arrivals.feedback(at(360)).expect("due");
        assert_eq!((next.ssrc, next.base, next.count, next.deltas.len()), (22, 4, 1, 3));
    }
}
