//! Subscribers by the line that they share: all that a line carries is decided at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::adapt::{Allocation, Content, Demand, Dwell, Limits, LineDemand, Means, allocate};
use crate::id::{LessonId, ParticipantId};
use crate::units::Bitrate;

use super::forwarding::gap_nanos;
use super::input::{LineKey, SlotKind, SlotSpec};
use super::output::{Decision, Output};
use super::router::Router;
use super::subscription::Decided;

/// A better encoding flows on for so long at most while a keyframe of the worse one is waited for. A line stands this much
/// too much for a moment, and a frozen picture is worse; encoders answer in a tenth of it.
const YIELDS_WITHIN: Duration = Duration::from_millis(500);
/// A group of pictures up to this size is replayed in place of waiting for a keyframe where the line is short of room.
const MAX_REPLAY_WHEN_SHORT: u64 = 24 * 1024;
/// Losses that differ by less change no decision.
const SAME_LOSS: f32 = 0.01;

/// What a line's members may spend.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Allotment {
    /// All together.
    pub budget: Bitrate,
    /// What the line was measured to carry, of which the budget may be a share.
    pub estimate: Bitrate,
    /// The part of its packets that the line loses, 0 to 1.
    pub loss: f32,
    /// How many earlier voice packets each voice packet carries (RFC 2198).
    pub redundancy: u8,
    /// Subscribers whose own last metre is narrower, by their keys, and what each may spend.
    pub caps: Vec<(usize, Bitrate)>,
}

/// One line.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Keys of its subscribers.
    members: Vec<usize>,
    /// `None` = they get whatever they want.
    allotment: Option<Allotment>,
    dwell: Dwell,
    /// Of members whose own last metre is narrower.
    own: HashMap<usize, Dwell>,
    demand: LineDemand,
    /// Budgets from the one on and below the other change nothing.
    steady: (Bitrate, Option<Bitrate>),
    stale: bool,
}

impl Line {
    fn limits(&self) -> Limits {
        let Some(allotment) = &self.allotment else { return Limits::default() };
        let means = |now: Bitrate, dwell: Option<&Dwell>| {
            let lasting = dwell.and_then(Dwell::held).map_or(now, |held| held.min(now));
            Means { now, lasting }
        };
        let of_member = |&(member, cap): &(usize, Bitrate)| (member, means(cap, self.own.get(&member)));
        Limits {
            line: Some(means(allotment.budget, Some(&self.dwell))),
            estimate: Some(allotment.estimate),
            members: allotment.caps.iter().map(of_member).collect(),
            loss: allotment.loss,
            redundancy: allotment.redundancy,
        }
    }

    /// Whether the same comes out with this allotment.
    fn is_steady(&self, next: &Allotment) -> bool {
        let Some(before) = &self.allotment else { return false };
        let (from, until) = self.steady;
        let alike = before.caps == next.caps
            && before.redundancy == next.redundancy
            && (before.loss - next.loss).abs() < SAME_LOSS;
        alike && next.budget >= from && until.is_none_or(|until| next.budget < until)
    }
}

impl Router {
    /// Says what the members of a line may spend together. To be called every hundred milliseconds or so, at once on a
    /// cut, and before the first subscriber of a line is added: until then its members get whatever they want.
    pub fn allot(&mut self, key: LineKey, allotment: Allotment, now: Instant) {
        self.latest = Some(now);
        let line = self.lines.entry(key).or_default();
        line.dwell.told(allotment.budget, now);
        line.own.retain(|member, _| allotment.caps.iter().any(|(capped, _)| capped == member));
        for &(member, cap) in &allotment.caps {
            line.own.entry(member).or_default().told(cap, now);
        }
        if line.is_steady(&allotment) {
            // What is refused by now may be so for another reason; that is told with the next decision.
            if let Some(kept) = &mut line.allotment {
                (kept.budget, kept.estimate) = (allotment.budget, allotment.estimate);
            }
            return;
        }
        line.allotment = Some(allotment);
        self.stale(key);
        self.settle();
    }

    /// What a line's members were allocated, and what the next step up takes.
    #[must_use]
    pub fn demand(&self, line: LineKey) -> LineDemand {
        self.lines.get(&line).map(|line| line.demand).unwrap_or_default()
    }

    /// The rate of all video that was decided for a subscriber, for whoever paces it. While a worse encoding is waited
    /// for, the better one still counts.
    #[must_use]
    pub fn allocated(&self, subscriber: usize) -> Bitrate {
        let slots = self.subscribers.get(subscriber).map(|subscriber| &subscriber.slots[..]).unwrap_or_default();
        let rate = |&slot: &usize| {
            let demand = self.demand_of(slot).filter(|demand| demand.content != Content::Voice)?;
            let flows = self.slots[slot].current().map(|source| source.layer);
            flows.into_iter().chain(demand.has).map(|layer| demand.rate(layer)).max()
        };
        slots.iter().filter_map(rate).sum()
    }

    /// Caps a slot of every connection of `participant` to so many places up the ladder.
    pub fn cap_layer(&mut self, lesson: LessonId, participant: ParticipantId, slot: (SlotKind, u8), cap: Option<u8>) {
        for slot in self.slots_of(lesson, participant, slot) {
            self.slots[slot].set_cap(cap);
            self.touch(slot);
        }
        self.settle();
    }

    /// A page shows a slot of every connection of `participant` with so many pixels: `Some(0)` = not at all, `None` =
    /// nobody knows.
    pub fn show(&mut self, lesson: LessonId, participant: ParticipantId, slot: (SlotKind, u8), pixels: Option<u32>) {
        for slot in self.slots_of(lesson, participant, slot) {
            self.slots[slot].set_shown(pixels);
            self.touch(slot);
        }
        self.settle();
    }

    /// The keys of a slot on all connections of `participant`.
    fn slots_of(&self, lesson: LessonId, participant: ParticipantId, (kind, index): (SlotKind, u8)) -> Vec<usize> {
        let subscribers = self.lessons.get(&lesson).map(|lesson| &lesson.subscribers[..]).unwrap_or_default();
        let subscribers = subscribers.iter().filter_map(|&key| self.subscribers.get(key));
        let its = subscribers.filter(|one| one.spec.participant == participant).flat_map(|one| &one.slots).copied();
        let is_it = |spec: &SlotSpec| (spec.kind, spec.index) == (kind, index);
        its.filter(|&slot| is_it(self.slots[slot].spec())).collect()
    }

    pub(super) fn join_line(&mut self, subscriber: usize) {
        let Some(line) = self.subscribers.get(subscriber).map(|subscriber| subscriber.spec.line) else { return };
        self.lines.entry(line).or_default().members.push(subscriber);
        self.stale(line);
    }

    pub(super) fn leave_line(&mut self, subscriber: usize, key: LineKey) {
        let Some(line) = self.lines.get_mut(&key) else { return };
        line.members.retain(|&member| member != subscriber);
        line.own.remove(&subscriber);
        if let Some(allotment) = &mut line.allotment {
            allotment.caps.retain(|&(member, _)| member != subscriber);
        }
        if line.members.is_empty() {
            self.lines.remove(&key);
        } else {
            self.stale(key);
        }
    }

    /// A slot has to be looked at anew, and with it its line.
    pub(super) fn touch(&mut self, slot: usize) {
        let receiver = &mut self.slots[slot];
        receiver.touch();
        let subscriber = receiver.subscriber();
        if let Some(line) = self.subscribers.get(subscriber).map(|subscriber| subscriber.spec.line) {
            self.stale(line);
        }
    }

    /// All who receive this have to be looked at anew.
    pub(super) fn touch_receivers(&mut self, publication: usize) {
        for at in 0..self.publications[publication].receivers.len() {
            self.touch(self.publications[publication].receivers[at]);
        }
    }

    /// Rates have changed: lines that are short of room may have to be shared anew.
    pub(super) fn rates_changed(&mut self, publication: usize) {
        let receivers = &self.publications[publication].receivers;
        let subscribers = receivers.iter().map(|&slot| self.slots[slot].subscriber());
        let lines = subscribers.filter_map(|key| self.subscribers.get(key)).map(|subscriber| subscriber.spec.line);
        let short = |key: &LineKey| self.lines.get(key).is_some_and(|line| line.allotment.is_some() && !line.stale);
        for key in lines.filter(short).collect::<Vec<_>>() {
            self.stale(key);
        }
    }

    fn stale(&mut self, key: LineKey) {
        if let Some(line) = self.lines.get_mut(&key).filter(|line| !line.stale) {
            line.stale = true;
            self.stale_lines.push(key);
        }
    }

    /// Decides anew for every line of which something has changed.
    pub(super) fn settle(&mut self) {
        while let Some(key) = self.stale_lines.pop() {
            self.share(key);
        }
    }

    /// What a slot wants of its line. `None` while no publication is mapped to it.
    fn demand_of(&self, key: usize) -> Option<Demand<'_>> {
        let slot = &self.slots[key];
        let publication = slot.publication()?;
        let offered = self.publications.get(publication)?;
        let decided = slot.decided();
        Some(Demand {
            member: slot.subscriber(),
            content: content(slot.spec().kind),
            publication,
            ladder: if slot.plays(offered.codec()) { &offered.ladder } else { &self.nothing },
            cap: slot.cap(),
            shown: slot.shown(),
            has: decided.and_then(|decided| decided.layer),
            because: decided.map(|decided| decided.reason),
        })
    }

    /// Shares a line between its members.
    fn share(&mut self, key: LineKey) {
        let Some(line) = self.lines.get_mut(&key) else { return };
        line.stale = false;
        let members = line.members.iter().filter_map(|&member| self.subscribers.get(member));
        let slots: Vec<usize> = members.flat_map(|member| member.slots.iter().copied()).collect();
        let line = &self.lines[&key];
        let limits = line.limits();
        let occupied: Vec<usize> = slots.into_iter().filter(|&slot| self.slots[slot].publication().is_some()).collect();
        let shares = allocate(occupied.iter().filter_map(|&slot| self.demand_of(slot)), &limits);
        // What flows at present is far more than the line carries: waiting for keyframes would drown the voice.
        let floods = limits.line.is_some_and(|means| line.demand.allocated > means.now + means.now);
        let members = line.members.len();
        let told = (limits.line.map(|means| means.now), limits.estimate, shares.demand.allocated, members);
        let (mut up, mut down) = (false, false);
        for (&slot, &allocation) in occupied.iter().zip(&shares.allocations) {
            let before = self.slots[slot].decided();
            if before.is_some_and(|before| before.layer == allocation.layer && before.reason == allocation.reason)
                && !self.slots[slot].is_touched()
            {
                continue;
            }
            let rank = self.ranks(slot);
            let (from, to) = (before.and_then(|before| rank(before.layer)), rank(allocation.layer));
            up |= to > from && before.is_some_and(|before| before.reason.is_of_line());
            down |= to < from && allocation.reason.is_of_line();
            self.tell_decision(slot, before, (from, to), allocation, told);
            self.retarget(slot, allocation, floods);
        }
        let Some(line) = self.lines.get_mut(&key) else { return };
        (line.demand, line.steady) = (shares.demand, (shares.from, shares.until));
        if let Some(now) = self.latest {
            if down {
                line.dwell.stepped_down(now);
            }
            if up {
                line.dwell.stepped_up(now);
            }
        }
    }

    /// Places of encodings on the ladder of what is in a slot.
    fn ranks(&self, slot: usize) -> impl Fn(Option<u8>) -> Option<u8> + use<> {
        let publication = self.slots[slot].publication().and_then(|key| self.publications.get(key));
        let order: Vec<u8> = publication.iter().flat_map(|one| one.ladder.rungs()).map(|rung| rung.layer).collect();
        move |layer| order.iter().position(|&known| Some(known) == layer).map(|rank| rank as u8)
    }

    fn tell_decision(
        &mut self,
        slot: usize,
        before: Option<Decided>,
        (from, to): (Option<u8>, Option<u8>),
        allocation: Allocation,
        (budget, estimate, allocated, members): (Option<Bitrate>, Option<Bitrate>, Bitrate, usize),
    ) {
        // Why nothing flows is worth telling too; why the same flows on isn't.
        let other_lack = to.is_none() && before.is_some_and(|before| before.reason != allocation.reason);
        if from == to && !other_lack {
            return;
        }
        let receiver = &self.slots[slot];
        let Some(publication) = receiver.publication().and_then(|key| self.publications.get(key)) else { return };
        let Some(subscriber) = self.subscribers.get(receiver.subscriber()) else { return };
        let decision = Decision {
            slot: receiver.spec().kind,
            index: receiver.spec().index,
            publication: publication.spec.id,
            from,
            to,
            reason: allocation.reason,
            budget,
            estimate,
            allocated,
            members,
        };
        let (lesson, participant) = (subscriber.spec.lesson, subscriber.spec.participant);
        let connection = subscriber.spec.connection;
        self.outputs.push_back(Output::Decided { lesson, participant, connection, decision });
    }

    /// Brings a slot in line with what was decided for it. Where the line `floods`, nothing better flows until the worse begins.
    fn retarget(&mut self, slot: usize, allocation: Allocation, floods: bool) {
        let receiver = &mut self.slots[slot];
        let Some(key) = receiver.publication() else { return };
        let publication = &self.publications[key];
        let was_short = receiver.decided().is_some_and(|before| before.reason.is_of_line());
        receiver.retarget(publication, allocation);
        self.changed.push(receiver.subscriber());
        let Some(target) = receiver.awaited() else { return };
        let short = allocation.reason.is_of_line();
        let yields = receiver
            .current()
            .is_some_and(|flows| short && publication.ladder.rank(flows.layer) > publication.ladder.rank(target));
        if yields && floods {
            receiver.interrupt();
        } else if let Some(now) = self.latest.filter(|_| yields) {
            self.yielding.push((slot, now + YIELDS_WITHIN));
        }
        let most = if short || was_short { MAX_REPLAY_WHEN_SHORT } else { u64::MAX };
        let layer = &publication.layers[usize::from(target)];
        let group = layer.replayable(most).filter(|_| receiver.current().is_none());
        let first = group.and_then(|group| layer.cache.get(group.sequence));
        if let Some(entry) = first {
            let source = publication.source(key, target);
            let gap = gap_nanos(receiver, &self.publications, source, layer.latest_timestamp);
            receiver.begin(source, entry, publication, gap, true);
            self.replays_due.push(slot);
        } else {
            self.want_keyframe(key, target);
        }
    }

    /// Ends what still flows above what the line has room for.
    pub(super) fn end_yields(&mut self, now: Instant) {
        let Self { yielding, slots, changed, .. } = self;
        yielding.retain(|&(slot, until)| {
            let Some(receiver) = slots.get_mut(slot).filter(|slot| slot.awaited().is_some()) else { return false };
            if now < until {
                return receiver.current().is_some();
            }
            receiver.interrupt();
            changed.push(receiver.subscriber());
            false
        });
    }
}

const fn content(kind: SlotKind) -> Content {
    match kind {
        SlotKind::Voice => Content::Voice,
        SlotKind::Slides => Content::Slides,
        SlotKind::Camera => Content::Camera,
        SlotKind::Stage => Content::Stage,
    }
}
