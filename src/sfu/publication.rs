//! One track in: its encodings, what is cached of them, and how they do.

use std::time::{Duration, Instant};

use crate::adapt::{Ladder, Rung, Steady};
use crate::rtp::codec::Codec;
use crate::rtp::packet::Malformed;
use crate::rtp::packet_cache::{Incoming, PacketCache, Rejected};
use crate::rtp::sequence::is_later;
use crate::rtp::timeline::Timeline;
use crate::rtp::{av1, h264, red, vp8};
use crate::units::{Bitrate, ServerClock};

use super::input::{Inbound, MediaKind, PublicationSpec};
use super::keyframe::KeyframeRequests;
use super::output::{LayerReport, PublicationReport};

/// An encoding that sent nothing for so long doesn't flow. Still slides are repeated once a second by browsers.
const SILENT_AFTER: Duration = Duration::from_millis(2_500);
/// Rates are measured over this span.
const METER: Duration = Duration::from_secs(1);
/// Rates that waver are told this often; what else changes is told at once.
const RATES_TOLD_EVERY: Duration = Duration::from_secs(5);
/// Packets of one encoding that may wait for the next flush; more are forwarded late, from the cache, on request only.
const MAX_PENDING: usize = 512;
/// An encoding changes its codec at most this often: everybody is told, and every receiver begins anew.
const CODEC_KEPT: Duration = Duration::from_millis(500);
/// A group of pictures up to this size is replayed to a late subscriber; a longer one would stand in the line before the voice.
const MAX_REPLAY: u64 = 96 * 1024;

/// Names what flows in a slot: an encoding of a publication in one of its lives (a publisher may start a stream anew).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Key of the publication.
    pub publication: u32,
    /// Distinguishes publications that had the same key one after the other.
    pub serial: u32,
    /// Its encoding.
    pub layer: u8,
    /// Its life.
    pub generation: u16,
}

/// The last keyframe and what followed it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    octets: u64,
}

/// One encoding.
#[derive(Debug)]
pub struct Layer {
    pub(super) cache: PacketCache,
    pub(super) generation: u16,
    /// Numbers of the packets that came since the last flush, in the order of sending.
    pub(super) pending: Vec<u64>,
    pub(super) keyframes: KeyframeRequests,
    pub(super) group: Option<Group>,
    pub(super) timeline: Option<Timeline>,
    pub(super) latest_timestamp: u32,
    /// Of what flows.
    pub(super) codec: Option<Codec>,
    codec_since: Option<Instant>,
    size: Option<(u16, u16)>,
    last_packet: Option<Instant>,
    /// Octets and packets since the last look at the rates.
    metered: (u64, u64),
    bitrate: Bitrate,
    steady: Steady,
}

impl Layer {
    fn new(kind: MediaKind) -> Self {
        let cache = match kind {
            MediaKind::Voice => PacketCache::new(256, 64 * 1024),
            MediaKind::Video => PacketCache::new(1_024, 512 * 1024),
        };
        Self {
            cache,
            generation: 0,
            pending: Vec::with_capacity(64),
            keyframes: KeyframeRequests::default(),
            group: None,
            timeline: None,
            latest_timestamp: 0,
            codec: None,
            codec_since: None,
            size: None,
            last_packet: None,
            metered: (0, 0),
            bitrate: Bitrate::ZERO,
            steady: Steady::default(),
        }
    }

    pub(super) fn flows(&self, now: Instant) -> bool {
        self.last_packet.is_some_and(|last| now.saturating_duration_since(last) < SILENT_AFTER)
    }

    /// Whether this packet is known to be the first of its picture: the one before it belongs to another.
    fn begins_picture(&self, packet: &Inbound<'_>) -> bool {
        self.cache.get(packet.sequence - 1).is_some_and(|before| before.timestamp != packet.timestamp)
    }

    /// Takes note of a cached packet for the open group of pictures; late packets of older ones don't count.
    fn grow_group(&mut self, packet: &Inbound<'_>, begins: bool) {
        let late = self.group.is_some_and(|group| packet.sequence < group.sequence);
        let same_picture = self.group.is_some_and(|group| packet.timestamp == group.timestamp);
        // A picture's first packet may come late, after others of it; a second start in one picture is none.
        if begins && late == same_picture {
            self.keyframes.arrived();
            let held = (packet.sequence..=self.cache.highest()).filter_map(|sequence| self.cache.get(sequence));
            let octets = held.map(|entry| entry.payload_len() as u64).sum();
            self.group = Some(Group { sequence: packet.sequence, timestamp: packet.timestamp, octets });
        } else if let Some(group) = self.group.as_mut().filter(|_| !late) {
            group.octets += packet.payload.len() as u64;
        }
    }

    /// The open group of pictures, if a late subscriber should be shown it at once: one of `most` octets at most.
    pub(super) fn replayable(&self, most: u64) -> Option<Group> {
        self.group.filter(|group| group.octets <= MAX_REPLAY.min(most) && self.cache.get(group.sequence).is_some())
    }
}

/// One track in.
#[derive(Debug)]
pub struct Publication {
    pub(super) spec: PublicationSpec,
    pub(super) serial: u32,
    pub(super) layers: Vec<Layer>,
    /// Keys of the slots that get this.
    pub(super) receivers: Vec<usize>,
    pub(super) ladder: Ladder,
    pub(super) silent: bool,
    clock: ServerClock,
    metered_since: Instant,
    told: Option<(PublicationReport, Instant)>,
}

impl Publication {
    pub(super) fn new(spec: PublicationSpec, serial: u32, clock: ServerClock, now: Instant) -> Self {
        let layers = (0..spec.rids.len().max(1)).map(|_| Layer::new(spec.kind)).collect();
        Self {
            spec,
            serial,
            layers,
            receivers: Vec::new(),
            ladder: Ladder::default(),
            silent: true,
            clock,
            metered_since: now,
            told: None,
        }
    }

    /// The encoding that `source` is, if it is one of this publication's in its present life.
    pub(super) fn layer(&self, source: Source) -> Option<&Layer> {
        let layer = self.layers.get(usize::from(source.layer)).filter(|_| source.serial == self.serial)?;
        (layer.generation == source.generation).then_some(layer)
    }

    /// Whether `source` is one of this publication's encodings, in its present life.
    pub(super) fn has(&self, source: Source) -> bool {
        self.layer(source).is_some()
    }

    pub(super) fn source(&self, key: usize, layer: u8) -> Source {
        let generation = self.layers[usize::from(layer)].generation;
        Source { publication: key as u32, serial: self.serial, layer, generation }
    }

    /// Takes one packet. Returns whether what flows has changed, so that receivers must be looked at anew.
    ///
    /// Redundant audio is taken for what it says itself, which is Opus; what it says again fills the gap before it.
    pub(super) fn ingest(&mut self, layer: u8, packet: &Inbound<'_>, now: Instant) -> Result<bool, Rejected> {
        if packet.codec != Codec::Red {
            return self.take(layer, packet, 0, now);
        }
        let primary = red::primary_offset(packet.payload).ok_or(Malformed::Redundancy)?;
        let filled = self.fill(layer, packet, now);
        let changed = self.take(layer, &Inbound { codec: Codec::Opus, ..*packet }, primary as u16, now)?;
        Ok(changed || filled)
    }

    /// Takes the packets that are missing right before a packet of redundant audio from what it says again.
    ///
    /// What then comes late of them is a duplicate, and is rejected: nothing goes out twice under one number.
    fn fill(&mut self, layer: u8, packet: &Inbound<'_>, now: Instant) -> bool {
        let cache = self.layers.get(usize::from(layer)).map(|layer| &layer.cache);
        let Some(last) = cache.and_then(|cache| cache.get(cache.highest())) else { return false };
        let (highest, spoken) = (last.sequence, last.timestamp);
        let count = red::blocks(packet.payload).count() as u64;
        let mut changed = false;
        for (block, back) in red::blocks(packet.payload).zip((1..=count).rev()) {
            let sequence = packet.sequence.saturating_sub(back);
            let timestamp = packet.timestamp.wrapping_sub(block.offset());
            if sequence > highest && is_later(timestamp, spoken) {
                let payload = block.payload();
                let said = Inbound { codec: Codec::Opus, sequence, timestamp, marker: false, payload };
                // It isn't there and it is shorter than the packet that it came in: only that one may yet be too long.
                changed |= self.take(layer, &said, 0, now).unwrap_or(false);
            }
        }
        changed
    }

    /// Takes one packet, of whose payload the first `primary` octets are redundancy.
    fn take(&mut self, layer: u8, packet: &Inbound<'_>, primary: u16, now: Instant) -> Result<bool, Rejected> {
        let facts = Facts::of(packet);
        let Some(layer) = self.layers.get_mut(usize::from(layer)) else { return Ok(false) };
        // What comes late of the codec before is of use to who asks for it, and changes nothing.
        let late = packet.sequence <= layer.cache.highest();
        let kept = layer.codec_since.is_some_and(|since| now.saturating_duration_since(since) < CODEC_KEPT);
        let other_codec = layer.codec != Some(packet.codec) && !late && !kept;
        let begins = facts.keyframe_start && (!facts.bare_slice || layer.begins_picture(packet));
        layer.cache.insert(&Incoming {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            codec: Some(packet.codec),
            marker: packet.marker,
            keyframe_start: begins,
            primary,
            numbers: facts.numbers,
            payload: packet.payload,
        })?;
        if layer.pending.len() < MAX_PENDING {
            layer.pending.push(packet.sequence);
        }
        layer.metered.0 += (packet.payload.len() - usize::from(primary)) as u64;
        layer.metered.1 += 1;
        if packet.sequence == layer.cache.highest() {
            layer.latest_timestamp = packet.timestamp;
        }
        if other_codec {
            (layer.codec, layer.codec_since) = (Some(packet.codec), Some(now));
            (layer.group, layer.size) = (None, None);
        }
        let outdated = layer.codec != Some(packet.codec);
        if !outdated {
            layer.grow_group(packet, begins);
        }
        let rate = packet.codec.clock_rate();
        let arrival = self.clock.unix_nanos(now);
        layer.timeline.get_or_insert(Timeline::from_arrival(rate, packet.timestamp, arrival)).follow(packet.timestamp);
        let size = facts.size.filter(|_| !outdated);
        let grown = size.is_some() && size != layer.size;
        layer.size = size.or(layer.size);
        let woke = !layer.flows(now);
        layer.last_packet = Some(now);
        Ok(grown || woke || other_codec)
    }

    /// What an encoding is coded in at present.
    pub(super) fn codec_of(&self, layer: u8) -> Option<Codec> {
        self.layers.get(usize::from(layer))?.codec
    }

    /// What the publication is coded in: for a moment, while a publisher changes, its encodings aren't in the same codec.
    pub(super) fn codec(&self) -> Option<Codec> {
        self.layers.iter().find_map(|layer| layer.codec)
    }

    /// A sender report told that `timestamp` of this encoding is this instant of the server's clock.
    pub(super) fn anchor(&mut self, layer: u8, timestamp: u32, unix_nanos: i64) {
        let rate = self.spec.kind.clock_rate();
        if let Some(layer) = self.layers.get_mut(usize::from(layer)) {
            layer
                .timeline
                .get_or_insert(Timeline::from_arrival(rate, timestamp, unix_nanos))
                .anchor(timestamp, unix_nanos);
        }
    }

    /// The publisher's stream of this encoding begins anew: what is cached belongs to the old one.
    pub(super) fn restart(&mut self, layer: u8) {
        let kind = self.spec.kind;
        if let Some(layer) = self.layers.get_mut(usize::from(layer)) {
            let generation = layer.generation.wrapping_add(1);
            *layer = Layer { generation, size: layer.size, ..Layer::new(kind) };
        }
    }

    /// Measures rates, and notices what has fallen silent or woken. Returns whether the rates are new, and whether
    /// receivers must be looked at anew.
    pub(super) fn meter(&mut self, now: Instant) -> (bool, bool) {
        let span = now.saturating_duration_since(self.metered_since);
        let metered = span >= METER;
        if metered {
            self.metered_since = now;
            for layer in &mut self.layers {
                let (octets, packets) = std::mem::take(&mut layer.metered);
                layer.bitrate = Bitrate::of(octets, span);
                // What doesn't flow takes what it took when it flows again.
                if layer.flows(now) {
                    layer.steady.measured(octets, packets, span);
                }
            }
        }
        let flowed: Vec<bool> = self.ladder.rungs().iter().map(|rung| rung.flows).collect();
        self.measure(now);
        (metered, self.ladder.rungs().iter().map(|rung| rung.flows).ne(flowed))
    }

    /// What others may see, if it differs from what was told last by more than rates' usual wavering.
    pub(super) fn news(&mut self, now: Instant) -> Option<PublicationReport> {
        let report = self.report();
        let far = |now: u64, then: u64| now.abs_diff(then) > then / 4 + 10_000;
        let rates_moved = |told: &PublicationReport| {
            report.layers.iter().zip(&told.layers).any(|(now, then)| far(now.bitrate, then.bitrate))
        };
        let without_rates = |report: &PublicationReport| {
            let mut report = report.clone();
            report.layers.iter_mut().for_each(|layer| layer.bitrate = 0);
            report
        };
        let news = match &self.told {
            None => true,
            Some((told, at)) => {
                without_rates(told) != without_rates(&report)
                    || (rates_moved(told) && now.saturating_duration_since(*at) >= RATES_TOLD_EVERY)
            }
        };
        news.then(|| {
            self.told = Some((report.clone(), now));
            report
        })
    }

    /// Brings the ladder up to date.
    pub(super) fn measure(&mut self, now: Instant) {
        let rungs = self.layers.iter().zip(0u8..).map(|(layer, number)| Rung {
            layer: number,
            pixels: layer.size.map_or(0, |(width, height)| u32::from(width) * u32::from(height)),
            bitrate: layer.bitrate,
            wire: layer.steady.rate(),
            peak: layer.steady.peak(),
            flows: layer.flows(now),
        });
        self.ladder = Ladder::new(rungs.collect());
        self.silent = !self.ladder.rungs().iter().any(|rung| rung.flows);
    }

    fn report(&self) -> PublicationReport {
        let layer = |(number, layer): (usize, &Layer)| LayerReport {
            rid: self.spec.rids.get(number).cloned(),
            bitrate: layer.bitrate.bps(),
            size: layer.size,
        };
        PublicationReport {
            id: self.spec.id,
            participant: self.spec.participant,
            connection: self.spec.connection,
            end: self.spec.end,
            source: self.spec.source.clone(),
            kind: self.spec.kind,
            codec: self.codec().map(Codec::name),
            layers: self.layers.iter().enumerate().map(layer).collect(),
            silent: self.silent,
        }
    }
}

/// What a look at a payload tells.
#[derive(Debug, Default)]
struct Facts {
    keyframe_start: bool,
    /// An H.264 slice without its parameter sets, which may come in a packet before it.
    bare_slice: bool,
    size: Option<(u16, u16)>,
    numbers: vp8::Numbers,
}

impl Facts {
    fn of(packet: &Inbound<'_>) -> Self {
        match packet.codec {
            Codec::Opus | Codec::Red => Self { keyframe_start: true, ..Self::default() },
            Codec::Vp8 => {
                let seen = vp8::glance(packet.payload);
                Self { keyframe_start: seen.keyframe_start, size: seen.size, numbers: seen.numbers, ..Self::default() }
            }
            Codec::H264(_) => {
                let seen = h264::glance(packet.payload);
                Self {
                    keyframe_start: seen.keyframe_start,
                    bare_slice: !seen.parameter_set,
                    size: seen.size,
                    ..Self::default()
                }
            }
            Codec::Av1 => Self {
                keyframe_start: av1::begins_keyframe(packet.payload),
                size: av1::size(packet.payload),
                ..Self::default()
            },
        }
    }
}
