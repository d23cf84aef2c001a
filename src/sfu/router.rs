//! The table of who sends and who receives, and the path of a packet through it.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use slab::Slab;

use crate::adapt::Ladder;
use crate::id::{LessonId, ParticipantId, PublicationId};
use crate::rtp::packet_cache::{Entry, PacketCache, Rejected};
use crate::rtp::timeline::Timeline;
use crate::units::ServerClock;

use super::forwarding::{forward_pending, held, instant};
use super::input::{Inbound, LineKey, PublicationSpec, SubscriberSpec};
use super::lines::Line;
use super::output::{Forward, Output, Padding, SlotReport, SlotState};
use super::publication::Publication;
use super::subscription::{Replay, Slot};

/// Forwards decided before they are written: a few kilobytes of them.
const FORWARDS_AT_ONCE: usize = 128;

/// One receiving connection.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) spec: SubscriberSpec,
    /// Keys of its slots.
    pub(super) slots: Vec<usize>,
    pub(super) told: Vec<SlotState>,
}

/// What one lesson has on this worker.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    pub(super) publications: Vec<usize>,
    pub(super) subscribers: Vec<usize>,
    pub(super) stage: Vec<ParticipantId>,
}

/// The forwarding unit of one worker.
///
/// **Invariant**: a packet's cost grows with the number of its receivers only by [`Forward`]s; nothing is allocated for one.
#[derive(Debug)]
pub struct Router {
    pub(super) clock: ServerClock,
    pub(super) publications: Slab<Publication>,
    pub(super) by_id: HashMap<PublicationId, usize>,
    pub(super) subscribers: Slab<Subscriber>,
    pub(super) slots: Slab<Slot>,
    pub(super) lessons: HashMap<LessonId, Lesson>,
    pub(super) next_serial: u32,
    pub(super) with_pending: Vec<usize>,
    /// How many receivers of the last of them have been served.
    pub(super) flushed_receivers: usize,
    pub(super) forwards: Vec<Forward>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) changed: Vec<usize>,
    /// Slots whose replay goes on with the next flush, and those where it goes on with the next tick.
    pub(super) replays_due: Vec<usize>,
    pub(super) replays: Vec<usize>,
    pub(super) lines: HashMap<LineKey, Line>,
    /// Those that have to be shared anew.
    pub(super) stale_lines: Vec<LineKey>,
    /// Slots in which what flows has to end soon, and when.
    pub(super) yielding: Vec<(usize, Instant)>,
    /// The latest instant that was told.
    pub(super) latest: Option<Instant>,
    /// What there is to choose from for those who can't read any of it.
    pub(super) nothing: Ladder,
}

/// How much a router keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Publications, those of other workers included.
    pub publications: usize,
    /// Subscribers.
    pub subscribers: usize,
    /// Their slots: subscriptions that are or may be.
    pub slots: usize,
    /// Lessons with any of these.
    pub lessons: usize,
}

impl Router {
    /// An empty one. `clock` is what all media time is related to.
    #[must_use]
    pub fn new(clock: ServerClock) -> Self {
        Self {
            clock,
            publications: Slab::new(),
            by_id: HashMap::new(),
            subscribers: Slab::new(),
            slots: Slab::new(),
            lessons: HashMap::new(),
            next_serial: 0,
            with_pending: Vec::new(),
            flushed_receivers: 0,
            forwards: Vec::new(),
            outputs: VecDeque::new(),
            changed: Vec::new(),
            replays_due: Vec::new(),
            replays: Vec::new(),
            lines: HashMap::new(),
            stale_lines: Vec::new(),
            yielding: Vec::new(),
            latest: None,
            nothing: Ladder::default(),
        }
    }

    /// How much is kept now: back where it began when everybody has left.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept {
            publications: self.publications.len().max(self.by_id.len()),
            subscribers: self.subscribers.len(),
            slots: self.slots.len(),
            lessons: self.lessons.len(),
        }
    }

    /// A new publication; returns its key.
    pub fn add_publication(&mut self, spec: PublicationSpec, now: Instant) -> usize {
        let (id, lesson) = (spec.id, spec.lesson);
        self.next_serial = self.next_serial.wrapping_add(1);
        let key = self.publications.insert(Publication::new(spec, self.next_serial, self.clock, now));
        self.by_id.insert(id, key);
        self.lessons.entry(lesson).or_default().publications.push(key);
        self.tell_publication(key, now);
        self.latest = Some(now);
        self.assign(lesson);
        self.settle();
        key
    }

    /// The publication is over; its slots go to others or pause.
    pub fn remove_publication(&mut self, key: usize) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        let lesson = publication.spec.lesson;
        for slot in std::mem::take(&mut publication.receivers) {
            self.detach(slot);
        }
        // Its key may soon be another's.
        self.forwards.retain(|forward| forward.source.publication as usize != key);
        let publication = self.publications.remove(key);
        self.by_id.remove(&publication.spec.id);
        self.with_pending.retain(|&pending| pending != key);
        if let Some(entry) = self.lessons.get_mut(&lesson) {
            entry.publications.retain(|&other| other != key);
        }
        self.assign(lesson);
        self.settle();
        self.forget_if_empty(lesson);
    }

    /// The key of a publication.
    #[must_use]
    pub fn publication(&self, id: PublicationId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// What a publication was added as.
    #[must_use]
    pub fn spec(&self, key: usize) -> Option<&PublicationSpec> {
        self.publications.get(key).map(|publication| &publication.spec)
    }

    /// All publications of `lesson`.
    pub fn publications_of(&self, lesson: LessonId) -> impl Iterator<Item = usize> + '_ {
        self.lessons.get(&lesson).into_iter().flat_map(|lesson| lesson.publications.iter().copied())
    }

    /// Takes one packet of an encoding. It leaves with the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`Rejected`] for what can't or must not be forwarded.
    pub fn ingest(&mut self, key: usize, layer: u8, packet: &Inbound<'_>, now: Instant) -> Result<(), Rejected> {
        let Some(publication) = self.publications.get_mut(key) else { return Ok(()) };
        let before = publication.codec();
        let changed = publication.ingest(layer, packet, now)?;
        if !self.with_pending.contains(&key) {
            self.with_pending.push(key);
        }
        if changed {
            publication.measure(now);
            let (lesson, other_codec) = (publication.spec.lesson, publication.codec() != before);
            self.tell_publication(key, now);
            self.latest = Some(now);
            self.touch_receivers(key);
            if other_codec {
                self.assign(lesson);
            }
            self.settle();
        }
        Ok(())
    }

    /// A sender report told that `timestamp` of this encoding is `unix_nanos` on the server's clock.
    pub fn anchor(&mut self, key: usize, layer: u8, timestamp: u32, unix_nanos: i64) {
        if let Some(publication) = self.publications.get_mut(key) {
            publication.anchor(layer, timestamp, unix_nanos);
        }
    }

    /// What sender reports told of each encoding: its number, a media time, and the same instant on the server's clock.
    pub fn anchors(&self, key: usize) -> impl Iterator<Item = (u8, u32, i64)> + '_ {
        let layers = self.publications.get(key).map(|publication| &publication.layers[..]).unwrap_or_default();
        layers.iter().zip(0..).filter_map(|(layer, number)| {
            let timeline = layer.timeline.filter(Timeline::is_reported)?;
            Some((number, layer.latest_timestamp, timeline.unix_nanos(layer.latest_timestamp)))
        })
    }

    /// The publisher began the stream of this encoding anew.
    pub fn restart_layer(&mut self, key: usize, layer: u8) {
        let Some(publication) =
            self.publications.get(key).filter(|publication| publication.layers.len() > layer.into())
        else {
            return;
        };
        let source = publication.source(key, layer);
        for &slot in &publication.receivers {
            let slot = &mut self.slots[slot];
            let last = slot.last_in().filter(|&(last, _)| last == source);
            slot.freeze(last.and_then(|(source, timestamp)| instant(&self.publications, source, timestamp)));
        }
        self.publications[key].restart(layer);
        self.forwards.retain(|forward| (forward.source.publication as usize, forward.source.layer) != (key, layer));
        self.touch_receivers(key);
        self.settle();
    }

    /// A new subscriber; returns its key. What there is begins to flow at once.
    pub fn add_subscriber(&mut self, spec: SubscriberSpec) -> usize {
        let lesson = spec.lesson;
        let key = self.subscribers.vacant_key();
        let slots = spec.slots.iter().map(|slot| self.slots.insert(Slot::new(slot.clone(), key, &spec)));
        let slots = slots.collect();
        self.subscribers.insert(Subscriber { spec, slots, told: Vec::new() });
        self.lessons.entry(lesson).or_default().subscribers.push(key);
        self.changed.push(key);
        self.join_line(key);
        self.assign_one(key);
        self.settle();
        key
    }

    /// The subscriber is gone.
    pub fn remove_subscriber(&mut self, key: usize) {
        let Some(subscriber) = self.subscribers.try_remove(key) else { return };
        for &key in &subscriber.slots {
            let slot = self.slots.remove(key);
            if let Some(publication) = slot.publication().and_then(|key| self.publications.get_mut(key)) {
                publication.receivers.retain(|&receiver| receiver != key);
            }
        }
        let connection = subscriber.spec.connection as u32;
        self.changed.retain(|&changed| changed != key);
        // What was decided for it must not reach whoever gets its connection's key next.
        self.forwards.retain(|forward| forward.connection != connection);
        self.replays_due.retain(|replaying| !subscriber.slots.contains(replaying));
        self.replays.retain(|replaying| !subscriber.slots.contains(replaying));
        if let Some(lesson) = self.lessons.get_mut(&subscriber.spec.lesson) {
            lesson.subscribers.retain(|&other| other != key);
        }
        self.yielding.retain(|(slot, _)| !subscriber.slots.contains(slot));
        self.leave_line(key, subscriber.spec.line);
        self.settle();
        self.forget_if_empty(subscriber.spec.lesson);
    }

    /// Whether anybody here receives `lesson`.
    #[must_use]
    pub fn has_subscribers(&self, lesson: LessonId) -> bool {
        self.lessons.get(&lesson).is_some_and(|lesson| !lesson.subscribers.is_empty())
    }

    /// Who is on stage, in the order of the stage slots.
    pub fn set_stage(&mut self, lesson: LessonId, stage: Vec<ParticipantId>) {
        self.lessons.entry(lesson).or_default().stage = stage;
        self.assign(lesson);
        self.settle();
        self.forget_if_empty(lesson);
    }

    /// A receiver misses packets of this stream: they are sent again as far as they are held.
    pub fn nack(&mut self, subscriber: usize, ssrc: u32, sequence_numbers: &[u16], now: Instant) {
        let Some(slot) = self.slot_of(subscriber, ssrc) else { return };
        let (slot, publications) = (&mut self.slots[slot], &self.publications);
        for &sequence in sequence_numbers {
            let entry_of = |source, sequence| held(publications, source, sequence);
            self.forwards.extend(slot.retransmit(sequence, now, entry_of));
        }
    }

    /// A receiver can't decode this stream without a keyframe.
    pub fn keyframe_request(&mut self, subscriber: usize, ssrc: u32) {
        let Some(slot) = self.slot_of(subscriber, ssrc) else { return };
        // On a line that is short of room a keyframe is on its way for a while. Another behind it would only make that longer.
        if !(self.is_short(subscriber) && self.slots[slot].was_served_lately(self.latest)) {
            self.want_keyframe_in(slot);
        }
    }

    /// What flows in a slot needs a keyframe.
    fn want_keyframe_in(&mut self, slot: usize) {
        let slot = &self.slots[slot];
        if let (Some(publication), Some(source)) = (slot.publication(), slot.current()) {
            self.want_keyframe(publication, source.layer);
        }
    }

    /// Whether a subscriber's line has no room for something that it wants.
    fn is_short(&self, subscriber: usize) -> bool {
        let slots = self.subscribers.get(subscriber).map(|subscriber| &subscriber.slots[..]).unwrap_or_default();
        slots.iter().any(|&slot| self.slots[slot].decided().is_some_and(|decided| decided.reason.is_of_line()))
    }

    /// Packets of a subscriber's stream were let go on their way out: it needs a keyframe, and nothing before that again.
    pub fn let_go(&mut self, subscriber: usize, ssrc: u32) {
        if let Some(slot) = self.slot_of(subscriber, ssrc) {
            self.slots[slot].let_go();
            self.want_keyframe_in(slot);
        }
    }

    /// The key of a subscriber's slot with this stream.
    fn slot_of(&self, subscriber: usize, ssrc: u32) -> Option<usize> {
        let mut slots = self.subscribers.get(subscriber)?.slots.iter().copied();
        slots.find(|&slot| self.slots[slot].spec().ssrc == ssrc)
    }

    /// Somebody needs a keyframe of this encoding.
    pub fn want_keyframe(&mut self, publication: usize, layer: u8) {
        let publication = self.publications.get_mut(publication);
        if let Some(layer) = publication.and_then(|publication| publication.layers.get_mut(usize::from(layer))) {
            layer.keyframes.want();
        }
    }

    /// Decides where the packets go that came since the last flush, for some receivers at a time, so that what is decided
    /// is still in the processor's cache when it is written. To be called until it returns false; each time
    /// [`forwards`](Self::forwards) are to be written and then [`sent`](Self::sent).
    pub fn flush(&mut self) -> bool {
        while self.forwards.len() < FORWARDS_AT_ONCE {
            if let Some(&key) = self.with_pending.last() {
                self.flush_next(key);
            } else if let Some(slot) = self.replays_due.pop() {
                self.replay(slot);
            } else {
                break;
            }
        }
        !self.forwards.is_empty()
    }

    /// Decides for the next receiver of what came of a publication.
    fn flush_next(&mut self, key: usize) {
        let Some(publication) = self.publications.get_mut(key) else {
            self.with_pending.pop();
            return;
        };
        if self.flushed_receivers == 0 {
            for layer in &mut publication.layers {
                layer.cache.even_out(&layer.pending);
            }
        }
        let next = publication.receivers.get(self.flushed_receivers).copied();
        self.flushed_receivers += 1;
        match next {
            Some(slot) => self.forward_to(key, slot),
            None => {
                for layer in &mut publication.layers {
                    layer.pending.clear();
                }
                self.with_pending.pop();
                self.flushed_receivers = 0;
            }
        }
    }

    fn forward_to(&mut self, key: usize, slot: usize) {
        let (slot, publication) = (&mut self.slots[slot], &self.publications[key]);
        if forward_pending(slot, key, publication, &self.publications, self.latest, &mut self.forwards) {
            self.changed.push(slot.subscriber());
        }
    }

    /// Sends replays on and asks for keyframes. To be called every ten milliseconds or so.
    pub fn tick(&mut self, now: Instant) {
        self.latest = Some(now);
        self.end_yields(now);
        self.replays_due.append(&mut self.replays);
        for (key, publication) in &mut self.publications {
            let Publication { layers, receivers, .. } = publication;
            for (layer, number) in layers.iter_mut().zip(0..).filter(|(layer, _)| layer.flows(now)) {
                let waits = |&slot: &usize| self.slots[slot].waits_for(number);
                if layer.keyframes.overdue(now) && receivers.iter().any(waits) {
                    layer.keyframes.want();
                }
                if layer.keyframes.due(now) {
                    self.outputs.push_back(Output::KeyframeRequest { publication: key, layer: number });
                }
            }
        }
    }

    /// Measures what flows and decides anew where that changed. To be called every hundred milliseconds or so.
    pub fn measure(&mut self, now: Instant) {
        let metered: Vec<(usize, (bool, bool))> =
            self.publications.iter_mut().map(|(key, publication)| (key, publication.meter(now))).collect();
        for (key, (new_rates, changed)) in metered {
            if new_rates || changed {
                self.tell_publication(key, now);
                self.rates_changed(key);
            }
            if changed {
                self.touch_receivers(key);
            }
        }
        self.latest = Some(now);
        self.settle();
    }

    /// What was decided to send, in the order of sending; the list is emptied by [`sent`](Self::sent).
    #[must_use]
    pub fn forwards(&self) -> &[Forward] {
        &self.forwards
    }

    /// All forwards were written.
    pub fn sent(&mut self) {
        self.forwards.clear();
    }

    /// The packet of a forward, with the cache that holds it. `None` if the ring has gone over it since, or its publication is over.
    #[must_use]
    pub fn packet(&self, forward: &Forward) -> Option<(&PacketCache, &Entry)> {
        let layer = self.publications.get(forward.source.publication as usize)?.layer(forward.source)?;
        Some((&layer.cache, layer.cache.get(forward.packet)?))
    }

    /// The next padding for a subscriber. `None` where it negotiated no retransmission.
    pub fn padding(&mut self, subscriber: usize) -> Option<Padding> {
        let mut slots = self.subscribers.get(subscriber)?.slots.iter().copied();
        slots.find_map(|slot| self.slots[slot].padding())
    }

    /// What a sender report of each flowing slot says now.
    pub fn reports(&self, subscriber: usize) -> impl Iterator<Item = SlotReport> + '_ {
        let slots = self.subscribers.get(subscriber).map(|subscriber| &subscriber.slots[..]).unwrap_or_default();
        let slots = slots.iter().map(|&slot| &self.slots[slot]);
        slots.filter_map(|slot| slot.report(self.publications.get(slot.publication()?)?))
    }

    /// What is to be done besides forwarding, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        while let Some(key) = self.changed.pop() {
            let Some(subscriber) = self.subscribers.get_mut(key) else { continue };
            let publications = &self.publications;
            let state = |slot: &Slot| slot.state(slot.publication().and_then(|key| publications.get(key)));
            let slots: Vec<SlotState> = subscriber.slots.iter().map(|&slot| state(&self.slots[slot])).collect();
            if slots != subscriber.told {
                subscriber.told.clone_from(&slots);
                let SubscriberSpec { lesson, participant, connection, .. } = subscriber.spec;
                self.outputs.push_back(Output::Slots { lesson, participant, connection, slots });
            }
        }
        self.outputs.pop_front()
    }

    fn tell_publication(&mut self, key: usize, now: Instant) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        let lesson = publication.spec.lesson;
        if let Some(report) = publication.news(now) {
            self.outputs.push_back(Output::Publication { publication: key, lesson, report });
        }
    }

    fn forget_if_empty(&mut self, lesson: LessonId) {
        let empty = |lesson: &Lesson| {
            lesson.publications.is_empty() && lesson.subscribers.is_empty() && lesson.stage.is_empty()
        };
        if self.lessons.get(&lesson).is_some_and(empty) {
            self.lessons.remove(&lesson);
        }
    }

    /// Sends a slot's replay on by one burst. Nothing may be pending: it would be sent twice.
    fn replay(&mut self, slot: usize) {
        let Some(sending) = self.slots.get_mut(slot) else { return };
        let (Some(replay), Some(source)) = (sending.replay(), sending.current()) else { return };
        let Some(publication) = self.publications.get(source.publication as usize) else { return };
        let cache = &publication.layers[usize::from(source.layer)].cache;
        let upto = replay.upto(cache.highest());
        for entry in (replay.next..upto).filter_map(|sequence| cache.get(sequence)) {
            self.forwards.extend(sending.forward(entry));
        }
        sending.set_replay(Replay::after(upto, cache.highest()));
        if sending.replay().is_some() {
            self.replays.push(slot);
        }
    }
}

#[cfg(test)]
mod tests;
