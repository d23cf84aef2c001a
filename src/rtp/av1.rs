//! Where a keyframe begins in AV1 over RTP (AV1 RTP specification 1.0 §4.4), and how large its pictures are.

/// The N bit without the Z bit: a new coded video sequence, and no fragment of what came before.
const AGGREGATION_NEW: (u8, u8) = (0x88, 0x08);
const SEQUENCE_HEADER: u8 = 1;
/// Levels up to this one have no tier (AV1 §5.5.1).
const LAST_WITHOUT_TIER: u32 = 7;

/// Whether this payload is the first of a new coded video sequence, at which decoding can begin: the aggregation header's N bit, without the Z bit.
#[must_use]
pub fn begins_keyframe(payload: &[u8]) -> bool {
    matches!(payload, [header, _, ..] if header & AGGREGATION_NEW.0 == AGGREGATION_NEW.1)
}

/// Width and height of the largest pictures of a sequence, from the sequence header with which its first payload begins.
/// `None` of any other payload, and of a header that isn't whole.
#[must_use]
pub fn size(payload: &[u8]) -> Option<(u16, u16)> {
    if !begins_keyframe(payload) {
        return None;
    }
    let (header, elements) = payload.split_first()?;
    // One element alone has no length before it (§4.4).
    let unit = if header >> 4 & 3 == 1 { elements } else { prefixed(elements)? };
    let (&head, rest) = unit.split_first()?;
    if head >> 3 & 0x0f != SEQUENCE_HEADER {
        return None;
    }
    let rest = if head & 4 == 0 { rest } else { rest.get(1..)? };
    sequence_size(if head & 2 == 0 { rest } else { prefixed(rest)? })
}

/// What has its length before it, as leb128 (AV1 §4.10.5).
fn prefixed(bytes: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    for (at, &byte) in bytes.iter().enumerate().take(3) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..)?.get(..length);
        }
    }
    None
}

/// AV1 §5.5.1, as far as the size.
fn sequence_size(header: &[u8]) -> Option<(u16, u16)> {
    let mut bits = Bits { bytes: header, at: 0 };
    // Profile and still_picture.
    bits.read(4)?;
    if bits.flag()? {
        // A reduced header has nothing but a level.
        bits.read(5)?;
    } else {
        operating_points(&mut bits)?;
    }
    let (width, height) = (bits.read(4)? + 1, bits.read(4)? + 1);
    let (width, height) = (bits.read(width)?, bits.read(height)?);
    // Sixteen bits are the most there can be of each, less one.
    Some((u16::try_from(width + 1).ok()?, u16::try_from(height + 1).ok()?))
}

fn operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay_length = None;
    if bits.flag()? {
        bits.read(32)?;
        bits.read(32)?;
        if bits.flag()? {
            bits.uvlc()?;
        }
        if bits.flag()? {
            delay_length = Some(bits.read(5)? + 1);
            bits.read(32)?;
            bits.read(10)?;
        }
    }
    let display_delay = bits.flag()?;
    for _ in 0..=bits.read(5)? {
        bits.read(12)?;
        if bits.read(5)? > LAST_WITHOUT_TIER {
            bits.flag()?;
        }
        if let Some(length) = delay_length
            && bits.flag()?
        {
            bits.read(length)?;
            bits.read(length)?;
            bits.flag()?;
        }
        if display_delay && bits.flag()? {
            bits.read(4)?;
        }
    }
    Some(())
}

/// Bits from the highest of the first octet on.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// A number of up to 32 bits.
    fn read(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// AV1 §4.10.3; what it says is of no interest.
    fn uvlc(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros < 32 {
            self.read(zeros)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_n_bit_begins_a_keyframe() {
        assert!(begins_keyframe(&[0x18, 0x0a]));
        assert!(!begins_keyframe(&[0x10, 0x0a]));
        assert!(!begins_keyframe(&[0x98, 0x0a]));
        assert!(!begins_keyframe(&[]));
    }

    /// Sequence headers of 640 × 360 as libaom, SVT-AV1 and rav1e write them.
    const HEADERS: [&[u8]; 3] = [
        &[0x00, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x36, 0xbe, 0x40, 0x10],
        &[0x02, 0x00, 0x00, 0x0d, 0x66, 0x27, 0xfb, 0x38, 0xd5, 0xf3, 0x00, 0x80],
        &[0x00, 0x00, 0x00, 0xfa, 0x62, 0x7f, 0xb3, 0x88, 0x42, 0xb2, 0x04, 0x04, 0x04, 0x28],
    ];

    #[test]
    fn a_sequence_header_tells_the_size_however_it_is_packed() {
        for header in HEADERS {
            let length = header.len() as u8;
            let alone = [&[0x18, 0x08], header].concat();
            let with_size = [&[0x18, 0x0a, length], header].concat();
            let extended = [&[0x18, 0x0c, 0x00], header].concat();
            let followed = [&[0x28, length + 1, 0x08], header, &[0x30, 0x10]].concat();
            let counted = [&[0x08, length + 1, 0x08], header, &[0x02, 0x30, 0x10]].concat();
            for payload in [alone, with_size, extended, followed, counted] {
                assert_eq!(size(&payload), Some((640, 360)), "{payload:02x?}");
            }
        }
    }

    #[test]
    fn what_is_no_whole_sequence_header_tells_none() {
        let [header, ..] = HEADERS;
        assert_eq!(size(&[&[0x10, 0x08], header].concat()), None, "it begins no sequence");
        assert_eq!(size(&[&[0x18, 0x30], header].concat()), None, "a frame");
        assert_eq!(size(&[&[0x18, 0x08], &header[..6]].concat()), None, "cut short");
        assert_eq!(size(&[0x28, 0xff, 0xff, 0xff, 0xff, 0x08]), None, "a length that is none");
    }

    proptest! {
        #[test]
        fn any_payload_is_looked_at(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(begins_keyframe(&payload) || size(&payload).is_none());
        }
    }
}
