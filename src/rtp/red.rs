//! Redundant audio (RFC 2198): where the primary block begins, for receivers that can't read the redundancy.

/// Offset of the primary block, which is the last; `None` if the headers don't add up.
#[must_use]
pub fn primary_offset(payload: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut redundant = 0;
    while payload.get(at)? & 0x80 != 0 {
        let low = payload.get(at + 2..at + 4)?;
        redundant += usize::from(u16::from_be_bytes([low[0], low[1]]) & 0x3ff);
        at += 4;
    }
    let offset = at + 1 + redundant;
    (offset <= payload.len()).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_primary_block_is_behind_all_redundancy() {
        assert_eq!(primary_offset(&[111, 1, 2, 3]), Some(1));
        assert_eq!(primary_offset(&[0x80 | 111, 0, 0, 2, 111, 9, 9, 1, 2]), Some(7));
        assert_eq!(primary_offset(&[0x80 | 111, 0, 0, 200, 111, 9]), None);
        assert_eq!(primary_offset(&[]), None);
    }

    proptest! {
        #[test]
        fn the_offset_lies_within_any_payload(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(offset) = primary_offset(&payload) {
                prop_assert!(offset <= payload.len());
            }
        }
    }
}
