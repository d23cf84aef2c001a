//! Session descriptions: what a client offers, what we answer, and the media that both agreed on
//! (RFC 8866, RFC 8829 §5.3 for the answerer, RFC 9143 for BUNDLE, RFC 8853 for simulcast).
//!
//! An offer is met whole or refused with the reason: there are no partial answers. One transport carries
//! everything, we are ICE-lite and the passive end of DTLS.

use std::net::SocketAddr;

mod answer;
mod attribute;
mod codecs;
mod extensions;
mod fragment;
mod offer;
mod streams;
#[cfg(test)]
mod tests;

pub use answer::negotiate;
pub use fragment::{Fragment, parse_fragment, write_fragment};
pub use offer::{Offer, OfferedMedia};

use crate::rtp::codec::Codec;

/// Why an offer gets no answer. The text is for whoever runs the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text isn't a session description that can be read.
    #[error("the session description can't be read: {0}")]
    Malformed(String),
    /// It is one, and asks for what can't be given.
    #[error("the offer can't be met: {0}")]
    Unsatisfiable(String),
}

/// What the client said of its end of the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// ICE user name fragment (RFC 8839 §5.4).
    pub ufrag: String,
    /// ICE password.
    pub password: String,
    /// Of its DTLS certificate (RFC 8122 §5); at least one is of SHA-256.
    pub fingerprints: Vec<Fingerprint>,
}

/// The digest of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash function in lower case, as `sha-256`.
    pub hash: String,
    /// Upper-case hexadecimal octets with colons between.
    pub value: String,
}

/// Which way the media of a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The client sends, we receive.
    Publisher,
    /// We send, the client receives.
    Subscriber,
}

/// One m-line as both ends agreed on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Its identification (RFC 5888).
    pub mid: String,
    /// Whether it is sound.
    pub voice: bool,
    /// Every codec that both know, in the client's order of preference.
    pub codecs: Vec<PayloadType>,
    /// The header extensions agreed on.
    pub extensions: Extensions,
    /// A publisher's simulcast encodings, in the order offered; empty without simulcast.
    pub rids: Vec<String>,
    /// The streams a publisher announced by `a=ssrc`, each with its retransmission stream.
    pub ssrcs: Vec<(u32, Option<u32>)>,
    /// Our stream, towards a subscriber.
    pub send: Option<SendStream>,
}

/// A payload type number and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadType {
    /// 0–127, the client's.
    pub number: u8,
    /// The format.
    pub codec: Codec,
    /// The payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// Whether generic NACK was agreed on.
    pub nack: bool,
    /// Whether picture loss indication was agreed on.
    pub pli: bool,
}

/// Header extension ids (RFC 8285), 1–14.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Extensions {
    /// `sdes:mid` (RFC 9143 §15).
    pub mid: Option<u8>,
    /// `sdes:rtp-stream-id` (RFC 8852).
    pub rid: Option<u8>,
    /// `sdes:repaired-rtp-stream-id` (RFC 8852).
    pub repaired_rid: Option<u8>,
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    pub transport_cc: Option<u8>,
    /// Client-to-mixer audio level (RFC 6464).
    pub audio_level: Option<u8>,
    /// Playout delay, towards a subscriber's pictures.
    pub playout_delay: Option<u8>,
}

/// How one m-line's stream of ours is named to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendStream {
    /// Of the media packets.
    pub ssrc: u32,
    /// Of the retransmissions; announced where a retransmission payload type was agreed on.
    pub rtx_ssrc: u32,
    /// The `msid` stream: what is played in sync shares it.
    pub stream: String,
    /// The `msid` track.
    pub track: String,
}

/// Our end of the transport.
#[derive(Debug, Clone, Copy)]
pub struct Local<'a> {
    /// ICE user name fragment.
    pub ufrag: &'a str,
    /// ICE password.
    pub password: &'a str,
    /// SHA-256 of our certificate, upper-case hexadecimal octets with colons between.
    pub fingerprint: &'a str,
    /// The CNAME of our streams (RFC 3550 §6.5.1).
    pub cname: &'a str,
    /// Where we can be reached, of each transport the best first.
    pub candidates: &'a [Candidate],
}

/// An address of ours (RFC 8839 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Over what.
    pub transport: Transport,
    /// Address and port.
    pub address: SocketAddr,
}

/// What carries the datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP, on which we wait for the client to connect (RFC 6544 §4.5).
    Tcp,
}

impl Candidate {
    /// Over UDP.
    #[must_use]
    pub const fn udp(address: SocketAddr) -> Self {
        Self { transport: Transport::Udp, address }
    }

    /// Over TCP.
    #[must_use]
    pub const fn tcp(address: SocketAddr) -> Self {
        Self { transport: Transport::Tcp, address }
    }
}

/// An answer, and what it says to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The answer's text.
    pub answer: String,
    /// The accepted m-lines, in order.
    pub media: Vec<Media>,
    /// Whether reduced-size RTCP was agreed on for all of them (RFC 5506).
    pub reduced_size: bool,
}

/// How long a description may be, in octets.
const MAX_TEXT: usize = 256 * 1024;

/// Turns `text` away that is too long or holds characters that no description has: what is echoed into an answer must
/// not add lines to it.
fn check_text(text: &str) -> Result<(), Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::Malformed(format!("{} octets long, at most {MAX_TEXT} are read", text.len())));
    }
    let lone_return = text.replace("\r\n", "\n").contains('\r');
    if lone_return || text.chars().any(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t')) {
        return Err(Error::Malformed("there are control characters in it".into()));
    }
    Ok(())
}

/// The beginning of `text`, short enough to be shown.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}

/// Whether `text` is a token of 1 to `longest` characters (RFC 8866 §9).
fn is_token(text: &str, longest: usize) -> bool {
    let in_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&c);
    (1..=longest).contains(&text.len()) && text.bytes().all(in_token)
}

/// Checks ICE credentials for length and characters (RFC 8839 §5.4).
fn check_credentials(ufrag: &str, password: &str) -> Result<(), Error> {
    let is_ice = |text: &str| text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'/');
    if !(4..=256).contains(&ufrag.len()) || !is_ice(ufrag) {
        return Err(Error::Malformed("a=ice-ufrag must be 4 to 256 letters, digits, + or /".into()));
    }
    if !(22..=256).contains(&password.len()) || !is_ice(password) {
        return Err(Error::Malformed("a=ice-pwd must be 22 to 256 letters, digits, + or /".into()));
    }
    Ok(())
}
