//! AV1 from RTP (AV1 RTP specification 1.0) to temporal units as MP4 holds them: every unit with its size, no delimiters.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::bits::Bits;
use super::{Format, Picture};
use crate::record::checkpoint::octets;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;
const HAS_SIZE: u8 = 2;
const HAS_EXTENSION: u8 = 4;
/// Levels up to this one have no tier (AV1 §5.5.1).
const LAST_WITHOUT_TIER: u32 = 7;
/// `seq_choose_screen_content_tools` and its like: the frame decides.
const SELECT: u32 = 2;
/// Colour primaries, transfer and matrix of sRGB (AV1 §6.4.2).
const SRGB: (u32, u32, u32) = (1, 13, 0);

/// How a sequence is encoded: what `av1C` says (AV1 in ISOBMFF §2.3.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::record) struct Parameters {
    pub(in crate::record) width: u32,
    pub(in crate::record) height: u32,
    pub(in crate::record) profile: u8,
    pub(in crate::record) level: u8,
    pub(in crate::record) tier: bool,
    pub(in crate::record) high_bit_depth: bool,
    pub(in crate::record) twelve_bit: bool,
    pub(in crate::record) monochrome: bool,
    pub(in crate::record) subsampling: (bool, bool),
    pub(in crate::record) sample_position: u8,
    /// The sequence header as a unit with its size.
    #[serde(with = "octets")]
    pub(in crate::record) header: Bytes,
}

impl Parameters {
    /// What a decoder is chosen by.
    pub(super) const fn kind(&self) -> (u8, bool, bool, bool) {
        (self.profile, self.high_bit_depth, self.twelve_bit, self.monochrome)
    }

    pub(super) fn codec(&self) -> String {
        let depth = if self.twelve_bit { 12 } else { 8 + 2 * u8::from(self.high_bit_depth) };
        let tier = if self.tier { 'H' } else { 'M' };
        format!("av01.{}.{:02}{tier}.{depth:02}", self.profile, self.level)
    }
}

/// Whether a payload begins a new coded video sequence: the aggregation header's N bit without its Z bit.
pub(super) fn begins(payload: &[u8]) -> bool {
    payload.first().is_some_and(|header| header & 0x88 == 0x08)
}

/// The temporal unit of these payloads; `None` if they make none.
pub(in crate::record) fn picture(payloads: &[Bytes]) -> Option<Picture> {
    let mut data = BytesMut::with_capacity(payloads.iter().map(Bytes::len).sum::<usize>() + 16);
    let (mut parameters, mut is_keyframe, mut has_frame) = (None, false, false);
    for unit in units(payloads)? {
        let (header, content) = split(&unit)?;
        let kind = header[0] >> 3 & 0x0f;
        if matches!(kind, TEMPORAL_DELIMITER | TILE_LIST | PADDING) {
            continue;
        }
        let begin = data.len();
        data.put_u8(header[0] | HAS_SIZE);
        data.put_slice(&header[1..]);
        put_leb128(&mut data, content.len());
        data.put_slice(content);
        match kind {
            SEQUENCE_HEADER => parameters = read_sequence(content, Bytes::copy_from_slice(&data[begin..])),
            FRAME | FRAME_HEADER => {
                has_frame = true;
                // show_existing_frame is 0 and frame_type is KEY_FRAME.
                is_keyframe |= content.first().is_some_and(|first| first & 0xe0 == 0);
            }
            _ => {}
        }
    }
    let format = if is_keyframe { parameters.map(Format::Av1) } else { None };
    has_frame.then(|| Picture { data: data.freeze(), format })
}

/// The units of payloads in order, put together where they were cut.
fn units(payloads: &[Bytes]) -> Option<Vec<Bytes>> {
    let mut units = Vec::new();
    let mut cut: Option<BytesMut> = None;
    for payload in payloads {
        let aggregation = *payload.first()?;
        let count = aggregation >> 4 & 3;
        let mut rest = payload.slice(1..);
        let mut index = 0;
        if aggregation & 0x80 != 0 && cut.is_none() {
            return None;
        }
        while !rest.is_empty() {
            index += 1;
            let element = if index == count {
                rest.split_to(rest.len())
            } else {
                let (length, octets) = leb128(&rest)?;
                if rest.len() < octets + length {
                    return None;
                }
                let element = rest.slice(octets..octets + length);
                rest = rest.slice(octets + length..);
                element
            };
            let continues_before = index == 1 && aggregation & 0x80 != 0;
            let continues_after = rest.is_empty() && aggregation & 0x40 != 0;
            let mut whole = match (continues_before, cut.take()) {
                (true, Some(begun)) => begun,
                (true, None) | (false, Some(_)) => return None,
                (false, None) if continues_after => BytesMut::new(),
                (false, None) => {
                    units.push(element);
                    continue;
                }
            };
            whole.put_slice(&element);
            if continues_after {
                cut = Some(whole);
            } else {
                units.push(whole.freeze());
            }
        }
    }
    cut.is_none().then_some(units)
}

/// A unit's header of one or two octets, and its content, whether or not it has a size.
fn split(unit: &Bytes) -> Option<(&[u8], &[u8])> {
    let first = *unit.first()?;
    let length = 1 + usize::from(first & HAS_EXTENSION != 0);
    let (header, rest) = unit.split_at_checked(length)?;
    if first & HAS_SIZE == 0 {
        return Some((header, rest));
    }
    let (size, octets) = leb128(rest)?;
    Some((header, rest.get(octets..octets + size)?))
}

/// A number (AV1 §4.10.5), and how many octets it takes.
fn leb128(octets: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, &octet) in octets.iter().enumerate().take(4) {
        value |= usize::from(octet & 0x7f) << (7 * at);
        if octet & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

fn put_leb128(data: &mut BytesMut, mut value: usize) {
    while value > 0x7f {
        data.put_u8(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    data.put_u8(value as u8);
}

/// AV1 §5.5.1.
fn read_sequence(content: &[u8], header: Bytes) -> Option<Parameters> {
    let mut bits = Bits::new(content);
    let profile = bits.read(3)? as u8;
    bits.flag()?;
    let is_reduced = bits.flag()?;
    let (level, tier) = if is_reduced { (bits.read(5)?, false) } else { operating_points(&mut bits)? };
    let (width, height) = (bits.read(4)? + 1, bits.read(4)? + 1);
    let (width, height) = (bits.read(width)? + 1, bits.read(height)? + 1);
    if !is_reduced && bits.flag()? {
        bits.read(7)?;
    }
    bits.read(3)?;
    if !is_reduced {
        tools(&mut bits)?;
    }
    bits.read(3)?;
    let mut parameters = Parameters {
        width,
        height,
        profile,
        level: level as u8,
        tier,
        high_bit_depth: false,
        twelve_bit: false,
        monochrome: false,
        subsampling: (true, true),
        sample_position: 0,
        header,
    };
    colours(&mut bits, &mut parameters)?;
    Some(parameters)
}

/// Level and tier of the first operating point.
fn operating_points(bits: &mut Bits<'_>) -> Option<(u32, bool)> {
    let mut delay_length = None;
    if bits.flag()? {
        bits.read(32)?;
        bits.read(32)?;
        if bits.flag()? {
            bits.exp_golomb()?;
        }
        if bits.flag()? {
            delay_length = Some(bits.read(5)? + 1);
            bits.read(32)?;
            bits.read(10)?;
        }
    }
    let display_delay = bits.flag()?;
    let mut first = None;
    for _ in 0..=bits.read(5)? {
        bits.read(12)?;
        let level = bits.read(5)?;
        let tier = level > LAST_WITHOUT_TIER && bits.flag()?;
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
        first.get_or_insert((level, tier));
    }
    first
}

fn tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.read(4)?;
    let order_hint = bits.flag()?;
    if order_hint {
        bits.read(2)?;
    }
    let screen_content = if bits.flag()? { SELECT } else { bits.read(1)? };
    if screen_content > 0 && !bits.flag()? {
        bits.flag()?;
    }
    if order_hint {
        bits.read(3)?;
    }
    Some(())
}

/// AV1 §5.5.2.
fn colours(bits: &mut Bits<'_>, parameters: &mut Parameters) -> Option<()> {
    parameters.high_bit_depth = bits.flag()?;
    parameters.twelve_bit = parameters.profile == 2 && parameters.high_bit_depth && bits.flag()?;
    parameters.monochrome = parameters.profile != 1 && bits.flag()?;
    let described = if bits.flag()? { (bits.read(8)?, bits.read(8)?, bits.read(8)?) } else { (2, 2, 2) };
    if parameters.monochrome {
        return Some(());
    }
    if described == SRGB {
        parameters.subsampling = (false, false);
        return Some(());
    }
    bits.flag()?;
    parameters.subsampling = match parameters.profile {
        0 => (true, true),
        1 => (false, false),
        _ if parameters.twelve_bit => {
            let x = bits.flag()?;
            (x, x && bits.flag()?)
        }
        _ => (true, false),
    };
    if parameters.subsampling == (true, true) {
        parameters.sample_position = bits.read(2)? as u8;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequence headers of 640 × 360 as libaom, SVT-AV1 and rav1e write them.
    const HEADERS: [&[u8]; 3] = [
        &[0x00, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x36, 0xbe, 0x40, 0x10],
        &[0x02, 0x00, 0x00, 0x0d, 0x66, 0x27, 0xfb, 0x38, 0xd5, 0xf3, 0x00, 0x80],
        &[0x00, 0x00, 0x00, 0xfa, 0x62, 0x7f, 0xb3, 0x88, 0x42, 0xb2, 0x04, 0x04, 0x04, 0x28],
    ];

    #[test]
    fn a_sequence_header_tells_size_and_codec() {
        for header in HEADERS {
            let parameters = read_sequence(header, Bytes::new()).expect("a whole header");
            assert_eq!((parameters.width, parameters.height), (640, 360));
            assert!(parameters.codec().starts_with("av01.0.") && parameters.codec().ends_with("M.08"));
            assert_eq!(parameters.subsampling, (true, true));
        }
    }

    #[test]
    fn a_keyframe_over_two_payloads_loses_its_delimiter_and_gets_sizes() {
        let sequence = HEADERS[0];
        let mut first = vec![0x08 | 0x40, 1, 0x10, sequence.len() as u8 + 1, 0x08];
        first.extend_from_slice(sequence);
        first.extend([3, 0x30, 0x10, 0xaa]);
        let second = vec![0x90, 0xbb, 0xcc];
        let picture = picture(&[Bytes::from(first), Bytes::from(second)]).expect("a whole unit");
        assert!(matches!(picture.format, Some(Format::Av1(_))));
        let mut expected = vec![0x0a, sequence.len() as u8];
        expected.extend_from_slice(sequence);
        expected.extend([0x32, 4, 0x10, 0xaa, 0xbb, 0xcc]);
        assert_eq!(&picture.data[..], &expected[..]);
    }

    #[test]
    fn units_that_are_not_whole_make_no_picture() {
        for payload in [&[][..], &[0x40, 2, 0x30], &[0x90, 1], &[0x50, 0x30, 1], &[0x20, 1, 0x10]] {
            assert_eq!(picture(&[Bytes::from_static(payload)]), None, "{payload:02x?}");
        }
    }
}
