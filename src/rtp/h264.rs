//! What forwarding needs to know of H.264 in RTP (RFC 6184): where a keyframe begins, and the picture's size.

const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// What one payload tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Glance {
    /// Decoding can begin with this packet: it carries a sequence parameter set, or the first slice of an IDR picture.
    pub keyframe_start: bool,
    /// Width and height of the sequence parameter set, if it carries one.
    pub size: Option<(u16, u16)>,
}

/// Looks at one payload; anything malformed is no keyframe.
#[must_use]
pub fn glance(payload: &[u8]) -> Glance {
    let mut glance = Glance::default();
    let Some(&first) = payload.first() else { return glance };
    match first & 0x1f {
        STAP_A => {
            let mut rest = &payload[1..];
            while let [high, low, after @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let Some(unit) = after.get(..length) else { break };
                look_at_unit(unit, &mut glance);
                rest = &after[length..];
            }
        }
        FU_A => {
            glance.keyframe_start = payload.get(1).is_some_and(|header| header & 0x80 != 0 && header & 0x1f == NAL_IDR);
        }
        1..=23 => look_at_unit(payload, &mut glance),
        _ => {}
    }
    glance
}

fn look_at_unit(unit: &[u8], glance: &mut Glance) {
    match unit.first().map(|header| header & 0x1f) {
        Some(NAL_SPS) => {
            glance.keyframe_start = true;
            glance.size = sps_size(&unit[1..]);
        }
        Some(NAL_IDR) => glance.keyframe_start = true,
        _ => {}
    }
}

/// Reads bits, most significant first, skipping emulation prevention bytes (H.264 §7.3.1).
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    bit: u8,
}

impl<'a> Bits<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, bit: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.at)?;
        let value = byte >> (7 - self.bit) & 1;
        self.bit += 1;
        if self.bit == 8 {
            self.bit = 0;
            self.at += 1;
            if self.at >= 2 && self.bytes.get(self.at) == Some(&3) && self.bytes[self.at - 2..self.at] == [0, 0] {
                self.at += 1;
            }
        }
        Some(u32::from(value))
    }

    fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    /// Unsigned Exp-Golomb (§9.1).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some(((1u64 << zeros) - 1) as u32 + self.bits(zeros)?)
    }

    /// Signed Exp-Golomb (§9.1.1); only its length matters here.
    fn se(&mut self) -> Option<u32> {
        self.ue()
    }
}

/// Width and height after cropping, from the bytes behind the NAL header (H.264 §7.3.2.1.1).
fn sps_size(sps: &[u8]) -> Option<(u16, u16)> {
    let mut bits = Bits::new(sps);
    let profile = bits.bits(8)?;
    bits.bits(16)?;
    bits.ue()?;
    let mut chroma_format = 1;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128].contains(&profile) {
        chroma_format = bits.ue()?;
        if chroma_format == 3 {
            bits.bit()?;
        }
        bits.ue()?;
        bits.ue()?;
        bits.bit()?;
        if bits.bit()? == 1 {
            // Scaling lists are unheard of in live encoders; their absence keeps this reader short.
            return None;
        }
    }
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.bit()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
        }
        _ => {}
    }
    bits.ue()?;
    bits.bit()?;
    let width = (bits.ue()?.checked_add(1)?).checked_mul(16)?;
    let map_units = bits.ue()?.checked_add(1)?;
    let frame_only = bits.bit()?;
    let height = map_units.checked_mul(16)?.checked_mul(2 - frame_only)?;
    if frame_only == 0 {
        bits.bit()?;
    }
    bits.bit()?;
    let (mut crop_x, mut crop_y) = (0, 0);
    if bits.bit()? == 1 {
        let (unit_x, unit_y) =
            (if chroma_format == 1 || chroma_format == 2 { 2 } else { 1 }, if chroma_format == 1 { 2 } else { 1 });
        crop_x = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_x)?;
        crop_y = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_y * (2 - frame_only))?;
    }
    Some((u16::try_from(width.checked_sub(crop_x)?).ok()?, u16::try_from(height.checked_sub(crop_y)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// x264's sequence parameter set for 1280×720 constrained baseline.
    const SPS_720: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00, 0x00, 0x03,
        0x00, 0x80, 0x00, 0x00, 0x0f, 0x07, 0x8c, 0x19, 0x20,
    ];

    #[test]
    fn a_parameter_set_begins_a_keyframe_and_tells_its_size() {
        let seen = glance(SPS_720);
        assert!(seen.keyframe_start);
        assert_eq!(seen.size, Some((1280, 720)));
        let mut stap = vec![STAP_A, 0, SPS_720.len() as u8];
        stap.extend_from_slice(SPS_720);
        stap.extend([0, 2, 0x68, 0xce]);
        assert_eq!(glance(&stap), seen);
    }

    #[test]
    fn only_the_first_fragment_of_an_idr_begins_a_keyframe() {
        assert!(glance(&[0x7c, 0x85, 1, 2]).keyframe_start);
        assert!(!glance(&[0x7c, 0x05, 1, 2]).keyframe_start);
        assert!(!glance(&[0x7c, 0x81, 1, 2]).keyframe_start);
        assert!(!glance(&[0x41, 1, 2]).keyframe_start);
    }

    proptest! {
        #[test]
        fn any_payload_is_looked_at(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = glance(&payload);
            let mut sps = vec![0x67];
            sps.extend(payload);
            let _ = glance(&sps);
        }
    }
}
