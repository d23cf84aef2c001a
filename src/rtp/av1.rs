//! Where a keyframe begins in AV1 over RTP (AV1 RTP specification 1.0 §4.4).

/// Whether this payload is the first of a new coded video sequence, at which decoding can begin: the aggregation header's N bit, without the Z bit.
#[must_use]
pub fn begins_keyframe(payload: &[u8]) -> bool {
    matches!(payload, [header, _, ..] if header & 0x88 == 0x08)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_n_bit_begins_a_keyframe() {
        assert!(begins_keyframe(&[0x18, 0x0a]));
        assert!(!begins_keyframe(&[0x10, 0x0a]));
        assert!(!begins_keyframe(&[0x98, 0x0a]));
        assert!(!begins_keyframe(&[]));
    }
}
