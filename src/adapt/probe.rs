//! When more than the present rate is tried, how much, and with what result.
//!
//! Short bursts tell nothing of a line behind a token bucket: it lets them pass. So a trial is a ramp that ends in a
//! sustained rate, stopped at the first sign of a queue; what had arrived by then is the line's rate, so even a trial
//! that fails teaches something. (draft-ietf-rmcat-gcc-02 has no probes; libwebrtc's are bursts of 15 ms.)

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// The seconds in which a trial's rate doubles: below what is believed already, above it, and where it climbs.
const DOUBLING_BELOW: f64 = 0.25;
const DOUBLING_ABOVE: f64 = 2.0;
const DOUBLING_CLIMBING: f64 = 0.8;
/// The seconds in which it comes to its full rate at the latest.
const RAMP_MOST: f64 = 2.4;
/// What a token bucket lets pass at once, bits: 20 kB. A trial has to send that much above what it is to prove.
const BUCKET: f64 = 160_000.0;
/// How long the full rate is held, at least and at most, and where it climbs on, seconds.
const HOLD_LEAST: f64 = 0.8;
const HOLD_MOST: f64 = 1.3;
const HOLD_CLIMBING: f64 = 0.5;
/// What is tried above what the next step needs: its rate wavers.
const MARGIN: f64 = 1.08;
/// The same where the step was taken before and had to be taken back.
const MARGIN_REFUTED: f64 = 1.13;
/// How soon after a step it is the step that was wrong, and for how long that is remembered.
const TAKEN_BACK: Duration = Duration::from_secs(15);
const REFUTED_HOLDS: Duration = Duration::from_secs(120);
/// A cut this soon after a trial is the trial's doing.
const AFTERMATH: Duration = Duration::from_millis(1_500);
/// How far a trial climbs where the last one found no end.
const CLIMB: f64 = 3.0;
/// A trial climbs on where at least this is to be gained.
const WORTHWHILE: f64 = 1.15;
/// What `most` may be passed by, so that a step of just that rate is proved.
const ROUNDING: f64 = 1.01;
/// What arrived is counted over half a second; half a bucket may have been in it.
const FULL_SPAN: f64 = 0.5;
/// The pause between reports.
const LAST_REPORT: Duration = Duration::from_millis(80);
/// The allocation first takes what was found.
const SETTLE: Duration = Duration::from_millis(400);
/// What must have arrived of what was tried: as much as the next step needs.
const ARRIVED: f64 = 0.926;
/// The pause after a trial that failed doubles between these.
const PAUSE_LEAST: Duration = Duration::from_millis(1_000);
const PAUSE_MOST: Duration = Duration::from_millis(6_000);
/// A line that carried more a while ago is tried more often.
const PAUSE_MOST_REMEMBERED: Duration = Duration::from_millis(4_000);
const REMEMBERED: Duration = Duration::from_secs(180);
/// And one that is tried but little beyond what it carries, which is hardly noticed, still more often.
const PAUSE_MOST_NEAR: Duration = Duration::from_millis(3_000);
const NEAR: f64 = 1.3;

/// Padding that is to be sent now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probe {
    /// On whose connection.
    pub member: usize,
    /// Which trial it is of, for [`Kind::Probe`](super::history::Kind::Probe).
    pub cluster: u8,
    /// The rate of the whole line, its media included, that padding fills up to; it changes from call to call.
    pub total: Bitrate,
    /// What that comes to beside the media that flowed in the last half second.
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
    /// How long its rate takes to double above `believed`, seconds.
    doubling: f64,
    hold: Duration,
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
            self.from.max(self.believed) * ((passed - below) / self.doubling).exp2()
        };
        level.min(self.target)
    }

    fn below(&self) -> f64 {
        (self.believed / self.from).log2().max(0.0) * DOUBLING_BELOW
    }

    fn full(&self) -> Instant {
        let above = (self.target / self.from.max(self.believed)).log2().max(0.0) * self.doubling;
        self.began + Duration::from_secs_f64(self.below() + above)
    }

    fn end(&self) -> Instant {
        self.full() + self.hold
    }

    /// What the line carries for sure when nothing waited: the rest may have come out of a bucket.
    fn proves(&self) -> f64 {
        self.target - BUCKET / self.hold.as_secs_f64()
    }
}

/// What a trial is made for, bits per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// What the line takes with the next step up.
    pub next: f64,
    /// What it takes if everybody gets the best.
    pub wanted: f64,
    /// What may be spent at most.
    pub most: f64,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The line carried this much without a queue.
    Carried(f64),
    /// The line was filled, and this much arrived.
    Full(f64),
    /// Less was sent than wanted; this much arrived.
    Unclear(f64),
}

/// The trials of one line.
#[derive(Debug, Clone)]
pub struct Trials {
    trial: Option<Trial>,
    cluster: u8,
    /// What the trial is made for.
    wish: Wish,
    /// What a trial that climbs on has passed already, and when its last packets are told of.
    passed: Option<(f64, Instant)>,
    not_before: Instant,
    pause: Duration,
    /// The last trial found no end, or none was made yet.
    climbs: bool,
    /// The best that was carried, when it last was, and what is at present.
    best: (f64, Instant),
    present: f64,
    last_member: usize,
    /// When the estimate last rose, and when a trial last ended; what was spent then and turned out too much, and when.
    rose: Instant,
    ended: Instant,
    refuted: Option<(f64, Instant)>,
}

impl Trials {
    /// None yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            trial: None,
            cluster: 0,
            wish: Wish { next: 0.0, wanted: 0.0, most: 0.0 },
            passed: None,
            not_before: now,
            pause: PAUSE_LEAST,
            climbs: true,
            best: (0.0, now),
            present: 0.0,
            last_member: usize::MAX,
            rose: now,
            ended: now,
            refuted: None,
        }
    }

    /// Whether one is under way, its last reports included.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.trial.is_some()
    }

    /// Whether the last one ended less than `span` ago.
    #[must_use]
    pub fn ended_within(&self, span: Duration, now: Instant) -> bool {
        self.present > 0.0 && now.saturating_duration_since(self.ended) < span
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

    /// Begins one for the step to `wish.next`, above `believed`, with `media` flowing; bits per second.
    pub fn begin(&mut self, member: usize, wish: Wish, believed: f64, media: f64, now: Instant) {
        let refuted = self.refuted(now).is_some_and(|rate| wish.next > rate * 0.97);
        let margin = if refuted { MARGIN_REFUTED } else { MARGIN };
        let least = (wish.next * margin).max(wish.next + BUCKET / HOLD_MOST);
        let climbing = (believed * CLIMB).min(wish.wanted * MARGIN);
        let wanted = if self.climbs { least.max(climbing) } else { least };
        let target = wanted.min(wish.most.max(wish.next * ROUNDING)).max(1.0);
        let from = media.clamp(target / 16.0, target);
        let hold = (BUCKET / (target - wish.next).max(1.0)).clamp(HOLD_LEAST, HOLD_MOST);
        let doublings = (target / believed.max(1.0)).log2().max(0.1);
        let doubling = if self.climbs || target - believed < 2.0 * BUCKET {
            DOUBLING_CLIMBING
        } else {
            DOUBLING_ABOVE.min(RAMP_MOST / doublings)
        };
        self.cluster = self.cluster.wrapping_add(1) % 0xff;
        self.last_member = member;
        self.wish = wish;
        self.passed = None;
        self.trial = Some(Trial {
            member,
            began: now,
            from,
            believed: believed.min(target),
            target,
            doubling,
            hold: Duration::from_secs_f64(hold),
            arrived: 0.0,
        });
    }

    /// Goes on beyond what nothing waited at, while the last packets of that are under way, if there is more to gain.
    fn climb_on(&mut self, trial: Trial, round_trip: Duration, now: Instant) -> bool {
        let target = (trial.target * CLIMB).min(self.wish.wanted * MARGIN).min(self.wish.most);
        if self.passed.is_some() || target < trial.target * WORTHWHILE {
            return false;
        }
        self.passed = Some((trial.proves().max(self.wish.next), now + round_trip + LAST_REPORT));
        self.wish.next = 0.0;
        let beyond = (target - self.wish.wanted).max(1.0);
        let hold = Duration::from_secs_f64((1.02 * BUCKET / beyond).clamp(HOLD_CLIMBING, HOLD_MOST));
        let hold = if target < self.wish.wanted { Duration::from_secs_f64(HOLD_CLIMBING) } else { hold };
        let (from, believed, doubling) = (trial.target, trial.target, DOUBLING_CLIMBING);
        self.trial = Some(Trial { began: now, from, believed, target, doubling, hold, arrived: 0.0, ..trial });
        true
    }

    /// What is to be sent now, with `media` flowing.
    #[must_use]
    pub fn probe(&self, media: f64, now: Instant) -> Option<Probe> {
        let trial = self.trial.filter(|trial| now < trial.end())?;
        let total = Bitrate::from_bps(trial.level(now) as u64);
        let padding = total.less(Bitrate::from_bps(media as u64));
        Some(Probe { member: trial.member, cluster: self.cluster, total, padding, until: trial.end() })
    }

    /// `arrived` bits per second arrived in the last half second. `full` = some queue has formed, short as it may be, and
    /// what arrived since is the line's rate. Ends the trial then, or when its last packets are told of.
    pub fn observe(&mut self, arrived: f64, full: Option<f64>, round_trip: Duration, now: Instant) -> Option<Outcome> {
        let trial = self.trial.as_mut()?;
        if let Some(carried) = full {
            self.fail(now);
            let bucket = BUCKET * 0.5 / FULL_SPAN;
            return Some(Outcome::Full((carried - bucket).max(0.0)));
        }
        if let Some((rate, _)) = self.passed.take_if(|(_, told)| now >= *told) {
            return Some(self.prove(rate));
        }
        if now >= trial.full() + round_trip + trial.hold / 2 {
            trial.arrived = trial.arrived.max(arrived);
        }
        let trial = *trial;
        let all_came = trial.arrived >= trial.target * ARRIVED;
        if now >= trial.end() && all_came && self.climb_on(trial, round_trip, now) {
            return None;
        }
        if now < trial.end() + round_trip + LAST_REPORT {
            return None;
        }
        self.trial = None;
        self.ended = now;
        if all_came {
            self.climbs = true;
            self.pause = PAUSE_LEAST;
            self.not_before = now + SETTLE;
            Some(self.prove(trial.proves().max(self.wish.next)))
        } else {
            self.rest(now);
            Some(Outcome::Unclear(trial.arrived.min(trial.target)))
        }
    }

    fn prove(&mut self, rate: f64) -> Outcome {
        if self.refuted.is_some_and(|(refuted, _)| rate > refuted * 0.999) {
            self.refuted = None;
        }
        Outcome::Carried(rate)
    }

    /// The line was cut with `spent` on it. If the estimate rose just before and no trial is to blame, that was wrong.
    pub fn refute(&mut self, spent: f64, now: Instant) {
        let over = now.saturating_duration_since(self.ended) > AFTERMATH;
        if self.trial.is_none() && over && spent > 0.0 && now.saturating_duration_since(self.rose) < TAKEN_BACK {
            self.refuted = Some((spent, now));
        }
    }

    /// The cut was for nothing.
    pub fn acquit(&mut self, now: Instant) {
        self.refuted = None;
        self.not_before = self.not_before.min(now + PAUSE_LEAST);
    }

    /// What was too much, until a trial well beyond it passes.
    #[must_use]
    pub fn refuted(&self, now: Instant) -> Option<f64> {
        let holds = |at| now.saturating_duration_since(at) < REFUTED_HOLDS;
        self.refuted.filter(|(_, at)| holds(*at)).map(|(rate, _)| rate)
    }

    /// The line is overused: the trial, if there is one, has failed, and the next waits.
    pub fn fail(&mut self, now: Instant) {
        if self.trial.take().is_some() {
            self.ended = now;
        }
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
        if rate > self.present * 1.01 {
            self.rose = now;
        }
        self.present = rate;
        if rate >= self.best.0 || now.saturating_duration_since(self.best.1) > REMEMBERED {
            self.best = (rate, now);
        }
    }

    fn rest(&mut self, now: Instant) {
        let remembers = self.best.0 > self.present * 1.1 && now.saturating_duration_since(self.best.1) < REMEMBERED;
        let most = match remembers {
            true if self.wish.next < self.present * NEAR => PAUSE_MOST_NEAR,
            true => PAUSE_MOST_REMEMBERED,
            false => PAUSE_MOST,
        };
        self.pause = (self.pause * 2).min(most);
        self.not_before = now + self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WISH: Wish = Wish { next: 2e6, wanted: 8e6, most: 5e6 };

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        Instant::now()
    }

    /// Runs a trial on a line of `rate`; tells what it found and the highest rate tried.
    fn run(trials: &mut Trials, rate: f64, start: Instant) -> (Vec<Outcome>, f64) {
        let (mut outcomes, mut highest) = (Vec::new(), 0.0f64);
        trials.begin(3, WISH, 1e6, 0.5e6, start);
        for turn in 0..400 {
            let now = start + MS * 20 * turn;
            let tried = trials.probe(0.5e6, now).map_or(0.0, |probe| probe.total.bps() as f64);
            highest = highest.max(tried);
            let full = (tried > rate).then_some(rate);
            outcomes.extend(trials.observe(highest.min(rate), full, MS * 50, now));
        }
        (outcomes, highest)
    }

    #[test]
    fn a_trial_climbs_as_long_as_nothing_waits() {
        let now = start();
        let (outcomes, highest) = run(&mut Trials::new(now), 20e6, now);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Carried(_))), "{outcomes:?}");
        assert!(matches!(outcomes.last(), Some(Outcome::Carried(rate)) if *rate > 4e6), "{outcomes:?}");
        assert!(highest <= WISH.most + 1.0, "{highest}");
    }

    #[test]
    fn a_full_line_ends_it_and_the_next_waits_longer() {
        let mut now = start();
        let mut trials = Trials::new(now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let (outcomes, highest) = run(&mut trials, 1.5e6, now);
            assert!(matches!(outcomes[..], [Outcome::Full(rate)] if rate < 1.5e6), "{outcomes:?}");
            assert!(highest < 1.6e6, "{highest}");
            let ended = trials.ended;
            now = ended;
            while !trials.may_begin(now) {
                now += MS * 10;
            }
            pauses.push(now.saturating_duration_since(ended));
        }
        assert!(pauses.is_sorted() && pauses[5] <= PAUSE_MOST && pauses[5] > pauses[0], "{pauses:?}");
    }

    #[test]
    fn what_was_taken_back_needs_more_to_be_believed() {
        let now = start();
        let mut trials = Trials::new(now);
        trials.fail(now);
        trials.carried(2e6, now + MS * 2000);
        trials.refute(2e6, now + MS * 4000);
        assert_eq!(trials.refuted(now + MS * 5000), Some(2e6));
        let (_, highest) = run(&mut trials, 20e6, now + MS * 8000);
        assert!(highest >= 2e6 * MARGIN_REFUTED * 0.99, "{highest}");
        assert_eq!(trials.refuted(now + MS * 20_000), None);
    }
}
