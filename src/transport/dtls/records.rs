//! A look at DTLS records before the handshake has them: what the first hello offers, and what is let in at all.

use super::Error;

/// The longest ClientHello that is put together.
const MAX_HELLO: usize = 8_192;
/// The longest handshake message of a client: a certificate chain.
const MAX_MESSAGE: usize = 16_384;
/// A piece of a message that isn't its last is seldom shorter: no path has so small a datagram.
const MIN_PIECE: usize = 64;
/// Shorter pieces of one association, over its whole life. OpenSSL fills the end of a datagram with the beginning of
/// the next message, and does so again when it repeats a flight.
const MAX_SHORT_PIECES: usize = 16;
/// Datagrams of one association, over its whole life. A handshake on the worst line takes some dozens.
const MAX_DATAGRAMS: u16 = 256;
/// Of them, those with a sealed handshake message: there is one only, and its repetitions.
const MAX_SEALED: u16 = 32;
/// The longest datagram.
const MAX_DATAGRAM: usize = 2_048;

const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
/// Content types (RFC 5246 §6.2.1).
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;
/// Handshake type (RFC 6347 §4.3.2).
const HELLO_VERIFY_REQUEST: u8 = 3;

fn u24(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
}

fn u16_of(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

/// The header and the content of each record. `None` is a record that is longer than the rest of the datagram.
fn records(mut datagram: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let record = datagram.split_at_checked(RECORD_HEADER).and_then(|(header, rest)| {
            let (content, rest) = rest.split_at_checked(usize::from(u16_of(&header[11..])))?;
            datagram = rest;
            Some((header, content))
        });
        if record.is_none() {
            datagram = &[];
        }
        Some(record)
    })
}

/// Whether the server asks here for its cookie: the first record is a HelloVerifyRequest (RFC 6347 §4.2.1).
pub(super) fn asks_for_cookie(datagram: &[u8]) -> bool {
    datagram.first() == Some(&HANDSHAKE) && datagram.get(RECORD_HEADER) == Some(&HELLO_VERIFY_REQUEST)
}

/// Keeps out what costs more than it is worth.
///
/// The crate puts messages together in time that grows with the square of their pieces, and it bounds neither pieces nor
/// sealed records that come too early: one peer could hold a media thread up for minutes.
#[derive(Debug)]
pub(super) struct Gate {
    datagrams: u16,
    sealed: u16,
    short_pieces: usize,
}

impl Default for Gate {
    fn default() -> Self {
        Self { datagrams: MAX_DATAGRAMS, sealed: MAX_SEALED, short_pieces: MAX_SHORT_PIECES }
    }
}

impl Gate {
    /// Whether the handshake may have this datagram.
    pub(super) fn admits(&mut self, datagram: &[u8]) -> bool {
        if datagram.len() > MAX_DATAGRAM || self.datagrams == 0 {
            return false;
        }
        let (mut sealed, mut short) = (0, 0);
        for record in records(datagram) {
            let Some((header, content)) = record else { return false };
            let plain = header[3..5] == [0, 0];
            match header[0] {
                // There are no data channels.
                APPLICATION => return false,
                HANDSHAKE if plain => match short_pieces(content) {
                    Some(pieces) => short += pieces,
                    None => return false,
                },
                HANDSHAKE => sealed += 1,
                _ => {}
            }
        }
        if sealed > self.sealed.min(1) || short > self.short_pieces {
            return false;
        }
        self.sealed -= sealed;
        self.short_pieces -= short;
        self.datagrams -= 1;
        true
    }
}

/// How many pieces of the messages in a record are shorter than a line asks for; `None` if they aren't a client's messages.
fn short_pieces(mut content: &[u8]) -> Option<usize> {
    let mut short = 0;
    while !content.is_empty() {
        let (header, rest) = content.split_at_checked(HANDSHAKE_HEADER)?;
        let (total, offset, length) = (u24(&header[1..]), u24(&header[6..]), u24(&header[9..]));
        if total == 0 || total > MAX_MESSAGE || offset + length > total {
            return None;
        }
        let last = offset + length == total;
        short += usize::from(!last && length < MIN_PIECE);
        content = rest.get(length..)?;
    }
    Some(short)
}

/// The first ClientHello, put together from its fragments (RFC 6347 §4.2.3).
#[derive(Default)]
pub(super) struct Hello {
    body: Vec<u8>,
    have: Vec<bool>,
}

impl Hello {
    /// Takes a datagram's records; the SRTP profiles that the hello offers, once it is whole.
    pub(super) fn take(&mut self, datagram: &[u8]) -> Result<Option<Vec<u16>>, Error> {
        for record in records(datagram) {
            let (header, content) = record.ok_or(Error::BadHello)?;
            if header[0] == HANDSHAKE {
                self.fragment(content)?;
            }
        }
        if self.have.is_empty() || self.have.contains(&false) {
            return Ok(None);
        }
        profiles(&self.body).map(Some).ok_or(Error::BadHello)
    }

    fn fragment(&mut self, record: &[u8]) -> Result<(), Error> {
        let header = record.get(..HANDSHAKE_HEADER).ok_or(Error::BadHello)?;
        let (total, offset, length) = (u24(&header[1..]), u24(&header[6..]), u24(&header[9..]));
        let fragment = record.get(HANDSHAKE_HEADER..HANDSHAKE_HEADER + length).ok_or(Error::BadHello)?;
        let first = self.have.is_empty();
        if header[0] != 1
            || total == 0
            || total > MAX_HELLO
            || offset + length > total
            || !(first || total == self.body.len())
        {
            return Err(Error::BadHello);
        }
        self.body.resize(total, 0);
        self.have.resize(total, false);
        self.body[offset..offset + length].copy_from_slice(fragment);
        self.have[offset..offset + length].fill(true);
        Ok(())
    }
}

/// The use_srtp extension of a ClientHello (RFC 5764 §4.1.1); empty if it has none.
fn profiles(hello: &[u8]) -> Option<Vec<u16>> {
    let skip = |rest: &'_ [u8], size: usize| -> Option<usize> {
        let length = rest.get(..size)?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        Some(size + length)
    };
    let mut rest = hello.get(2 + 32..)?;
    for size in [1, 1, 2, 1] {
        // Session id, cookie, cipher suites, compression methods.
        rest = rest.get(skip(rest, size)?..)?;
    }
    if rest.is_empty() {
        return Some(Vec::new());
    }
    rest = rest.get(2..2 + usize::from(u16_of(rest.get(..2)?)))?;
    while let [t0, t1, l0, l1, after @ ..] = rest {
        let value = after.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?;
        if [*t0, *t1] == [0, 14] {
            let list = value.get(2..2 + usize::from(u16_of(value.get(..2)?)))?;
            return Some(list.chunks_exact(2).map(u16_of).collect());
        }
        rest = &after[value.len()..];
    }
    Some(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello_body(offered: &[u16]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
        let list: Vec<u8> = offered.iter().flat_map(|profile| profile.to_be_bytes()).collect();
        let mut extensions = vec![0, 23, 0, 0, 0, 14];
        extensions.extend(((list.len() + 3) as u16).to_be_bytes());
        extensions.extend((list.len() as u16).to_be_bytes());
        extensions.extend(list);
        extensions.push(0);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        body
    }

    fn record(body: &[u8], from: usize, to: usize) -> Vec<u8> {
        let size = |value: usize| [(value >> 16) as u8, (value >> 8) as u8, value as u8];
        let mut fragment = vec![1];
        fragment.extend(size(body.len()));
        fragment.extend([0, 0]);
        fragment.extend(size(from));
        fragment.extend(size(to - from));
        fragment.extend(&body[from..to]);
        let mut record = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend((fragment.len() as u16).to_be_bytes());
        record.extend(fragment);
        record
    }

    #[test]
    fn the_profiles_of_a_hello_in_pieces_are_read_in_any_order() {
        let body = hello_body(&[1, 7]);
        let mut hello = Hello::default();
        assert_eq!(hello.take(&record(&body, 20, body.len())), Ok(None));
        assert_eq!(hello.take(&record(&body, 0, 20)), Ok(Some(vec![1, 7])));
    }

    #[test]
    fn a_hello_without_srtp_has_no_profiles() {
        let body = hello_body(&[]);
        assert_eq!(Hello::default().take(&record(&body, 0, body.len())), Ok(Some(vec![])));
        assert_eq!(Hello::default().take(&[22; 40]), Err(Error::BadHello));
    }

    #[test]
    fn the_gate_lets_a_handshake_in_and_most_crumbs_stay_outside() {
        let body = hello_body(&[1, 7]);
        let mut gate = Gate::default();
        assert!(gate.admits(&record(&body, 0, body.len())));
        assert!(gate.admits(&record(&body, body.len() - 1, body.len())), "the last piece may be short");
        let crumbs = (0..1_000).filter(|_| gate.admits(&record(&body, 0, 1))).count();
        assert_eq!(crumbs, MAX_SHORT_PIECES, "OpenSSL sends a few");
        assert!(!gate.admits(&record(&[0; MAX_MESSAGE + 1], 0, 1_000)));
        assert!(!gate.admits(&[APPLICATION, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 7]));
        assert!(!gate.admits(&record(&body, 0, body.len())[..40]));
    }

    #[test]
    fn the_gate_closes_in_the_end() {
        let body = hello_body(&[1, 7]);
        let mut gate = Gate::default();
        let admitted = (0..1_000).filter(|_| gate.admits(&record(&body, 0, body.len()))).count();
        assert_eq!(admitted, usize::from(MAX_DATAGRAMS));
        let finished = [HANDSHAKE, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 7];
        let mut gate = Gate::default();
        assert!(!gate.admits(&[finished, finished].concat()));
        assert_eq!((0..1_000).filter(|_| gate.admits(&finished)).count(), usize::from(MAX_SEALED));
    }

    proptest! {
        #[test]
        fn mutated_hellos_never_panic(at in 0usize..120, value: u8, cut in 0usize..200) {
            let body = hello_body(&[1, 7]);
            let mut datagram = record(&body, 0, body.len());
            if let Some(byte) = datagram.get_mut(at) {
                *byte = value;
            }
            datagram.truncate(cut);
            let _ = Gate::default().admits(&datagram);
            let _ = Hello::default().take(&datagram);
        }
    }
}
