//! One track to one subscriber: a slot, what flows in it, and how its packets are numbered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::adapt::{Allocation, Reason};
use crate::rtp::codec::Codec;
use crate::rtp::packet_cache::Entry;
use crate::rtp::rewrite::{Mapped, Rewriter, Start};

use super::input::{SlotCodec, SlotSpec};
use super::output::{Forward, Paused, SlotReport, SlotState};
use super::publication::{Publication, Source};

/// Packets of a replay that are sent at once; the rest follow with the ticks, so that a burst never fills a school's queue.
pub(super) const REPLAY_BURST: usize = 6;
/// A packet that was asked for twice within this time is retransmitted once: the second request crossed it on its way.
const RETRANSMISSION_GRACE: Duration = Duration::from_millis(20);
/// So many retransmissions are remembered for that.
const RECENT: usize = 32;

/// One m-line of a subscriber.
#[derive(Debug)]
pub struct Slot {
    pub(super) spec: SlotSpec,
    pub(super) publication: Option<usize>,
    pub(super) cap: Option<u8>,
    pub(super) target: Option<u8>,
    pub(super) current: Option<Source>,
    /// The next packet of a replay; `None` when the slot is live.
    pub(super) replay: Option<u64>,
    /// A replay sent everything before this number as far as it was there: what comes late of that is only retransmitted,
    /// because to send it twice would use a nonce twice.
    pub(super) live_from: u64,
    paused: Option<Paused>,
    rewriter: Rewriter<Source>,
    codec: Option<SlotCodec>,
    /// What `codec` was chosen for.
    sent: Option<Codec>,
    /// Whether the receiver can't read the publisher's redundancy.
    strips: bool,
    rtx_next: u64,
    recent: VecDeque<(u64, Instant)>,
    /// When, on the server's clock, the last packet of a source that is gone was made.
    frozen: Option<i64>,
    packets: u32,
    octets: u32,
}

impl Slot {
    pub(super) fn new(spec: SlotSpec) -> Self {
        let rewriter = Rewriter::new(spec.kind.media().clock_rate(), spec.first_sequence.0, spec.first_timestamp);
        let rtx_next = u64::from(spec.first_sequence.1 & 0x7fff);
        Self {
            spec,
            publication: None,
            cap: None,
            target: None,
            current: None,
            replay: None,
            live_from: 0,
            paused: Some(Paused::NoSource),
            rewriter,
            codec: None,
            sent: None,
            strips: false,
            rtx_next,
            recent: VecDeque::new(),
            frozen: None,
            packets: 0,
            octets: 0,
        }
    }

    pub(super) fn state(&self, publication: Option<&Publication>) -> SlotState {
        SlotState {
            slot: self.spec.kind,
            index: self.spec.index,
            mid: self.spec.mid.clone(),
            publication: publication.map(|publication| publication.spec.id),
            layer: self
                .current
                .zip(publication)
                .and_then(|(source, publication)| publication.ladder.rank(source.layer)),
            paused: self.paused,
        }
    }

    /// Lets go of what flowed, whose last packet was made at `last_nanos` of the server's clock.
    pub(super) fn detach(&mut self, last_nanos: Option<i64>) {
        self.frozen = last_nanos.or(self.frozen);
        self.publication = None;
        self.current = None;
        self.target = None;
        self.replay = None;
        self.codec = None;
        self.paused = Some(Paused::NoSource);
    }

    /// Chooses how the publication's codec is written here; without a way the slot pauses. RED is stripped to Opus where the receiver can't read it.
    fn choose_codec(&mut self, sent: Codec) -> bool {
        let able = |wanted: Codec| self.spec.codecs.iter().copied().filter(move |able| able.codec.decodes(wanted));
        // The nearest profile: the lowest that is enough.
        let best = able(sent).min_by_key(|able| match able.codec {
            Codec::H264(profile) => Some(profile),
            _ => None,
        });
        self.sent = Some(sent);
        self.strips = best.is_none() && sent == Codec::Red;
        self.codec = if self.strips { able(Codec::Opus).next() } else { best };
        self.codec.is_some()
    }

    /// Brings target and pause in line with what the publication offers and what was allocated. Returns whether a keyframe is needed.
    pub(super) fn retarget(&mut self, publication: &Publication, allocation: Allocation) -> bool {
        let Some(sent) = publication.codec else {
            self.pause(Paused::SourceSilent);
            return false;
        };
        if !self.choose_codec(sent) {
            self.pause(Paused::UnsupportedCodec);
            return false;
        }
        let Some(layer) = allocation.layer else {
            let why = if allocation.reason == Reason::Capped { Paused::Capped } else { Paused::SourceSilent };
            self.pause(why);
            return false;
        };
        self.target = Some(layer);
        let alive = self.current.is_some_and(|source| {
            source.serial == publication.serial
                && publication.layers[usize::from(source.layer)].generation == source.generation
        });
        if !alive {
            self.current = None;
            self.replay = None;
        }
        self.paused = if alive { None } else { Some(Paused::WaitingForKeyframe) };
        self.current.is_none_or(|source| source.layer != layer)
    }

    fn pause(&mut self, why: Paused) {
        // What falls silent goes on where it stopped if the same source wakes: its packets leave no gap.
        if why != Paused::SourceSilent {
            self.current = None;
            self.replay = None;
        }
        self.target = None;
        self.paused = Some(why);
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
        self.rewriter.begin(source, start, gap_nanos);
        self.current = Some(source);
        self.replay = replay.then_some(entry.sequence);
        self.live_from = entry.sequence;
        self.paused = None;
    }

    /// The last packet in order that went out: of which source, at which of its media times.
    pub(super) fn last_in(&self) -> Option<(Source, u32)> {
        self.rewriter.last_in()
    }

    /// See [`detach`](Self::detach).
    pub(super) const fn frozen(&self) -> Option<i64> {
        self.frozen
    }

    /// One packet of what flows. `None` if it is older than the beginning of what flows, or of another codec than was chosen for.
    pub(super) fn forward(&mut self, connection: usize, entry: &Entry) -> Option<Forward> {
        let (source, codec) = (self.current?, self.codec.filter(|_| self.sent == entry.codec)?);
        let mapped = self.rewriter.map(source, entry.sequence, entry.timestamp, entry.numbers)?;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(entry.payload_len() as u32);
        let forward = self.write(connection, source, entry, mapped);
        Some(Forward { ssrc: self.spec.ssrc, payload_type: codec.payload_type, sequence: mapped.sequence, ..forward })
    }

    /// The retransmission of the outgoing packet with this number (RFC 4588), if it is still held and wasn't just sent.
    pub(super) fn retransmit<'a>(
        &mut self,
        connection: usize,
        sequence: u16,
        now: Instant,
        entry_of: impl Fn(Source, u64) -> Option<&'a Entry>,
    ) -> Option<Forward> {
        let (ssrc, payload_type) = (self.spec.rtx_ssrc?, self.codec?.rtx?);
        let timestamp_of = |source, sequence| entry_of(source, sequence).map(|entry| entry.timestamp);
        let (source, sequence_in, mapped) = self.rewriter.resolve(sequence, timestamp_of)?;
        self.recent.retain(|(_, at)| now.saturating_duration_since(*at) < RETRANSMISSION_GRACE);
        if self.recent.len() == RECENT || self.recent.iter().any(|&(recent, _)| recent == mapped.sequence) {
            return None;
        }
        self.recent.push_back((mapped.sequence, now));
        let entry = entry_of(source, sequence_in).filter(|entry| entry.codec == self.sent)?;
        let index = self.rtx_next;
        self.rtx_next += 1;
        let forward = self.write(connection, source, entry, mapped);
        Some(Forward { ssrc, payload_type, sequence: index, original: Some(sequence), ..forward })
    }

    fn write(&self, connection: usize, source: Source, entry: &Entry, mapped: Mapped) -> Forward {
        Forward {
            connection,
            publication: source.publication,
            layer: source.layer,
            packet: entry.sequence,
            ssrc: 0,
            payload_type: 0,
            sequence: 0,
            timestamp: mapped.timestamp,
            pictures: mapped.pictures,
            skip: if self.strips { entry.primary } else { 0 },
            original: None,
        }
    }

    /// What a sender report of this slot says now.
    pub(super) fn report(&self, publication: &Publication) -> Option<SlotReport> {
        let source = self.current?;
        let layer = publication.layers.get(usize::from(source.layer))?;
        let timestamp = self.rewriter.timestamp(source, layer.latest_timestamp)?;
        Some(SlotReport {
            ssrc: self.spec.ssrc,
            unix_nanos: layer.timeline?.unix_nanos(layer.latest_timestamp),
            timestamp,
            packets: self.packets,
            octets: self.octets,
        })
    }
}
