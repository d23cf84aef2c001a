//! The line of one school: one rate for all who receive over it.
//!
//! Members share a bottleneck, and that is known rather than detected (RFC 8382 would have to), so there is one rate
//! for all of them, as RFC 8699 couples flows; each keeps a cap of its own in case its last metre is narrower.

use std::time::{Duration, Instant};

use super::delay::Trend;
use super::estimate::{Estimate, Finding, Phase, View};
use super::history::Acknowledged;
use super::member::Member;
use super::probe::{Outcome, Probe, Trials, Wish};
use super::tiers::LineTier;
use crate::units::Bitrate;

/// Nothing heard of anybody for this long is silence.
const SILENCE: Duration = Duration::from_millis(1_000);
/// What arrived is counted over a span within these.
const LEAST_SPAN: Duration = Duration::from_millis(200);
const MOST_SPAN: Duration = Duration::from_millis(500);
/// What is believed without a trial has arrived over this.
const PROOF_SPAN: Duration = Duration::from_millis(1_000);
/// A queue of more than this means that the bottleneck is busy throughout, seconds.
const BUSY: f64 = 0.010;
/// A queue of more than this and the time of a packet means in a trial that the line is filled, seconds.
const WAITS: f64 = 0.006;
/// A packet, bits.
const PACKET_BITS: f64 = 9_600.0;
/// What is believed of what arrived in a trial that filled the line.
const FULL_KEPT: f64 = 0.95;
/// What is believed of a rate that turned out too much, as long as nothing proves more.
const REFUTED_KEPT: f64 = 0.97;
/// How far one report moves what the queue is taken to be in calm times, seconds.
const MEDIAN_STEP: f64 = 0.000_15;
/// The most that it is taken to waver in calm times, seconds.
const NOISE_MOST: f64 = 0.015;
/// What it is taken to waver until that was seen, seconds.
const NOISE_AT_FIRST: f64 = 0.010;
/// For how long and a round trip a queue may be what a trial left.
const AFTERMATH: Duration = Duration::from_millis(200);
/// How long the line must be without a queue before one member's is its own.
const CALM: Duration = Duration::from_millis(400);
/// Whose reports are this old speak of the queue, and where there are none, these.
const HEARD_JUST_NOW: Duration = Duration::from_millis(150);
const HEARD_OF_LATE: Duration = Duration::from_millis(600);
/// How long a member must be there before it says alone that nothing waits, where others say that something does.
const SETTLED: Duration = Duration::from_secs(3);
/// Receiver reports older than this say nothing any more.
const REPORT_HOLDS: Duration = Duration::from_secs(12);

/// What the allocation has made of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineDemand {
    /// What all that is allocated on the line takes.
    pub allocated: Bitrate,
    /// What all would take with the next step up; `None` = nobody wants more.
    pub next: Option<Bitrate>,
    /// What all would take if everybody got the best there is: nothing beyond it is tried.
    pub wanted: Bitrate,
}

/// What is known of a line, to be counted and shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineState {
    /// What it is believed to carry.
    pub estimate: Bitrate,
    /// What arrives of late.
    pub arrived: Bitrate,
    /// How long its packets wait.
    pub queue: Duration,
    /// The part that is lost, 0 to 1.
    pub loss: f32,
    /// The part of that which it loses anyway.
    pub loss_floor: f32,
    /// How things stand.
    pub phase: Phase,
    /// Whether it is cut at present.
    pub overused: bool,
    /// Whether a trial is under way.
    pub probing: bool,
    /// How many were heard of late.
    pub heard: usize,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    tier: LineTier,
    members: Vec<Member>,
    estimate: Estimate,
    trials: Trials,
    queue: f64,
    trend: Trend,
    /// What it is in calm times, and how much it wavers then.
    usual: f64,
    noise: f64,
    /// What was allocated at the last tick.
    spent: f64,
    busy_since: Option<Instant>,
    idle_since: Option<Instant>,
    heard: Option<Instant>,
}

impl Line {
    /// A line that nobody receives over yet.
    #[must_use]
    pub fn new(tier: LineTier, now: Instant) -> Self {
        let start = tier.most().map_or(tier.start, |most| most.min(tier.start));
        Self {
            tier,
            members: Vec::new(),
            estimate: Estimate::new(start.bps() as f64, now),
            trials: Trials::new(now),
            queue: 0.0,
            trend: Trend::default(),
            usual: 0.0,
            noise: NOISE_AT_FIRST,
            spent: 0.0,
            busy_since: None,
            idle_since: None,
            heard: None,
        }
    }

    /// `member` receives over it from now on.
    pub fn join(&mut self, member: usize, now: Instant) {
        self.leave(member);
        self.members.push(Member::new(member, now));
    }

    /// `member` doesn't any more.
    pub fn leave(&mut self, member: usize) {
        self.members.retain(|known| known.id != member);
    }

    /// What became of packets to `member`.
    pub fn feedback(&mut self, member: usize, acknowledged: &[Acknowledged], now: Instant) {
        let queued = self.queue_by_others(member, now);
        let forget = self.estimate.phase() != Phase::Competing;
        let returns = self.is_silent(now);
        let Some(known) = self.members.iter_mut().find(|known| known.id == member) else { return };
        known.feedback(acknowledged, queued, forget, now);
        let first = acknowledged.iter().filter(|packet| packet.received.is_some()).map(|packet| packet.sent).min();
        let Some(first) = first else { return };
        self.heard = Some(now);
        if returns {
            for known in &mut self.members {
                known.loss.forget(first, now);
            }
        }
        self.estimate.heard(now);
        self.look(now);
    }

    /// What a receiver report of `member` said; it decides only where transport-wide feedback is missing.
    pub fn reception(&mut self, member: usize, fraction_lost: f32, round_trip: Option<Duration>, now: Instant) {
        let Some(known) = self.members.iter_mut().find(|known| known.id == member) else { return };
        known.reception(f64::from(fraction_lost).clamp(0.0, 1.0), round_trip, now);
        if known.heard().is_none() && self.heard.is_none() {
            self.go_by_reports(now);
        }
    }

    /// What `member` itself says it can take; it decides only where transport-wide feedback is missing.
    pub fn remb(&mut self, member: usize, rate: Bitrate, now: Instant) {
        if let Some(known) = self.members.iter_mut().find(|known| known.id == member) {
            known.remb(rate.bps() as f64, now);
        }
    }

    /// To be called every 10 to 100 ms. Says whether a trial begins; while one is under way, [`Line::probe`] says how
    /// much padding it takes.
    pub fn tick(&mut self, demand: LineDemand, now: Instant) -> Option<Probe> {
        if self.is_silent(now) {
            self.trials.drop_trial(now);
            self.estimate.silent(self.floor(), now);
        }
        self.spent = demand.allocated.bps() as f64;
        let next = demand.next?;
        if !self.may_try(next, now) {
            return None;
        }
        let member = self.member_to_try(now)?;
        let most = self.tier.most().map_or(f64::MAX, |most| most.bps() as f64);
        let media = self.media(now);
        let wish = Wish { next: next.bps() as f64, wanted: demand.wanted.max(next).bps() as f64, most };
        self.trials.begin(member, wish, self.estimate.rate(), media, now);
        self.estimate.rises(now);
        self.trials.probe(media, now)
    }

    /// The padding that the trial under way takes now; `None` = no padding any more, at once.
    #[must_use]
    pub fn probe(&self, now: Instant) -> Option<Probe> {
        self.trials.probe(self.media(now), now)
    }

    /// What may be spent: what is measured, within the tier's share.
    #[must_use]
    pub fn budget(&self) -> Bitrate {
        let measured = self.capacity();
        self.tier.most().map_or(measured, |most| measured.min(most))
    }

    /// What the line is believed to carry: the pace of all members together.
    #[must_use]
    pub fn capacity(&self) -> Bitrate {
        Bitrate::from_bps(self.estimate.rate().max(0.0) as u64)
    }

    /// What `member` itself can take; `None` = whatever the line carries.
    #[must_use]
    pub fn member_cap(&self, member: usize, now: Instant) -> Option<Bitrate> {
        self.members.iter().find(|known| known.id == member)?.cap(now)
    }

    /// What is known, to be counted and shown.
    #[must_use]
    pub fn state(&self, now: Instant) -> LineState {
        let phase = self.estimate.phase();
        LineState {
            estimate: self.capacity(),
            arrived: Bitrate::from_bps(self.arrived(MOST_SPAN, now) as u64),
            queue: Duration::from_secs_f64(self.queue.max(0.0)),
            loss: self.loss(now).0 as f32,
            loss_floor: self.estimate.loss_floor() as f32,
            phase,
            overused: !matches!(phase, Phase::Open),
            probing: self.trials.is_under_way(),
            heard: self.fresh(now).count(),
        }
    }

    /// Looks at all members together and concludes.
    fn look(&mut self, now: Instant) {
        self.queue = self.shared_queue(None, now).unwrap_or(0.0);
        self.trend.point(now, (self.queue * 1e6) as i64);
        self.busy_since = if self.queue > BUSY + self.noise { self.busy_since.or(Some(now)) } else { None };
        self.idle_since = if self.busy_since.is_some() { None } else { self.idle_since.or(Some(now)) };
        if self.estimate.phase() == Phase::Open && !self.trials.is_under_way() {
            // Towards the median, which a queue that comes and goes hardly moves.
            self.usual = (self.usual + MEDIAN_STEP.copysign(self.queue - self.usual)).clamp(0.0, 2.0 * NOISE_MOST);
            let wavers = (self.queue - self.usual).abs().min(NOISE_MOST);
            self.noise += (wavers - self.noise) * if wavers > self.noise { 0.01 } else { 0.03 };
        }
        let view = self.view(now);
        self.look_at_trial(&view, now);
        let before = self.estimate.phase();
        let finding = self.estimate.observe(&view, now);
        match finding {
            Finding::Overuse => {
                if before == Phase::Open {
                    self.trials.refute(self.spent, now);
                }
                self.trials.fail(now);
            }
            Finding::FalseAlarm(queue) => {
                self.noise = self.noise.max((queue - self.usual).clamp(0.0, NOISE_MOST));
                self.trials.acquit(now);
            }
            Finding::LongerWay => self.members.iter_mut().for_each(|member| member.delay.rebase()),
            Finding::Nothing => {}
        }
        let after = self.estimate.phase();
        if before != after && after == Phase::Open {
            // What was lost while the queue was full says nothing of what is sent now.
            self.members.iter_mut().for_each(|member| member.loss.forget(now, now));
            if matches!(before, Phase::Competing | Phase::Returning) {
                self.trials.afresh(now);
            }
        }
        if after == Phase::Open {
            self.trials.carried(self.estimate.rate(), now);
        }
        if let Some(refuted) = self.trials.refuted(now).filter(|rate| self.estimate.rate() > rate * REFUTED_KEPT) {
            self.estimate.follow(refuted * REFUTED_KEPT);
        }
        self.judge_members(now);
    }

    fn look_at_trial(&mut self, view: &View, now: Instant) {
        let packets = PACKET_BITS / self.estimate.rate().max(PACKET_BITS);
        let full = view.queue > self.usual + WAITS + packets + self.noise * 3.0;
        let arrived = self.arrived(MOST_SPAN, now);
        let round_trip = self.round_trip(now);
        match self.trials.observe(arrived, full.then_some(view.arrived.min(arrived)), round_trip, now) {
            Some(Outcome::Carried(rate) | Outcome::Unclear(rate)) => self.estimate.proved(rate, now),
            Some(Outcome::Full(rate)) => self.estimate.proved(rate * FULL_KEPT, now),
            None => {}
        }
    }

    fn judge_members(&mut self, now: Instant) {
        if self.fresh(now).count() < 2 {
            return;
        }
        let (queue, rate) = (self.queue, self.estimate.rate());
        let calm = self.idle_since.is_some_and(|since| now.saturating_duration_since(since) > CALM);
        let tried = self.trials.probe(0.0, now).map(|probe| probe.member);
        let mut dropped = false;
        for member in self.members.iter_mut().filter(|member| member.is_fresh(now)) {
            dropped |= member.judge(queue, rate, calm, now) && Some(member.id) == tried;
        }
        if dropped {
            self.trials.drop_trial(now);
        }
    }

    fn view(&self, now: Instant) -> View {
        let busy = self.busy_since.map_or(MOST_SPAN, |since| now.saturating_duration_since(since));
        View {
            queue: self.queue,
            slope: self.trend.slope(),
            noise: self.noise + self.usual * 0.5,
            idle: self.idle_since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64()),
            arrived: self.arrived(busy.clamp(LEAST_SPAN, MOST_SPAN), now),
            busy: self.busy_since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64()),
            arrived_long: self.arrived(PROOF_SPAN, now),
            sent: self.fresh(now).map(|member| member.sent.rate(Duration::from_millis(300))).sum(),
            loss: self.loss(now),
            round_trip: self.round_trip(now).as_secs_f64(),
            trial: self.trials.is_under_way(),
            aftermath: self.trials.ended_within(self.round_trip(now).min(MOST_SPAN) + AFTERMATH, now),
            floor: self.floor(),
        }
    }

    fn fresh(&self, now: Instant) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.is_fresh(now))
    }

    fn arrived(&self, span: Duration, now: Instant) -> f64 {
        self.fresh(now).map(|member| member.arrived.rate(span)).sum()
    }

    fn media(&self, now: Instant) -> f64 {
        self.fresh(now).map(|member| member.media.rate(MOST_SPAN)).sum()
    }

    /// The least of what all wait: the rest, each waits on a way of its own.
    fn shared_queue(&self, but: Option<usize>, now: Instant) -> Option<f64> {
        let heard = |within| {
            let since = move |at| now.saturating_duration_since(at);
            self.members
                .iter()
                .filter(move |member| Some(member.id) != but && member.heard().is_some_and(|at| since(at) < within))
                .map(move |member| (since(member.joined()) >= SETTLED, member.queue_by_now(now)))
        };
        // Who reported last knows best: a member that waits long is told of late.
        [HEARD_JUST_NOW, HEARD_OF_LATE].into_iter().find_map(|within| {
            let settled = heard(within).filter(|(settled, _)| *settled).filter_map(|(_, queue)| queue).reduce(f64::min);
            settled.or_else(|| heard(within).filter_map(|(_, queue)| queue).reduce(f64::min))
        })
    }

    fn queue_by_others(&self, member: usize, now: Instant) -> Option<Duration> {
        self.shared_queue(Some(member), now).map(|queue| Duration::from_secs_f64(queue.max(0.0)))
    }

    /// The least loss of any member that was told enough of: what one loses more, it loses on a way of its own.
    fn loss(&self, now: Instant) -> (f64, f64) {
        let told = self.fresh(now).map(|member| member.loss.newest()).filter(|(_, packets)| *packets >= 30.0);
        let (mut lost, mut packets, mut least) = (0.0, 0.0, f64::MAX);
        for (fraction, of) in told {
            lost += fraction * of;
            packets += of;
            least = least.min(fraction + 2.0 * (fraction.max(0.01) / of).sqrt());
        }
        if packets > 0.0 { ((lost / packets).min(least), packets) } else { (0.0, 0.0) }
    }

    fn round_trip(&self, now: Instant) -> Duration {
        let round_trips = self.fresh(now).filter_map(|member| member.delay.round_trip());
        round_trips.max().unwrap_or(Duration::from_millis(200))
    }

    fn floor(&self) -> f64 {
        self.tier.floor.bps() as f64 * self.members.len() as f64
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.saturating_duration_since(heard) > SILENCE)
    }

    fn may_try(&self, next: Bitrate, now: Instant) -> bool {
        let calm = self.queue < Estimate::patience(0.0) * 0.7;
        next > self.budget()
            && self.tier.most().is_none_or(|most| next <= most)
            && self.estimate.phase() == Phase::Open
            && calm
            && self.trials.may_begin(now)
    }

    /// In turn, whoever isn't capped.
    fn member_to_try(&self, now: Instant) -> Option<usize> {
        let able = || self.fresh(now).filter(|member| member.cap(now).is_none()).map(|member| member.id);
        able().filter(|member| *member > self.trials.last_member()).min().or_else(|| able().min())
    }

    /// The loss-based rate of draft-ietf-rmcat-gcc-02 §6, and a cut where the round trip has grown.
    fn go_by_reports(&mut self, now: Instant) {
        let reports: Vec<_> = self
            .members
            .iter()
            .filter_map(|member| member.report)
            .filter(|report| now.saturating_duration_since(report.at) < REPORT_HOLDS)
            .collect();
        let lost = reports.iter().map(|report| report.lost).fold(f64::MAX, f64::min);
        let waits = reports.iter().filter_map(|report| Some(report.round_trip? - report.least_round_trip?)).min();
        let rate = self.estimate.rate();
        let most = self.tier.most().unwrap_or(self.tier.start).bps() as f64;
        if lost > 0.10 {
            self.estimate.follow((rate * (1.0 - 0.5 * lost)).max(self.floor().min(rate)));
        } else if waits.is_some_and(|waits| waits > Duration::from_millis(100)) {
            self.estimate.follow((rate * 0.85).max(self.floor().min(rate)));
        } else if lost < 0.02 {
            self.estimate.follow((rate * 1.05).min(most.max(rate)));
        }
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

    fn mbit(rate: u64) -> Bitrate {
        Bitrate::from_bps(rate * 1_000_000)
    }

    /// What a member sees of 1 Mbit/s that was sent in the 50 ms before `now`, queued for `queue` milliseconds.
    fn report(origin: Instant, now: Instant, queue: u64) -> Vec<Acknowledged> {
        let packet = |step: u32| {
            let sent = now - MS * (100 - step * 10) - Duration::from_millis(queue);
            let received = Some(sent.saturating_duration_since(origin) + MS * 20 + Duration::from_millis(queue));
            Acknowledged { sent, received, octets: 1250, kind: Kind::Media, late: false }
        };
        (0..5).map(packet).collect()
    }

    #[test]
    fn a_budget_is_within_the_share_of_the_tier() {
        let tier = LineTier { nominal: Some(mbit(4)), start: mbit(9), ..LineTier::default() };
        let line = Line::new(tier, start());
        assert!(line.budget() <= mbit(4).scaled(0.851), "{}", line.budget());
    }

    #[test]
    fn what_all_wait_for_cuts_the_line_and_what_one_waits_for_only_its_own() {
        for all in [true, false] {
            let origin = start();
            let mut line = Line::new(LineTier { start: mbit(3), ..LineTier::default() }, origin);
            (0..3).for_each(|member| line.join(member, origin));
            for turn in 2..160u32 {
                let now = origin + MS * 50 * turn;
                for member in 0..3 {
                    let queue = if turn > 80 && (all || member == 1) { u64::from(turn - 80) * 6 } else { 0 };
                    line.feedback(member, &report(origin, now, queue.min(200)), now);
                }
                line.tick(LineDemand::default(), now);
            }
            let now = origin + Duration::from_secs(8);
            assert_eq!(line.capacity() < mbit(3), all, "{}", line.capacity());
            assert_eq!(line.member_cap(1, now).is_some(), !all);
            assert_eq!(line.member_cap(0, now), None);
        }
    }

    #[test]
    fn a_starved_line_is_tried_again_and_again() {
        let origin = start();
        let floor = Bitrate::from_bps(100_000);
        let mut line = Line::new(LineTier { start: floor, ..LineTier::default() }, origin);
        line.join(7, origin);
        let demand = LineDemand { allocated: floor, next: Some(mbit(2)), wanted: mbit(4) };
        let mut trials = 0;
        for turn in 2..1200u32 {
            let now = origin + MS * 50 * turn;
            let waits = if line.probe(now).is_some() { 90 } else { 0 };
            line.feedback(7, &report(origin, now, waits), now);
            trials += u32::from(line.tick(demand, now).is_some());
        }
        assert!(trials >= 6, "{trials} trials in a minute");
    }

    #[test]
    fn reports_decide_where_nothing_else_does() {
        let mut now = start();
        let mut line = Line::new(LineTier { start: mbit(2), ..LineTier::default() }, now);
        line.join(1, now);
        for _ in 0..10 {
            now += Duration::from_secs(1);
            line.reception(1, 0.3, Some(MS * 50), now);
        }
        let cut = line.capacity();
        assert!(cut < mbit(1), "{cut}");
        for _ in 0..30 {
            now += Duration::from_secs(1);
            line.reception(1, 0.0, Some(MS * 50), now);
        }
        assert!(line.capacity() > cut);
        // What came, and half more: nothing was found to be too much.
        line.remb(1, mbit(2), now);
        line.remb(1, mbit(3), now);
        assert_eq!(line.member_cap(1, now), None);
        line.remb(1, mbit(1), now);
        assert_eq!(line.member_cap(1, now), Some(mbit(1)));
        line.remb(1, mbit(2), now + MS * 500);
        assert_eq!(line.member_cap(1, now + MS * 500), Some(mbit(2)));
        for second in 1..40 {
            line.remb(1, mbit(2), now + Duration::from_secs(second));
        }
        assert_eq!(line.member_cap(1, now + Duration::from_secs(39)), None, "it is tried again");
        line.remb(1, mbit(1), now);
        line.leave(1);
        assert_eq!(line.member_cap(1, now), None);
    }
}
