//! What every record is wrapped in: magic, type, length and checksum.

use std::ops::Range;

use crate::{Error, Result};

/// The longest payload of one record, in octets.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

const MAGIC: [u8; 2] = *b"MJ";

/// Octets before the payload: magic, type, a reserved one, the payload's length, the checksum.
pub(crate) const HEADER: usize = 12;

/// Appends a record whose payload `write` appends; on an error nothing is appended.
pub(crate) fn append(kind: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[MAGIC[0], MAGIC[1], kind, 0]);
    out.extend_from_slice(&[0; 8]);
    let written = write(out).and_then(|()| {
        let length = out.len() - start - HEADER;
        if length > MAX_PAYLOAD { Err(Error::TooLong(length)) } else { Ok(length as u32) }
    });
    let length = match written {
        Ok(length) => length,
        Err(error) => {
            out.truncate(start);
            return Err(error);
        }
    };
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&out[start..]);
    out[start + 8..start + HEADER].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// How many octets the record that begins here takes, by what its header says.
pub(crate) fn total(record: &[u8]) -> usize {
    match record.first_chunk::<HEADER>() {
        Some(&[_, _, _, _, a, b, c, d, ..]) => HEADER + u32::from_le_bytes([a, b, c, d]) as usize,
        None => HEADER,
    }
}

/// CRC-32C over all of a record but its magic and the checksum's own place.
fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[2..8]), &record[HEADER..])
}

/// What stands at the beginning of some octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// A record: its type and where its payload is.
    Whole(u8, Range<usize>),
    /// It may become a record when there are so many octets.
    Incomplete(usize),
    /// No record.
    Bad,
}

pub(crate) fn look(octets: &[u8]) -> Look {
    let known = octets.len().min(MAGIC.len());
    if octets[..known] != MAGIC[..known] {
        return Look::Bad;
    }
    let Some(header) = octets.first_chunk::<HEADER>() else { return Look::Incomplete(HEADER) };
    let [_, _, kind, _, a, b, c, d, e, f, g, h] = *header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_PAYLOAD {
        return Look::Bad;
    }
    match octets.get(..HEADER + length) {
        None => Look::Incomplete(HEADER + length),
        Some(record) if checksum(record) == u32::from_le_bytes([e, f, g, h]) => {
            Look::Whole(kind, HEADER..HEADER + length)
        }
        Some(_) => Look::Bad,
    }
}

/// Where the next record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Here, and it is whole.
    At(usize),
    /// Nowhere yet; from here on it can only be told with more octets.
    NotBefore(usize),
}

/// Looks for the next record in octets among which there may be anything. `plausible` says whether a record of this type
/// with so long a payload that begins with this octet is ever written: it spares most of the checksums.
pub(crate) fn find(octets: &[u8], plausible: impl Fn(u8, usize, Option<u8>) -> bool) -> Found {
    let mut undecided = None;
    let mut at = 0;
    while let Some(offset) = octets[at..].iter().position(|octet| *octet == MAGIC[0]) {
        at += offset;
        let rest = &octets[at..];
        let may_be = rest.first_chunk::<HEADER>().is_none_or(|&[_, _, kind, reserved, a, b, c, d, ..]| {
            let length = u32::from_le_bytes([a, b, c, d]) as usize;
            reserved == 0 && plausible(kind, length, rest.get(HEADER).copied())
        });
        match look(rest) {
            Look::Whole(..) if may_be => return Found::At(at),
            Look::Incomplete(_) if may_be => undecided = undecided.or(Some(at)),
            _ => {}
        }
        at += 1;
    }
    Found::NotBefore(undecided.unwrap_or(octets.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append(3, &mut out, |out| {
            out.extend_from_slice(payload);
            Ok(())
        })
        .expect("short enough");
        out
    }

    #[test]
    fn every_octet_of_a_record_is_under_its_checksum_or_decides_by_itself() {
        let whole = record(b"what was received");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(look(&flipped), Look::Whole(..)), "bit {bit}");
        }
    }

    #[test]
    fn a_record_that_is_too_long_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        let written = append(3, &mut out, |out| {
            out.resize(out.len() + MAX_PAYLOAD + 1, 0);
            Ok(())
        });
        assert!(matches!(written, Err(Error::TooLong(_))));
        assert_eq!(out, b"before");
    }

    #[test]
    fn a_record_is_found_behind_what_only_looks_like_one() {
        let mut octets = b"MJ\x03\0\xff\0\0\0 and MJ, cut short".to_vec();
        let begins = octets.len();
        octets.extend(record(b"here"));
        assert_eq!(find(&octets, |_, _, _| true), Found::At(begins));
        assert_eq!(find(&octets[..begins + 5], |_, _, _| true), Found::NotBefore(0));
        assert_eq!(find(b"no such thing M", |_, _, _| true), Found::NotBefore(14));
    }
}
