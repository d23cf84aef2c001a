//! Encoders: streams of packets as browsers make them, down to what the forwarding unit reads of a payload.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mingshi::id::SourceName;
use mingshi::rtp::codec::{Codec, H264Profile};
use mingshi::rtp::timeline::ticks;
use mingshi::sfu::input::MediaKind;

use super::chance::Chance;
use super::stamp::Stamp;

/// What can be asked for again.
const HISTORY: usize = 600;
pub const H264: Codec = Codec::H264(H264Profile::ConstrainedBaseline);
const SIZES: [(u16, u16); 3] = [(320, 176), (640, 352), (1_280, 720)];

/// One packet as the publisher sends it.
#[derive(Debug, Clone)]
pub struct Packet {
    pub layer: u8,
    pub life: u8,
    pub codec: Codec,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Rc<[u8]>,
}

/// One track: what is published under one name.
#[derive(Debug)]
pub struct Track {
    pub source: SourceName,
    pub kind: MediaKind,
    pub codec: Codec,
    pub encodings: Vec<Encoding>,
    /// Set when it is published.
    pub number: u16,
}

impl Track {
    fn new(source: SourceName, kind: MediaKind, codec: Codec, encodings: Vec<Encoding>) -> Self {
        Self { source, kind, codec, encodings, number: 0 }
    }

    /// A camera in so many layers, 30 pictures a second.
    pub fn camera(codec: Codec, layers: usize) -> Self {
        let encoding =
            |layer: usize| Encoding::new(millis_of(33.0), (6 + 3 * layer, 2 + layer), SIZES[3 - layers + layer]);
        Self::new(SourceName::camera(), MediaKind::Video, codec, (0..layers).map(encoding).collect())
    }

    /// Slides in one layer, five pictures a second, of which a keyframe is so many packets.
    pub fn slides(codec: Codec, keyframe: usize) -> Self {
        let encoding = Encoding::new(millis_of(200.0), (keyframe, 2), (1_920, 1_088));
        Self::new(SourceName::slides(), MediaKind::Video, codec, vec![encoding])
    }

    /// The studio page's camera: about 150, 400 and 1,200 kbit/s, 15 pictures a second.
    pub fn studio_camera(codec: Codec) -> Self {
        let packets = [(6, 1), (12, 3), (30, 8)];
        let encodings = packets.iter().zip(SIZES).map(|(&packets, size)| Encoding::new(millis_of(66.0), packets, size));
        Self::new(SourceName::camera(), MediaKind::Video, codec, encodings.collect())
    }

    /// Its slides: one size in 5 and 15 pictures a second, about 300 and 1,500 kbit/s.
    pub fn studio_slides(codec: Codec) -> Self {
        let encodings = [(200.0, (30, 6)), (66.0, (60, 10))];
        let encodings = encodings.map(|(every, packets)| Encoding::new(millis_of(every), packets, (1_920, 1_088)));
        Self::new(SourceName::slides(), MediaKind::Video, codec, encodings.into())
    }

    /// A voice, a packet each 20 ms.
    pub fn voice(codec: Codec) -> Self {
        let encoding = Encoding::new(millis_of(20.0), (1, 1), (0, 0));
        Self::new(SourceName::camera(), MediaKind::Voice, codec, vec![encoding])
    }

    /// Its streams begin with these numbers instead of random ones.
    pub fn beginning(mut self, sequence: u16, timestamp: u32) -> Self {
        for encoding in &mut self.encodings {
            (encoding.sequence, encoding.origin) = (Some(sequence), Some(timestamp));
        }
        self
    }
}

fn millis_of(millis: f64) -> Duration {
    Duration::from_secs_f64(millis / 1_000.0)
}

/// One encoding of a track.
#[derive(Debug)]
pub struct Encoding {
    interval: Duration,
    /// Packets of a keyframe, and of another frame.
    packets: (usize, usize),
    size: (u16, u16),
    sequence: Option<u16>,
    /// Media time of the story's beginning.
    origin: Option<u32>,
    picture: (u16, u8),
    frame: u32,
    pub life: u8,
    pub on: bool,
    pub keyframe_wanted: bool,
    /// Octets of one packet at most.
    pub length: u64,
    due: Option<Instant>,
    history: VecDeque<Packet>,
    /// The voice packet before, for redundancy.
    before: Vec<u8>,
}

impl Encoding {
    fn new(interval: Duration, packets: (usize, usize), size: (u16, u16)) -> Self {
        Self {
            interval,
            packets,
            size,
            sequence: None,
            origin: None,
            picture: (0, 0),
            frame: 0,
            life: 0,
            on: true,
            keyframe_wanted: true,
            length: 1_180,
            due: None,
            history: VecDeque::new(),
            before: Vec::new(),
        }
    }

    /// Gives the stream its first numbers.
    pub fn start(&mut self, chance: &mut Chance) {
        self.sequence.get_or_insert(chance.number() as u16);
        self.origin.get_or_insert(chance.number() as u32);
        self.picture = (chance.number() as u16 & 0x7fff, chance.number() as u8);
    }

    pub fn packets_of_a_frame(&mut self, packets: usize) {
        self.packets = (packets, packets);
    }

    /// The encoder begins anew, as a browser does whose camera was changed.
    pub fn restart(&mut self, chance: &mut Chance) {
        (self.sequence, self.origin) = (None, None);
        self.start(chance);
        self.life += 1;
        self.keyframe_wanted = true;
        self.history.clear();
    }

    /// Media time at `now`.
    pub fn timestamp(&self, codec: Codec, began: Instant, now: Instant) -> u32 {
        let since = now.saturating_duration_since(began).as_nanos() as i64;
        self.origin.unwrap_or(0).wrapping_add(ticks(since, codec.clock_rate()) as u32)
    }

    /// Whether a frame is to be made at `now`.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = *self.due.get_or_insert(now);
        if now < due {
            return false;
        }
        self.due = Some(due + self.interval);
        self.on
    }

    /// The frame that is due, if one is.
    pub fn frame(
        &mut self,
        codec: Codec,
        stamp: Stamp,
        began: Instant,
        now: Instant,
        chance: &mut Chance,
    ) -> Vec<Packet> {
        if !self.is_due(now) {
            return Vec::new();
        }
        let keyframe = std::mem::take(&mut self.keyframe_wanted) || codec.is_voice();
        let count = if keyframe { self.packets.0 } else { self.packets.1 };
        self.frame += 1;
        self.picture = (self.picture.0.wrapping_add(1) & 0x7fff, self.picture.1.wrapping_add(1));
        let timestamp = self.timestamp(codec, began, now);
        // An encoder cuts a frame into packets of nearly one length.
        let length = if codec.is_voice() { 90 } else { (self.length - 40 + chance.below(30)) as usize };
        (0..count)
            .map(|index| {
                let stamp = Stamp {
                    life: self.life,
                    frame: self.frame,
                    index: index as u8,
                    count: count as u8,
                    keyframe,
                    ..stamp
                };
                let payload = self.payload(codec, &stamp, length + chance.below(10) as usize);
                let sequence = self.sequence.unwrap_or(0);
                self.sequence = Some(sequence.wrapping_add(1));
                let marker = !codec.is_voice() && index + 1 == count;
                let packet = Packet {
                    layer: stamp.layer,
                    life: self.life,
                    codec,
                    sequence,
                    timestamp,
                    marker,
                    payload: payload.into(),
                };
                self.history.push_back(packet.clone());
                if self.history.len() > HISTORY {
                    self.history.pop_front();
                }
                packet
            })
            .collect()
    }

    /// A packet that was sent, for sending it again.
    pub fn sent(&self, sequence: u16) -> Option<Packet> {
        self.history.iter().find(|packet| packet.sequence == sequence).cloned()
    }

    fn payload(&mut self, codec: Codec, stamp: &Stamp, length: usize) -> Vec<u8> {
        let mut payload = match codec {
            Codec::Vp8 => self.vp8(stamp),
            Codec::H264(_) => h264(stamp, self.size, length),
            Codec::Red => self.redundancy(),
            Codec::Opus | Codec::Av1 => Vec::new(),
        };
        let head = payload.len();
        stamp.write(&mut payload, if codec == Codec::Red { head + length } else { length });
        if codec == Codec::Red {
            self.before = payload[head..].to_vec();
        }
        payload
    }

    /// RFC 7741 §4.2 and §4.3: descriptor, and the frame header in the first packet.
    fn vp8(&self, stamp: &Stamp) -> Vec<u8> {
        let (picture, base) = self.picture;
        let start = if stamp.index == 0 { 0x10 } else { 0 };
        let mut payload = vec![0x80 | start, 0xe0, 0x80 | (picture >> 8) as u8, picture as u8, base, 0x20];
        if stamp.index == 0 {
            payload.extend([0x10 | u8::from(!stamp.keyframe), 0, 0]);
            if stamp.keyframe {
                payload.extend([0x9d, 0x01, 0x2a]);
                payload.extend(self.size.0.to_le_bytes());
                payload.extend(self.size.1.to_le_bytes());
            }
        }
        payload
    }

    /// RFC 2198: the packet before, then the primary's header.
    fn redundancy(&self) -> Vec<u8> {
        let length = self.before.len() as u16;
        let offset = 960u16;
        let mut payload = Vec::new();
        if length > 0 {
            payload.extend([0x80 | 111, (offset >> 6) as u8, (offset << 2) as u8 | (length >> 8) as u8, length as u8]);
        }
        payload.push(111);
        payload.extend(&self.before);
        payload
    }
}

/// RFC 6184: parameter sets in an aggregation packet of their own, then fragments of one slice.
fn h264(stamp: &Stamp, size: (u16, u16), length: usize) -> Vec<u8> {
    if stamp.keyframe && stamp.index == 0 {
        let sps = sequence_parameter_set(size);
        let pps = [0x68, 0xce, 0x3c, 0x80];
        let mut payload = vec![24, 0, sps.len() as u8];
        payload.extend(&sps);
        payload.extend([0, pps.len() as u8]);
        payload.extend(pps);
        // What follows is one unit of supplemental information.
        let rest = length - payload.len() - 2;
        payload.extend((rest as u16).to_be_bytes());
        payload.push(6);
        return payload;
    }
    let first = stamp.index == u8::from(stamp.keyframe);
    let start = if first { 0x80 } else { 0 };
    let end = if stamp.index + 1 == stamp.count { 0x40 } else { 0 };
    vec![0x7c, start | end | if stamp.keyframe { 5 } else { 1 }]
}

/// H.264 §7.3.2.1.1, constrained baseline, no cropping.
fn sequence_parameter_set((width, height): (u16, u16)) -> Vec<u8> {
    let mut bits = String::new();
    for value in [0, 0, 2, 1] {
        exp_golomb(&mut bits, value);
    }
    bits.push('0');
    exp_golomb(&mut bits, width / 16 - 1);
    exp_golomb(&mut bits, height / 16 - 1);
    // Frames only, 8×8 inference, no cropping, no usability information, and the trailing bit.
    bits.push_str("11001");
    while !bits.len().is_multiple_of(8) {
        bits.push('0');
    }
    let octets = bits.as_bytes().chunks(8).map(|octet| octet.iter().fold(0, |value, &bit| value << 1 | (bit - b'0')));
    [0x67, 0x42, 0xc0, 0x1f].into_iter().chain(octets).collect()
}

/// H.264 §9.1.
fn exp_golomb(bits: &mut String, value: u16) {
    let code = format!("{:b}", u32::from(value) + 1);
    bits.push_str(&"0".repeat(code.len() - 1));
    bits.push_str(&code);
}
