//! When more than the present rate is tried, how much, and with what result.
//!
//! Short bursts tell nothing of a line behind a token bucket: it lets them pass. So a trial is a ramp that ends in a
//! sustained rate, stopped at the first sign of a queue; what had arrived by then is the line's rate, so even a trial
//! that fails teaches something. (draft-ietf-rmcat-gcc-02 has no probes; libwebrtc's are bursts of 15 ms.)

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// How fast a trial's rate doubles: below what is believed already, and above.
const DOUBLING_BELOW: f64 = 0.4;
const DOUBLING_ABOVE: f64 = 1.0;
/// How long the full rate is held.
const HOLD: Duration = Duration::from_millis(800);
/// What is tried above what the next step needs: its rate wavers.
const MARGIN: f64 = 1.08;
/// How far a trial climbs where the last one found no end.
const CLIMB: f64 = 2.0;
/// What must have arrived of what was tried: as much as the next step needs.
const ARRIVED: f64 = 0.926;
/// The pause after a trial that failed doubles between these.
const PAUSE_LEAST: Duration = Duration::from_millis(1_000);
/// A line that carried more a while ago is tried more often.
const PAUSE_MOST_REMEMBERED: Duration = Duration::from_millis(4_000);
const PAUSE_MOST: Duration = Duration::from_millis(7_000);
const REMEMBERED: Duration = Duration::from_secs(180);

/// Padding that is to be sent now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probe {
    /// On whose connection.
    pub member: usize,
    /// Which trial it is of, for [`Kind::Probe`](super::history::Kind::Probe).
    pub cluster: u8,
    /// How much beside the media of the whole line; it changes from call to call.
    pub padding: Bitrate,
    /// No longer than until then, if nothing else is said before.
    pub until: Instant,
}

/// One trial under way.
#[derive(Debug, Clone, Copy)]
struct Trial {
    member: usize,
    began: Instant,
    from: f64,
    believed: f64,
    target: f64,
    /// The most that arrived in a while.
    arrived: f64,
}

impl Trial {
    /// The rate at `now`, bits per second.
    fn level(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.began).as_secs_f64();
        let below = self.below();
        let level = if passed < below {
            self.from * (passed / DOUBLING_BELOW).exp2()
        } else {
            self.from.max(self.believed) * ((passed - below) / DOUBLING_ABOVE).exp2()
        };
        level.min(self.target)
    }

    fn below(&self) -> f64 {
        (self.believed / self.from).log2().max(0.0) * DOUBLING_BELOW
    }

    fn full(&self) -> Instant {
        let above = (self.target / self.from.max(self.believed)).log2().max(0.0) * DOUBLING_ABOVE;
        self.began + Duration::from_secs_f64(self.below() + above)
    }

    fn end(&self) -> Instant {
        self.full() + HOLD
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The line carried this much without a queue.
    Carried(f64),
    /// Less was sent than wanted; this much arrived.
    Unclear(f64),
}

/// The trials of one line.
#[derive(Debug, Clone)]
pub struct Trials {
    trial: Option<Trial>,
    cluster: u8,
    not_before: Instant,
    pause: Duration,
    /// The last trial found no end, or none was made yet.
    climbs: bool,
    /// The best that was carried, when it last was, and what is at present.
    best: (f64, Instant),
    present: f64,
    last_member: usize,
}

impl Trials {
    /// None yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            trial: None,
            cluster: 0,
            not_before: now,
            pause: PAUSE_LEAST,
            climbs: true,
            best: (0.0, now),
            present: 0.0,
            last_member: usize::MAX,
        }
    }

    /// Whether one is under way, its last reports included.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.trial.is_some()
    }

    /// Who was tried last.
    #[must_use]
    pub const fn last_member(&self) -> usize {
        self.last_member
    }

    /// Whether one may begin.
    #[must_use]
    pub fn may_begin(&self, now: Instant) -> bool {
        self.trial.is_none() && now >= self.not_before
    }

    /// Begins one for the step to `next`, above `believed`, at most to `most`, with `media` flowing; bits per second.
    pub fn begin(&mut self, member: usize, next: f64, believed: f64, most: f64, media: f64, now: Instant) {
        let wanted = if self.climbs { (next * MARGIN).max(believed * CLIMB) } else { next * MARGIN };
        let target = wanted.min(most.max(next)).max(1.0);
        let from = media.clamp(target / 16.0, target);
        self.cluster = self.cluster.wrapping_add(1) % 0xff;
        self.last_member = member;
        self.trial = Some(Trial { member, began: now, from, believed: believed.min(target), target, arrived: 0.0 });
    }

    /// What is to be sent now, with `media` flowing.
    #[must_use]
    pub fn probe(&self, media: f64, now: Instant) -> Option<Probe> {
        let trial = self.trial.filter(|trial| now < trial.end())?;
        let padding = Bitrate::from_bps((trial.level(now) - media).max(0.0) as u64);
        Some(Probe { member: trial.member, cluster: self.cluster, padding, until: trial.end() })
    }

    /// `arrived` bits per second arrived in the last half second. Ends the trial when its last packets are told of.
    pub fn observe(&mut self, arrived: f64, round_trip: Duration, now: Instant) -> Option<Outcome> {
        let trial = self.trial.as_mut()?;
        if now >= trial.full() + round_trip + HOLD / 2 {
            trial.arrived = trial.arrived.max(arrived);
        }
        if now < trial.end() + round_trip + Duration::from_millis(60) {
            return None;
        }
        let trial = self.trial.take()?;
        if trial.arrived >= trial.target * ARRIVED {
            self.climbs = true;
            self.pause = PAUSE_LEAST;
            self.not_before = now + Duration::from_millis(50);
            self.carried(trial.target, now);
            Some(Outcome::Carried(trial.target))
        } else {
            self.rest(now);
            Some(Outcome::Unclear(trial.arrived.min(trial.target)))
        }
    }

    /// The line is overused: the trial, if there is one, has failed, and the next waits.
    pub fn fail(&mut self, now: Instant) {
        self.trial = None;
        self.climbs = false;
        self.rest(now);
    }

    /// The trial says nothing: its member left or can't take more.
    pub fn drop_trial(&mut self, now: Instant) {
        if self.trial.take().is_some() {
            self.not_before = now + PAUSE_LEAST;
        }
    }

    /// The line is heard again, or its competitor is gone: what it carries now is worth a trial at once.
    pub const fn afresh(&mut self, now: Instant) {
        self.climbs = true;
        self.pause = PAUSE_LEAST;
        self.not_before = now;
    }

    /// `rate` was carried.
    pub fn carried(&mut self, rate: f64, now: Instant) {
        self.present = rate;
        if rate >= self.best.0 || now.saturating_duration_since(self.best.1) > REMEMBERED {
            self.best = (rate, now);
        }
    }

    fn rest(&mut self, now: Instant) {
        self.not_before = now + self.pause;
        let remembers = self.best.0 > self.present * 1.1 && now.saturating_duration_since(self.best.1) < REMEMBERED;
        let most = if remembers { PAUSE_MOST_REMEMBERED } else { PAUSE_MOST };
        self.pause = (self.pause * 2).min(most);
    }
}
