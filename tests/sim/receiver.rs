//! A receiver: puts packets in order, asks again for lost ones, decodes what is whole, and checks every packet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use mingshi::rtp::codec::Codec;
use mingshi::rtp::packet_cache::Entry;
use mingshi::rtp::sequence::is_later;
use mingshi::rtp::vp8;
use mingshi::sfu::input::{SlotCodec, SlotKind, SlotSpec};
use mingshi::sfu::output::SlotState;
use mingshi::sfu::{Forward, Router};
use mingshi::units::ServerClock;

/// A packet on its way to a receiver.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) forward: Forward,
    pub(crate) payload: Vec<u8>,
    marker: bool,
    codec: Option<Codec>,
}

impl Arrival {
    pub(crate) fn new(forward: &Forward, payload: &[u8], entry: &Entry) -> Self {
        let mut payload = payload[usize::from(forward.skip)..].to_vec();
        if entry.codec == Some(Codec::Vp8) {
            vp8::renumber(&mut payload, entry.numbers, forward.pictures.apply(entry.numbers));
        }
        Self { forward: *forward, payload, marker: entry.marker, codec: entry.codec }
    }
}

/// A slot as a browser offers it, able to decode `codecs`.
pub(crate) fn slot(kind: SlotKind, index: u8, ssrc: u32, codecs: &[Codec]) -> SlotSpec {
    let codecs = codecs.iter().zip(96..).map(|(&codec, payload_type)| SlotCodec {
        codec,
        payload_type,
        rtx: (!codec.is_voice()).then_some(payload_type + 10),
    });
    SlotSpec {
        kind,
        index,
        mid: ssrc.to_string(),
        codecs: codecs.collect(),
        ssrc,
        rtx_ssrc: Some(ssrc + 1_000),
        // Near the wrap, so that every run goes over it.
        first_sequence: (0x7ff0, 0x7ff0),
        first_timestamp: u32::MAX - 100_000,
    }
}

/// What one slot received.
#[derive(Debug, Default)]
pub(crate) struct Track {
    /// Indices that were sent, and may not be again: a nonce is used once.
    sent: HashSet<u64>,
    sent_rtx: HashSet<u64>,
    packets: BTreeMap<u64, (u32, bool, Vec<u8>)>,
    next: Option<u64>,
    asked: HashMap<u64, Instant>,
    frame: Vec<(u32, Vec<u8>)>,
    last_timestamp: Option<u32>,
    last_picture: Option<u16>,
    decodable: bool,
    stuck_since: Option<Instant>,
    /// Decoded frames: when, number at the publisher, layer, outgoing media time.
    pub(crate) decoded: Vec<(Instant, u32, u8, u32)>,
    pub(crate) keyframe_requests: usize,
    pub(crate) voice: usize,
}

/// One receiving connection.
pub(crate) struct Receiver {
    pub(crate) key: usize,
    pub(crate) joined: Instant,
    pub(crate) gone: bool,
    pub(crate) slots: Vec<SlotState>,
    pub(crate) tracks: HashMap<u32, Track>,
    rtx: HashMap<u32, u32>,
}

const ASK_AFTER: Duration = Duration::from_millis(30);
const STUCK_AFTER: Duration = Duration::from_millis(400);

impl Receiver {
    pub(crate) fn new(slots: &[SlotSpec], _: ServerClock, now: Instant) -> Self {
        Self {
            key: 0,
            joined: now,
            gone: false,
            slots: Vec::new(),
            tracks: slots.iter().map(|slot| (slot.ssrc, Track::default())).collect(),
            rtx: slots.iter().filter_map(|slot| Some((slot.rtx_ssrc?, slot.ssrc))).collect(),
        }
    }

    /// Frames that `ssrc` decoded.
    pub(crate) fn decoded(&self, ssrc: u32) -> &[(Instant, u32, u8, u32)] {
        &self.tracks[&ssrc].decoded
    }

    /// How long after joining `ssrc` showed its first frame.
    pub(crate) fn first_picture(&self, ssrc: u32) -> Option<Duration> {
        self.decoded(ssrc).first().map(|(at, ..)| at.saturating_duration_since(self.joined))
    }

    /// The longest time without a new frame since `from`.
    pub(crate) fn longest_gap(&self, ssrc: u32, from: Instant) -> Duration {
        let times: Vec<Instant> = self.decoded(ssrc).iter().map(|&(at, ..)| at).filter(|&at| at >= from).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
    }

    /// Checked when it leaves the server, whatever the line does to it.
    pub(crate) fn sent(&mut self, arrival: &Arrival) {
        assert!(!self.gone, "a receiver that left is sent nothing");
        let Forward { ssrc, sequence, .. } = arrival.forward;
        let fresh = match self.rtx.get(&ssrc) {
            Some(media) => self.tracks.get_mut(media).expect("a slot of ours").sent_rtx.insert(sequence),
            None => self.tracks.get_mut(&ssrc).expect("a slot of ours").sent.insert(sequence),
        };
        assert!(fresh, "index {sequence} of {ssrc} was given to two packets");
    }

    pub(crate) fn arrived(&mut self, arrival: Arrival, now: Instant) {
        let Forward { ssrc, sequence, timestamp, original, .. } = arrival.forward;
        let media = self.rtx.get(&ssrc).copied().unwrap_or(ssrc);
        let track = self.tracks.get_mut(&media).expect("a slot of ours");
        if arrival.codec.is_some_and(Codec::is_voice) {
            track.voice += 1;
            assert!(arrival.payload.len() < 30, "a voice packet, stripped or not: {:?}", arrival.payload);
        }
        // A retransmission says which 16-bit number it had; the nearest index is meant.
        let index = match original {
            Some(original) => {
                let near = track.packets.keys().next_back().copied().or(track.next).unwrap_or(sequence);
                near.wrapping_add_signed(i64::from(original.wrapping_sub(near as u16) as i16))
            }
            None => sequence,
        };
        if track.next.is_none_or(|next| index >= next) {
            track.packets.entry(index).or_insert((timestamp, arrival.marker, arrival.payload));
        }
        let _ = now;
    }

    pub(crate) fn step(&mut self, router: &mut Router, now: Instant) {
        for (&ssrc, track) in &mut self.tracks {
            track.advance(now);
            let missing = track.missing(now);
            if !missing.is_empty() {
                router.nack(self.key, ssrc, &missing, now);
            }
            if track.stuck_since.is_some_and(|since| now.saturating_duration_since(since) > STUCK_AFTER) {
                track.stuck_since = Some(now);
                track.keyframe_requests += 1;
                router.keyframe_request(self.key, ssrc);
                track.give_up();
            }
        }
    }
}

impl Track {
    /// Takes packets in order as far as they go.
    fn advance(&mut self, now: Instant) {
        if self.next.is_none() {
            // The first packet that the server sends is the first that a receiver should see.
            self.next = self.sent.iter().min().copied();
        }
        while let Some(next) = self.next {
            let Some((timestamp, marker, payload)) = self.packets.remove(&next) else { break };
            self.next = Some(next + 1);
            self.stuck_since = None;
            if self.frame.first().is_some_and(|(first, _)| *first != timestamp) {
                // A source gave way to another in the middle of its frame.
                self.frame.clear();
                self.decodable = false;
            }
            self.frame.push((timestamp, payload));
            if marker {
                let frame = std::mem::take(&mut self.frame);
                self.decode(&frame, now);
            }
        }
        if !self.packets.is_empty() && self.stuck_since.is_none() {
            self.stuck_since = Some(now);
        }
    }

    /// Retransmission did not help: go on with what is there.
    fn give_up(&mut self) {
        self.next = self.packets.keys().next().copied().or(self.next);
        self.frame.clear();
        self.decodable = false;
        self.last_picture = None;
    }

    fn missing(&mut self, now: Instant) -> Vec<u16> {
        let (Some(next), Some((&last, _))) = (self.next, self.packets.last_key_value()) else { return Vec::new() };
        let mut due = Vec::new();
        for index in (next..last).filter(|index| !self.packets.contains_key(index)) {
            let at = self.asked.entry(index).or_insert(now);
            if now.saturating_duration_since(*at) >= ASK_AFTER {
                *at = now;
                due.push(index as u16);
            }
        }
        self.asked.retain(|&index, _| index >= next);
        due
    }

    fn decode(&mut self, frame: &[(u32, Vec<u8>)], now: Instant) {
        let (timestamp, first) = &frame[0];
        assert!(self.last_timestamp.is_none_or(|last| is_later(*timestamp, last)), "media time goes on");
        self.last_timestamp = Some(*timestamp);
        let Some(facts) = Facts::read(first) else { return };
        if let Some(picture) = facts.picture {
            let contiguous = self.last_picture.is_none_or(|last| picture == (last + 1) & 0x7fff);
            assert!(contiguous, "picture numbers go on: {:?} then {picture}", self.last_picture);
            self.last_picture = Some(picture);
        }
        let whole = facts.index == 0 && usize::from(facts.count) == frame.len();
        self.decodable = whole && (facts.keyframe || self.decodable);
        if self.decodable {
            self.decoded.push((now, facts.frame, facts.layer, *timestamp));
        }
    }
}

/// What a video payload says of itself.
struct Facts {
    picture: Option<u16>,
    frame: u32,
    index: u8,
    count: u8,
    layer: u8,
    keyframe: bool,
}

impl Facts {
    fn read(payload: &[u8]) -> Option<Self> {
        let is_vp8 = payload.first().is_some_and(|first| *first & 0xef == 0x80);
        let rest = payload.get(if is_vp8 { 6 } else { 2 }..)?;
        let picture = is_vp8.then(|| u16::from_be_bytes([payload[2] & 0x7f, payload[3]]));
        let &[f0, f1, f2, f3, index, count, layer, keyframe, ..] = rest else { return None };
        Some(Self {
            picture,
            frame: u32::from_be_bytes([f0, f1, f2, f3]),
            index,
            count,
            layer,
            keyframe: keyframe == 1,
        })
    }
}
