//! The recent packets of one incoming stream, kept once for all its receivers.
//!
//! A packet is kept as a *template*: our constant header layout, then the payload. A receiver's copy
//! differs in a few header bytes only, so sending is one copy, a patch and a seal, and retransmission
//! needs nothing kept per receiver.

use super::codec::Codec;
use super::packet::{FIXED_HEADER, Malformed};
use super::vp8::Numbers;

/// Header of every packet we send: the fixed header, the extension block's header (RFC 8285 §4.2) and
/// two words of elements. It is the same for all packets, because segments of one send must be equally long.
pub const TEMPLATE_HEADER: usize = FIXED_HEADER + 4 + 8;
/// That header, without anybody's numbers: version 2, with an extension block.
pub const BLANK_HEADER: [u8; TEMPLATE_HEADER] = {
    let mut header = [0; TEMPLATE_HEADER];
    header[0] = 0x90;
    (header[FIXED_HEADER], header[FIXED_HEADER + 1], header[FIXED_HEADER + 3]) = (0xbe, 0xde, 2);
    header
};
/// The longest payload that fits an Ethernet frame with our header, RTX, the seal, and tunnels of the school's network.
pub const MAX_PAYLOAD: usize = 1_400;
/// The most padding that evening out the lengths of a picture's packets may add to one of them.
pub const MAX_PADDING: usize = 48;

/// What is known of a cached packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// Extended sequence number of the incoming stream; 0 = empty.
    pub sequence: u64,
    /// Media time as it came.
    pub timestamp: u32,
    /// What the publisher negotiated its payload type for.
    pub codec: Option<Codec>,
    /// Marker bit.
    pub marker: bool,
    /// Whether decoding can begin here.
    pub keyframe_start: bool,
    /// Where in the payload the primary encoding begins: before it is the publisher's own redundancy.
    pub primary: u16,
    /// Picture numbers to rewrite.
    pub numbers: Numbers,
    position: u64,
    length: u16,
    padding: u8,
}

impl Entry {
    /// Octets of the template, header and padding included.
    #[must_use]
    pub fn template_len(&self) -> usize {
        usize::from(self.length) + usize::from(self.padding)
    }

    /// Octets of the payload, without padding.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        usize::from(self.length) - TEMPLATE_HEADER
    }
}

/// What a packet brings into the cache.
#[derive(Debug, Clone, Copy, Default)]
pub struct Incoming<'a> {
    /// Extended sequence number, never 0.
    pub sequence: u64,
    /// Media time.
    pub timestamp: u32,
    /// See [`Entry::codec`].
    pub codec: Option<Codec>,
    /// Marker bit.
    pub marker: bool,
    /// Whether decoding can begin here.
    pub keyframe_start: bool,
    /// See [`Entry::primary`].
    pub primary: u16,
    /// See [`Entry::numbers`].
    pub numbers: Numbers,
    /// The payload without padding.
    pub payload: &'a [u8],
}

/// Why a packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It is there already. Sending it again would use a nonce twice.
    #[error("the packet came before")]
    Duplicate,
    /// It is older than the cache reaches.
    #[error("the packet is too old")]
    TooOld,
    /// It can't be forwarded in one datagram.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A ring of packets by sequence number, over a ring of bytes.
#[derive(Debug)]
pub struct PacketCache {
    entries: Box<[Entry]>,
    data: Box<[u8]>,
    written: u64,
    highest: u64,
}

impl PacketCache {
    /// A cache of `packets` packets in `bytes` bytes, both powers of two; the oldest are dropped.
    #[must_use]
    pub fn new(packets: usize, bytes: usize) -> Self {
        assert!(packets.is_power_of_two() && bytes.is_power_of_two());
        assert!(bytes > 2 * (TEMPLATE_HEADER + MAX_PAYLOAD + MAX_PADDING));
        Self { entries: vec![Entry::default(); packets].into(), data: vec![0; bytes].into(), written: 0, highest: 0 }
    }

    fn slot(&self, sequence: u64) -> usize {
        sequence as usize & (self.entries.len() - 1)
    }

    /// Where in the ring of bytes a position is.
    const fn place(&self, position: u64) -> usize {
        position as usize & (self.data.len() - 1)
    }

    /// The highest sequence number taken, 0 before the first.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// Takes a packet.
    ///
    /// # Errors
    /// [`Rejected`]; a rejected packet changes nothing.
    pub fn insert(&mut self, packet: &Incoming<'_>) -> Result<(), Rejected> {
        if packet.payload.len() > MAX_PAYLOAD {
            return Err(Malformed::Long.into());
        }
        if packet.sequence + self.entries.len() as u64 <= self.highest {
            return Err(Rejected::TooOld);
        }
        let slot = self.slot(packet.sequence);
        if self.entries[slot].sequence == packet.sequence {
            return Err(Rejected::Duplicate);
        }
        let length = TEMPLATE_HEADER + packet.payload.len();
        let position = self.reserve(length + MAX_PADDING);
        let at = self.place(position);
        let template = &mut self.data[at..at + length];
        template[..TEMPLATE_HEADER].copy_from_slice(&BLANK_HEADER);
        template[1] = u8::from(packet.marker) << 7;
        template[TEMPLATE_HEADER..].copy_from_slice(packet.payload);
        self.entries[slot] = Entry {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            codec: packet.codec,
            marker: packet.marker,
            keyframe_start: packet.keyframe_start,
            primary: packet.primary,
            numbers: packet.numbers,
            position,
            length: length as u16,
            padding: 0,
        };
        self.highest = self.highest.max(packet.sequence);
        Ok(())
    }

    /// Takes `length` contiguous bytes of the ring.
    fn reserve(&mut self, length: usize) -> u64 {
        let capacity = self.data.len() as u64;
        let left = capacity - self.place(self.written) as u64;
        if left < length as u64 {
            self.written += left;
        }
        let position = self.written;
        self.written += length as u64;
        position
    }

    /// The packet with this number, if it is still there.
    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<&Entry> {
        let entry = &self.entries[self.slot(sequence)];
        let held =
            entry.sequence == sequence && sequence != 0 && self.written - entry.position <= self.data.len() as u64;
        held.then_some(entry)
    }

    /// The template of an entry that [`get`](Self::get) returned, padding included.
    #[must_use]
    pub fn template(&self, entry: &Entry) -> &[u8] {
        let at = self.place(entry.position);
        &self.data[at..at + entry.template_len()]
    }

    /// The payload of an entry that [`get`](Self::get) returned, without padding.
    #[must_use]
    pub fn payload(&self, entry: &Entry) -> &[u8] {
        &self.template(entry)[TEMPLATE_HEADER..usize::from(entry.length)]
    }

    /// Pads a packet to a template of `length` octets (RFC 3550 §5.1), if that needs at most [`MAX_PADDING`].
    fn pad(&mut self, sequence: u64, length: usize) {
        let slot = self.slot(sequence);
        let at = self.place(self.entries[slot].position);
        let entry = &mut self.entries[slot];
        let padding = length - usize::from(entry.length);
        debug_assert!(padding <= MAX_PADDING);
        entry.padding = padding as u8;
        let template = &mut self.data[at..at + length];
        if padding > 0 {
            template[0] |= 0x20;
            template[length - padding..].fill(0);
            template[length - 1] = padding as u8;
        }
    }

    /// Makes the packets of one batch equally long where little padding does it, so that they leave in one
    /// segmented send. `sequences` are the batch in the order of sending; none may have been sent yet.
    pub fn even_out(&mut self, sequences: &[u64]) {
        let mut begin = 0;
        while begin < sequences.len() {
            let (mut shortest, mut longest) = (usize::MAX, 0);
            let mut end = begin;
            while let Some(entry) = sequences.get(end).and_then(|&sequence| self.get(sequence)) {
                let length = entry.template_len();
                let (lower, upper) = (shortest.min(length), longest.max(length));
                if upper - lower > MAX_PADDING {
                    break;
                }
                (shortest, longest) = (lower, upper);
                end += 1;
            }
            if end - begin > 1 {
                for &sequence in &sequences[begin..end] {
                    self.pad(sequence, longest);
                }
            }
            begin = end.max(begin + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::packet::Packet;
    use proptest::prelude::*;

    fn packet(sequence: u64, payload: &[u8]) -> Incoming<'_> {
        Incoming { sequence, payload, ..Incoming::default() }
    }

    #[test]
    fn a_packet_comes_back_until_the_ring_has_gone_round() {
        let mut cache = PacketCache::new(64, 16_384);
        for sequence in 1..=500u64 {
            let payload = vec![sequence as u8; 300];
            assert_eq!(cache.insert(&packet(sequence, &payload)), Ok(()));
            let entry = *cache.get(sequence).expect("just inserted");
            assert_eq!(cache.payload(&entry), payload);
        }
        let held = (1..=500).filter(|&sequence| cache.get(sequence).is_some()).count();
        assert!((35..=45).contains(&held), "16 kB hold about 40 packets of 372: {held}");
        assert!(cache.get(500 - held as u64 + 1).is_some());
    }

    #[test]
    fn a_packet_is_taken_once() {
        let mut cache = PacketCache::new(64, 16_384);
        assert_eq!(cache.insert(&packet(1_000, b"a")), Ok(()));
        assert_eq!(cache.insert(&packet(1_000, b"b")), Err(Rejected::Duplicate));
        assert_eq!(cache.insert(&packet(999, b"late")), Ok(()));
        assert_eq!(cache.insert(&packet(936, b"old")), Err(Rejected::TooOld));
        assert_eq!(cache.insert(&packet(1_001, &[0; MAX_PAYLOAD + 1])), Err(Rejected::Malformed(Malformed::Long)));
        assert_eq!(cache.highest(), 1_000);
    }

    #[test]
    fn the_packets_of_a_picture_become_equally_long_and_read_the_same() {
        let mut cache = PacketCache::new(64, 65_536);
        let lengths = [30, 1_180, 1_181, 1_181, 1_150, 400];
        for (index, &length) in lengths.iter().enumerate() {
            cache.insert(&packet(10 + index as u64, &vec![7; length])).expect("new");
        }
        cache.even_out(&[10, 11, 12, 13, 14, 15]);
        let sent: Vec<usize> = (10..16).map(|sequence| cache.get(sequence).expect("held").template_len()).collect();
        assert_eq!(sent, [54, 1_205, 1_205, 1_205, 1_205, 424]);
        for (index, &length) in lengths.iter().enumerate() {
            let entry = cache.get(10 + index as u64).expect("held");
            let read = Packet::parse(cache.template(entry)).expect("well formed");
            assert_eq!(read.payload, vec![7; length]);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_held_is_what_was_put_in(steps in proptest::collection::vec((1u64..400, 0usize..1_400), 1..200)) {
            let mut cache = PacketCache::new(128, 32_768);
            let mut last = std::collections::HashMap::new();
            for (sequence, length) in steps {
                let payload = vec![(sequence * 7) as u8; length];
                if cache.insert(&packet(sequence, &payload)).is_ok() {
                    last.insert(sequence, payload);
                }
                for (sequence, payload) in &last {
                    if let Some(entry) = cache.get(*sequence) {
                        prop_assert_eq!(cache.payload(entry), &payload[..]);
                    }
                }
            }
        }
    }
}
