//! Boxes that hold boxes.

use mp4_atom::{Encode, FourCC};

/// A box of `kind` around `body`.
#[must_use]
pub fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    // An index of four gigabytes would describe a lesson of years.
    let size = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], kind, body].concat()
}

/// A box with version 0 and no flags.
#[must_use]
pub fn full_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    boxed(kind, &[&[0; 4][..], body].concat())
}

/// One atom with its header.
///
/// # Errors
/// What doesn't fit its field.
pub fn encoded(atom: &impl Encode) -> Result<Vec<u8>, mp4_atom::Error> {
    let mut octets = Vec::new();
    atom.encode(&mut octets)?;
    Ok(octets)
}

/// The boxes that follow one another in `octets`; ends where no whole box follows.
pub fn children(mut octets: &[u8]) -> impl Iterator<Item = (FourCC, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, header, size) = header(octets)?;
        let body = octets.get(header..usize::try_from(size).ok()?)?;
        octets = &octets[header + body.len()..];
        Some((kind, body))
    })
}

/// The body of the first box of `kind` in `octets`.
#[must_use]
pub fn child<'a>(octets: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    children(octets).find(|(found, _)| *found == FourCC::new(kind)).map(|(_, body)| body)
}

/// The kind of the box that begins `octets`, the size of its header and of the whole; at most 16 octets are looked at.
#[must_use]
pub fn header(octets: &[u8]) -> Option<(FourCC, usize, u64)> {
    let size = u32::from_be_bytes(octets.get(..4)?.try_into().ok()?);
    let kind = FourCC::from(<[u8; 4]>::try_from(octets.get(4..8)?).ok()?);
    match size {
        1 => {
            let size = u64::from_be_bytes(octets.get(8..16)?.try_into().ok()?);
            (size >= 16).then_some((kind, 16, size))
        }
        2..8 | 0 => None,
        size => Some((kind, 8, u64::from(size))),
    }
}
