//! Which RTP header extensions are used (RFC 8285).

use rtc_sdp::description::common::Attribute;

use super::attribute::{Direction, values};
use super::{Extensions, OfferedMedia, Role};

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// Every extension that may be answered.
const KNOWN: [&str; 6] = [MID, RID, REPAIRED_RID, TRANSPORT_CC, AUDIO_LEVEL, PLAYOUT_DELAY];

/// One a=extmap line whose extension we know.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfferedExtension {
    id: u8,
    uri: &'static str,
    /// The direction said, as the offerer sees it.
    direction: Option<Direction>,
}

impl OfferedExtension {
    /// The extensions of an m-line, those said for the whole session included.
    pub(super) fn read_all(own: &[Attribute], session: &[Attribute]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for text in values(own, "extmap").chain(values(session, "extmap")) {
            let Some(extension) = Self::read(text) else { continue };
            if !all.iter().any(|known| known.uri == extension.uri || known.id == extension.id) {
                all.push(extension);
            }
        }
        all
    }

    /// Reads `<id>[/<direction>] <uri> …`. Ids beyond 14 need the two-byte form, which isn't written.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let place = words.next()?;
        let (id, direction) = match place.split_once('/') {
            None => (place, None),
            Some((id, "sendrecv")) => (id, Some(Direction::Both)),
            Some((id, "sendonly")) => (id, Some(Direction::Send)),
            Some((id, "recvonly")) => (id, Some(Direction::Receive)),
            Some((id, _)) => (id, Some(Direction::Inactive)),
        };
        let id = id.parse().ok().filter(|id| (1..=14).contains(id))?;
        let uri = words.next()?;
        let uri = KNOWN.into_iter().find(|known| *known == uri)?;
        Some(Self { id, uri, direction })
    }
}

/// The extensions used on an m-line, and the a=extmap values that answer them.
pub(super) fn agree(media: &OfferedMedia, role: Role, transport_cc: bool) -> (Extensions, Vec<String>) {
    let mut agreed = Extensions::default();
    let mut lines = Vec::new();
    for offered in &media.extensions {
        if !flows(offered.direction, role) {
            continue;
        }
        let publisher = role == Role::Publisher;
        let place = match offered.uri {
            MID => &mut agreed.mid,
            RID if publisher => &mut agreed.rid,
            REPAIRED_RID if publisher => &mut agreed.repaired_rid,
            TRANSPORT_CC if transport_cc => &mut agreed.transport_cc,
            AUDIO_LEVEL if publisher && media.voice => &mut agreed.audio_level,
            PLAYOUT_DELAY if !publisher && !media.voice => &mut agreed.playout_delay,
            _ => continue,
        };
        *place = Some(offered.id);
        let direction = match (offered.direction, role) {
            (None, _) => "",
            (Some(_), Role::Publisher) => "/recvonly",
            (Some(_), Role::Subscriber) => "/sendonly",
        };
        lines.push(format!("{}{direction} {}", offered.id, offered.uri));
    }
    (agreed, lines)
}

/// Whether an m-line offers the transport-wide sequence number in the direction that `role` needs.
pub(super) fn offers_transport_cc(media: &OfferedMedia, role: Role) -> bool {
    media.extensions.iter().any(|offered| offered.uri == TRANSPORT_CC && flows(offered.direction, role))
}

/// Whether an extension offered for `direction` goes with the media of `role`.
fn flows(direction: Option<Direction>, role: Role) -> bool {
    match direction {
        None | Some(Direction::Both) => true,
        Some(Direction::Send) => role == Role::Publisher,
        Some(Direction::Receive) => role == Role::Subscriber,
        Some(Direction::Inactive) => false,
    }
}
