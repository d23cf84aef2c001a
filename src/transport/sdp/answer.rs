//! Decides what is agreed on and writes the answer.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::attribute::Direction;
use super::codecs::{self, AgreedFormat};
use super::extensions;
use super::offer::{Line, UnusedLine};
use super::{Agreed, Candidate, Error, Local, Media, Offer, OfferedMedia, Role, SendStream, Transport};

/// Accepts the offer whole or says why not. `streams(n, media)` names our stream of the n-th accepted m-line
/// towards a [`Role::Subscriber`]; it isn't asked for a [`Role::Publisher`].
///
/// # Errors
/// [`Error::Unsatisfiable`] if an m-line goes the wrong way or has no codec that we know.
pub fn negotiate(
    offer: &Offer,
    role: Role,
    local: &Local<'_>,
    mut streams: impl FnMut(usize, &OfferedMedia) -> Option<SendStream>,
) -> Result<Agreed, Error> {
    let mut writer = Writer { out: String::with_capacity(8 * 1024), local };
    writer.session(offer);
    let mut media = Vec::with_capacity(offer.media.len());
    for line in &offer.lines {
        match line {
            Line::Unused(unused) => writer.unused(unused),
            Line::Media(index) => {
                let offered = &offer.media[*index];
                let send = (role == Role::Subscriber).then(|| streams(*index, offered)).flatten();
                let agreed = agree(offered, role, send)?;
                writer.media(offered, role, &agreed);
                media.push(agreed.media);
            }
        }
    }
    let reduced_size = offer.media.iter().all(|media| media.reduced_size);
    Ok(Agreed { answer: writer.out, media, reduced_size })
}

/// An accepted m-line with what its answer says beside [`Media`].
struct AgreedMedia {
    media: Media,
    formats: Vec<AgreedFormat>,
    extension_lines: Vec<String>,
}

fn agree(offered: &OfferedMedia, role: Role, send: Option<SendStream>) -> Result<AgreedMedia, Error> {
    let mid = &offered.mid;
    match (role, offered.direction) {
        (Role::Publisher, Direction::Receive) => {
            return Err(Error::Unsatisfiable(format!(
                "m-line {mid} is recvonly, and here media is published; offer sendonly"
            )));
        }
        (Role::Subscriber, Direction::Send) => {
            return Err(Error::Unsatisfiable(format!(
                "m-line {mid} is sendonly, and here media is played; offer recvonly"
            )));
        }
        _ => {}
    }
    let transport_cc = codecs::offers_transport_cc(offered, role) && extensions::offers_transport_cc(offered, role);
    let formats = codecs::agree(offered, role, transport_cc)?;
    let (extensions, extension_lines) = extensions::agree(offered, role, transport_cc);
    let publisher = role == Role::Publisher;
    if publisher && offered.simulcast && offered.rids.len() > 1 && extensions.rid.is_none() {
        return Err(Error::Unsatisfiable(format!(
            "m-line {mid} is simulcast without the header extension sdes:rtp-stream-id, which tells its encodings apart"
        )));
    }
    let media = Media {
        mid: mid.clone(),
        voice: offered.voice,
        codecs: formats.iter().map(|format| format.payload_type).collect(),
        extensions,
        rids: if publisher { offered.rids.clone() } else { Vec::new() },
        ssrcs: if publisher { offered.ssrcs.clone() } else { Vec::new() },
        send,
    };
    Ok(AgreedMedia { media, formats, extension_lines })
}

/// Writes an answer line by line.
struct Writer<'a> {
    out: String,
    local: &'a Local<'a>,
}

impl Writer<'_> {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = self.out.write_fmt(text);
        self.out.push_str("\r\n");
    }

    fn session(&mut self, offer: &Offer) {
        self.line(format_args!("v=0"));
        self.line(format_args!("o=- {} 2 IN IP4 127.0.0.1", session_id(self.local.ufrag)));
        self.line(format_args!("s=-"));
        self.line(format_args!("t=0 0"));
        if !offer.bundle.is_empty() {
            self.line(format_args!("a=group:BUNDLE {}", offer.bundle.join(" ")));
        }
        if offer.mixed_extensions {
            self.line(format_args!("a=extmap-allow-mixed"));
        }
        self.line(format_args!("a=ice-lite"));
        if offer.trickle {
            self.line(format_args!("a=ice-options:trickle"));
        }
    }

    /// Refuses an m-line, which leaves it out of the BUNDLE group (RFC 9143 §7.3.3).
    fn unused(&mut self, line: &UnusedLine) {
        self.line(format_args!("m={} 0 {} {}", line.kind, line.protocol, line.formats.join(" ")));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        if let Some(mid) = &line.mid {
            self.line(format_args!("a=mid:{mid}"));
        }
        self.line(format_args!("a=inactive"));
    }

    fn media(&mut self, offered: &OfferedMedia, role: Role, agreed: &AgreedMedia) {
        self.media_name(offered, &agreed.media);
        self.transport();
        self.line(format_args!("a=mid:{}", offered.mid));
        for extension in &agreed.extension_lines {
            self.line(format_args!("a=extmap:{extension}"));
        }
        if offered.mixed_extensions {
            self.line(format_args!("a=extmap-allow-mixed"));
        }
        self.line(format_args!("a={}", if role == Role::Publisher { "recvonly" } else { "sendonly" }));
        if let Some(send) = &agreed.media.send {
            self.line(format_args!("a=msid:{} {}", send.stream, send.track));
        }
        self.line(format_args!("a=rtcp-mux"));
        // RFC 9725 §4.4.1 wants it in answers too; RFC 8858 §3, which it cites, doesn't, and who knows only that one skips it.
        self.line(format_args!("a=rtcp-mux-only"));
        if offered.reduced_size {
            self.line(format_args!("a=rtcp-rsize"));
        }
        for format in &agreed.formats {
            self.format(format);
        }
        self.encodings(offered, &agreed.media);
        self.send_stream(&agreed.media);
        for candidate in candidates(self.local.candidates) {
            self.line(format_args!("a={candidate}"));
        }
        self.line(format_args!("a=end-of-candidates"));
    }

    fn media_name(&mut self, offered: &OfferedMedia, media: &Media) {
        let kind = if offered.voice { "audio" } else { "video" };
        let default = self.local.candidates.first().map(|candidate| candidate.address);
        let mut line = format!("m={kind} {} {}", default.map_or(9, |address| address.port()), offered.protocol);
        for payload_type in &media.codecs {
            line.push_str(&format!(" {}", payload_type.number));
            if let Some(rtx) = payload_type.rtx {
                line.push_str(&format!(" {rtx}"));
            }
        }
        self.line(format_args!("{line}"));
        match default {
            Some(SocketAddr::V4(address)) => self.line(format_args!("c=IN IP4 {}", address.ip())),
            Some(SocketAddr::V6(address)) => self.line(format_args!("c=IN IP6 {}", address.ip())),
            None => self.line(format_args!("c=IN IP4 0.0.0.0")),
        }
    }

    fn transport(&mut self) {
        let local = self.local;
        self.line(format_args!("a=ice-ufrag:{}", local.ufrag));
        self.line(format_args!("a=ice-pwd:{}", local.password));
        self.line(format_args!("a=fingerprint:sha-256 {}", local.fingerprint));
        self.line(format_args!("a=setup:passive"));
    }

    fn format(&mut self, format: &AgreedFormat) {
        let number = format.payload_type.number;
        self.line(format_args!("a=rtpmap:{number} {}", format.mapping));
        for feedback in &format.feedback {
            self.line(format_args!("a=rtcp-fb:{number} {feedback}"));
        }
        if let Some(parameters) = &format.parameters {
            self.line(format_args!("a=fmtp:{number} {parameters}"));
        }
        if let Some(rtx) = format.payload_type.rtx {
            self.line(format_args!("a=rtpmap:{rtx} rtx/{}", format.payload_type.codec.clock_rate()));
            self.line(format_args!("a=fmtp:{rtx} apt={number}"));
        }
    }

    /// The encodings that are received (RFC 8853 §5.3.1).
    fn encodings(&mut self, offered: &OfferedMedia, media: &Media) {
        for rid in &media.rids {
            self.line(format_args!("a=rid:{rid} recv"));
        }
        if offered.simulcast && !media.rids.is_empty() {
            self.line(format_args!("a=simulcast:recv {}", media.rids.join(";")));
        }
    }

    /// Our stream by its SSRCs (RFC 5576).
    fn send_stream(&mut self, media: &Media) {
        let Some(send) = &media.send else { return };
        let repaired = media.codecs.iter().any(|payload_type| payload_type.rtx.is_some());
        if repaired {
            self.line(format_args!("a=ssrc-group:FID {} {}", send.ssrc, send.rtx_ssrc));
        }
        let ssrcs = [Some(send.ssrc), repaired.then_some(send.rtx_ssrc)];
        for ssrc in ssrcs.into_iter().flatten() {
            self.line(format_args!("a=ssrc:{ssrc} cname:{}", self.local.cname));
            self.line(format_args!("a=ssrc:{ssrc} msid:{} {}", send.stream, send.track));
        }
    }
}

/// The candidates as attributes (RFC 8839 §5.1, RFC 6544 §4.5). Their priorities (RFC 8445 §5.1.2.1) fall in the order
/// given; those of TCP are below all of UDP, since a loss holds up everything behind it there.
pub(super) fn candidates(candidates: &[Candidate]) -> impl Iterator<Item = String> + '_ {
    candidates.iter().enumerate().map(|(index, Candidate { transport, address })| {
        let (ip, port) = (address.ip(), address.port());
        let lower = index.min(usize::from(MAX_INDEX)) as u32;
        let (kind, protocol, preference, tcp_type) = match transport {
            Transport::Udp => (HOST, "udp", u32::from(u16::MAX) - lower, ""),
            Transport::Tcp => (HOST_TCP, "tcp", (PASSIVE << 13) + u32::from(MAX_INDEX) - lower, " tcptype passive"),
        };
        let priority = kind << 24 | preference << 8 | 255;
        format!("candidate:{} 1 {protocol} {priority} {ip} {port} typ host{tcp_type}", index + 1)
    })
}

/// Type preferences of host candidates: RFC 8445 §5.1.2.2, and RFC 6544 §4.2, which leaves TCP's to us below UDP's.
const HOST: u32 = 126;
const HOST_TCP: u32 = 90;
/// The direction preference of a passive host candidate (RFC 6544 §4.2), which leaves 13 bits for the rest.
const PASSIVE: u32 = 4;
const MAX_INDEX: u16 = (1 << 13) - 1;

/// A session id that a restart of ICE changes, as the rest of the description does (FNV-1a of the ufrag, 63 bits).
fn session_id(ufrag: &str) -> u64 {
    let hash = ufrag
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3));
    hash >> 1
}
