//! What an unfriendly network may do to DTLS records that aren't sealed yet (RFC 6347 §4.1, §4.2.2).

const HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
/// Numbers that [`numbered`] leaves free behind every original one.
const SPREAD: u64 = 64;

/// Whether the datagram's first record is a ClientHello.
pub(crate) fn is_hello(datagram: &[u8]) -> bool {
    datagram.len() > HEADER && datagram[0] == 22 && datagram[3..5] == [0, 0] && datagram[HEADER] == 1
}

fn records(mut datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while datagram.len() >= HEADER {
        let length = HEADER + usize::from(u16::from_be_bytes([datagram[11], datagram[12]]));
        records.push(datagram[..length].to_vec());
        datagram = &datagram[length..];
    }
    records
}

fn number(record: &mut [u8], copy: u64) {
    let mut octets = [0; 8];
    octets[2..].copy_from_slice(&record[5..11]);
    let number = u64::from_be_bytes(octets) * SPREAD + copy;
    record[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
}

/// The datagram with its unsealed records numbered anew: the `copy`-th way to send it without being a replay.
pub(crate) fn numbered(datagram: &[u8], copy: u64) -> Vec<u8> {
    if !(20..64).contains(&datagram[0]) {
        return datagram.to_vec();
    }
    let mut records = records(datagram);
    for record in records.iter_mut().filter(|record| record[3..5] == [0, 0]) {
        number(record, copy);
    }
    records.concat()
}

/// A hello in fragments of `size`, a datagram each.
pub(crate) fn in_pieces(datagram: &[u8], size: usize) -> Vec<Vec<u8>> {
    let header = &datagram[..HEADER];
    let handshake = &datagram[HEADER..HEADER + HANDSHAKE_HEADER];
    let body = &datagram[HEADER + HANDSHAKE_HEADER..];
    let pieces = body.chunks(size).enumerate().map(|(at, piece)| {
        let mut record = header.to_vec();
        record[11..13].copy_from_slice(&((piece.len() + HANDSHAKE_HEADER) as u16).to_be_bytes());
        record.extend(handshake);
        record[HEADER + 6..HEADER + 9].copy_from_slice(&((at * size) as u32).to_be_bytes()[1..]);
        record[HEADER + 9..HEADER + 12].copy_from_slice(&(piece.len() as u32).to_be_bytes()[1..]);
        record.extend(piece);
        number(&mut record, at as u64);
        record
    });
    pieces.collect()
}

/// Alerts that anybody could write: warnings and fatal ones, close_notify among them, of the first epoch.
pub(crate) fn plaintext_alerts() -> impl Iterator<Item = Vec<u8>> {
    let levels = [1, 2].into_iter();
    levels.flat_map(|level| {
        (0..=110).map(move |what| vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 9, level, what, 0, 2, level, what])
    })
}

/// A handshake message of `total` octets, one to a fragment.
pub(crate) fn crumbs(message: u16, total: usize) -> Vec<Vec<u8>> {
    let of = |total: usize| (total as u32).to_be_bytes();
    let fragment = |at: usize| {
        let kind = if message < 2 { 1 } else { 16 };
        let (length, at) = (of(total), of(at));
        let [high, low] = message.to_be_bytes();
        [kind, length[1], length[2], length[3], high, low, at[1], at[2], at[3], 0, 0, 1, 0xaa]
    };
    let record = |at: usize| {
        let mut record = vec![22, 0xfe, 0xfd, 0, 0];
        record.extend(&(at as u64 + 1_000_000).to_be_bytes()[2..]);
        record.extend([0, 13]);
        record.extend(fragment(at));
        record
    };
    (0..total).step_by(40).map(|first| (first..first + 40).flat_map(record).collect()).collect()
}
