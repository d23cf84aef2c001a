//! One connection of a line: what it saw, and what it can take itself if its own last metre is the narrow one.

use std::time::{Duration, Instant};

use super::delay::Delay;
use super::estimate::Estimate;
use super::held::Held;
use super::history::{Acknowledged, Kind};
use super::loss::Loss;
use super::rate::Meter;
use crate::units::Bitrate;

/// A member that wasn't heard for this long doesn't speak for the line.
const FRESH: Duration = Duration::from_millis(600);
/// How much longer than the line's queue its own is when it has a bottleneck of its own, seconds.
const OWN_QUEUE: f64 = 0.025;
const OWN_QUEUE_FOR: Duration = Duration::from_millis(300);
/// What is kept of what arrives when it is cut, and how long the cap then stands at first and at most.
const KEPT: f64 = 0.90;
const CAP_LEAST: Duration = Duration::from_secs(5);
const CAP_MOST: Duration = Duration::from_secs(40);
/// Growth of a cap in a second after that.
const CAP_GROWTH: f64 = 0.08;
/// A REMB (draft-alvestrand-rmcat-remb-03) holds no longer than this.
const REMB_HOLDS: Duration = Duration::from_secs(8);
/// One that is less than this part of the one before tells of a queue, and for so long those after it do.
const REMB_FALLS: f64 = 0.95;
const REMB_FALLEN: Duration = Duration::from_secs(30);
/// The part of the way to the present round trip that the least one goes with each report: ways become longer, too.
const ROUND_TRIP_FORGETS: u32 = 32;

/// What one member was found to be able to take.
#[derive(Debug, Clone, Copy)]
struct Cap {
    rate: f64,
    raised: Instant,
    stands_until: Instant,
}

/// What it says itself that it can take. As long as it sees no queue it names what came and at most half more, which says
/// nothing of the line: more is sent nevertheless, or it would never hear of more.
#[derive(Debug, Clone, Copy)]
struct Remb {
    rate: f64,
    at: Instant,
    fell: Option<Instant>,
}

/// One member.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: usize,
    joined: Instant,
    heard: Option<Instant>,
    held: Held,
    pub(super) delay: Delay,
    pub(super) loss: Loss,
    /// What arrived, on the receiver's time line; what was sent of it, and what of that was media, on ours.
    pub(super) arrived: Meter,
    pub(super) sent: Meter,
    pub(super) media: Meter,
    cap: Option<Cap>,
    cap_stands: Duration,
    own_queue_since: Option<Instant>,
    remb: Option<Remb>,
    /// Where transport-wide feedback is missing: loss, round trip, and the least round trip.
    pub(super) report: Option<Report>,
}

/// What a receiver report said (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    pub(super) at: Instant,
    pub(super) lost: f64,
    pub(super) round_trip: Option<Duration>,
    pub(super) least_round_trip: Option<Duration>,
}

impl Member {
    pub(super) fn new(id: usize, now: Instant) -> Self {
        Self {
            id,
            joined: now,
            heard: None,
            held: Held::default(),
            delay: Delay::new(now),
            loss: Loss::new(now),
            arrived: Meter::default(),
            sent: Meter::default(),
            media: Meter::default(),
            cap: None,
            cap_stands: CAP_LEAST,
            own_queue_since: None,
            remb: None,
            report: None,
        }
    }

    /// Takes in one report; `queued` is the line's queue by others.
    pub(super) fn feedback(&mut self, told: &[Acknowledged], queued: Option<Duration>, forget: bool, now: Instant) {
        let mut told = told.to_vec();
        self.held.release(&mut told);
        let told = &told[..];
        for packet in told {
            let sent = packet.sent.saturating_duration_since(self.joined);
            if !packet.late {
                self.sent.count(sent, packet.octets);
                if packet.kind == Kind::Media {
                    self.media.count(sent, packet.octets);
                }
            }
            if let Some(received) = packet.received {
                self.arrived.count(received, packet.octets);
                self.heard = Some(now);
            }
        }
        self.loss.feedback(told, now);
        self.delay.feedback(told, queued, forget, now);
    }

    /// Whether it was heard of late.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.heard.is_some_and(|at| now.saturating_duration_since(at) < FRESH)
    }

    pub(super) const fn joined(&self) -> Instant {
        self.joined
    }

    pub(super) const fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Its queue in seconds as it is by now, if it went on growing since the last report.
    pub(super) fn queue_by_now(&self, now: Instant) -> Option<f64> {
        let age = now.saturating_duration_since(self.heard?).as_secs_f64();
        Some(self.queue()? + self.delay.slope().clamp(0.0, 1.0) * age.min(0.15))
    }

    /// Its queue in seconds.
    pub(super) fn queue(&self) -> Option<f64> {
        self.delay.queue().map(|queue| queue.as_secs_f64())
    }

    /// What it can take itself; `None` = whatever the line carries.
    pub(super) fn cap(&self, now: Instant) -> Option<Bitrate> {
        let within = |at: Instant, span| now.saturating_duration_since(at) < span;
        let limits = |remb: &Remb| within(remb.at, REMB_HOLDS) && remb.fell.is_some_and(|at| within(at, REMB_FALLEN));
        let remb = self.remb.filter(|remb| limits(remb) && !self.is_fresh(now));
        let least = match (self.cap, remb) {
            (Some(cap), Some(remb)) => cap.rate.min(remb.rate),
            (Some(cap), None) => cap.rate,
            (None, Some(remb)) => remb.rate,
            (None, None) => return None,
        };
        Some(Bitrate::from_bps(least as u64))
    }

    pub(super) fn remb(&mut self, rate: f64, now: Instant) {
        let falls = self.remb.is_some_and(|before| rate < before.rate * REMB_FALLS);
        let fell = if falls { Some(now) } else { self.remb.and_then(|before| before.fell) };
        self.remb = Some(Remb { rate, at: now, fell });
    }

    pub(super) fn reception(&mut self, lost: f64, round_trip: Option<Duration>, now: Instant) {
        let before = self.report.and_then(|report| report.least_round_trip);
        let least_round_trip = match (before, round_trip) {
            (Some(before), Some(now)) => Some(before.min(now) + now.saturating_sub(before) / ROUND_TRIP_FORGETS),
            (before, now) => before.or(now),
        };
        self.report = Some(Report { at: now, lost, round_trip, least_round_trip });
    }

    /// Compares its own queue with the line's: what it waits longer, it waits on a way of its own. Says whether it was
    /// cut just now.
    pub(super) fn judge(&mut self, line_queue: f64, line_rate: f64, calm: bool, now: Instant) -> bool {
        let own = self.queue().unwrap_or(0.0) - line_queue;
        let spread = self.delay.spread().as_secs_f64();
        // While all wait, reports of different age differ by more than that.
        if !calm || own <= OWN_QUEUE + Estimate::patience(spread * 0.25) {
            self.own_queue_since = None;
            self.raise(own, line_rate, now);
            return false;
        }
        let since = *self.own_queue_since.get_or_insert(now);
        if now.saturating_duration_since(since) < OWN_QUEUE_FOR || self.delay.slope() < -0.05 {
            return false;
        }
        let rate = self.arrived.rate(Duration::from_millis(300)) * KEPT;
        // Soon again after it was let go: it is let stand for longer.
        let again = self.cap.is_some_and(|cap| now >= cap.stands_until);
        self.cap_stands = if again { (self.cap_stands * 2).min(CAP_MOST) } else { self.cap_stands };
        self.cap = Some(Cap { rate, raised: now, stands_until: now + self.cap_stands });
        self.own_queue_since = Some(now);
        true
    }

    fn raise(&mut self, own: f64, line_rate: f64, now: Instant) {
        let Some(cap) = &mut self.cap else { return };
        let passed = now.saturating_duration_since(cap.raised).as_secs_f64().min(0.5);
        cap.raised = now;
        if now >= cap.stands_until && own < OWN_QUEUE {
            cap.rate *= 1.0 + CAP_GROWTH * passed;
        }
        if cap.rate > line_rate.max(1.0) * 1.2 {
            self.cap = None;
            self.cap_stands = CAP_LEAST;
        }
    }
}
