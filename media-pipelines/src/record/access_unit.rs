//! Whole pictures from packets in order. What isn't whole is dropped with all that needs it, up to the next keyframe.

use bytes::Bytes;
use mingshi_journal::Codec;
use serde::{Deserialize, Serialize};

use super::checkpoint::octets;
use super::depacketise::{self, Format, av1, h264, vp8};
use super::reorder::Arrived;

/// Octets that one picture may have: a keyframe of a large screen has less than one million.
const PICTURE_AT_MOST: usize = 8 << 20;

/// One whole picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccessUnit {
    pub(super) codec: Codec,
    pub(super) timestamp: u32,
    /// When its last packet arrived.
    pub(super) arrival: i64,
    pub(super) data: Bytes,
    /// How it is encoded, of a keyframe.
    pub(super) format: Option<Format>,
}

/// What comes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Assembled {
    /// A picture that can be decoded with those before it.
    Whole(AccessUnit),
    /// A picture had to be dropped; the timestamp is its own.
    Dropped(u32),
}

/// See the module. One for every stream of pictures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Assembler {
    codec: Option<Codec>,
    current: Vec<Part>,
    octets: usize,
    timestamp: u32,
    arrival: i64,
    /// Whether the picture's first packet is there.
    is_whole: bool,
    /// Whether the packet that comes next begins a picture.
    at_boundary: bool,
    awaits_keyframe: bool,
    sets: h264::Sets,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Part(#[serde(with = "octets")] Bytes);

impl Default for Assembler {
    fn default() -> Self {
        Self {
            codec: None,
            current: Vec::new(),
            octets: 0,
            timestamp: 0,
            arrival: 0,
            is_whole: false,
            at_boundary: false,
            awaits_keyframe: true,
            sets: h264::Sets::default(),
        }
    }
}

impl Assembler {
    /// Take the next packet.
    pub(super) fn push(&mut self, packet: Arrived, out: &mut Vec<Assembled>) {
        if self.codec != Some(packet.codec) {
            *self = Self { codec: Some(packet.codec), ..Self::default() };
        }
        if packet.payload.is_empty() {
            // A probe for the line's capacity.
            return;
        }
        if !self.current.is_empty() && self.timestamp != packet.timestamp {
            self.finish(packet.codec, out);
        }
        if self.current.is_empty() {
            self.is_whole = self.at_boundary || depacketise::begins(packet.codec, &packet.payload);
            self.timestamp = packet.timestamp;
        }
        self.arrival = packet.arrival;
        self.octets += packet.payload.len();
        if self.octets > PICTURE_AT_MOST {
            self.is_whole = false;
        } else {
            self.current.push(Part(packet.payload));
        }
        if packet.marker {
            self.finish(packet.codec, out);
        }
    }

    /// Packets are missing here.
    pub(super) fn missing(&mut self, out: &mut Vec<Assembled>) {
        if !self.current.is_empty() {
            out.push(Assembled::Dropped(self.timestamp));
        }
        self.current.clear();
        self.octets = 0;
        self.at_boundary = false;
        self.awaits_keyframe = true;
    }

    fn finish(&mut self, codec: Codec, out: &mut Vec<Assembled>) {
        let parts: Vec<_> = std::mem::take(&mut self.current).into_iter().map(|part| part.0).collect();
        self.octets = 0;
        self.at_boundary = true;
        let picture = match codec {
            _ if !self.is_whole => None,
            Codec::H264 => h264::picture(&parts, &mut self.sets),
            Codec::Vp8 => vp8::picture(&parts),
            Codec::Av1 => av1::picture(&parts),
            Codec::Opus => None,
        };
        match picture {
            Some(picture) if picture.format.is_some() || !self.awaits_keyframe => {
                self.awaits_keyframe = false;
                let (timestamp, arrival) = (self.timestamp, self.arrival);
                out.push(Assembled::Whole(AccessUnit {
                    codec,
                    timestamp,
                    arrival,
                    data: picture.data,
                    format: picture.format,
                }));
            }
            Some(_) => out.push(Assembled::Dropped(self.timestamp)),
            // Parameter sets that travel alone are no loss.
            None if self.is_whole && parts.iter().all(|part| is_parameter_set(codec, part)) => {}
            None => {
                self.awaits_keyframe = true;
                out.push(Assembled::Dropped(self.timestamp));
            }
        }
    }
}

fn is_parameter_set(codec: Codec, payload: &[u8]) -> bool {
    let travels_alone = |header: &u8| matches!(header & 0x1f, 6 | 8 | 12);
    codec == Codec::H264 && (depacketise::begins(codec, payload) || payload.first().is_some_and(travels_alone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u64, timestamp: u32, marker: bool, payload: &'static [u8]) -> Arrived {
        let payload = Bytes::from_static(payload);
        Arrived { codec: Codec::Vp8, marker, sequence, timestamp, arrival: sequence as i64, payload }
    }

    const KEY: &[u8] = &[0x10, 0x10, 1, 2, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
    const DELTA: &[u8] = &[0x10, 0x31, 1, 2];
    const MORE: &[u8] = &[0x00, 7];

    fn told(out: &[Assembled]) -> Vec<(u32, bool)> {
        let tell = |one: &Assembled| match one {
            Assembled::Whole(unit) => (unit.timestamp, true),
            Assembled::Dropped(timestamp) => (*timestamp, false),
        };
        out.iter().map(tell).collect()
    }

    #[test]
    fn after_a_loss_nothing_leaves_until_the_next_keyframe() {
        let (mut assembler, mut out) = (Assembler::default(), Vec::new());
        assembler.push(packet(1, 0, true, DELTA), &mut out);
        assembler.push(packet(2, 10, false, KEY), &mut out);
        assembler.push(packet(3, 10, true, MORE), &mut out);
        assembler.push(packet(4, 20, true, DELTA), &mut out);
        assembler.push(packet(5, 30, false, DELTA), &mut out);
        assembler.missing(&mut out);
        assembler.push(packet(7, 30, true, MORE), &mut out);
        assembler.push(packet(8, 40, true, DELTA), &mut out);
        assembler.push(packet(9, 50, true, KEY), &mut out);
        assembler.push(packet(10, 60, true, DELTA), &mut out);
        let expected =
            [(0, false), (10, true), (20, true), (30, false), (30, false), (40, false), (50, true), (60, true)];
        assert_eq!(told(&out), expected);
    }

    #[test]
    fn another_timestamp_ends_a_picture_whose_marker_is_missing() {
        let (mut assembler, mut out) = (Assembler::default(), Vec::new());
        assembler.push(packet(1, 10, false, KEY), &mut out);
        assembler.push(packet(2, 20, false, DELTA), &mut out);
        assembler.push(packet(3, 30, true, DELTA), &mut out);
        assert_eq!(told(&out), [(10, true), (20, true), (30, true)]);
    }
}
