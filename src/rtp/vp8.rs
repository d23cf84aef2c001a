//! The VP8 payload descriptor (RFC 7741 §4.2): where a keyframe begins, and the picture numbers that must go on without a jump when a source changes.

/// What one payload tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Glance {
    /// Decoding can begin with this packet.
    pub keyframe_start: bool,
    /// Width and height of a keyframe.
    pub size: Option<(u16, u16)>,
    /// The numbers of this picture and where in the payload they stand.
    pub numbers: Numbers,
}

/// Picture numbers of a payload descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbers {
    /// PictureID and whether it has 15 bits (else 7).
    pub picture: Option<(u16, bool)>,
    /// TL0PICIDX.
    pub base_layer: Option<u8>,
}

/// Offset of the extended descriptor's first field: PictureID stands here if it is there.
const FIELDS: usize = 2;

/// Looks at one payload; anything malformed is no keyframe.
#[must_use]
pub fn glance(payload: &[u8]) -> Glance {
    read(payload).unwrap_or_default()
}

fn read(payload: &[u8]) -> Option<Glance> {
    let first = *payload.first()?;
    let mut at = 1;
    let mut numbers = Numbers::default();
    if first & 0x80 != 0 {
        let fields = *payload.get(1)?;
        at = FIELDS;
        if fields & 0x80 != 0 {
            let high = *payload.get(at)?;
            if high & 0x80 != 0 {
                numbers.picture = Some((u16::from(high & 0x7f) << 8 | u16::from(*payload.get(at + 1)?), true));
                at += 2;
            } else {
                numbers.picture = Some((u16::from(high), false));
                at += 1;
            }
        }
        if fields & 0x40 != 0 {
            numbers.base_layer = Some(*payload.get(at)?);
            at += 1;
        }
        if fields & 0x30 != 0 {
            at += 1;
        }
    }
    let begins_partition_zero = first & 0x10 != 0 && first & 0x07 == 0;
    let header = payload.get(at..)?;
    let keyframe_start = begins_partition_zero && header.first()? & 1 == 0;
    let size = match header {
        [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] if keyframe_start => {
            Some((u16::from_le_bytes([*w0, *w1]) & 0x3fff, u16::from_le_bytes([*h0, *h1]) & 0x3fff))
        }
        _ => None,
    };
    Some(Glance { keyframe_start, size, numbers })
}

/// Writes other numbers over those of `payload`, which must be the payload that `old` was read from; their widths stay.
pub fn renumber(payload: &mut [u8], old: Numbers, new: Numbers) {
    let mut at = FIELDS;
    match (old.picture, new.picture) {
        (Some((_, true)), Some((picture, _))) => {
            payload[at] = 0x80 | (picture >> 8) as u8 & 0x7f;
            payload[at + 1] = picture as u8;
            at += 2;
        }
        (Some((_, false)), Some((picture, _))) => {
            payload[at] = picture as u8 & 0x7f;
            at += 1;
        }
        _ => {}
    }
    if let (Some(_), Some(base_layer)) = (old.base_layer, new.base_layer) {
        payload[at] = base_layer;
    }
}

/// What is added to a source's picture numbers so that they go on where the last source stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    /// Added to PictureID, modulo 2^15 or 2^7.
    pub picture: u16,
    /// Added to TL0PICIDX, modulo 2^8.
    pub base_layer: u8,
}

impl Offsets {
    /// The offsets that let `next` follow directly on `last`.
    #[must_use]
    pub fn following(last: Numbers, next: Numbers) -> Self {
        let picture = match (last.picture, next.picture) {
            (Some((last, _)), Some((next, _))) => last.wrapping_add(1).wrapping_sub(next),
            _ => 0,
        };
        let base_layer = match (last.base_layer, next.base_layer) {
            (Some(last), Some(next)) => last.wrapping_add(1).wrapping_sub(next),
            _ => 0,
        };
        Self { picture, base_layer }
    }

    /// `numbers` moved by these offsets.
    #[must_use]
    pub fn apply(self, numbers: Numbers) -> Numbers {
        Numbers {
            picture: numbers
                .picture
                .map(|(picture, long)| (picture.wrapping_add(self.picture) & if long { 0x7fff } else { 0x7f }, long)),
            base_layer: numbers.base_layer.map(|base| base.wrapping_add(self.base_layer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keyframe(picture: u16, base: u8) -> Vec<u8> {
        let mut payload = vec![0x90, 0xe0, 0x80 | (picture >> 8) as u8, picture as u8, base, 0x20];
        payload.extend([0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
        payload
    }

    #[test]
    fn a_keyframe_tells_its_size_and_numbers() {
        let seen = glance(&keyframe(300, 9));
        assert!(seen.keyframe_start);
        assert_eq!(seen.size, Some((320, 180)));
        assert_eq!(seen.numbers, Numbers { picture: Some((300, true)), base_layer: Some(9) });
    }

    #[test]
    fn numbers_go_on_over_a_change_of_source_and_wrap() {
        let last = Numbers { picture: Some((0x7fff, true)), base_layer: Some(255) };
        let mut payload = keyframe(300, 9);
        let next = glance(&payload).numbers;
        let offsets = Offsets::following(last, next);
        renumber(&mut payload, next, offsets.apply(next));
        assert_eq!(glance(&payload).numbers, Numbers { picture: Some((0, true)), base_layer: Some(0) });
        let mut after = keyframe(301, 10);
        let numbers = glance(&after).numbers;
        renumber(&mut after, numbers, offsets.apply(numbers));
        assert_eq!(glance(&after).numbers, Numbers { picture: Some((1, true)), base_layer: Some(1) });
    }

    #[test]
    fn a_later_partition_or_an_interframe_begins_no_keyframe() {
        assert!(!glance(&[0x11, 0x10]).keyframe_start);
        assert!(!glance(&[0x10, 0x11]).keyframe_start);
        assert!(glance(&[0x10, 0x10]).keyframe_start);
    }

    proptest! {
        #[test]
        fn any_payload_is_looked_at_and_renumbered(mut payload in proptest::collection::vec(any::<u8>(), 0..32), picture: u16, base: u8) {
            let numbers = glance(&payload).numbers;
            renumber(&mut payload, numbers, Offsets { picture, base_layer: base }.apply(numbers));
        }
    }
}
