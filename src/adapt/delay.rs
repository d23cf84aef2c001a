//! How long one member's packets wait on the way: one-way delay above the least there was, and how fast it grows.
//!
//! Delays are taken above a base, as LEDBAT (RFC 6817 §4.2) and SCReAM (RFC 8298 §4.1.2) take them, because a gradient
//! alone (draft-ietf-rmcat-gcc-02 §5) says nothing of a queue that merely stands. Jitter is filtered by the least
//! delay of a short window, as NADA does (RFC 8698 §5.1.1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::history::Acknowledged;

/// How far the window of least delays reaches back without jitter, and with much of it.
const WINDOW: i64 = 15_000;
const WINDOW_JITTER: i64 = 80_000;
/// Few packets widen it up to this.
const WINDOW_MOST: i64 = 300_000;
const WINDOW_CAPACITY: usize = 256;

/// The base is the least of a minute, kept in twelve parts.
const BASE_PARTS: usize = 12;
const BASE_PART: Duration = Duration::from_secs(5);

/// Points of the gradient, and how far they reach back.
const TREND_POINTS: usize = 24;
const TREND_SPAN: Duration = Duration::from_millis(400);

/// Delay that the round trip doesn't know of by this much isn't a queue: the receiver's clock was set.
const CLOCK_SET: i64 = 80_000;
/// By this much at once, it is for sure; until it is, no more than `DOUBTED` of it is believed.
const CLOCK_SET_SURELY: i64 = 600_000;
const DOUBTED: i64 = 15_000;
/// After how many reports in a row that say so.
const CLOCK_SET_REPORTS: u8 = 3;

/// Least values of the last minute.
#[derive(Debug, Clone)]
struct Base {
    parts: VecDeque<i64>,
    turned: Instant,
}

impl Base {
    const fn new(now: Instant) -> Self {
        Self { parts: VecDeque::new(), turned: now }
    }

    fn least(&self) -> Option<i64> {
        self.parts.iter().min().copied()
    }

    fn offer(&mut self, value: i64, now: Instant, forget: bool) {
        if now.saturating_duration_since(self.turned) >= BASE_PART || self.parts.is_empty() {
            self.turned = now;
            if self.parts.len() >= BASE_PARTS && forget {
                self.parts.pop_front();
            }
            // What may not be forgotten stays in the oldest part.
            if self.parts.len() >= BASE_PARTS {
                let oldest = self.parts.pop_front().unwrap_or(value);
                if let Some(next) = self.parts.front_mut() {
                    *next = oldest.min(*next);
                }
            }
            self.parts.push_back(value);
        }
        if let Some(part) = self.parts.back_mut() {
            *part = value.min(*part);
        }
    }

    fn set(&mut self, value: i64) {
        self.parts.clear();
        self.parts.push_back(value);
    }
}

/// The delay of one member.
#[derive(Debug, Clone)]
pub struct Delay {
    origin: Instant,
    /// When sent, in microseconds after `origin`, and how long it took, on two clocks that differ by a constant.
    window: VecDeque<(i64, i64)>,
    base: Base,
    round_trips: VecDeque<i64>,
    round_trip_base: Base,
    clock_set: u8,
    queue: Option<i64>,
    spread: f64,
    trend: Trend,
}

impl Delay {
    /// Nothing is known at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            window: VecDeque::with_capacity(WINDOW_CAPACITY),
            base: Base::new(now),
            round_trips: VecDeque::new(),
            round_trip_base: Base::new(now),
            clock_set: 0,
            queue: None,
            spread: 0.0,
            trend: Trend::default(),
        }
    }

    /// Takes in one report. `queued` is how long the queue of the line is known to be from other members: a member that
    /// comes while a queue stands would take it for its base. The base is forgotten after a minute only where `forget`.
    pub fn feedback(&mut self, acknowledged: &[Acknowledged], queued: Option<Duration>, forget: bool, now: Instant) {
        let mut newest = None;
        for packet in acknowledged {
            let Some(received) = packet.received else { continue };
            let sent = self.micros(packet.sent);
            let delay = received.as_micros() as i64 - sent;
            if self.window.len() == WINDOW_CAPACITY {
                self.window.pop_front();
            }
            self.window.push_back((sent, delay));
            newest = newest.max(Some(sent));
        }
        let Some(newest) = newest else { return };
        self.trim(newest);
        let Some(least) = self.window.iter().map(|(_, delay)| *delay).min() else { return };
        if self.base.least().is_none() {
            self.base.set(least - queued.map_or(0, |queued| queued.as_micros() as i64));
        }
        self.base.offer(least, now, forget);
        let queue = least - self.base.least().unwrap_or(least);
        let mean = self.window.iter().map(|(_, delay)| (*delay - least) as f64).sum::<f64>() / self.window.len() as f64;
        if self.spread < mean {
            self.spread += (mean - self.spread) * if queue < 20_000 { 0.1 } else { 0.01 };
        } else {
            self.spread += (mean - self.spread) * 0.02;
        }
        self.queue = Some(self.corroborated(queue, self.micros(now) - newest, now, forget));
        self.trend.point(now, self.queue.unwrap_or(0));
    }

    /// The wait above the base, the least of the last packets; `None` before the first report.
    #[must_use]
    pub fn queue(&self) -> Option<Duration> {
        self.queue.map(|queue| Duration::from_micros(queue.max(0) as u64))
    }

    /// By how many seconds the queue grows in a second.
    #[must_use]
    pub fn slope(&self) -> f64 {
        self.trend.slope()
    }

    /// How much longer than the quickest the packets of a window take on average: the line's jitter.
    #[must_use]
    pub fn spread(&self) -> Duration {
        Duration::from_micros(self.spread.max(0.0) as u64)
    }

    /// The round trip of the last reports, the pause between reports included.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trips.iter().min().map(|micros| Duration::from_micros((*micros).max(0) as u64))
    }

    /// What stands now is the base from now on: it isn't a queue.
    pub fn rebase(&mut self) {
        if let Some(least) = self.window.iter().map(|(_, delay)| *delay).min() {
            self.base.set(least);
            self.queue = Some(0);
            self.trend = Trend::default();
        }
        if let Some(least) = self.round_trips.iter().min() {
            self.round_trip_base.set(*least);
        }
    }

    fn micros(&self, at: Instant) -> i64 {
        at.saturating_duration_since(self.origin).as_micros() as i64
    }

    fn trim(&mut self, newest: i64) {
        let window = (WINDOW + self.spread as i64 * 3).min(WINDOW_JITTER);
        let packets = if window > WINDOW * 2 { 12 } else { 4 };
        while let Some((sent, _)) = self.window.front() {
            let age = newest - sent;
            if age > WINDOW_MOST || (age > window && self.window.len() > packets) {
                self.window.pop_front();
            } else {
                break;
            }
        }
    }

    /// The queue as far as the round trip bears it out. Only one of the two hangs on the receiver's clock.
    fn corroborated(&mut self, queue: i64, round_trip: i64, now: Instant, forget: bool) -> i64 {
        if self.round_trips.len() == 4 {
            self.round_trips.pop_front();
        }
        self.round_trips.push_back(round_trip);
        let least = self.round_trips.iter().min().copied().unwrap_or(round_trip);
        self.round_trip_base.offer(least, now, forget);
        // The newest alone: a queue that fills within two reports shows in it at once.
        let grown = (round_trip - self.round_trip_base.least().unwrap_or(round_trip)).max(0);
        if queue - grown <= CLOCK_SET {
            self.clock_set = 0;
            return queue;
        }
        self.clock_set += 1;
        if self.clock_set >= CLOCK_SET_REPORTS || queue - grown > CLOCK_SET_SURELY {
            self.clock_set = 0;
            let base = self.base.least().unwrap_or(0);
            self.base.set(base + queue - grown);
            self.trend = Trend::default();
            return grown;
        }
        queue.min(grown + DOUBTED)
    }
}

/// A line through the last points by least squares (the trendline of libwebrtc, which replaced the filter of
/// draft-ietf-rmcat-gcc-02 §5.3).
#[derive(Debug, Clone, Default)]
pub struct Trend {
    points: VecDeque<(Instant, i64)>,
}

impl Trend {
    /// The queue was `micros` long at `now`.
    pub fn point(&mut self, now: Instant, micros: i64) {
        if self.points.len() == TREND_POINTS {
            self.points.pop_front();
        }
        self.points.push_back((now, micros));
        while self.points.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > TREND_SPAN) {
            self.points.pop_front();
        }
    }

    /// Seconds per second; 0 with fewer than three points.
    #[must_use]
    pub fn slope(&self) -> f64 {
        let Some((first, _)) = self.points.front() else { return 0.0 };
        if self.points.len() < 3 {
            return 0.0;
        }
        let count = self.points.len() as f64;
        let point =
            |(at, micros): &(Instant, i64)| (at.saturating_duration_since(*first).as_micros() as f64, *micros as f64);
        let (sum_x, sum_y) = self.points.iter().map(point).fold((0.0, 0.0), |(x, y), (px, py)| (x + px, y + py));
        let (mean_x, mean_y) = (sum_x / count, sum_y / count);
        let (mut over, mut under) = (0.0, 0.0);
        for (x, y) in self.points.iter().map(point) {
            over += (x - mean_x) * (y - mean_y);
            under += (x - mean_x).powi(2);
        }
        if under > 0.0 { over / under } else { 0.0 }
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

    /// Ten packets, one every 5 ms, that took `delays` milliseconds in turn; the report takes 20 ms more.
    fn report(delay: &mut Delay, at: Instant, took: impl Fn(u32) -> u32, clock: Duration) {
        let packets: Vec<_> = (0..10)
            .map(|packet| {
                let sent = at + MS * 5 * packet;
                let received = sent.saturating_duration_since(delay.origin) + MS * took(packet) + clock;
                Acknowledged { sent, received: Some(received), octets: 1200, kind: Kind::Media, late: false }
            })
            .collect();
        delay.feedback(&packets, None, true, at + MS * (45 + took(9) + 20));
    }

    #[test]
    fn a_queue_is_what_all_packets_wait_above_the_base() {
        let now = start();
        let mut delay = Delay::new(now);
        let clock = Duration::from_secs(1000);
        report(&mut delay, now, |_| 50, clock);
        assert_eq!(delay.queue(), Some(Duration::ZERO));
        report(&mut delay, now + MS * 50, |packet| if packet == 7 { 50 } else { 110 }, clock);
        assert_eq!(delay.queue(), Some(Duration::ZERO), "the window still holds a packet that didn't wait");
        report(&mut delay, now + MS * 100, |packet| 90 + packet, clock);
        report(&mut delay, now + MS * 150, |packet| 100 + packet, clock);
        report(&mut delay, now + MS * 200, |packet| 110 + packet, clock);
        assert!(delay.queue().is_some_and(|queue| queue >= MS * 48), "{:?}", delay.queue());
        assert!(delay.slope() > 0.1, "{}", delay.slope());
    }

    #[test]
    fn a_receiver_that_sets_its_clock_has_no_queue() {
        let now = start();
        let mut delay = Delay::new(now);
        for turn in 0..40 {
            let clock = Duration::from_secs(if turn < 20 { 1000 } else { 1003 });
            report(&mut delay, now + MS * 50 * turn, |_| 50, clock);
            assert!(delay.queue().is_some_and(|queue| queue <= MS * 80), "{:?} in turn {turn}", delay.queue());
        }
        assert_eq!(delay.queue(), Some(Duration::ZERO));
        // And back.
        report(&mut delay, now + MS * 2000, |_| 50, Duration::from_secs(2));
        assert_eq!(delay.queue(), Some(Duration::ZERO));
    }

    #[test]
    fn a_newcomer_knows_of_the_queue_by_the_others() {
        let now = start();
        let mut delay = Delay::new(now);
        let packet = |sent| Acknowledged { sent, received: Some(MS * 500), octets: 9, kind: Kind::Media, late: false };
        delay.feedback(&[packet(now)], Some(MS * 70), true, now + MS * 100);
        assert_eq!(delay.queue(), Some(MS * 70));
    }
}
