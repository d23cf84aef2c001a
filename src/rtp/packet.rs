//! The RTP header (RFC 3550 §5.1) and its header extensions (RFC 8285), read in place.

/// Length of the fixed header without contributing sources.
pub const FIXED_HEADER: usize = 12;

/// Why bytes are no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its own header says.
    #[error("an RTP packet is shorter than its header says")]
    Short,
    /// Version is not 2.
    #[error("an RTP packet has a version other than 2")]
    Version,
    /// The padding count is zero or longer than the payload.
    #[error("an RTP packet has more padding than payload")]
    Padding,
    /// The headers of redundant audio (RFC 2198) don't add up.
    #[error("the blocks of a redundant audio packet are longer than it is")]
    Redundancy,
    /// Too long to be forwarded with our header and seal in one datagram.
    #[error("an RTP packet is too long to be forwarded")]
    Long,
}

/// A packet read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Meaning is the payload format's: the end of a picture, the begin of a talkspurt.
    pub marker: bool,
    /// 7 bits.
    pub payload_type: u8,
    /// 16 bits as on the wire.
    pub sequence: u16,
    /// Media clock ticks.
    pub timestamp: u32,
    /// The stream.
    pub ssrc: u32,
    /// Without padding.
    pub payload: &'a [u8],
    profile: u16,
    extensions: &'a [u8],
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl<'a> Packet<'a> {
    /// Reads a decrypted packet.
    ///
    /// # Errors
    /// [`Malformed`] says which rule of RFC 3550 §5.1 it breaks.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let &[first, second, ..] = bytes else { return Err(Malformed::Short) };
        if first >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let sequence = u16_at(bytes, 2).ok_or(Malformed::Short)?;
        let timestamp = u32_at(bytes, 4).ok_or(Malformed::Short)?;
        let ssrc = u32_at(bytes, 8).ok_or(Malformed::Short)?;
        let mut at = FIXED_HEADER + 4 * usize::from(first & 0x0f);
        let (mut profile, mut extensions): (u16, &[u8]) = (0, &[]);
        if first & 0x10 != 0 {
            profile = u16_at(bytes, at).ok_or(Malformed::Short)?;
            let length = 4 * usize::from(u16_at(bytes, at + 2).ok_or(Malformed::Short)?);
            extensions = bytes.get(at + 4..at + 4 + length).ok_or(Malformed::Short)?;
            at += 4 + length;
        }
        let mut payload = bytes.get(at..).ok_or(Malformed::Short)?;
        if first & 0x20 != 0 {
            let count = usize::from(*payload.last().ok_or(Malformed::Padding)?);
            let end = payload.len().checked_sub(count).filter(|_| count > 0);
            payload = &payload[..end.ok_or(Malformed::Padding)?];
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence,
            timestamp,
            ssrc,
            payload,
            profile,
            extensions,
        })
    }

    /// The value of the header extension element `id` (RFC 8285 §4.2 and §4.3), if it is there.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        let two_byte = match self.profile {
            0xbede => false,
            profile if profile >> 4 == 0x100 => true,
            _ => return None,
        };
        let mut rest = self.extensions;
        while let Some((&first, after)) = rest.split_first() {
            if first == 0 {
                rest = after;
                continue;
            }
            let (element, length, after) = if two_byte {
                let (&length, after) = after.split_first()?;
                (first, usize::from(length), after)
            } else if first >> 4 == 15 {
                return None;
            } else {
                (first >> 4, usize::from(first & 0x0f) + 1, after)
            };
            let value = after.get(..length)?;
            if element == id {
                return Some(value);
            }
            rest = &after[length..];
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn header_extensions_and_padding_are_read() {
        let mut bytes = vec![0xb0, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7];
        bytes.extend([0xbe, 0xde, 0, 2, 0x10, b'a', 0, 0x32, 1, 2, 3, 0]);
        bytes.extend([9, 8, 7, 0, 2]);
        let packet = Packet::parse(&bytes).expect("well formed");
        assert!(packet.marker);
        assert_eq!((packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc), (0x60, 0x1234, 9, 7));
        assert_eq!(packet.extension(1), Some(&b"a"[..]));
        assert_eq!(packet.extension(3), Some(&[1, 2, 3][..]));
        assert_eq!(packet.extension(2), None);
        assert_eq!(packet.payload, [9, 8, 7]);
    }

    #[test]
    fn two_byte_extensions_are_read() {
        let mut bytes = vec![0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([0x10, 0, 0, 2, 20, 3, 1, 2, 3, 0, 5, 0]);
        let packet = Packet::parse(&bytes).expect("well formed");
        assert_eq!(packet.extension(20), Some(&[1, 2, 3][..]));
        assert_eq!(packet.extension(5), Some(&[][..]));
    }

    #[test]
    fn what_breaks_the_header_is_named() {
        assert_eq!(Packet::parse(&[0x80]), Err(Malformed::Short));
        assert_eq!(Packet::parse(&[0x40; 12]), Err(Malformed::Version));
        assert_eq!(Packet::parse(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), Err(Malformed::Padding));
        assert_eq!(Packet::parse(&[0x9f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Malformed::Short));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), id in 0u8..=255) {
            if let Ok(packet) = Packet::parse(&bytes) {
                let _ = packet.extension(id);
                prop_assert!(packet.payload.len() <= bytes.len());
            }
        }
    }
}
