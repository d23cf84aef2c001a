//! The rate that a line is believed to carry, from what its members saw.
//!
//! Down: at once, to a part of what arrives, as draft-ietf-rmcat-gcc-02 §5.5 does on overuse, but only where the queue
//! is long besides growing. Up: by proof, never by hope; video in fixed steps leaves most of a line unused, and a rate
//! that merely grows while nothing tests it says nothing. Where the queue stands whatever is sent, it is somebody
//! else's: then delay is given up for loss, as RFC 8698 §4.3 (accelerated and competitive modes) and Copa do.

use std::time::{Duration, Instant};

use super::loss::Floor;

/// The queue that is left alone on a line without jitter, seconds.
const PATIENCE: f64 = 0.030;
/// So much more is left alone right after a trial: without its padding the queue goes by itself.
const AFTERMATH_PATIENCE: f64 = 1.6;
/// And this much for every second of the round trip, after which alone the end of the padding is seen.
const AFTERMATH_ROUND_TRIP: f64 = 3.0;
/// How much of what arrives is kept on overuse: the rest drains the queue.
const KEPT: f64 = 0.90;
const KEPT_LEAST: f64 = 0.72;
/// What is believed of what arrived while the queue drained, and of what arrived without one.
const MEASURED_KEPT: f64 = 0.92;
const PROVED: f64 = 0.93;
/// A first cut for a queue of less than this without loss keeps this much: jitter isn't told from a
/// queue within so short a time, and a queue that is one is cut for again.
const DOUBTFUL: f64 = 0.080;
const DOUBTFUL_KEPT: f64 = 0.70;
/// How much longer a queue has to stand, or to grow fast, on a line whose queue wavers by a second in calm times.
const STANDS_FOR_NOISE: f64 = 5.0;
const RUSHES_FOR_NOISE: f64 = 3.0;
/// After a cut nothing is concluded for this long, and a round trip.
const SETTLE: Duration = Duration::from_millis(300);
/// Loss beyond the learnt that counts as congestion together with a queue, or right after a rise.
const LOSS_WITH_QUEUE: f64 = 0.10;
/// Loss beyond the learnt that counts as congestion by itself, until a cut that doesn't help shows otherwise.
const LOSS_ALONE: f64 = 0.25;
/// Against a competitor: the loss that is borne, and for how long more is.
const LOSS_COMPETING: f64 = 0.07;
const COMPETING_PATIENCE: Duration = Duration::from_millis(1_200);
/// A queue that hasn't drained for this long, though all that is sent arrives, isn't ours, however little that is.
const IN_VAIN: Duration = Duration::from_millis(2_500);
/// How long after a rise the loss is blamed on it.
const BLAME: Duration = Duration::from_millis(2_500);
/// For how long after a competitor was there the next standing queue is taken for the same.
const REMEMBER_COMPETITOR: Duration = Duration::from_secs(15);
/// Against a competitor: what is held of the rate before, and the growth in a second.
const FAIR: f64 = 0.5;
const COMPETING_GROWTH: f64 = 0.05;
/// A queue that stays within this for `UNMOVED` is none: the way has become longer.
const STILL: f64 = 0.012;
/// The part of the floor that is left whatever is measured.
const LEAST_OF_FLOOR: f64 = 0.25;
const UNMOVED: Duration = Duration::from_secs(3);

/// What the members of a line see together at one moment. Rates are in bits per second, times in seconds.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// How long all members wait in line: the least of what each waits.
    pub queue: f64,
    /// By how much the queue grows in a second.
    pub slope: f64,
    /// How much the queue wavers in calm times.
    pub noise: f64,
    /// What arrived while the queue stood, or of late where none stands.
    pub arrived: f64,
    /// How long the queue has stood.
    pub busy: f64,
    /// How long none has.
    pub idle: f64,
    /// What arrived over a second.
    pub arrived_long: f64,
    /// What was sent of late of what has been told of.
    pub sent: f64,
    /// The part that was lost of late, and of how many packets.
    pub loss: (f64, f64),
    /// The round trip.
    pub round_trip: f64,
    /// Whether a trial is under way or its last packets aren't told of.
    pub trial: bool,
    /// Whether a trial ended just now: its padding may still wait.
    pub aftermath: bool,
    /// What the members together aren't cut below for the sake of a competitor.
    pub floor: f64,
}

/// How things stand with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing is wrong.
    Open,
    /// It was cut and its queue empties.
    Draining,
    /// Somebody else fills the queue.
    Competing,
    /// It was cut for loss without a queue, and shows now whether that helped.
    Doubting,
    /// Nothing is heard of it.
    Silent,
    /// It is heard again.
    Returning,
}

/// What follows from a view beside the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// Nothing to act on.
    Nothing,
    /// The rate was cut.
    Overuse,
    /// What stands is no queue: the delays have a new base.
    LongerWay,
    /// The rate was cut for a queue of so many seconds that was gone before the cut can have reached it: that was jitter,
    /// or a burst.
    FalseAlarm(f64),
}

/// The rate of one line.
#[derive(Debug, Clone)]
pub struct Estimate {
    rate: f64,
    phase: Phase,
    since: Instant,
    seen: Instant,
    floor: Floor,
    /// What was believed before the phase began.
    before: f64,
    /// What the line carried at the last cut, and the longest queue since.
    at_cut: (f64, f64),
    /// What the line was seen to carry since.
    measured: f64,
    last_cut: Instant,
    /// How much of a queue what was sent since the cut should have drained.
    drained: f64,
    /// Since when the queue is too long, grows fast, or is short again.
    long_since: Option<Instant>,
    rushes_since: Option<Instant>,
    short_since: Option<Instant>,
    heavy_loss_since: Option<Instant>,
    /// The queue's bounds since when.
    bounds: (f64, f64, Instant),
    rose: Option<Instant>,
    competed: Option<Instant>,
}

impl Estimate {
    /// Believes in `start` until something is measured.
    #[must_use]
    pub fn new(start: f64, now: Instant) -> Self {
        Self {
            rate: start,
            phase: Phase::Open,
            since: now,
            seen: now,
            floor: Floor::default(),
            before: start,
            at_cut: (start, 0.0),
            measured: start,
            last_cut: now,
            drained: 0.0,
            long_since: None,
            rushes_since: None,
            short_since: None,
            heavy_loss_since: None,
            bounds: (0.0, 0.0, now),
            rose: None,
            competed: None,
        }
    }

    /// Bits per second.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// How things stand.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The loss that the line has anyway.
    #[must_use]
    pub const fn loss_floor(&self) -> f64 {
        self.floor.fraction()
    }

    /// The queue that is left alone: jitter isn't told from it with certainty.
    #[must_use]
    pub fn patience(noise: f64) -> f64 {
        PATIENCE + (noise * 2.0).min(0.040)
    }

    /// `rate` has been carried without a queue.
    pub fn proved(&mut self, rate: f64, now: Instant) {
        if rate > self.rate {
            self.rate = rate;
            self.rose = Some(now);
        }
    }

    /// A switch up or a trial began: loss that follows is blamed on it.
    pub const fn rises(&mut self, now: Instant) {
        self.rose = Some(now);
    }

    /// Goes by other signs than transport-wide feedback.
    pub const fn follow(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// Nothing is heard. Half is spent, and after three seconds no more than the floor: what a line with deep queues
    /// stores meanwhile has to pass before anything live does.
    pub fn silent(&mut self, floor: f64, now: Instant) {
        if self.phase != Phase::Silent {
            self.before = self.best_before();
            self.enter(Phase::Silent, now);
            self.rate = (self.before * 0.5).max(floor.min(self.before));
        } else if now.saturating_duration_since(self.since) > Duration::from_secs(2) {
            self.rate = floor.min(self.before);
        }
    }

    /// Something is heard again.
    pub fn heard(&mut self, now: Instant) {
        if self.phase == Phase::Silent {
            self.enter(Phase::Returning, now);
        }
    }

    /// Takes in what is seen now.
    pub fn observe(&mut self, view: &View, now: Instant) -> Finding {
        let passed = now.saturating_duration_since(self.seen).as_secs_f64().min(0.5);
        self.seen = now;
        self.note(view, now);
        match self.phase {
            Phase::Silent => Finding::Nothing,
            Phase::Open => self.open(view, passed, now),
            Phase::Draining => self.draining(view, passed, now),
            Phase::Competing => self.competing(view, passed, now),
            Phase::Doubting => self.doubting(view, now),
            Phase::Returning => self.returning(view, now),
        }
    }

    fn open(&mut self, view: &View, passed: f64, now: Instant) -> Finding {
        let excess = self.excess(view);
        if self.too_long(view, now) || self.lost_to_a_queue(view, excess) {
            if self.competed.is_some_and(|at| now.saturating_duration_since(at) < REMEMBER_COMPETITOR) && !view.trial {
                self.compete(view, now);
            } else {
                self.cut(view, now);
            }
            return Finding::Overuse;
        }
        let blamed = self.rose.is_some_and(|at| now.saturating_duration_since(at) < BLAME);
        if blamed && excess > LOSS_WITH_QUEUE || self.lost_heavily(excess, now) {
            self.before = self.rate;
            self.at_cut = (view.sent, view.loss.0);
            self.rate = self.carried(view).min(self.rate) * 0.95;
            self.enter(Phase::Doubting, now);
            return Finding::Overuse;
        }
        if view.queue < Self::patience(view.noise) / 2.0 && !view.trial && view.loss.1 > 0.0 {
            self.floor.learn(view.loss.0, Duration::from_secs_f64(passed));
        }
        if view.idle > 1.2 && !view.trial {
            self.proved(view.arrived_long * PROVED / self.passes(), now);
        }
        Finding::Nothing
    }

    fn draining(&mut self, view: &View, passed: f64, now: Instant) -> Finding {
        let (carried, longest) = self.at_cut;
        self.drained += (1.0 - view.sent / carried.max(1.0)).max(0.0) * passed;
        if self.short_for(Duration::from_millis(100), now) {
            let reached = self.last_cut + Duration::from_secs_f64(view.round_trip.min(0.5));
            let early = self.last_cut == self.since && self.short_since.is_some_and(|since| since < reached);
            if early && self.excess(view) < LOSS_WITH_QUEUE {
                self.rate = self.rate.max(self.before);
                self.enter(Phase::Open, now);
                return Finding::FalseAlarm(longest);
            }
            self.rate = self.rate.max(self.measured * MEASURED_KEPT);
            self.enter(Phase::Open, now);
            return Finding::Nothing;
        }
        if view.busy > 0.3 && view.queue > Self::patience(view.noise) {
            // As long as something waits, what arrives is what the line carries, whatever is sent.
            self.measured = self.carried(view);
            self.rate = self.rate.min((self.measured * Self::kept(view)).max(self.least(view)));
        }
        if view.queue > longest {
            // What was sent before the cut arrives only now.
            self.at_cut.1 = view.queue;
            self.rate = self.rate.min((carried * Self::kept(view)).max(self.least(view)));
        }
        if now.saturating_duration_since(self.last_cut) < SETTLE + Duration::from_secs_f64(view.round_trip) {
            return Finding::Nothing;
        }
        let stands = view.queue > Self::patience(view.noise) && view.slope > -0.03;
        let excess = self.excess(view);
        if stands && (view.slope > 0.02 || excess > LOSS_WITH_QUEUE) && view.arrived < 0.97 * view.sent {
            self.cut_to(self.carried(view).min(carried), view, now);
            return Finding::Overuse;
        }
        let follows = view.arrived > 0.93 * view.sent && excess < LOSS_WITH_QUEUE;
        let no_less = view.queue > longest * 0.4 && self.drained > longest + 0.080 && view.sent < 0.93 * carried;
        let in_vain = now.saturating_duration_since(self.since) > IN_VAIN && view.queue > Self::patience(view.noise);
        if follows && (stands && no_less || in_vain) {
            self.compete(view, now);
            return Finding::Overuse;
        }
        self.longer_way(view, now)
    }

    fn competing(&mut self, view: &View, passed: f64, now: Instant) -> Finding {
        if self.short_for(Duration::from_millis(1_000), now) {
            self.competed = Some(now);
            self.enter(Phase::Open, now);
            return Finding::Nothing;
        }
        let excess = self.excess(view);
        let loses = excess > LOSS_COMPETING || view.arrived < 0.9 * view.sent;
        self.heavy_loss_since = if loses { self.heavy_loss_since.or(Some(now)) } else { None };
        if self.heavy_loss_since.is_some_and(|since| now.saturating_duration_since(since) > COMPETING_PATIENCE) {
            // A competitor that goes by loss would have made room: the line itself has become narrow.
            self.competed = None;
            self.cut(view, now);
            return Finding::Overuse;
        }
        let fair = (self.before * FAIR).max(view.floor.min(self.before * 0.7));
        if excess < 0.03 && self.rate < fair {
            self.rate = (self.rate * (1.0 + COMPETING_GROWTH * passed)).min(fair);
        }
        self.longer_way(view, now)
    }

    fn doubting(&mut self, view: &View, now: Instant) -> Finding {
        if self.too_long(view, now) {
            self.cut(view, now);
            return Finding::Overuse;
        }
        let passed = now.saturating_duration_since(self.since);
        if passed < Duration::from_millis(1_800) {
            return Finding::Nothing;
        }
        let (sent, loss) = self.at_cut;
        let helped = view.loss.0 - self.floor.fraction() < 0.6 * (loss - self.floor.fraction());
        if helped {
            self.enter(Phase::Open, now);
        } else if view.sent < 0.92 * sent || passed > Duration::from_secs(4) {
            self.floor.set(view.loss.0);
            self.rate = self.rate.max(self.before);
            self.rose = None;
            self.enter(Phase::Open, now);
        }
        Finding::Nothing
    }

    fn returning(&mut self, view: &View, now: Instant) -> Finding {
        let passed = now.saturating_duration_since(self.since);
        let short = self.short_for(Duration::from_millis(200), now) && self.excess(view) < LOSS_WITH_QUEUE;
        if passed > Duration::from_millis(400) && short {
            self.rate = self.rate.max(self.before);
            self.enter(Phase::Open, now);
        } else if passed > Duration::from_secs(2) {
            self.enter(Phase::Open, now);
        }
        Finding::Nothing
    }

    fn cut(&mut self, view: &View, now: Instant) {
        let before = self.best_before();
        let clear = view.queue >= DOUBTFUL || self.excess(view) >= LOSS_WITH_QUEUE;
        let doubtful = self.phase == Phase::Open && !clear && !view.trial;
        self.enter(Phase::Draining, now);
        self.before = before;
        self.cut_to(self.carried(view), view, now);
        if doubtful {
            self.rate = self.rate.max(before * DOUBTFUL_KEPT);
        }
    }

    fn cut_to(&mut self, carried: f64, view: &View, now: Instant) {
        self.rate = (carried * Self::kept(view)).max(self.least(view));
        self.at_cut = (carried, view.queue);
        self.measured = carried;
        self.last_cut = now;
        self.drained = 0.0;
    }

    /// What is never cut: a voice with what protects it, nearly, or what there was.
    fn least(&self, view: &View) -> f64 {
        (view.floor * LEAST_OF_FLOOR).min(self.rate)
    }

    /// So much less than the line carries that a long queue is gone within a second or so.
    fn kept(view: &View) -> f64 {
        (1.0 - (view.queue - 0.030)).clamp(KEPT_LEAST, KEPT)
    }

    fn compete(&mut self, view: &View, now: Instant) {
        let before = self.best_before();
        let fair = (before * FAIR).max(view.floor.min(before * 0.7));
        self.rate = if self.phase == Phase::Open { self.rate.min(fair) } else { fair.max(self.rate.min(before)) };
        self.enter(Phase::Competing, now);
        self.before = before;
        self.last_cut = now;
    }

    /// The queue hangs on nothing that anybody does: its base has moved.
    fn longer_way(&mut self, view: &View, now: Instant) -> Finding {
        let (_, _, since) = self.bounds;
        if now.saturating_duration_since(since) < UNMOVED || self.excess(view) > 0.03 || view.arrived < 0.93 * view.sent
        {
            return Finding::Nothing;
        }
        self.rate = self.rate.max(self.before);
        self.competed = None;
        self.enter(Phase::Open, now);
        Finding::LongerWay
    }

    /// What the line was good for before the trouble that is under way.
    fn best_before(&self) -> f64 {
        if matches!(self.phase, Phase::Open) { self.rate } else { self.before.max(self.rate) }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
        self.long_since = None;
        self.rushes_since = None;
        self.short_since = None;
        self.heavy_loss_since = None;
        self.bounds.2 = now;
    }

    /// What may be sent so that what arrives, arrives.
    fn carried(&self, view: &View) -> f64 {
        view.arrived / self.passes()
    }

    /// The part that isn't lost anyway.
    fn passes(&self) -> f64 {
        1.0 - self.floor.fraction().min(0.5)
    }

    /// Loss beyond what the line has anyway and chance explains.
    fn excess(&self, view: &View) -> f64 {
        let (loss, packets) = view.loss;
        let usual = self.floor.fraction();
        let chance = 2.0 * (usual.max(0.01) * (1.0 - usual) / packets.max(1.0)).sqrt();
        (loss - usual - chance).max(0.0)
    }

    fn note(&mut self, view: &View, now: Instant) {
        let patience = Self::patience(view.noise);
        let long = view.queue > patience * if view.trial { 0.8 } else { 1.0 };
        self.long_since = if long { self.long_since.or(Some(now)) } else { None };
        let rushes = view.queue > patience * 0.7 && view.slope > 0.25;
        self.rushes_since = if rushes { self.rushes_since.or(Some(now)) } else { None };
        let short = view.queue < patience * 0.6;
        self.short_since = if short { self.short_since.or(Some(now)) } else { None };
        let (least, most, _) = self.bounds;
        let (least, most) = (least.min(view.queue), most.max(view.queue));
        if most - least > STILL + view.noise * 0.5 {
            self.bounds = (view.queue, view.queue, now);
        } else {
            (self.bounds.0, self.bounds.1) = (least, most);
        }
    }

    fn short_for(&self, span: Duration, now: Instant) -> bool {
        self.short_since.is_some_and(|since| now.saturating_duration_since(since) >= span)
    }

    fn too_long(&self, view: &View, now: Instant) -> bool {
        let patience = Self::patience(view.noise);
        if view.aftermath && view.queue < patience * (AFTERMATH_PATIENCE + AFTERMATH_ROUND_TRIP * view.round_trip) {
            return false;
        }
        let lasts = |since: Option<Instant>, least: f64| {
            since.is_some_and(|since| now.saturating_duration_since(since).as_secs_f64() >= least)
        };
        let stands = lasts(self.long_since, 0.040 + STANDS_FOR_NOISE * view.noise);
        // By a second report: a computer that is busy reads late what came in time, and tells of it half-way.
        let rushes = lasts(self.rushes_since, 0.020 + RUSHES_FOR_NOISE * view.noise);
        stands && view.slope > -0.05 || rushes
    }

    fn lost_to_a_queue(&self, view: &View, excess: f64) -> bool {
        excess > LOSS_WITH_QUEUE && view.queue > 0.008 + view.noise
    }

    fn lost_heavily(&mut self, excess: f64, now: Instant) -> bool {
        self.heavy_loss_since = if excess > LOSS_ALONE { self.heavy_loss_since.or(Some(now)) } else { None };
        self.heavy_loss_since.is_some_and(|since| now.saturating_duration_since(since) >= Duration::from_millis(1_200))
    }
}
