//! How much is lost, and how much of that is the line's nature rather than congestion.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::history::Acknowledged;

/// A window of loss is over after this long, if it has seen `PACKETS`.
const WINDOW: Duration = Duration::from_millis(500);
const PACKETS: f64 = 30.0;
/// What is missing for this long is lost: jitter brings packets a report or two late.
const LATE: Duration = Duration::from_millis(150);
const MISSING_CAPACITY: usize = 32;
/// Windows that the present loss is taken from.
const WINDOWS: usize = 2;

/// The loss of one member.
#[derive(Debug, Clone)]
pub struct Loss {
    since: Instant,
    /// What reports missed of late: some of it may only be late.
    missing: VecDeque<(Instant, f64)>,
    lost: f64,
    told: f64,
    windows: [(f64, f64); WINDOWS],
    /// Losses of packets sent before aren't counted: nothing passed then.
    from: Option<Instant>,
}

impl Loss {
    /// Nothing is known at `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { since: now, missing: VecDeque::new(), lost: 0.0, told: 0.0, windows: [(0.0, 0.0); WINDOWS], from: None }
    }

    /// Takes in one report.
    pub fn feedback(&mut self, acknowledged: &[Acknowledged], now: Instant) {
        let mut missing = 0.0;
        let from = self.from;
        for packet in acknowledged.iter().filter(|packet| from.is_none_or(|from| packet.sent >= from)) {
            match (packet.received, packet.late) {
                (None, _) => {
                    missing += 1.0;
                    self.told += 1.0;
                }
                (Some(_), true) => self.found(),
                (Some(_), false) => self.told += 1.0,
            }
        }
        self.missing.push_back((now, missing));
        let is_lost = |at: Instant| now.saturating_duration_since(at) >= LATE;
        while self.missing.len() > MISSING_CAPACITY || self.missing.front().is_some_and(|(at, _)| is_lost(*at)) {
            self.lost += self.missing.pop_front().map_or(0.0, |(_, missing)| missing);
        }
        if now.saturating_duration_since(self.since) >= WINDOW && self.told >= PACKETS {
            self.windows.rotate_right(1);
            self.windows[0] = (self.lost, self.told);
            (self.lost, self.told, self.since) = (0.0, 0.0, now);
        }
    }

    /// What was missing was only late.
    fn found(&mut self) {
        match self.missing.iter_mut().rev().find(|(_, missing)| *missing > 0.0) {
            Some((_, missing)) => *missing -= 1.0,
            None => self.lost = (self.lost - 1.0).max(0.0),
        }
    }

    /// The part that was lost of the last second or so, 0 to 1; `None` before enough was told.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let (lost, told) =
            self.windows.iter().fold((self.lost, self.told), |(l, t), (lost, told)| (l + lost, t + told));
        (told >= PACKETS).then(|| lost / told)
    }

    /// The part of the newest packets alone that was lost, with how many they are.
    #[must_use]
    pub fn newest(&self) -> (f64, f64) {
        let (lost, told) = (self.lost + self.windows[0].0, self.told + self.windows[0].1);
        (if told > 0.0 { lost / told } else { 0.0 }, told)
    }

    /// Begins anew: of what was sent before `from`, nothing is learnt.
    pub fn forget(&mut self, from: Instant, now: Instant) {
        *self = Self { from: Some(from), ..Self::new(now) };
    }
}

/// The loss that a line has without any congestion, learnt while its queue is empty. Loss up to it is no reason to send
/// less (RFC 8836 §2, item 5 asks for that; draft-ietf-rmcat-gcc-02 §6 takes a fixed 2 % for it).
#[derive(Debug, Clone, Copy, Default)]
pub struct Floor {
    learnt: f64,
}

impl Floor {
    /// The line lost `fraction` over `span` while nothing waited.
    pub fn learn(&mut self, fraction: f64, span: Duration) {
        let pace = if fraction > self.learnt { 4.0 } else { 8.0 };
        let weight = (span.as_secs_f64() / pace).min(1.0);
        self.learnt += (fraction - self.learnt) * weight;
    }

    /// What is lost anyway, 0 to 1.
    #[must_use]
    pub const fn fraction(&self) -> f64 {
        self.learnt
    }

    /// The loss turned out not to hang on the rate.
    pub const fn set(&mut self, fraction: f64) {
        self.learnt = fraction;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::history::Kind;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        Instant::now()
    }

    fn packet(sent: Instant, arrived: bool) -> Acknowledged {
        Acknowledged { sent, received: arrived.then_some(MS), octets: 1200, kind: Kind::Media, late: false }
    }

    #[test]
    fn loss_is_of_the_last_second() {
        let mut now = start();
        let mut loss = Loss::new(now);
        for turn in 0..200 {
            now += MS * 50;
            let packets: Vec<_> = (0..10).map(|number| packet(now, number != 0 || turn < 100)).collect();
            loss.feedback(&packets, now);
            if turn == 99 {
                assert_eq!(loss.fraction(), Some(0.0));
            }
        }
        assert!(loss.fraction().is_some_and(|fraction| (fraction - 0.1).abs() < 0.02));
        loss.forget(now, now);
        assert_eq!(loss.fraction(), None);
        loss.feedback(&[packet(now - MS, false)], now);
        assert_eq!(loss.newest(), (0.0, 0.0));
    }

    #[test]
    fn a_late_packet_is_no_loss() {
        let now = start();
        let mut loss = Loss::new(now);
        loss.feedback(&vec![packet(now, true); 50], now);
        loss.feedback(&[packet(now, false), packet(now, false)], now);
        loss.feedback(&[Acknowledged { late: true, ..packet(now, true) }], now + MS * 80);
        assert_eq!(loss.fraction(), Some(0.0));
        loss.feedback(&[], now + MS * 160);
        assert_eq!(loss.fraction(), Some(1.0 / 52.0));
        loss.feedback(&[Acknowledged { late: true, ..packet(now, true) }], now + MS * 240);
        assert_eq!(loss.fraction(), Some(0.0));
    }
}
