//! The last step of the path: a cached packet becomes a receiver's, is sealed in the send buffer, and leaves with others like it.

use std::io;
use std::time::Duration;

use crate::rtp::packet::FIXED_HEADER;
use crate::rtp::packet_cache::{BLANK_HEADER, Entry, MAX_PADDING, MAX_PAYLOAD, PacketCache, TEMPLATE_HEADER};
use crate::rtp::red::{self, Block, MAX_GENERATIONS};
use crate::rtp::vp8;
use crate::sfu::{Forward, Padding, Redundancy};
use crate::transport::srtp::{MAX_OVERHEAD, Sealer};

use super::socket::Path;

/// The longest datagram that media makes: a retransmission carries two octets more than its original.
pub const MAX_DATAGRAM: usize = TEMPLATE_HEADER + 2 + MAX_PAYLOAD + MAX_PADDING + MAX_OVERHEAD;
/// One send's octets at most: what fits a UDP length.
const BUFFER: usize = 65_000;
/// The header is written in three words, of which the last is the elements of the extension block.
const _: () = assert!(TEMPLATE_HEADER == 24 && FIXED_HEADER == 12);

/// What of a receiver is needed to write packets to it.
#[derive(Debug)]
pub struct Receiver<'a> {
    /// Seals.
    pub sealer: &'a Sealer,
    /// Where to.
    pub path: Path,
    /// The negotiated id of transport-wide sequence numbers.
    pub transport_cc: Option<u8>,
    /// The next transport-wide sequence number; packets get it as they leave.
    pub transport_sequence: &'a mut u16,
    /// What pictures say of how they are to be shown.
    pub playout_delay: PlayoutDelay,
}

/// The header extension that bounds how long a picture waits in its receiver (`playout-delay` of webrtc.org), as it stands
/// in the last word of a header, behind the transport-wide number: the room is there in every header anyway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlayoutDelay(u64);

impl PlayoutDelay {
    /// Under the negotiated id; both bounds are told in steps of 10 ms, up to 40.95 s.
    #[must_use]
    pub fn new(id: u8, least: Duration, most: Duration) -> Self {
        let steps = |bound: Duration| (bound.as_millis() / 10).min(0xfff) as u64;
        Self(u64::from(id & 0xf) << 36 | 2 << 32 | steps(least) << 20 | steps(most) << 8)
    }

    /// With no least time: a picture is shown as soon as it is whole.
    #[must_use]
    pub const fn at_once(self) -> Self {
        Self(self.0 & !(0xfff << 20))
    }
}

/// Counts of what left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Calls to the system.
    pub sends: u64,
    /// Datagrams.
    pub datagrams: u64,
    /// Octets of datagrams.
    pub octets: u64,
    /// Octets of padding among them.
    pub padding: u64,
    /// Datagrams that the kernel had no room for: they are lost, and asked for again.
    pub dropped: u64,
}

/// A buffer of equally long datagrams for one receiver.
#[derive(Debug)]
pub struct Egress {
    buffer: Box<[u8]>,
    used: usize,
    segment: usize,
    segments: usize,
    /// A shorter datagram was last: it must stay so.
    closed: bool,
    path: Option<Path>,
    max_segments: usize,
    counts: Sent,
}

impl Egress {
    /// For a socket that takes so many segments at once.
    #[must_use]
    pub fn new(max_segments: usize) -> Self {
        Self {
            buffer: vec![0; BUFFER].into(),
            used: 0,
            segment: 0,
            segments: 0,
            closed: false,
            path: None,
            max_segments: max_segments.max(1),
            counts: Sent::default(),
        }
    }

    /// What left since the beginning.
    #[must_use]
    pub const fn counts(&self) -> Sent {
        self.counts
    }

    /// Writes one packet; `send` is called when what is gathered must leave first.
    ///
    /// Returns the datagram's length, or `None` if it could not be sealed.
    pub fn write(
        &mut self,
        forward: &Forward,
        cache: &PacketCache,
        entry: &Entry,
        receiver: &mut Receiver<'_>,
        send: impl FnMut(&Path, &[u8], usize) -> io::Result<()>,
    ) -> Option<usize> {
        if let Some(redundancy) = forward.redundancy {
            return self.write_redundant(forward, redundancy, cache, entry, receiver, send);
        }
        let template = cache.template(entry);
        // What is kept of a payload is known before it is copied, so room and segment length can be judged first.
        let length = if forward.original.is_some() {
            TEMPLATE_HEADER + 2 + entry.payload_len() - usize::from(forward.skip)
        } else {
            template.len() - usize::from(forward.skip)
        };
        let sealed = length + receiver.sealer.overhead();
        self.make_room(receiver.path, sealed, send);
        let out = &mut self.buffer[self.used..];
        let numbers = (forward.payload_type, forward.sequence, forward.timestamp, forward.ssrc);
        write_header(out, template, numbers, receiver);
        let payload = &template[TEMPLATE_HEADER + usize::from(forward.skip)..];
        if let Some(original) = forward.original {
            // Padding was for the sake of a batch; a retransmission leaves alone (RFC 4588 §4 asks for the payload only).
            out[0] &= !0x20;
            out[TEMPLATE_HEADER..TEMPLATE_HEADER + 2].copy_from_slice(&original.to_be_bytes());
            let payload = &payload[..length - TEMPLATE_HEADER - 2];
            out[TEMPLATE_HEADER + 2..length].copy_from_slice(payload);
        } else {
            out[TEMPLATE_HEADER..length].copy_from_slice(payload);
        }
        if forward.pictures != vp8::Offsets::default() {
            let at = TEMPLATE_HEADER + if forward.original.is_some() { 2 } else { 0 };
            vp8::renumber(&mut out[at..length], entry.numbers, forward.pictures.apply(entry.numbers));
        }
        let sealed = receiver.sealer.seal_rtp(out, TEMPLATE_HEADER, length, forward.sequence)?;
        self.counts.padding += (template.len() - TEMPLATE_HEADER - entry.payload_len()) as u64;
        Some(self.gather(sealed, receiver.path))
    }

    /// A voice with what was said before it (RFC 2198), as far as that is held and fits.
    fn write_redundant(
        &mut self,
        forward: &Forward,
        redundancy: Redundancy,
        cache: &PacketCache,
        entry: &Entry,
        receiver: &mut Receiver<'_>,
        send: impl FnMut(&Path, &[u8], usize) -> io::Result<()>,
    ) -> Option<usize> {
        let primary = &cache.payload(entry)[usize::from(forward.skip)..];
        let (mut blocks, mut count) = ([Block::default(); MAX_GENERATIONS], 0);
        for back in (1..=u64::from(redundancy.generations)).rev() {
            let earlier = entry.sequence.checked_sub(back).and_then(|sequence| cache.get(sequence));
            let block = earlier.and_then(|earlier| {
                let said = &cache.payload(earlier)[usize::from(earlier.primary)..];
                let offset = entry.timestamp.wrapping_sub(earlier.timestamp);
                Block::new(offset, said).filter(|_| offset <= redundancy.within.into())
            });
            if let (Some(block), Some(place)) = (block, blocks.get_mut(count)) {
                *place = block;
                count += 1;
            }
        }
        let blocks = &blocks[..count];
        let fits = red::written_len(blocks, primary.len()) <= MAX_PAYLOAD;
        let blocks = if fits { blocks } else { &[] };
        let length = TEMPLATE_HEADER + red::written_len(blocks, primary.len());
        self.make_room(receiver.path, length + receiver.sealer.overhead(), send);
        let out = &mut self.buffer[self.used..];
        let numbers = (forward.payload_type, forward.sequence, forward.timestamp, forward.ssrc);
        write_header(out, cache.template(entry), numbers, receiver);
        // Padding was for the sake of a batch, whose packets are no longer of one length.
        out[0] &= !0x20;
        red::write(redundancy.payload_type, blocks, primary, &mut out[TEMPLATE_HEADER..length]);
        let sealed = receiver.sealer.seal_rtp(out, TEMPLATE_HEADER, length, forward.sequence)?;
        Some(self.gather(sealed, receiver.path))
    }

    /// The last `length` octets that were written, at most one datagram of them.
    #[must_use]
    pub fn written(&self, length: usize) -> &[u8] {
        &self.buffer[self.used.saturating_sub(length)..self.used]
    }

    /// Writes a datagram that was sealed before.
    pub fn repeat(&mut self, datagram: &[u8], path: Path, send: impl FnMut(&Path, &[u8], usize) -> io::Result<()>) {
        self.make_room(path, datagram.len(), send);
        let Some(out) = self.buffer.get_mut(self.used..self.used + datagram.len()) else { return };
        out.copy_from_slice(datagram);
        self.gather(datagram.len(), path);
    }

    /// Writes a packet of nothing but `octets` octets of padding (RFC 3550 §5.1). Returns the datagram's length.
    pub fn write_padding(
        &mut self,
        padding: &Padding,
        octets: u8,
        receiver: &mut Receiver<'_>,
        send: impl FnMut(&Path, &[u8], usize) -> io::Result<()>,
    ) -> Option<usize> {
        let octets = octets.max(1);
        let length = TEMPLATE_HEADER + usize::from(octets);
        self.make_room(receiver.path, length + receiver.sealer.overhead(), send);
        let out = &mut self.buffer[self.used..];
        write_header(out, &BLANK_HEADER, (padding.payload_type, padding.sequence, 0, padding.ssrc), receiver);
        out[0] |= 0x20;
        out[TEMPLATE_HEADER..length].fill(0);
        out[length - 1] = octets;
        let sealed = receiver.sealer.seal_rtp(out, TEMPLATE_HEADER, length, padding.sequence)?;
        self.counts.padding += u64::from(octets);
        Some(self.gather(sealed, receiver.path))
    }

    /// The last of the buffer is a sealed datagram.
    fn gather(&mut self, sealed: usize, path: Path) -> usize {
        if self.segments == 0 {
            self.segment = sealed;
            self.path = Some(path);
        }
        self.closed = sealed < self.segment;
        self.used += sealed;
        self.segments += 1;
        sealed
    }

    /// Sends what is gathered if a datagram of `length` octets to `path` can't join it.
    fn make_room(&mut self, path: Path, length: usize, send: impl FnMut(&Path, &[u8], usize) -> io::Result<()>) {
        let joins = self.segments == 0
            || (self.path == Some(path)
                && !self.closed
                && length <= self.segment
                && self.segments < self.max_segments
                && self.used + length <= BUFFER);
        if !joins {
            self.flush(send);
        }
    }

    /// Sends what is gathered.
    pub fn flush(&mut self, mut send: impl FnMut(&Path, &[u8], usize) -> io::Result<()>) {
        let Some(path) = self.path.take().filter(|_| self.segments > 0) else { return };
        self.counts.sends += 1;
        self.counts.datagrams += self.segments as u64;
        self.counts.octets += self.used as u64;
        if send(&path, &self.buffer[..self.used], self.segment).is_err() {
            self.counts.dropped += self.segments as u64;
        }
        (self.used, self.segments, self.closed) = (0, 0, false);
    }
}

/// Writes the template's header with a receiver's numbers, in whole words and before the payload: the seal reads it in
/// wider pieces soon after, and would have to wait for smaller ones that were written last.
#[inline]
fn write_header(
    out: &mut [u8],
    template: &[u8],
    (payload_type, sequence, timestamp, ssrc): (u8, u64, u32, u32),
    receiver: &mut Receiver<'_>,
) {
    let (template, _) = template.as_chunks::<8>();
    let [first, second, mut elements] = [template[0], template[1], template[2]].map(u64::from_be_bytes);
    if let Some(id) = receiver.transport_cc {
        elements |= u64::from(id << 4 | 1) << 56 | u64::from(*receiver.transport_sequence) << 40;
        *receiver.transport_sequence = receiver.transport_sequence.wrapping_add(1);
    }
    elements |= receiver.playout_delay.0;
    let numbers = u64::from(payload_type) << 48 | u64::from(sequence as u16) << 32 | u64::from(timestamp);
    let (out, _) = out.as_chunks_mut::<8>();
    out[0] = (first | numbers).to_be_bytes();
    out[1] = (second | u64::from(ssrc) << 32).to_be_bytes();
    out[2] = elements.to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_to_be_shown_at_once_keeps_its_longest_wait() {
        let (least, none, most) = (Duration::from_millis(80), Duration::ZERO, Duration::from_secs(10));
        assert_eq!(PlayoutDelay::new(5, least, most).at_once(), PlayoutDelay::new(5, none, most));
        assert_eq!(PlayoutDelay::default().at_once(), PlayoutDelay::default());
    }

    use crate::adapt::Urgency;
    use crate::rtp::packet::Packet;
    use crate::rtp::packet_cache::Incoming;
    use crate::sfu::Source;
    use crate::transport::Identity;
    use crate::transport::srtp::{Opener, Profile};

    fn path(port: u16) -> Path {
        Path { remote: ([192, 0, 2, 1], port).into(), local: None }
    }

    fn forward(packet: u64, skip: u16, original: Option<u16>) -> Forward {
        Forward {
            connection: 0,
            source: Source { publication: 0, serial: 0, layer: 0, generation: 0 },
            packet,
            ssrc: 77,
            payload_type: 96,
            sequence: packet,
            timestamp: 9,
            pictures: vp8::Offsets::default(),
            skip,
            redundancy: None,
            original,
            urgency: Urgency::Camera,
        }
    }

    #[test]
    fn equally_long_packets_leave_together_and_open_at_the_receiver() {
        let mut cache = PacketCache::new(64, 65_536);
        for sequence in 1..=6u64 {
            let payload = vec![sequence as u8; if sequence == 6 { 100 } else { 1_000 - (sequence as usize % 3) }];
            cache
                .insert(&Incoming { sequence, payload: &payload, marker: sequence == 6, ..Incoming::default() })
                .expect("new");
        }
        cache.even_out(&[1, 2, 3, 4, 5, 6]);
        let sealer = Sealer::new(Profile::AeadAes128Gcm, &[1; 16], &[2; 12]).expect("fits");
        let mut opener = Opener::new(
            Profile::AeadAes128Gcm,
            &[1; 16],
            &[2; 12],
            &Identity::generate().expect("the machine has randomness"),
        )
        .expect("fits");
        let mut egress = Egress::new(64);
        let mut sends: Vec<(Path, Vec<u8>, usize)> = Vec::new();
        let mut transport_sequence = 65_535;
        for to in [5, 6] {
            for packet in 1..=6 {
                let entry = cache.get(packet).expect("held");
                let mut receiver = Receiver {
                    sealer: &sealer,
                    path: path(to),
                    transport_cc: Some(3),
                    transport_sequence: &mut transport_sequence,
                    playout_delay: PlayoutDelay::new(14, Duration::from_millis(100), Duration::from_secs(10)),
                };
                let forward = forward(packet + u64::from(to) * 100, 0, None);
                egress.write(&forward, &cache, entry, &mut receiver, |path, contents, segment| {
                    sends.push((*path, contents.to_vec(), segment));
                    Ok(())
                });
            }
        }
        egress.flush(|path, contents, segment| {
            sends.push((*path, contents.to_vec(), segment));
            Ok(())
        });
        assert_eq!(sends.len(), 2, "one send to each receiver");
        assert_eq!(egress.counts().datagrams, 12);
        for (_, contents, segment) in &sends {
            for (datagram, number) in contents.chunks(*segment).zip(1u8..) {
                let plain = opener.open_rtp(datagram).expect("opens");
                let packet = Packet::parse(&plain).expect("well formed");
                assert_eq!((packet.payload_type, packet.ssrc, packet.timestamp), (96, 77, 9));
                assert_eq!(packet.payload[0], number);
                assert_eq!(packet.marker, number == 6);
                assert!(packet.extension(3).is_some());
                // 10 and 1,000 steps of 10 ms.
                assert_eq!(packet.extension(14), Some(&[0x00, 0xa3, 0xe8][..]));
            }
        }
        assert_eq!(transport_sequence, 65_535u16.wrapping_add(12));
    }

    /// What a receiver of redundancy reads of packet 3, of which so many before go again.
    fn redundant(held: &[(u64, &[u8], u16)], generations: u8, within: u16) -> Vec<u8> {
        let mut cache = PacketCache::new(64, 65_536);
        for &(sequence, payload, primary) in held {
            let timestamp = 100u32.wrapping_sub((3 - sequence as u32) * 960);
            cache.insert(&Incoming { sequence, timestamp, payload, primary, ..Incoming::default() }).expect("new");
        }
        let sequences: Vec<u64> = held.iter().map(|&(sequence, ..)| sequence).collect();
        cache.even_out(&sequences);
        let key = [[1; 16]; 2];
        let identity = Identity::generate().expect("the machine has randomness");
        let sealer = Sealer::new(Profile::AeadAes128Gcm, &key[0], &key[1][..12]).expect("fits");
        let mut opener = Opener::new(Profile::AeadAes128Gcm, &key[0], &key[1][..12], &identity).expect("fits");
        let mut receiver = Receiver {
            sealer: &sealer,
            path: path(5),
            transport_cc: Some(3),
            transport_sequence: &mut 0,
            playout_delay: PlayoutDelay::default(),
        };
        let (mut egress, mut datagram) = (Egress::new(1), Vec::new());
        let entry = cache.get(3).expect("held");
        let redundancy = Some(Redundancy { payload_type: 111, generations, within });
        let forward = Forward { redundancy, ..forward(3, entry.primary, None) };
        egress.write(&forward, &cache, entry, &mut receiver, |_, _, _| Ok(()));
        egress.flush(|_, contents, _| {
            datagram = contents.to_vec();
            Ok(())
        });
        let plain = opener.open_rtp(&datagram).expect("opens");
        let packet = Packet::parse(&plain).expect("well formed");
        assert_eq!((packet.payload_type, packet.timestamp, packet.extension(3).is_some()), (96, 9, true));
        packet.payload.to_vec()
    }

    #[test]
    fn a_voice_goes_again_with_the_next_as_far_as_it_is_held_and_fits() {
        let held: [(u64, &[u8], u16); 3] = [(1, &[1], 0), (2, &[9, 9, 2, 2], 2), (3, &[9, 3], 1)];
        let one = [0x80 | 111, 0x0f, 0, 2, 111, 2, 2, 3];
        assert_eq!(redundant(&held, 1, u16::MAX), one);
        assert_eq!(redundant(&held, 2, u16::MAX), [&[0x80 | 111, 0x1e, 0, 1][..], &one[..5], &[1], &one[5..]].concat());
        assert_eq!(redundant(&held, 2, 960), one, "the oldest is not in step");
        assert_eq!(redundant(&held, 0, u16::MAX), [111, 3], "nothing before it is of this source");
        assert_eq!(redundant(&held[1..], 2, u16::MAX), one, "the oldest is gone");
        assert_eq!(redundant(&[held[0], held[2]], 2, u16::MAX), [0x80 | 111, 0x1e, 0, 1, 111, 1, 3], "one never came");
        let (long, longer) = (vec![7; 1_000], vec![7; 1_023]);
        let full = redundant(&[(2, &long, 0), (3, &long, 0)], 1, u16::MAX);
        assert_eq!(full, [&[111][..], &long].concat(), "both don't fit one datagram");
        assert_eq!(redundant(&[(2, &longer, 0), (3, &[3], 0)], 1, u16::MAX).len(), 4 + 1 + 1_023 + 1);
        assert_eq!(redundant(&[(2, &[7; 1_024], 0), (3, &[3], 0)], 1, u16::MAX), [111, 3], "too long for its header");
        assert_eq!(redundant(&[(3, &[7; MAX_PAYLOAD], 0)], 2, u16::MAX).len(), MAX_PAYLOAD + 1);
    }

    #[test]
    fn what_is_repeated_is_what_left_and_opens_once() {
        let mut cache = PacketCache::new(64, 65_536);
        cache.insert(&Incoming { sequence: 1, payload: &[7; 90], ..Incoming::default() }).expect("new");
        let sealer = Sealer::new(Profile::AeadAes128Gcm, &[1; 16], &[2; 12]).expect("fits");
        let identity = Identity::generate().expect("the machine has randomness");
        let mut opener = Opener::new(Profile::AeadAes128Gcm, &[1; 16], &[2; 12], &identity).expect("fits");
        let mut receiver = Receiver {
            sealer: &sealer,
            path: path(5),
            transport_cc: None,
            transport_sequence: &mut 0,
            playout_delay: PlayoutDelay::default(),
        };
        let (mut egress, mut sent) = (Egress::new(64), Vec::new());
        let entry = cache.get(1).expect("held");
        let length = egress.write(&forward(1, 0, None), &cache, entry, &mut receiver, |_, _, _| Ok(()));
        let kept = egress.written(length.expect("it is sealed")).to_vec();
        egress.repeat(&kept, path(5), |_, _, _| Ok(()));
        egress.flush(|_, contents, segment| {
            sent.extend(contents.chunks(segment).map(<[u8]>::to_vec));
            Ok(())
        });
        assert_eq!(sent, [kept.clone(), kept]);
        assert!(opener.open_rtp(&sent[0]).is_ok() && opener.open_rtp(&sent[1]).is_err(), "the second is a replay");
    }

    #[test]
    fn a_retransmission_carries_its_first_number_and_a_stripped_packet_its_primary_only() {
        let mut cache = PacketCache::new(64, 65_536);
        cache.insert(&Incoming { sequence: 1, payload: &[1, 2, 3, 4], ..Incoming::default() }).expect("new");
        let sealer = Sealer::new(Profile::Aes128CmHmacSha1_80, &[1; 16], &[2; 14]).expect("fits");
        let mut opener = Opener::new(
            Profile::Aes128CmHmacSha1_80,
            &[1; 16],
            &[2; 14],
            &Identity::generate().expect("the machine has randomness"),
        )
        .expect("fits");
        let mut egress = Egress::new(1);
        let mut seen = Vec::new();
        let entry = cache.get(1).expect("held");
        for forward in [forward(1, 0, Some(0x1234)), forward(2, 2, None)] {
            let mut receiver = Receiver {
                sealer: &sealer,
                path: path(5),
                transport_cc: None,
                transport_sequence: &mut 0,
                playout_delay: PlayoutDelay::default(),
            };
            egress.write(&forward, &cache, entry, &mut receiver, |_, contents, _| {
                seen.push(contents.to_vec());
                Ok(())
            });
        }
        egress.flush(|_, contents, _| {
            seen.push(contents.to_vec());
            Ok(())
        });
        let payloads: Vec<Vec<u8>> = seen
            .iter()
            .map(|sealed| opener.open_rtp(sealed).expect("opens"))
            .map(|plain| Packet::parse(&plain).expect("well formed").payload.to_vec())
            .collect();
        assert_eq!(payloads, [vec![0x12, 0x34, 1, 2, 3, 4], vec![3, 4]]);
    }
}
