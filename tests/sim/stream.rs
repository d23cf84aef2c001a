//! One stream at a receiver: puts packets in order, asks for what is missing, and decodes what can be decoded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mingshi::rtp::codec::Codec;
use mingshi::rtp::nack::Missing;
use mingshi::rtp::packet::Packet;
use mingshi::rtp::red;
use mingshi::rtp::sequence::{Extender, is_later};
use mingshi::rtp::vp8;
use mingshi::sfu::input::{SlotKind, SlotSpec};

use super::stamp::Stamp;

/// A missing video packet is waited for so long, a voice packet so long.
const VIDEO_PATIENCE: Duration = Duration::from_millis(500);
const VOICE_PATIENCE: Duration = Duration::from_millis(60);
/// A decoder that is stuck asks for a keyframe this often.
const PLI_EVERY: Duration = Duration::from_millis(300);

/// A packet waiting for those before it.
#[derive(Debug)]
struct Waiting {
    codec: Codec,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
    at: Instant,
}

/// A picture or a piece of sound that was played.
#[derive(Debug, Clone, Copy)]
pub struct Played {
    pub at: Instant,
    pub stamp: Stamp,
    pub timestamp: u32,
}

/// Where the frame that is being put together comes from and how far it is.
#[derive(Debug, Clone, Copy)]
struct Frame {
    timestamp: u32,
    stamp: Stamp,
    codec: Codec,
    whole: bool,
}

/// One slot's stream.
#[derive(Debug)]
pub struct Stream {
    pub spec: SlotSpec,
    extender: Extender,
    missing: Missing,
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    frame: Option<Frame>,
    numbers: Option<vp8::Numbers>,
    /// The last frame that was decoded; `None` when only a keyframe helps.
    reference: Option<(Stamp, Codec)>,
    last_pli: Option<Instant>,
    began: Option<Instant>,
    pub played: Vec<Played>,
    /// Sequence numbers that never came.
    pub holes: u64,
    pub plis: usize,
    /// Packets that came as retransmissions.
    pub repaired: usize,
    /// Frames that couldn't be decoded.
    pub undecodable: usize,
    /// Octets of payload received.
    pub octets: usize,
    /// Pieces of sound that came again in a later packet, and those of them that hadn't come before.
    pub said_again: usize,
    pub regained: usize,
}

impl Stream {
    pub fn new(spec: SlotSpec) -> Self {
        let next = (1 << 16) + u64::from(spec.first_sequence.0);
        let mut extender = Extender::default();
        extender.extend(spec.first_sequence.0);
        Self {
            spec,
            extender,
            missing: Missing::default(),
            waiting: BTreeMap::new(),
            next,
            frame: None,
            numbers: None,
            reference: None,
            last_pli: None,
            began: None,
            played: Vec::new(),
            holes: 0,
            plis: 0,
            repaired: 0,
            undecodable: 0,
            octets: 0,
            said_again: 0,
            regained: 0,
        }
    }

    pub fn is_voice(&self) -> bool {
        self.spec.kind == SlotKind::Voice
    }

    /// Takes a packet of this stream or of its retransmissions.
    pub fn receive(&mut self, packet: &Packet<'_>, now: Instant) {
        self.began.get_or_insert(now);
        self.octets += packet.payload.len();
        let mut pairs = self.spec.codecs.iter();
        let (codec, sequence, payload) = if packet.ssrc == self.spec.ssrc {
            let agreed = pairs.find(|codec| codec.payload_type == packet.payload_type);
            (agreed.expect("a payload type of the answer").codec, packet.sequence, packet.payload)
        } else {
            let agreed = pairs.find(|codec| codec.rtx == Some(packet.payload_type));
            let (original, payload) = packet.payload.split_at(2);
            self.repaired += 1;
            (
                agreed.expect("a payload type of the answer").codec,
                u16::from_be_bytes([original[0], original[1]]),
                payload,
            )
        };
        let sequence = self.extender.extend(sequence);
        self.missing.arrived(sequence, now);
        let (timestamp, marker) = (packet.timestamp, packet.marker);
        let payload = if codec == Codec::Red { self.unwrap(sequence, timestamp, payload, now) } else { payload };
        self.wait(sequence, Waiting { codec, timestamp, marker, payload: payload.to_vec(), at: now });
    }

    fn wait(&mut self, sequence: u64, packet: Waiting) -> bool {
        let vacant = sequence >= self.next && !self.waiting.contains_key(&sequence);
        if vacant {
            self.waiting.insert(sequence, packet);
        }
        vacant
    }

    /// Takes what a packet says again, which is what it said before, and returns what it says itself.
    fn unwrap<'a>(&mut self, sequence: u64, timestamp: u32, payload: &'a [u8], now: Instant) -> &'a [u8] {
        let primary = &payload[red::primary_offset(payload).expect("the headers add up")..];
        let stamp = Stamp::read(primary);
        let mut least = 0;
        for block in red::blocks(payload).collect::<Vec<_>>().into_iter().rev() {
            let said = Stamp::read(block.payload());
            assert_eq!((said.track, said.life), (stamp.track, stamp.life), "of one source");
            let back = stamp.frame - said.frame;
            assert!(back > least, "the newest is last, and none is there twice");
            least = back;
            let timestamp = timestamp.wrapping_sub(block.offset());
            if let Some(came) = self.waiting.get(&(sequence - u64::from(back))) {
                assert_eq!(came.timestamp, timestamp, "{said:?} came with another media time");
            }
            let packet =
                Waiting { codec: Codec::Red, timestamp, marker: false, payload: block.payload().to_vec(), at: now };
            self.said_again += 1;
            self.regained += usize::from(self.wait(sequence - u64::from(back), packet));
        }
        primary
    }

    /// Plays what can be played.
    pub fn play(&mut self, now: Instant) {
        loop {
            if let Some(packet) = self.waiting.remove(&self.next) {
                self.next += 1;
                self.take(packet, now);
                continue;
            }
            let patience = if self.is_voice() { VOICE_PATIENCE } else { VIDEO_PATIENCE };
            let Some((&first, waiting)) = self.waiting.first_key_value() else { return };
            if now.saturating_duration_since(waiting.at) < patience {
                return;
            }
            self.holes += first - self.next;
            self.next = first;
            (self.frame, self.numbers) = (None, None);
            if !self.is_voice() {
                self.reference = None;
            }
        }
    }

    /// The next packet in order.
    fn take(&mut self, packet: Waiting, now: Instant) {
        let stamp = Stamp::read(&packet.payload);
        let voice = self.is_voice();
        assert!(voice || packet.marker == (stamp.index + 1 == stamp.count), "a marker was altered: {stamp:?}");
        let same = self.frame.is_some_and(|frame| frame.timestamp == packet.timestamp);
        self.check_numbers(&packet, same);
        let whole = match self.frame {
            Some(frame) if same => {
                assert_eq!(
                    (frame.stamp.track, frame.stamp.layer, frame.stamp.life, frame.stamp.frame),
                    (stamp.track, stamp.layer, stamp.life, stamp.frame),
                    "two frames share media time {}",
                    packet.timestamp
                );
                frame.whole && stamp.index == frame.stamp.index + 1
            }
            Some(frame) => {
                assert!(
                    is_later(packet.timestamp, frame.timestamp),
                    "media time ran back: {:?} to {stamp:?}",
                    frame.stamp
                );
                stamp.index == 0
            }
            None => stamp.index == 0,
        };
        self.frame = Some(Frame { timestamp: packet.timestamp, stamp, codec: packet.codec, whole });
        if stamp.index + 1 == stamp.count {
            self.decode(now);
        }
    }

    /// Picture numbers go on by one from frame to frame, whatever the frames' sources.
    fn check_numbers(&mut self, packet: &Waiting, same: bool) {
        if packet.codec != Codec::Vp8 {
            self.numbers = None;
            return;
        }
        let numbers = vp8::glance(&packet.payload).numbers;
        if let Some(before) = self.numbers.replace(numbers) {
            let step = u16::from(!same);
            let picture = before.picture.map(|(picture, long)| (picture.wrapping_add(step) & 0x7fff, long));
            assert_eq!(numbers.picture, picture, "picture numbers");
            assert_eq!(numbers.base_layer, before.base_layer.map(|base| base.wrapping_add(step as u8)), "TL0PICIDX");
        }
    }

    fn decode(&mut self, now: Instant) {
        let Some(Frame { timestamp, stamp, codec, whole }) = self.frame else { return };
        let follows = self.reference.is_some_and(|(before, coded)| {
            coded == codec
                && (before.track, before.layer, before.life, before.frame + 1)
                    == (stamp.track, stamp.layer, stamp.life, stamp.frame)
        });
        if whole && (stamp.keyframe || follows || codec.is_voice()) {
            self.reference = Some((stamp, codec));
            self.played.push(Played { at: now, stamp, timestamp });
        } else {
            self.reference = None;
            self.undecodable += 1;
        }
    }

    /// Numbers to ask for again.
    pub fn nacks(&mut self, round_trip: Duration, now: Instant) -> Vec<u16> {
        let mut sequences = Vec::new();
        if !self.is_voice() {
            self.missing.due(now, round_trip, &mut sequences);
        }
        sequences
    }

    /// Whether to ask for a keyframe now.
    pub fn wants_keyframe(&mut self, now: Instant) -> bool {
        let waits = self.began.is_some_and(|began| now.saturating_duration_since(began) > PLI_EVERY);
        let stuck = !self.is_voice() && self.reference.is_none() && waits;
        let asks = stuck && self.last_pli.is_none_or(|last| now.saturating_duration_since(last) >= PLI_EVERY);
        if asks {
            self.last_pli = Some(now);
            self.plis += 1;
        }
        asks
    }

    /// Sequence numbers missing at the moment.
    pub fn gaps(&self) -> usize {
        let Some((&last, _)) = self.waiting.last_key_value() else { return 0 };
        (self.next..last).filter(|sequence| !self.waiting.contains_key(sequence)).count()
    }
}
