//! One track to one subscriber: a slot, what flows in it, and how its packets are numbered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::adapt::{Allocation, Reason, Urgency};
use crate::rtp::codec::Codec;
use crate::rtp::packet_cache::Entry;
use crate::rtp::red::MAX_GENERATIONS;
use crate::rtp::rewrite::{Mapped, Rewriter, Start};

use super::input::{SlotCodec, SlotKind, SlotSpec, SubscriberSpec};
use super::output::{Forward, Padding, Paused, Redundancy, SlotReport, SlotState};
use super::publication::{Publication, Source};

/// A replay sends so many packets at once, and with each tick so many more than came since: a burst never fills a school's
/// queue, and it catches up with any source.
const REPLAY_BURST: u64 = 6;
/// A packet that was asked for twice within this time is retransmitted once: the second request crossed it on its way.
const RETRANSMISSION_GRACE: Duration = Duration::from_millis(20);
/// A keyframe takes up to this long to its receiver, with what is sent again of it.
const KEYFRAME_UNDER_WAY: Duration = Duration::from_millis(1_500);
/// So many retransmissions are remembered for that.
const RECENT: usize = 32;

/// How far a replay is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replay {
    /// The next packet. What came before it was sent, so far as it came.
    pub(super) next: u64,
    /// Where the source was when the replay last went on.
    highest: u64,
}

impl Replay {
    /// The packet before which the replay pauses, when the source is at `highest`.
    pub(super) fn upto(&self, highest: u64) -> u64 {
        (highest + 1).min(self.next + REPLAY_BURST + (highest - self.highest))
    }

    /// The replay after it went up to `next`, if anything is left.
    pub(super) fn after(next: u64, highest: u64) -> Option<Self> {
        (next <= highest).then_some(Self { next, highest })
    }
}

/// What was decided for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) layer: Option<u8>,
    pub(super) reason: Reason,
}

/// One m-line of a subscriber.
///
/// What a packet in order touches fits two lines of the processor's cache: thousands of slots are walked over for every
/// picture, and waiting for their memory was a tenth of what forwarding costs beside the sealing.
#[derive(Debug)]
#[repr(align(64))]
pub struct Slot {
    rewriter: Rewriter<Source>,
    rest: Box<Rest>,
    connection: u32,
    ssrc: u32,
    packets: u32,
    octets: u32,
    /// What the payload type was chosen for.
    sent: Option<Codec>,
    payload_type: u8,
    /// Whether packets that went before go again with each.
    redundant: bool,
    urgency: Urgency,
    /// Whether the rewriter's source flows.
    flows: bool,
    replays: bool,
    target: Option<u8>,
}

const _: () = assert!(size_of::<Slot>() <= 128, "a slot takes two cache lines");

/// What of a slot a packet in order has nothing to do with.
#[derive(Debug)]
struct Rest {
    spec: SlotSpec,
    subscriber: usize,
    publication: Option<usize>,
    cap: Option<u8>,
    /// So many packets of a voice go again with each, where the receiver reads redundancy.
    generations: u8,
    /// How, if they do.
    redundancy: Option<Redundancy>,
    /// With how many pixels the page shows it, where known.
    shown: Option<u32>,
    /// About what is mapped to it now.
    decided: Option<Decided>,
    /// Whether something has changed that has to be looked at whatever is decided.
    touched: bool,
    /// How far the replay is, while there is one.
    replay: Option<Replay>,
    paused: Option<Paused>,
    rtx_next: u64,
    recent: VecDeque<(u64, Instant)>,
    /// When a keyframe last left for it.
    keyframe_at: Option<Instant>,
    /// Nothing up to here is sent again: some of it never left, and a keyframe is on its way.
    let_go: Option<u64>,
    /// When, on the server's clock, the last packet of a source that is gone was made.
    frozen: Option<i64>,
}

impl Slot {
    pub(super) fn new(spec: SlotSpec, subscriber: usize, of: &SubscriberSpec) -> Self {
        let rewriter = Rewriter::new(spec.kind.media().clock_rate(), spec.first_sequence.0, spec.first_timestamp);
        let ssrc = spec.ssrc;
        let urgency = match spec.kind {
            SlotKind::Voice => Urgency::Voice,
            SlotKind::Slides => Urgency::Slides,
            SlotKind::Camera | SlotKind::Stage => Urgency::Camera,
        };
        let rest = Rest {
            rtx_next: u64::from(spec.first_sequence.1 & 0x7fff),
            spec,
            subscriber,
            publication: None,
            cap: None,
            generations: of.redundancy.min(MAX_GENERATIONS as u8),
            redundancy: None,
            shown: None,
            decided: None,
            touched: false,
            replay: None,
            paused: Some(Paused::NoSource),
            recent: VecDeque::new(),
            keyframe_at: None,
            let_go: None,
            frozen: None,
        };
        Self {
            rewriter,
            rest: Box::new(rest),
            connection: of.connection as u32,
            ssrc,
            packets: 0,
            octets: 0,
            sent: None,
            payload_type: 0,
            redundant: false,
            urgency,
            flows: false,
            replays: false,
            target: None,
        }
    }

    pub(super) fn spec(&self) -> &SlotSpec {
        &self.rest.spec
    }

    /// Key of the subscriber that it belongs to.
    pub(super) fn subscriber(&self) -> usize {
        self.rest.subscriber
    }

    /// Key of the publication that is mapped to it.
    pub(super) fn publication(&self) -> Option<usize> {
        self.rest.publication
    }

    pub(super) fn attach(&mut self, publication: usize) {
        self.rest.publication = Some(publication);
    }

    pub(super) fn cap(&self) -> Option<u8> {
        self.rest.cap
    }

    pub(super) fn set_cap(&mut self, cap: Option<u8>) {
        self.rest.cap = cap;
    }

    pub(super) fn shown(&self) -> Option<u32> {
        self.rest.shown
    }

    pub(super) fn set_shown(&mut self, pixels: Option<u32>) {
        self.rest.shown = pixels;
    }

    pub(super) fn decided(&self) -> Option<Decided> {
        self.rest.decided
    }

    pub(super) fn touch(&mut self) {
        self.rest.touched = true;
    }

    pub(super) fn is_touched(&self) -> bool {
        self.rest.touched
    }

    /// What flows ends, though what is to follow hasn't begun.
    pub(super) fn interrupt(&mut self) {
        self.stop();
        self.rest.paused = Some(Paused::WaitingForKeyframe);
    }

    /// What flows.
    pub(super) fn current(&self) -> Option<Source> {
        self.rewriter.source().filter(|_| self.flows)
    }

    /// How far the replay is; `None` when the slot is live.
    pub(super) fn replay(&self) -> Option<Replay> {
        if self.replays { self.rest.replay } else { None }
    }

    pub(super) fn set_replay(&mut self, replay: Option<Replay>) {
        self.replays = replay.is_some();
        self.rest.replay = replay;
    }

    /// Nothing flows any more.
    fn stop(&mut self) {
        self.flows = false;
        self.set_replay(None);
    }

    pub(super) fn state(&self, publication: Option<&Publication>) -> SlotState {
        SlotState {
            slot: self.spec().kind,
            index: self.spec().index,
            mid: self.spec().mid.clone(),
            publication: publication.map(|publication| publication.spec.id),
            layer: self
                .current()
                .zip(publication)
                .and_then(|(source, publication)| publication.ladder.rank(source.layer)),
            paused: self.rest.paused,
        }
    }

    /// What flowed last may be gone when the next source begins; its last packet was made at `last_nanos` of the server's clock.
    pub(super) fn freeze(&mut self, last_nanos: Option<i64>) {
        self.rest.frozen = last_nanos.or(self.rest.frozen);
    }

    /// Lets go of what flowed; see [`freeze`](Self::freeze).
    pub(super) fn detach(&mut self, last_nanos: Option<i64>) {
        self.freeze(last_nanos);
        self.stop();
        self.rest.publication = None;
        self.rest.decided = None;
        self.target = None;
        self.rest.paused = Some(Paused::NoSource);
    }

    /// Whether what is coded like this can be decoded here; what isn't known yet may be.
    pub(super) fn plays(&self, codec: Option<Codec>) -> bool {
        codec.is_none_or(|codec| self.way(codec).is_some())
    }

    /// How a codec is written here, if it can be.
    fn way(&self, sent: Codec) -> Option<SlotCodec> {
        // The nearest profile: the lowest that is enough.
        let able = self.rest.spec.codecs.iter().copied().filter(|able| able.codec.decodes(sent));
        able.min_by_key(|able| match able.codec {
            Codec::H264(profile) => Some(profile),
            _ => None,
        })
    }

    /// From now on what is coded like this flows.
    fn choose(&mut self, sent: Codec) {
        let way = self.way(sent);
        self.sent = Some(sent).filter(|_| way.is_some());
        let payload_type = way.map_or(0, |able| able.payload_type);
        let generations = self.rest.generations;
        let wrapped = self.way(Codec::Red).filter(|_| sent == Codec::Opus && way.is_some() && generations > 0);
        self.rest.redundancy = wrapped.map(|_| Redundancy { payload_type, generations, within: 0 });
        self.redundant = wrapped.is_some();
        self.payload_type = wrapped.map_or(payload_type, |red| red.payload_type);
    }

    /// Brings target and pause in line with what the publication offers and what was allocated.
    pub(super) fn retarget(&mut self, publication: &Publication, allocation: Allocation) {
        let Allocation { layer, reason, .. } = allocation;
        (self.rest.decided, self.rest.touched) = (Some(Decided { layer, reason }), false);
        if !self.current().is_some_and(|source| publication.has(source)) {
            self.stop();
        }
        let offered = match allocation.layer {
            Some(layer) => publication.codec_of(layer),
            None => publication.codec(),
        };
        let Some(offered) = offered else {
            self.pause(Paused::SourceSilent);
            return;
        };
        if self.way(offered).is_none() {
            self.pause(Paused::UnsupportedCodec);
            return;
        }
        let Some(layer) = allocation.layer else {
            self.pause(match allocation.reason {
                Reason::Capped | Reason::Small => Paused::Capped,
                Reason::NoRoom | Reason::Tier | Reason::Own | Reason::Waiting => Paused::NoRoom,
                Reason::Best | Reason::NotSent | Reason::Silent => Paused::SourceSilent,
            });
            return;
        };
        self.follow_codec(publication);
        self.target = Some(layer);
        self.rest.paused = if self.flows { None } else { Some(Paused::WaitingForKeyframe) };
    }

    /// What flows may have gone over to another codec: a picture then begins anew with a keyframe.
    fn follow_codec(&mut self, publication: &Publication) {
        let flowing = self.current().and_then(|source| publication.codec_of(source.layer));
        if flowing.is_some() && flowing != self.sent {
            self.stop();
        }
    }

    /// Whether this encoding is to flow but doesn't yet.
    pub(super) fn waits_for(&self, layer: u8) -> bool {
        self.target == Some(layer) && self.current().is_none_or(|source| source.layer != layer)
    }

    /// The encoding that is to flow but doesn't yet.
    pub(super) fn awaited(&self) -> Option<u8> {
        self.target.filter(|&target| self.waits_for(target))
    }

    fn pause(&mut self, why: Paused) {
        // What falls silent goes on where it stopped if the same source wakes: its packets leave no gap.
        if why != Paused::SourceSilent {
            self.stop();
        }
        self.target = None;
        self.rest.paused = Some(why);
    }

    /// From `entry`, a keyframe start of `source`, on, that source flows.
    pub(super) fn begin(
        &mut self,
        source: Source,
        entry: &Entry,
        publication: &Publication,
        gap_nanos: Option<i64>,
        replay: bool,
    ) {
        let layer = &publication.layers[usize::from(source.layer)];
        let start = Start {
            sequence: entry.sequence,
            timestamp: entry.timestamp,
            numbers: entry.numbers,
            live_timestamp: replay.then_some(layer.latest_timestamp),
        };
        if !self.flows {
            // Whoever waited for this needs nothing of what was before.
            self.let_go();
        }
        self.rewriter.begin(source, start, gap_nanos);
        if let Some(codec) = entry.codec {
            self.choose(codec);
        }
        self.flows = true;
        self.set_replay(Replay::after(entry.sequence, layer.cache.highest()).filter(|_| replay));
        self.rest.paused = None;
    }

    /// The last packet in order that went out: of which source, at which of its media times.
    pub(super) fn last_in(&self) -> Option<(Source, u32)> {
        self.rewriter.last_in()
    }

    /// See [`freeze`](Self::freeze).
    pub(super) fn frozen(&self) -> Option<i64> {
        self.rest.frozen
    }

    /// One packet of what flows. `None` if it is older than the beginning of what flows, or of another codec than was chosen for.
    #[inline]
    pub(super) fn forward(&mut self, entry: &Entry) -> Option<Forward> {
        let source = self.current().filter(|_| self.sent.is_some() && self.sent == entry.codec)?;
        let mapped = self.rewriter.map(source, entry.sequence, entry.timestamp, entry.numbers)?;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(entry.payload_len() as u32);
        let forward = self.write(source, entry, mapped);
        Some(Forward { ssrc: self.ssrc, payload_type: self.payload_type, sequence: mapped.sequence, ..forward })
    }

    /// A keyframe has left for it.
    pub(super) fn served(&mut self, now: Option<Instant>) {
        self.rest.keyframe_at = now;
    }

    /// Whether a keyframe left for it so lately that it may still be under way, or be repaired.
    pub(super) fn was_served_lately(&self, now: Option<Instant>) -> bool {
        let since = now.zip(self.rest.keyframe_at).map(|(now, at)| now.saturating_duration_since(at));
        since.is_some_and(|since| since < KEYFRAME_UNDER_WAY)
    }

    /// What was sent so far isn't sent again.
    pub(super) fn let_go(&mut self) {
        self.rest.let_go = self.rewriter.highest();
    }

    /// The retransmission of the outgoing packet with this number (RFC 4588), if it is still held and wasn't just sent.
    pub(super) fn retransmit<'a>(
        &mut self,
        sequence: u16,
        now: Instant,
        entry_of: impl Fn(Source, u64) -> Option<&'a Entry>,
    ) -> Option<Forward> {
        let ssrc = self.spec().rtx_ssrc.filter(|_| self.rest.publication.is_some())?;
        let timestamp_of = |source, sequence| entry_of(source, sequence).map(|entry| entry.timestamp);
        let (source, sequence_in, mapped) = self.rewriter.resolve(sequence, timestamp_of)?;
        if self.rest.let_go.is_some_and(|upto| mapped.sequence <= upto) {
            return None;
        }
        let entry = entry_of(source, sequence_in)?;
        // It may have been sent before the publisher changed its codec.
        let payload_type = self.way(entry.codec?)?.rtx?;
        let recent = &mut self.rest.recent;
        recent.retain(|(_, at)| now.saturating_duration_since(*at) < RETRANSMISSION_GRACE);
        if recent.len() == RECENT || recent.iter().any(|&(recent, _)| recent == mapped.sequence) {
            return None;
        }
        recent.push_back((mapped.sequence, now));
        let index = self.rest.rtx_next;
        self.rest.rtx_next += 1;
        let forward = self.write(source, entry, mapped);
        let urgency = Urgency::Again;
        Some(Forward { ssrc, payload_type, sequence: index, original: Some(sequence), urgency, ..forward })
    }

    /// The next padding, if there is a stream that it may leave in.
    pub(super) fn padding(&mut self) -> Option<Padding> {
        let ssrc = self.spec().rtx_ssrc?;
        let payload_type = self.spec().codecs.iter().find_map(|codec| codec.rtx)?;
        let sequence = self.rest.rtx_next;
        self.rest.rtx_next += 1;
        Some(Padding { ssrc, payload_type, sequence })
    }

    fn write(&self, source: Source, entry: &Entry, mapped: Mapped) -> Forward {
        Forward {
            connection: self.connection,
            source,
            packet: entry.sequence,
            ssrc: 0,
            payload_type: 0,
            sequence: 0,
            timestamp: mapped.timestamp,
            pictures: mapped.pictures,
            skip: entry.primary,
            redundancy: if self.redundant { self.redundancy_of(entry) } else { None },
            original: None,
            urgency: self.urgency,
        }
    }

    /// What goes again with a packet: nothing from before its source began to flow here.
    fn redundancy_of(&self, entry: &Entry) -> Option<Redundancy> {
        let redundancy = self.rest.redundancy?;
        let (packets, ticks) = self.rewriter.unbroken(entry.sequence, entry.timestamp);
        let generations = u64::from(redundancy.generations).min(packets) as u8;
        let within = ticks.min(u16::MAX.into()) as u16;
        Some(Redundancy { generations, within, ..redundancy })
    }

    /// What a sender report of this slot says now.
    pub(super) fn report(&self, publication: &Publication) -> Option<SlotReport> {
        let source = self.current()?;
        let layer = publication.layers.get(usize::from(source.layer))?;
        let timestamp = self.rewriter.timestamp(source, layer.latest_timestamp)?;
        Some(SlotReport {
            ssrc: self.ssrc,
            unix_nanos: layer.timeline?.unix_nanos(layer.latest_timestamp),
            timestamp,
            packets: self.packets,
            octets: self.octets,
        })
    }
}
