//! Redundant audio (RFC 2198): what earlier packets said goes with a later one again, so that a packet that is lost alone
//! is not missed.

/// So many earlier packets go with one at most: two outlast a loss of two in a row.
pub const MAX_GENERATIONS: usize = 2;
/// Octets of a redundant block's header.
const BLOCK_HEADER: usize = 4;
/// An offset in time has 14 bits.
const MAX_OFFSET: u32 = (1 << 14) - 1;
/// A length has 10 bits.
const MAX_LENGTH: usize = (1 << 10) - 1;

/// One earlier encoding in a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Block<'a> {
    /// So many ticks of the media clock before the packet's own time.
    offset: u16,
    payload: &'a [u8],
}

impl<'a> Block<'a> {
    /// A block that is `offset` ticks older than its packet; `None` if the header has no room for its age or its length,
    /// or there is nothing in it or no time between.
    #[must_use]
    pub const fn new(offset: u32, payload: &'a [u8]) -> Option<Self> {
        if offset == 0 || offset > MAX_OFFSET || payload.is_empty() || payload.len() > MAX_LENGTH {
            return None;
        }
        Some(Self { offset: offset as u16, payload })
    }

    /// So many ticks before the packet's own time.
    #[must_use]
    pub const fn offset(&self) -> u32 {
        self.offset as u32
    }

    /// What was said then.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Octets of a payload with these blocks before a primary encoding of `primary` octets.
#[must_use]
pub fn written_len(blocks: &[Block<'_>], primary: usize) -> usize {
    blocks.iter().map(|block| BLOCK_HEADER + block.payload.len()).sum::<usize>() + 1 + primary
}

/// Writes a payload into `out`, which is [`written_len`] octets long. `blocks` come oldest first; all are of `payload_type`.
pub fn write(payload_type: u8, blocks: &[Block<'_>], primary: &[u8], out: &mut [u8]) {
    let (headers, mut rest) = out.split_at_mut(blocks.len() * BLOCK_HEADER + 1);
    let (headers, last) = headers.as_chunks_mut::<BLOCK_HEADER>();
    for (header, block) in headers.iter_mut().zip(blocks) {
        let word =
            1 << 31 | u32::from(payload_type & 0x7f) << 24 | u32::from(block.offset) << 10 | block.payload.len() as u32;
        *header = word.to_be_bytes();
        let (place, after) = rest.split_at_mut(block.payload.len());
        place.copy_from_slice(block.payload);
        rest = after;
    }
    last.fill(payload_type & 0x7f);
    rest.copy_from_slice(primary);
}

/// Offset of the primary block, which is the last; `None` if the headers don't add up.
#[must_use]
pub fn primary_offset(payload: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut redundant = 0;
    while payload.get(at)? & 0x80 != 0 {
        redundant += length_of(payload.get(at..at + BLOCK_HEADER)?);
        at += BLOCK_HEADER;
    }
    let offset = at + 1 + redundant;
    (offset <= payload.len()).then_some(offset)
}

/// The earlier encodings in a payload, in its order, which is oldest first; only those that are coded as the primary is.
pub fn blocks(payload: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let headers =
        payload.chunks(BLOCK_HEADER).take_while(|header| header.len() == BLOCK_HEADER && header[0] & 0x80 != 0);
    let first = headers.clone().count() * BLOCK_HEADER + 1;
    let primary = primary_offset(payload).and_then(|_| payload.get(first - 1).copied());
    let mut at = first;
    headers.filter_map(move |header| {
        let begin = at;
        at += length_of(header);
        let offset = u32::from_be_bytes(*header.first_chunk()?) >> 10 & MAX_OFFSET;
        Block::new(offset, payload.get(begin..at)?).filter(|_| primary == Some(header[0] & 0x7f))
    })
}

/// The length that a redundant block's header tells.
fn length_of(header: &[u8]) -> usize {
    let &[_, _, high, low] = header else { return 0 };
    usize::from(u16::from_be_bytes([high, low])) & MAX_LENGTH
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

    #[test]
    fn a_block_is_as_old_and_as_long_as_its_header_can_say() {
        assert!(Block::new(16_383, &[1; 1_023]).is_some());
        assert_eq!(Block::new(16_384, &[1]), None);
        assert_eq!(Block::new(960, &[1; 1_024]), None);
        assert_eq!(Block::new(0, &[1]), None, "it is no earlier than the packet");
        assert_eq!(Block::new(960, &[]), None);
    }

    #[test]
    fn what_is_written_is_what_the_rfc_shows() {
        let blocks =
            [(1_920, &[1, 2][..]), (960, &[3][..])].map(|(offset, payload)| Block::new(offset, payload).expect("fits"));
        let mut out = vec![0; written_len(&blocks, 2)];
        write(111, &blocks, &[4, 5], &mut out);
        assert_eq!(out, [0x80 | 111, 0x1e, 0, 2, 0x80 | 111, 0x0f, 0, 1, 111, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_block_of_another_coding_is_passed_over() {
        let payload = [0x80 | 13, 0x1e, 0, 1, 0x80 | 111, 0x0f, 0, 1, 111, 7, 8, 9];
        assert_eq!(blocks(&payload).collect::<Vec<_>>(), [Block { offset: 960, payload: &[8] }]);
        assert_eq!(blocks(&payload[..9]).count(), 0, "its headers don't add up");
    }

    proptest! {
        #[test]
        fn nothing_that_comes_is_read_beyond_its_end(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let read: usize = blocks(&payload).map(|block| block.payload().len()).sum();
            prop_assert!(read <= payload.len());
            if let Some(offset) = primary_offset(&payload) {
                prop_assert!(offset <= payload.len());
            }
        }

        #[test]
        fn what_is_written_is_read(
            earlier in proptest::collection::vec((1u32..=16_383, proptest::collection::vec(any::<u8>(), 1..200)), 0..=MAX_GENERATIONS),
            primary in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let written: Vec<_> = earlier.iter().filter_map(|(offset, payload)| Block::new(*offset, payload)).collect();
            let mut out = vec![0; written_len(&written, primary.len())];
            write(109, &written, &primary, &mut out);
            prop_assert_eq!(blocks(&out).collect::<Vec<_>>(), written);
            prop_assert_eq!(&out[primary_offset(&out).expect("well formed")..], &primary[..]);
        }
    }
}
