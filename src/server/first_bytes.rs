//! Media and pages on one TCP port: the first octets of a connection tell which it is.
//!
//! A client of ICE over TCP begins with a framed STUN request (RFC 4571, RFC 6544 §10), whose first octet is the high one
//! of a short length. TLS begins with 22 (RFC 8446 §5.1), HTTP with a letter.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::places::Places;
use crate::api::Media;
use crate::transport::framing::LENGTH;
use crate::transport::ice::local_ufrag;

/// The first request names two short fragments; with every attribute there is it stays far below this.
const LONGEST_REQUEST: usize = 1_280;
/// A client that has connected sends its first check at once.
const PATIENCE: Duration = Duration::from_secs(3);
/// Streams of one address whose first check isn't here yet. A school of a hundred classrooms may come from one.
pub(super) const NEWCOMERS: usize = 512;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// ICE over TCP.
    Media,
    /// TLS or HTTP.
    Pages,
}

/// What a connection that begins with this octet is for.
pub(super) const fn wanted(first: u8) -> Wanted {
    if first as usize <= LONGEST_REQUEST >> 8 { Wanted::Media } else { Wanted::Pages }
}

/// Waits for the first octet and leaves it where it is.
///
/// # Errors
/// What the system says, or that the peer closed without a word.
pub(super) async fn look(stream: &TcpStream) -> io::Result<Wanted> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(wanted(first[0])),
    }
}

/// Reads the first datagram and hands the stream over to the worker that it names. Nothing is said to whoever sends
/// anything else.
pub(super) async fn hand_over(stream: TcpStream, address: SocketAddr, media: &Arc<dyn Media>, newcomers: &Arc<Places>) {
    let outcome = match newcomers.enter(address.ip()) {
        None => "too_many",
        Some(_place) => match tokio::time::timeout(PATIENCE, first_datagram(stream)).await {
            Ok(Some((stream, first))) => match media.adopt(stream, address, first) {
                Ok(()) => "handed_over",
                Err(_) => "refused",
            },
            Ok(None) | Err(_) => "no_request",
        },
    };
    metrics::counter!("mingshi_tcp_streams_accepted_total", "outcome" => outcome).increment(1);
}

async fn first_datagram(mut stream: TcpStream) -> Option<(std::net::TcpStream, Vec<u8>)> {
    let mut length = [0; LENGTH];
    stream.read_exact(&mut length).await.ok()?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > LONGEST_REQUEST {
        return None;
    }
    let mut datagram = vec![0; length];
    stream.read_exact(&mut datagram).await.ok()?;
    local_ufrag(&datagram)?;
    Some((stream.into_std().ok()?, datagram))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octet_tells_media_from_pages() {
        for begin in ["GET / HTTP/1.1", "POST /whip", "PRI * HTTP/2.0", "OPTIONS *", "\r\n", "\u{16}\u{3}\u{1}"] {
            assert_eq!(wanted(begin.as_bytes()[0]), Wanted::Pages, "{begin:?}");
        }
        for length in [20u16, 96, 255, 256, LONGEST_REQUEST as u16] {
            assert_eq!(wanted(length.to_be_bytes()[0]), Wanted::Media, "a request of {length} octets");
        }
    }
}
