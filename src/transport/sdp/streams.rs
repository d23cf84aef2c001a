//! What a publisher says of its streams: encodings by rid (RFC 8851, RFC 8853) and by SSRC (RFC 5576).

use rtc_sdp::description::common::Attribute;

use super::Error;
use super::attribute::values;

/// How many encodings of one source are received.
const MAX_RIDS: usize = 3;
/// How many encodings may be declared, alternatives included.
const MAX_DECLARED: usize = 16;
/// How long a rid may be; a one-byte header extension carries 16 octets.
const MAX_RID: usize = 16;
/// How many SSRCs one m-line may name.
const MAX_SSRCS: usize = 64;

/// The rids that m-line `mid` sends, in order, and whether they are simulcast.
pub(super) fn read_rids(mid: &str, attributes: &[Attribute]) -> Result<(Vec<String>, bool), Error> {
    let mut declared: Vec<&str> = Vec::new();
    for text in values(attributes, "rid") {
        let mut words = text.split_whitespace();
        if let (Some(rid), Some("send")) = (words.next(), words.next()) {
            let is_rid = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
            if rid.len() > MAX_RID || !rid.bytes().all(is_rid) {
                return Err(Error::Malformed(format!(
                    "a=rid of m-line {mid} must be 1 to {MAX_RID} letters, digits, - or _"
                )));
            }
            if !declared.contains(&rid) {
                declared.push(rid);
            }
            if declared.len() > MAX_DECLARED {
                return Err(Error::Malformed(format!("m-line {mid} declares more than {MAX_DECLARED} rids")));
            }
        }
    }
    let sent = values(attributes, "simulcast").find_map(sent_streams);
    let rids: Vec<&str> = match sent {
        Some(streams) => streams.split(';').filter_map(|stream| preferred(stream, &declared)).collect(),
        None => declared,
    };
    if rids.len() > MAX_RIDS {
        return Err(Error::Unsatisfiable(format!(
            "m-line {mid} has {} encodings; send at most {MAX_RIDS}",
            rids.len()
        )));
    }
    let simulcast = sent.is_some() && !rids.is_empty();
    Ok((rids.into_iter().map(str::to_owned).collect(), simulcast))
}

/// The list of streams after `send` in an a=simulcast value, which names each direction once.
fn sent_streams(text: &str) -> Option<&str> {
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let streams = words.next();
        if word == "send" {
            // Chromium wrote `rid=` before the list until the format was settled.
            return streams.map(|list| list.strip_prefix("rid=").unwrap_or(list));
        }
    }
    None
}

/// Of one stream's alternatives the first that is declared; a paused one (`~`) may start later.
fn preferred<'a>(stream: &'a str, declared: &[&str]) -> Option<&'a str> {
    stream.split(',').map(|rid| rid.trim_start_matches('~')).find(|rid| declared.contains(rid))
}

/// The streams that m-line `mid` names by a=ssrc, each with the one that repairs it (`FID`).
pub(super) fn read_ssrcs(mid: &str, attributes: &[Attribute]) -> Result<Vec<(u32, Option<u32>)>, Error> {
    let malformed = |what: &str| Error::Malformed(format!("m-line {mid}: {what}"));
    let mut named: Vec<u32> = Vec::new();
    for text in values(attributes, "ssrc") {
        let ssrc = text.split_whitespace().next().and_then(|id| id.parse().ok());
        let ssrc = ssrc.ok_or_else(|| malformed("a=ssrc must begin with a 32-bit number"))?;
        if !named.contains(&ssrc) {
            named.push(ssrc);
        }
        if named.len() > MAX_SSRCS {
            return Err(malformed("more than 64 SSRCs"));
        }
    }
    let mut repairs: Vec<(u32, u32)> = Vec::new();
    let mut secondary: Vec<u32> = Vec::new();
    for text in values(attributes, "ssrc-group").take(MAX_SSRCS) {
        let mut words = text.split_whitespace();
        let semantics = words.next().unwrap_or("");
        let members: Vec<u32> = words.take(MAX_SSRCS).filter_map(|id| id.parse().ok()).collect();
        if let ("FID" | "FEC-FR", [primary, other]) = (semantics, members.as_slice()) {
            secondary.push(*other);
            if semantics == "FID" {
                repairs.push((*primary, *other));
            }
        }
    }
    named.retain(|ssrc| !secondary.contains(ssrc));
    let repair = |ssrc| repairs.iter().find(|(primary, _)| *primary == ssrc).map(|(_, other)| *other);
    Ok(named.into_iter().map(|ssrc| (ssrc, repair(ssrc))).collect())
}
