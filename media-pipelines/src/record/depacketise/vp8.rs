//! VP8 from RTP (RFC 7741): payload descriptors off, the rest in a row.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Format, Picture};

/// Frame tag, start code and size of a keyframe (RFC 6386 §9.1).
const KEYFRAME_HEAD: usize = 10;

/// Where the picture's octets begin in a payload.
fn head(payload: &[u8]) -> Option<usize> {
    let mut at = 1;
    if payload.first()? & 0x80 != 0 {
        let fields = *payload.get(1)?;
        at = 2;
        if fields & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(fields & 0x40 != 0) + usize::from(fields & 0x30 != 0);
    }
    (at < payload.len()).then_some(at)
}

/// Whether a payload begins the first partition of a picture.
pub(super) fn begins(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first & 0x17 == 0x10)
}

/// The picture of these payloads; `None` if they make none.
pub(in crate::record) fn picture(payloads: &[Bytes]) -> Option<Picture> {
    if !begins(payloads.first()?) {
        return None;
    }
    let mut data = BytesMut::with_capacity(payloads.iter().map(Bytes::len).sum());
    for payload in payloads {
        data.put_slice(&payload[head(payload)?..]);
    }
    let format = if data.first()? & 1 == 0 {
        let head = data.get(..KEYFRAME_HEAD)?;
        let side = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]) & 0x3fff);
        (head[3..6] == [0x9d, 0x01, 0x2a]).then(|| Format::Vp8(side(6), side(8)))?.into()
    } else {
        None
    };
    Some(Picture { data: data.freeze(), format })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYFRAME: &[u8] = &[0x90, 0xf0, 0x81, 0x02, 7, 0x20, 0x10, 1, 2, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 5];

    #[test]
    fn a_keyframe_tells_its_size_and_loses_every_descriptor() {
        let picture = picture(&[Bytes::from_static(KEYFRAME), Bytes::from_static(&[0x00, 6])]).expect("a picture");
        assert_eq!(picture.format, Some(Format::Vp8(640, 360)));
        assert_eq!(picture.data.len(), 12);
        assert!(picture.data.ends_with(&[5, 6]));
    }

    #[test]
    fn a_picture_without_its_first_payload_is_none() {
        assert_eq!(picture(&[Bytes::from_static(&[0x00, 6])]), None);
        assert_eq!(picture(&[Bytes::from_static(&[0x10])]), None);
        let delta = picture(&[Bytes::from_static(&[0x10, 0x31, 2])]).expect("a picture");
        assert_eq!(delta.format, None);
    }
}
