//! Reads an offer into what the answerer needs.

use std::io::Cursor;

use rtc_sdp::description::common::Attribute;
use rtc_sdp::description::media::MediaDescription;
use rtc_sdp::description::session::SessionDescription;

use super::attribute::{Direction, has, read_direction, values};
use super::codecs::Format;
use super::extensions::OfferedExtension;
use super::streams;
use super::{Error, Fingerprint, Remote, check_credentials, check_text, clip, is_token};

/// How many m-lines are read.
const MAX_LINES: usize = 32;
/// How long an identification may be; header extensions carry it.
const MAX_MID: usize = 32;
/// How many fingerprints a client may name.
const MAX_FINGERPRINTS: usize = 8;

/// A client's offer, read.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its end of the transport.
    pub remote: Remote,
    /// The user name fragment of every m-line: outside of the bundle's first each may have its own, and trickle with it.
    pub ufrags: Vec<String>,
    /// The sound and video m-lines that want an answer, in order.
    pub media: Vec<OfferedMedia>,
    /// Every m-line, in order.
    pub(super) lines: Vec<Line>,
    /// The mids of [`Offer::media`] in the order of the BUNDLE group; empty if a single m-line was offered without one.
    pub(super) bundle: Vec<String>,
    /// Whether one- and two-byte header extensions may be mixed, said for the whole session.
    pub(super) mixed_extensions: bool,
    /// Whether the client trickles its candidates.
    pub trickle: bool,
}

/// An m-line's part in the answer.
#[derive(Debug, Clone)]
pub(super) enum Line {
    /// The n-th of [`Offer::media`].
    Media(usize),
    /// Answered with port 0.
    Unused(UnusedLine),
}

/// An m-line that is inactive or carries neither sound nor video.
#[derive(Debug, Clone)]
pub(super) struct UnusedLine {
    pub(super) kind: String,
    pub(super) protocol: String,
    pub(super) formats: Vec<String>,
    pub(super) mid: Option<String>,
}

/// A sound or video m-line of an offer.
#[derive(Debug, Clone)]
pub struct OfferedMedia {
    /// Its identification (RFC 5888).
    pub mid: String,
    /// Whether it is sound.
    pub voice: bool,
    pub(super) protocol: String,
    pub(super) direction: Direction,
    pub(super) formats: Vec<Format>,
    pub(super) extensions: Vec<OfferedExtension>,
    pub(super) rids: Vec<String>,
    pub(super) simulcast: bool,
    pub(super) ssrcs: Vec<(u32, Option<u32>)>,
    pub(super) reduced_size: bool,
    pub(super) mixed_extensions: bool,
}

impl Offer {
    /// Reads an offer: at most 256 KiB with at most 32 m-lines.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it isn't a session description, [`Error::Unsatisfiable`] if its transport or
    /// its m-lines are of a kind that can't be answered.
    pub fn parse(text: &str) -> Result<Self, Error> {
        check_text(text)?;
        let description = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
            .map_err(|error| Error::Malformed(clip(&error.to_string()).to_owned()))?;
        let session = description.attributes.as_slice();
        if has(session, "ice-lite") {
            return Err(Error::Unsatisfiable("both ends are ICE-lite, so neither would check the connection".into()));
        }
        let (media, lines) = read_lines(&description)?;
        let bundle = read_bundle(session, &media)?;
        let tagged = tagged(&description, &bundle, &media)?;
        Ok(Self {
            remote: read_remote(tagged, session)?,
            ufrags: read_ufrags(&description),
            media,
            lines,
            bundle,
            mixed_extensions: has(session, "extmap-allow-mixed"),
            trickle: offers_trickle(&description),
        })
    }
}

/// Whether the client says anywhere that it trickles (RFC 8840 §4.1); libdatachannel puts commas between its options.
fn offers_trickle(description: &SessionDescription) -> bool {
    let lines = description.media_descriptions.iter().map(|line| line.attributes.as_slice());
    lines
        .chain([description.attributes.as_slice()])
        .flat_map(|attributes| values(attributes, "ice-options"))
        .any(|options| options.split([' ', ',']).any(|option| option == "trickle"))
}

fn read_ufrags(description: &SessionDescription) -> Vec<String> {
    let lines = description.media_descriptions.iter().map(|line| line.attributes.as_slice());
    let all = lines.chain([description.attributes.as_slice()]).filter_map(|all| values(all, "ice-ufrag").next());
    all.map(str::to_owned).collect()
}

fn read_lines(description: &SessionDescription) -> Result<(Vec<OfferedMedia>, Vec<Line>), Error> {
    let offered = &description.media_descriptions;
    if offered.len() > MAX_LINES {
        return Err(Error::Malformed(format!("{} m-lines, at most {MAX_LINES} are read", offered.len())));
    }
    let mut media = Vec::new();
    let mut lines = Vec::new();
    let mut mids: Vec<&str> = Vec::new();
    for (index, line) in offered.iter().enumerate() {
        let mid = values(&line.attributes, "mid").next();
        if let Some(mid) = mid {
            if !is_token(mid, MAX_MID) {
                return Err(Error::Malformed(format!(
                    "a=mid of m-line {index} must be a token of 1 to {MAX_MID} characters"
                )));
            }
            if mids.contains(&mid) {
                return Err(Error::Malformed(format!("two m-lines have a=mid:{mid}")));
            }
            mids.push(mid);
        }
        match read_media(line, index, mid, &description.attributes)? {
            Some(offered) => {
                lines.push(Line::Media(media.len()));
                media.push(offered);
            }
            None => lines.push(Line::Unused(unused(line, index, mid)?)),
        }
    }
    if media.is_empty() {
        return Err(Error::Unsatisfiable("there is no active audio or video m-line in it; offer one".into()));
    }
    Ok((media, lines))
}

/// The m-line, unless it is one that is answered with port 0.
fn read_media(
    line: &MediaDescription,
    index: usize,
    mid: Option<&str>,
    session: &[Attribute],
) -> Result<Option<OfferedMedia>, Error> {
    let voice = line.media_name.media == "audio";
    if !voice && line.media_name.media != "video" {
        return Ok(None);
    }
    let own = line.attributes.as_slice();
    // A line that is only good inside the bundle is offered with port 0 and alive (RFC 9143 §6).
    let bundle_only = has(own, "bundle-only");
    let direction = read_direction(own).or_else(|| read_direction(session)).unwrap_or(Direction::Both);
    if direction == Direction::Inactive || (line.media_name.port.value == 0 && !bundle_only) {
        return Ok(None);
    }
    let mid = mid.ok_or_else(|| Error::Malformed(format!("m-line {index} has no a=mid")))?;
    let protocol = read_protocol(line, mid)?;
    if !bundle_only && !has(own, "rtcp-mux") && !has(session, "rtcp-mux") {
        return Err(Error::Unsatisfiable(format!("m-line {mid} doesn't offer a=rtcp-mux; there is one port for both")));
    }
    let (rids, simulcast) = streams::read_rids(mid, own)?;
    Ok(Some(OfferedMedia {
        mid: mid.to_owned(),
        voice,
        protocol,
        direction,
        formats: Format::read_all(mid, &line.media_name.formats, own)?,
        extensions: OfferedExtension::read_all(own, session),
        rids,
        simulcast,
        ssrcs: streams::read_ssrcs(mid, own)?,
        reduced_size: has(own, "rtcp-rsize"),
        mixed_extensions: has(own, "extmap-allow-mixed"),
    }))
}

/// The transport, if it is one of DTLS-SRTP with feedback (RFC 8829 §5.1.2).
fn read_protocol(line: &MediaDescription, mid: &str) -> Result<String, Error> {
    let protocol = line.media_name.protos.join("/");
    match protocol.as_str() {
        "UDP/TLS/RTP/SAVPF" | "TCP/TLS/RTP/SAVPF" | "TCP/DTLS/RTP/SAVPF" | "RTP/SAVPF" => Ok(protocol),
        _ => Err(Error::Unsatisfiable(format!("m-line {mid} is {}; offer UDP/TLS/RTP/SAVPF", clip(&protocol)))),
    }
}

fn unused(line: &MediaDescription, index: usize, mid: Option<&str>) -> Result<UnusedLine, Error> {
    let name = &line.media_name;
    let protocol = name.protos.join("/");
    let is_plain = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic());
    if !is_plain(&protocol) || name.formats.len() > 256 || !name.formats.iter().all(|format| is_plain(format)) {
        return Err(Error::Malformed(format!("m-line {index} names a protocol or formats that are none")));
    }
    Ok(UnusedLine { kind: name.media.clone(), protocol, formats: name.formats.clone(), mid: mid.map(str::to_owned) })
}

/// The order of `media` in the BUNDLE group that holds them all.
fn read_bundle(session: &[Attribute], media: &[OfferedMedia]) -> Result<Vec<String>, Error> {
    let groups: Vec<Vec<&str>> = values(session, "group")
        .filter_map(|group| group.strip_prefix("BUNDLE"))
        .map(|mids| mids.split_whitespace().collect())
        .collect();
    let is_in = |group: &[&str]| media.iter().all(|m| group.contains(&m.mid.as_str()));
    match groups.iter().find(|group| is_in(group)) {
        Some(group) => {
            let mut order: Vec<String> = Vec::new();
            for mid in group {
                if media.iter().any(|m| m.mid == *mid) && !order.iter().any(|known| known == mid) {
                    order.push((*mid).to_owned());
                }
            }
            Ok(order)
        }
        // One m-line is one transport with or without a group.
        None if media.len() == 1 => Ok(Vec::new()),
        None => Err(Error::Unsatisfiable(
            "its m-lines aren't in one BUNDLE group; offer bundlePolicy max-bundle or balanced, all media share one transport".into(),
        )),
    }
}

/// The m-line whose transport serves all of them (RFC 9143 §7.3.1).
fn tagged<'a>(
    description: &'a SessionDescription,
    bundle: &[String],
    media: &[OfferedMedia],
) -> Result<&'a [Attribute], Error> {
    let mid = bundle.first().or_else(|| media.first().map(|m| &m.mid));
    description
        .media_descriptions
        .iter()
        .find(|line| values(&line.attributes, "mid").next() == mid.map(String::as_str))
        .map(|line| line.attributes.as_slice())
        .ok_or_else(|| Error::Malformed("no m-line is the first of the BUNDLE group".into()))
}

fn read_remote(own: &[Attribute], session: &[Attribute]) -> Result<Remote, Error> {
    let said = |key| values(own, key).next().or_else(|| values(session, key).next());
    // RFC 4145 §4: an offer that doesn't say is active.
    let setup = said("setup").unwrap_or("active");
    if !matches!(setup, "actpass" | "active") {
        return Err(Error::Unsatisfiable(format!(
            "a=setup:{}; offer actpass or active, this end of DTLS is passive",
            clip(setup)
        )));
    }
    let (Some(ufrag), Some(password)) = (said("ice-ufrag"), said("ice-pwd")) else {
        return Err(Error::Malformed(
            "there is no a=ice-ufrag and a=ice-pwd in the first m-line of the BUNDLE group".into(),
        ));
    };
    check_credentials(ufrag, password)?;
    let mut lines: Vec<&str> = values(own, "fingerprint").collect();
    if lines.is_empty() {
        lines.extend(values(session, "fingerprint"));
    }
    if lines.len() > MAX_FINGERPRINTS {
        return Err(Error::Malformed(format!("more than {MAX_FINGERPRINTS} fingerprints")));
    }
    let fingerprints = lines.into_iter().map(read_fingerprint).collect::<Result<Vec<_>, _>>()?;
    if !fingerprints.iter().any(|f| f.hash == "sha-256") {
        return Err(Error::Unsatisfiable(
            "there is no a=fingerprint:sha-256 in it; DTLS certificates are checked by that".into(),
        ));
    }
    Ok(Remote { ufrag: ufrag.to_owned(), password: password.to_owned(), fingerprints })
}

fn read_fingerprint(text: &str) -> Result<Fingerprint, Error> {
    let malformed =
        || Error::Malformed("a=fingerprint must be a hash function and hexadecimal octets with colons between".into());
    let (hash, digest) = text.split_once(' ').ok_or_else(malformed)?;
    let digest = digest.trim();
    let is_octet = |octet: &str| octet.len() == 2 && octet.bytes().all(|c| c.is_ascii_hexdigit());
    if !is_token(hash, 16) || digest.len() > 64 * 3 || !digest.split(':').all(is_octet) {
        return Err(malformed());
    }
    let hash = hash.to_ascii_lowercase();
    if hash == "sha-256" && digest.split(':').count() != 32 {
        return Err(malformed());
    }
    Ok(Fingerprint { hash, value: digest.to_ascii_uppercase() })
}
