//! The one pure function that decides which encoding each slot of a line gets.
//!
//! GSO-Simulcast (SIGCOMM 2022) solves a knapsack over a whole meeting; here the steps have one order that every
//! teacher agrees with, so the line climbs them one after the other. A step is taken by all whose demand is equal or by
//! none of them: two classrooms side by side never differ without a reason of their own.

use std::collections::HashMap;

use super::demand::{Demand, Step};
use super::ladder::Rung;
use super::line::LineDemand;
use super::reason::Reason;
use crate::units::Bitrate;

/// A step up wants a little more than it takes, so that the next wavering doesn't take it back.
const MARGIN: f64 = 1.03;
/// Kept for each classroom whose slides don't fit: they come as still pictures then, and a camera mustn't take their place.
const SLIDE_PICTURES: Bitrate = Bitrate::from_bps(150_000);

/// What may be spent, now and lastingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// Now.
    pub now: Bitrate,
    /// What has lasted: steps up are taken on it only. See [`Dwell`](super::Dwell).
    pub lasting: Bitrate,
}

/// What a line offers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// What all members together may spend; `None` = whatever they want.
    pub line: Option<Means>,
    /// What the line was measured to carry, of which [`line`](Self::line) may be a share.
    pub estimate: Option<Bitrate>,
    /// What single members may spend, where their own last metre is narrower.
    pub members: HashMap<usize, Means>,
    /// The part of its packets that the line loses, 0 to 1.
    pub loss: f32,
    /// How many earlier voice packets each voice packet carries (RFC 2198).
    pub redundancy: u8,
}

/// What one slot gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocation {
    /// The encoding, in the publisher's order; `None` = nothing can be sent.
    pub layer: Option<u8>,
    /// Why this one.
    pub reason: Reason,
    /// What it takes of the line.
    pub rate: Bitrate,
}

/// What all slots of a line get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares {
    /// One for each demand, in their order.
    pub allocations: Vec<Allocation>,
    /// What they come to, and what the next step up would.
    pub demand: LineDemand,
    /// The same comes out for every budget from this on,
    pub from: Bitrate,
    /// and below this.
    pub until: Option<Bitrate>,
}

/// How far one demand has come.
struct Climber<'a> {
    demand: Demand<'a>,
    rungs: Vec<&'a Rung>,
    /// How many of its rungs it has climbed.
    climbed: usize,
    reason: Reason,
    /// Whether it goes no further.
    stopped: bool,
}

impl<'a> Climber<'a> {
    fn new(demand: Demand<'a>) -> Self {
        let (rungs, reason) = demand.wanted();
        Self { demand, rungs, climbed: 0, reason, stopped: false }
    }

    /// The rung after the one it stands on.
    fn next(&self) -> Option<&'a Rung> {
        self.rungs.get(self.climbed).copied().filter(|_| !self.stopped)
    }

    fn current(&self) -> Option<&'a Rung> {
        self.climbed.checked_sub(1).and_then(|at| self.rungs.get(at).copied())
    }

    fn next_step(&self) -> Option<Step> {
        self.next().map(|rung| self.demand.step(rung, self.climbed == 0))
    }

    /// What its next rung costs more than the one it stands on.
    fn climb_cost(&self, limits: &Limits) -> Bitrate {
        self.next().map_or(Bitrate::ZERO, |rung| self.cost(rung, limits).less(self.rate(limits)))
    }

    fn cost(&self, rung: &Rung, limits: &Limits) -> Bitrate {
        self.demand.cost(rung, limits.loss, limits.redundancy)
    }

    fn rate(&self, limits: &Limits) -> Bitrate {
        self.current().map_or(Bitrate::ZERO, |rung| self.cost(rung, limits))
    }

    /// Whether its next rung is more than it had before and was kept from: such a step has to wait until the room lasts.
    fn must_wait(&self) -> bool {
        if !self.demand.because.is_some_and(Reason::is_of_line) {
            return false;
        }
        let place = |layer: u8| self.demand.ladder.rank(layer);
        self.next().is_some_and(|next| self.demand.has.and_then(place) < place(next.layer))
    }

    /// What its next rung takes at its busiest, if that is more than it had before.
    fn surge(&self, limits: &Limits) -> Bitrate {
        let place = |layer: u8| self.demand.ladder.rank(layer);
        let rises = |rung: &&Rung| self.climbed > 0 && self.demand.has.and_then(place) < place(rung.layer);
        self.next().filter(rises).map_or(Bitrate::ZERO, |rung| self.demand.surge(rung, limits.loss))
    }

    fn stop(&mut self, reason: Reason) {
        (self.stopped, self.reason) = (true, reason);
    }
}

/// Decides for all slots of a line at once, in the order of `demands`.
///
/// Voices come first and are never refused. Then the steps are climbed in their order. When a better encoding doesn't fit,
/// no later step to a better one is taken either: a line that narrows gives up one thing after the other and gets nothing
/// back meanwhile. What there isn't room for at all keeps nothing else away: next to a camera of one heavy encoding the
/// slides still come.
#[must_use]
pub fn allocate<'a>(demands: impl IntoIterator<Item = Demand<'a>>, limits: &Limits) -> Shares {
    let mut line = Climb {
        climbers: demands.into_iter().map(Climber::new).collect(),
        limits,
        total: Bitrate::ZERO,
        needed: Bitrate::ZERO,
        of_member: HashMap::new(),
        kept: Bitrate::ZERO,
        barred: None,
        next: None,
        until: None,
    };
    while let Some((step, publication)) = line.lowest() {
        line.climb(step, publication);
    }
    line.conclude()
}

struct Climb<'a, 'l> {
    climbers: Vec<Climber<'a>>,
    limits: &'l Limits,
    total: Bitrate,
    /// The budget that all this takes.
    needed: Bitrate,
    of_member: HashMap<usize, Bitrate>,
    /// Kept free for what doesn't come over the line as video.
    kept: Bitrate,
    /// Why no more better encodings are given.
    barred: Option<Reason>,
    /// The least that any step that was refused costs.
    next: Option<Bitrate>,
    until: Option<Bitrate>,
}

impl Climb<'_, '_> {
    /// The step that is next for the line, and the publication that is cheapest to take it.
    fn lowest(&self) -> Option<(Step, usize)> {
        let step = self.climbers.iter().filter_map(Climber::next_step).min()?;
        let mut costs: Vec<(usize, Bitrate)> = Vec::new();
        for climber in self.climbers.iter().filter(|climber| climber.next_step() == Some(step)) {
            let cost = climber.climb_cost(self.limits);
            match costs.iter_mut().find(|(publication, _)| *publication == climber.demand.publication) {
                Some((_, sum)) => *sum = *sum + cost,
                None => costs.push((climber.demand.publication, cost)),
            }
        }
        costs
            .into_iter()
            .min_by_key(|&(publication, cost)| (cost, publication))
            .map(|(publication, _)| (step, publication))
    }

    /// All who want this step of this publication take it, or none.
    fn climb(&mut self, step: Step, publication: usize) {
        let limits = self.limits;
        let better = |climber: &Climber<'_>| climber.climbed > 0;
        let mut willing = Vec::new();
        for (at, climber) in self.climbers.iter_mut().enumerate() {
            if climber.next_step() != Some(step) || climber.demand.publication != publication {
                continue;
            }
            if let Some(reason) = self.barred.filter(|_| better(climber)) {
                climber.stop(reason);
                continue;
            }
            let member = climber.demand.member;
            let taken = self.of_member.get(&member).copied().unwrap_or_default() + climber.climb_cost(limits);
            let own = limits.members.get(&member).filter(|_| step != Step::Voice);
            match own.map(|own| fits(*own, taken, climber.must_wait())) {
                None | Some(Fit::Fits) => willing.push(at),
                Some(Fit::Waits | Fit::TooMuch) => climber.stop(Reason::Own),
            }
        }
        if willing.is_empty() {
            return;
        }
        let cost: Bitrate = willing.iter().map(|&at| self.climbers[at].climb_cost(limits)).sum();
        let needs = self.total + cost + self.kept;
        let waits = willing.iter().any(|&at| self.climbers[at].must_wait());
        let surge: Bitrate = willing.iter().map(|&at| self.climbers[at].surge(limits)).sum();
        let fit = match limits.line.filter(|_| step != Step::Voice) {
            Some(means) => fits(means, needs + surge, waits),
            None => Fit::Fits,
        };
        if fit == Fit::Fits {
            self.total = self.total + cost;
            if step != Step::Voice {
                self.needed = self.needed.max(needs + surge);
            }
            for at in willing {
                let climber = &mut self.climbers[at];
                let taken = self.of_member.entry(climber.demand.member).or_default();
                *taken = *taken + climber.climb_cost(limits);
                climber.climbed += 1;
            }
            return;
        }
        let needs = needs + surge;
        self.until = Some(self.until.map_or(needs, |until| until.min(needs)));
        let reason = match (fit, limits.estimate) {
            (Fit::Waits, _) => Reason::Waiting,
            (_, Some(estimate)) if needs <= estimate => Reason::Tier,
            _ => Reason::NoRoom,
        };
        // Where lessons may use no more of the line, nothing is won by knowing that it carries more; and what only has to
        // last comes by itself.
        let lasts = limits.line.is_some_and(|means| needs.scaled(MARGIN) <= means.now);
        if reason != Reason::Tier && !lasts {
            let cost = cost + surge;
            self.next = Some(self.next.map_or(cost, |next| next.min(cost)));
        }
        if step == Step::SlidesLow {
            self.kept = self.kept + SLIDE_PICTURES.scaled(willing.len() as f64);
        }
        if willing.iter().any(|&at| better(&self.climbers[at])) {
            self.barred = Some(reason);
        }
        willing.into_iter().for_each(|at| self.climbers[at].stop(reason));
    }

    fn conclude(self) -> Shares {
        let limits = self.limits;
        let allocation = |climber: &Climber<'_>| Allocation {
            layer: climber.current().map(|rung| rung.layer),
            reason: climber.reason,
            rate: climber.rate(limits),
        };
        let best = |climber: &Climber<'_>| climber.rungs.last().map(|rung| climber.cost(rung, limits));
        let wanted = self.climbers.iter().filter_map(best).sum::<Bitrate>().scaled(MARGIN);
        // Now and then a better encoding takes less, and what was reckoned with was more.
        let allocated: Bitrate = self.climbers.iter().map(|climber| climber.rate(limits)).sum();
        let next = self.next.map(|cost| self.total + self.kept + cost);
        Shares {
            allocations: self.climbers.iter().map(allocation).collect(),
            demand: LineDemand { allocated, next, wanted },
            from: self.needed,
            until: self.until,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Fits,
    /// There is room, but it has yet to last.
    Waits,
    TooMuch,
}

fn fits(means: Means, total: Bitrate, waits: bool) -> Fit {
    if total > means.now {
        Fit::TooMuch
    } else if waits && total.scaled(MARGIN) > means.lasting {
        Fit::Waits
    } else {
        Fit::Fits
    }
}

#[cfg(test)]
#[path = "allocate_tests.rs"]
mod tests;
