//! H.264 from RTP (RFC 6184, packetization-mode 1) to length-prefixed units (ISO/IEC 14496-15), parameter sets in band.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::bits::Bits;
use super::{Format, Picture};
use crate::record::checkpoint::octets;

const IDR: u8 = 5;
const SEQUENCE_SET: u8 = 7;
const PICTURE_SET: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
/// Different picture parameter sets that are kept; encoders of live pictures use one or two.
const SETS_AT_MOST: usize = 16;

/// How a stream is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::record) struct Parameters {
    pub(in crate::record) width: u32,
    pub(in crate::record) height: u32,
    /// The sequence parameter set, without length or start code.
    #[serde(with = "octets")]
    pub(in crate::record) sequence_set: Bytes,
    #[serde(with = "octets")]
    pub(in crate::record) picture_set: Bytes,
}

impl Parameters {
    /// The profile with its constraints, then the level.
    pub(in crate::record) fn profile_and_level(&self) -> [u8; 3] {
        match self.sequence_set.get(1..4) {
            Some(&[profile, constraints, level]) => [profile, constraints, level],
            _ => [0x42, 0xe0, 0x1f],
        }
    }

    pub(super) fn profile(&self) -> u8 {
        self.profile_and_level()[0]
    }

    pub(super) fn codec(&self) -> String {
        let [profile, constraints, level] = self.profile_and_level();
        format!("avc3.{profile:02x}{constraints:02x}{level:02x}")
    }
}

/// The parameter sets that came last; a picture that decoding begins with carries them, whether it came with them or not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::record) struct Sets {
    #[serde(with = "octets")]
    sequence: Bytes,
    pictures: Vec<PictureSet>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PictureSet(#[serde(with = "octets")] Bytes);

/// Whether a payload begins with what stands before a keyframe.
pub(super) fn begins(payload: &[u8]) -> bool {
    let kind = |header: &u8| header & 0x1f;
    match payload.first().map(kind) {
        Some(STAP_A) => payload.get(3).map(kind).is_some_and(|kind| kind == SEQUENCE_SET || kind == DELIMITER),
        Some(kind) => kind == SEQUENCE_SET || kind == DELIMITER,
        None => false,
    }
}

/// The picture of these payloads; `None` if they make none.
pub(in crate::record) fn picture(payloads: &[Bytes], sets: &mut Sets) -> Option<Picture> {
    let units = units(payloads)?;
    let mut is_keyframe = false;
    for unit in &units {
        match unit.first().map_or(0, |header| header & 0x1f) {
            IDR => is_keyframe = true,
            SEQUENCE_SET => sets.begin(unit.clone()),
            PICTURE_SET => sets.add(unit.clone()),
            _ => {}
        }
    }
    let pictures: Vec<_> = units.iter().filter(|unit| is_part_of_picture(unit)).collect();
    if pictures.is_empty() {
        return None;
    }
    let mut data = BytesMut::with_capacity(units.iter().map(|unit| unit.len() + 4).sum::<usize>() + 64);
    let mut put = |unit: &Bytes| {
        data.put_u32(unit.len() as u32);
        data.put_slice(unit);
    };
    let format = if is_keyframe {
        let parameters = sets.parameters()?;
        put(&sets.sequence);
        sets.pictures.iter().for_each(|set| put(&set.0));
        Some(Format::H264(parameters))
    } else {
        // Sets that change without a keyframe travel on.
        units.iter().filter(|unit| matches!(unit[0] & 0x1f, SEQUENCE_SET | PICTURE_SET)).for_each(&mut put);
        None
    };
    pictures.into_iter().for_each(put);
    Some(Picture { data: data.freeze(), format })
}

impl Sets {
    fn begin(&mut self, sequence: Bytes) {
        if self.sequence != sequence {
            self.pictures.clear();
            self.sequence = sequence;
        }
    }

    fn add(&mut self, picture: Bytes) {
        let id = |set: &Bytes| Bits::new(set.get(1..).unwrap_or_default()).exp_golomb();
        self.pictures.retain(|known| id(&known.0) != id(&picture));
        if self.pictures.len() < SETS_AT_MOST {
            self.pictures.push(PictureSet(picture));
        }
    }

    fn parameters(&self) -> Option<Parameters> {
        let (width, height) = size(self.sequence.get(1..)?)?;
        let picture_set = self.pictures.first()?.0.clone();
        Some(Parameters { width, height, sequence_set: self.sequence.clone(), picture_set })
    }
}

fn is_part_of_picture(unit: &Bytes) -> bool {
    !matches!(unit.first().map_or(DELIMITER, |header| header & 0x1f), SEQUENCE_SET | PICTURE_SET | DELIMITER | FILLER)
}

/// The units of payloads in order; `None` if one of them isn't what it says.
fn units(payloads: &[Bytes]) -> Option<Vec<Bytes>> {
    let mut units = Vec::new();
    let mut fragments: Option<BytesMut> = None;
    for payload in payloads {
        let header = *payload.first()?;
        match header & 0x1f {
            1..=23 => units.push(payload.clone()),
            STAP_A => {
                let mut rest = payload.slice(1..);
                while rest.len() > 2 {
                    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                    if length == 0 || rest.len() < 2 + length {
                        return None;
                    }
                    units.push(rest.slice(2..2 + length));
                    rest = rest.slice(2 + length..);
                }
            }
            FU_A => {
                let fragment = *payload.get(1)?;
                if fragment & FU_START != 0 {
                    fragments = Some(BytesMut::from(&[header & 0xe0 | fragment & 0x1f][..]));
                }
                let unit = fragments.as_mut()?;
                unit.put_slice(&payload[2..]);
                if fragment & 0x40 != 0 {
                    units.push(fragments.take()?.freeze());
                }
            }
            _ => return None,
        }
    }
    fragments.is_none().then_some(units)
}

/// Width and height after cropping, from the octets behind a sequence parameter set's header (H.264 §7.3.2.1.1).
fn size(set: &[u8]) -> Option<(u32, u32)> {
    let plain = without_emulation(set);
    let mut bits = Bits::new(&plain);
    let profile = bits.read(8)?;
    bits.read(16)?;
    bits.exp_golomb()?;
    let mut chroma = 1;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128].contains(&profile) {
        chroma = bits.exp_golomb()?;
        if chroma == 3 {
            bits.flag()?;
        }
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.flag()?;
        if bits.flag()? {
            // Encoders of live pictures have no scaling lists; their absence keeps this reader short.
            return None;
        }
    }
    bits.exp_golomb()?;
    picture_order(&mut bits)?;
    bits.exp_golomb()?;
    bits.flag()?;
    let width = bits.exp_golomb()?.checked_add(1)?.checked_mul(16)?;
    let rows = bits.exp_golomb()?.checked_add(1)?;
    let fields = 2 - u32::from(bits.flag()?);
    let height = rows.checked_mul(16)?.checked_mul(fields)?;
    if fields == 2 {
        bits.flag()?;
    }
    bits.flag()?;
    let (mut crop_x, mut crop_y) = (0, 0);
    if bits.flag()? {
        let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma == 1 { 2 } else { 1 };
        crop_x = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_x)?;
        crop_y = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_y * fields)?;
    }
    let sides = (width.checked_sub(crop_x)?, height.checked_sub(crop_y)?);
    (sides.0 <= u32::from(u16::MAX) && sides.1 <= u32::from(u16::MAX)).then_some(sides)
}

fn picture_order(bits: &mut Bits<'_>) -> Option<()> {
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?;
        }
        1 => {
            bits.flag()?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            for _ in 0..bits.exp_golomb()?.min(255) {
                bits.exp_golomb()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// Without the octets that keep start codes out of a unit (H.264 §7.4.1).
fn without_emulation(unit: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &octet in unit {
        if zeros >= 2 && octet == 3 {
            zeros = 0;
            continue;
        }
        zeros = if octet == 0 { zeros + 1 } else { 0 };
        plain.push(octet);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264's sequence parameter set for 1280×720 constrained baseline.
    const SPS_720: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00, 0x00, 0x03,
        0x00, 0x80, 0x00, 0x00, 0x0f, 0x07, 0x8c, 0x19, 0x20,
    ];

    fn stap() -> Bytes {
        let mut stap = vec![STAP_A, 0, SPS_720.len() as u8];
        stap.extend_from_slice(SPS_720);
        stap.extend([0, 3, 0x68, 0xce, 0x80]);
        Bytes::from(stap)
    }

    #[test]
    fn a_keyframe_in_fragments_is_put_together_with_its_sets_before_it() {
        let payloads = [stap(), Bytes::from_static(&[0x7c, 0x85, 1, 2]), Bytes::from_static(&[0x7c, 0x45, 3])];
        let mut sets = Sets::default();
        let picture = picture(&payloads, &mut sets).expect("it is whole");
        let Some(Format::H264(parameters)) = &picture.format else { panic!("a keyframe") };
        assert_eq!((parameters.width, parameters.height, parameters.codec().as_str()), (1280, 720, "avc3.42c01f"));
        let tail = [&[0, 0, 0, 3, 0x68, 0xce, 0x80][..], &[0, 0, 0, 4, 0x65, 1, 2, 3]].concat();
        assert!(picture.data.ends_with(&tail), "{:02x?}", picture.data);
    }

    #[test]
    fn a_keyframe_that_comes_without_sets_gets_those_that_came_before() {
        let mut sets = Sets::default();
        assert_eq!(picture(&[stap()], &mut sets), None, "sets alone are no picture");
        let alone = picture(&[Bytes::from_static(&[0x65, 9])], &mut sets).expect("a keyframe");
        assert!(alone.format.is_some() && alone.data.len() == 4 + SPS_720.len() + 4 + 3 + 4 + 2);
        let next = picture(&[Bytes::from_static(&[0x41, 9])], &mut sets).expect("a picture");
        assert_eq!((next.format, &next.data[..]), (None, &[0, 0, 0, 2, 0x41, 9][..]));
    }

    #[test]
    fn payloads_that_are_cut_short_make_no_picture() {
        let mut sets = Sets::default();
        for payload in [&[][..], &[STAP_A, 0], &[STAP_A, 0, 9, 1], &[FU_A], &[0x7c, 0x05, 1], &[0x7c, 0x85, 1], &[30]] {
            assert_eq!(picture(&[Bytes::from_static(payload)], &mut sets), None, "{payload:02x?}");
        }
    }

    #[test]
    fn only_sets_and_delimiters_begin_a_keyframe_after_a_loss() {
        assert!(begins(&stap()) && begins(SPS_720) && begins(&[9, 0xf0]));
        assert!(!begins(&[0x65, 0x88]) && !begins(&[0x7c, 0x85]) && !begins(&[]));
    }
}
