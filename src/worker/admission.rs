//! From an offer to a connection: what is asked for, what is agreed, and in which slot or under which source each m-line stands.

use std::time::{Duration, Instant};

use crate::adapt::{Tier, Tiers};
use crate::id::{ConnectionId, SourceName, client_network};
use crate::sfu::SubscriberSpec;
use crate::sfu::input::{SlotCodec, SlotKind, SlotSpec};
use crate::transport::sdp::{self, Agreed, Candidate, Local, Media, Offer, OfferedMedia, Role, SendStream};
use crate::transport::{Identity, Peer};

use super::connection::{Connection, Line, Side};
use super::egress::PlayoutDelay;
use super::ingress::{Ingress, Section};
use super::mailbox::{Connect, Connected, LineNominal, Purpose, Refused};
use super::placement::credentials;
use super::repeat::Repeats;

/// M-lines of one subscriber: a voice and a picture for the teacher, slides, and six on stage.
const MAX_SLOTS: usize = 16;

impl From<sdp::Error> for Refused {
    fn from(error: sdp::Error) -> Self {
        match error {
            sdp::Error::Malformed(why) => Self::BadOffer(why),
            sdp::Error::Unsatisfiable(why) => Self::Unsatisfiable(why),
        }
    }
}

/// What stays the same for all connections of a worker.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) index: usize,
    pub(super) identity: Identity,
    pub(super) candidates: Vec<Candidate>,
    pub(super) tiers: Tiers,
}

/// Accepts an offer whole, or says why not.
pub(super) fn admit(
    host: &Host,
    request: &Connect,
    key: usize,
    now: Instant,
) -> Result<(Connection, Connected), Refused> {
    let offer = Offer::parse(&request.offer)?;
    let tier = tier_of(&host.tiers, &request.nominal);
    let id = ConnectionId::random_on(host.index);
    let local = credentials(host.index);
    let cname = id.to_string();
    let description = Local {
        ufrag: &local.ufrag,
        password: &local.password,
        fingerprint: host.identity.fingerprint(),
        cname: &cname,
        candidates: &host.candidates,
    };
    let (agreed, side) = match &request.purpose {
        Purpose::PublishSource(_) | Purpose::PublishStudio => publisher(request, &offer, &description, now)?,
        Purpose::SubscribeSource(_) | Purpose::SubscribeLesson => {
            subscriber(request, &offer, &description, (key, tier.redundancy))?
        }
    };
    let answered = Connected { connection: id, answer: agreed.answer, etag: local.ufrag.clone() };
    let connection = Connection {
        id,
        lesson: request.lesson,
        participant: request.participant,
        end: request.end,
        network: client_network(request.address),
        since: now,
        ufrag: local.ufrag.clone(),
        remote_ufrags: offer.ufrags,
        mids: agreed.media.iter().map(|media| media.mid.clone()).collect(),
        trickle: offer.trickle,
        reduced_size: agreed.reduced_size,
        transport_cc: agreed.media.iter().find_map(|media| media.extensions.transport_cc),
        transport_sequence: 0,
        playout_delay: playout_delay(&agreed.media, tier.playout),
        repeats: Repeats::of(&agreed.media, tier.redundancy > 0),
        feedback_ssrc: rand::random(),
        endpoints: Vec::new(),
        local: None,
        side,
        line: Line::new(now),
        downlink: None,
        tier,
        peer: Peer::new(now, &host.identity, local, offer.remote),
    };
    Ok((connection, answered))
}

fn publisher(request: &Connect, offer: &Offer, local: &Local<'_>, now: Instant) -> Result<(Agreed, Side), Refused> {
    let agreed = sdp::negotiate(offer, Role::Publisher, local, |_, _| None)?;
    let (mut voices, mut videos) = (0, 0);
    let mut sections = Vec::new();
    for media in &agreed.media {
        let nth = if media.voice { &mut voices } else { &mut videos };
        let source = match (&request.purpose, *nth) {
            (Purpose::PublishSource(source), 0) => source.clone(),
            (Purpose::PublishStudio, 0) => SourceName::camera(),
            (Purpose::PublishStudio, 1) if !media.voice => SourceName::slides(),
            (Purpose::PublishStudio, 2) if !media.voice => SourceName::slides_backup(),
            (Purpose::PublishStudio, _) => {
                let why = "a studio sends one audio and at most three video m-lines (camera, slides, their backup)";
                return Err(Refused::Unsatisfiable(why.into()));
            }
            _ => {
                let why =
                    "a source has at most one audio and one video m-line; publish others under another source name";
                return Err(Refused::Unsatisfiable(why.into()));
            }
        };
        *nth += 1;
        sections.push(Section { media: media.clone(), source, publication: None, replaced: false });
    }
    Ok((agreed, Side::Publisher(Box::new(Ingress::new(sections, now)))))
}

/// The slot of the n-th m-line of its kind.
const fn slot(voice: bool, nth: u8) -> (SlotKind, u8) {
    match (voice, nth) {
        (true, nth) => (SlotKind::Voice, nth),
        (false, 0) => (SlotKind::Slides, 0),
        (false, 1) => (SlotKind::Camera, 0),
        (false, nth) => (SlotKind::Stage, nth - 2),
    }
}

/// Our stream in a slot. Browsers synchronise tracks that share a stream: the teacher's voice and camera do, slides don't,
/// so that a picture of text never holds the voice back.
fn stream(kind: SlotKind, index: u8) -> SendStream {
    let (stream, track) = match (kind, index) {
        (SlotKind::Voice, 0) => ("teacher".to_string(), "voice-0".to_string()),
        (SlotKind::Voice, index) => (format!("stage-{}", index - 1), format!("voice-{index}")),
        (SlotKind::Camera, _) => ("teacher".to_string(), "camera-0".to_string()),
        (SlotKind::Slides, _) => ("slides".to_string(), "slides-0".to_string()),
        (SlotKind::Stage, index) => (format!("stage-{index}"), format!("stage-{index}")),
    };
    SendStream { ssrc: rand::random(), rtx_ssrc: rand::random(), stream, track }
}

fn subscriber(
    request: &Connect,
    offer: &Offer,
    local: &Local<'_>,
    (key, redundancy): (usize, u8),
) -> Result<(Agreed, Side), Refused> {
    let source = match &request.purpose {
        Purpose::SubscribeSource(source) => Some(source.clone()),
        _ => None,
    };
    let (mut voices, mut videos) = (0u8, 0u8);
    let mut slots = Vec::new();
    let agreed = sdp::negotiate(offer, Role::Subscriber, local, |_, media: &OfferedMedia| {
        let nth = if media.voice { &mut voices } else { &mut videos };
        // One source has one picture, whatever it shows: it stands in the camera's slot, in sync with its voice.
        let (kind, index) =
            if source.is_some() && !media.voice { (SlotKind::Camera, *nth) } else { slot(media.voice, *nth) };
        *nth = nth.saturating_add(1);
        slots.push((kind, index));
        Some(stream(kind, index))
    })?;
    if slots.len() > MAX_SLOTS {
        return Err(Refused::Unsatisfiable(format!("a subscriber has at most {MAX_SLOTS} m-lines")));
    }
    if source.is_some() && (voices > 1 || videos > 1) {
        return Err(Refused::Unsatisfiable("a source has at most one audio and one video m-line".into()));
    }
    let slots =
        agreed.media.iter().zip(slots).filter_map(|(media, (kind, index))| slot_spec(media, kind, index)).collect();
    let (lesson, participant, line) = (request.lesson, request.participant, request.line());
    let spec = SubscriberSpec { lesson, participant, connection: key, line, source, redundancy, slots };
    Ok((agreed, Side::Subscriber { spec: Box::new(spec), key: None }))
}

/// In a bundle an id means the same in all m-lines (RFC 9143 §10).
fn playout_delay(media: &[Media], (least, most): (Duration, Duration)) -> PlayoutDelay {
    let id = media.iter().find_map(|media| media.extensions.playout_delay);
    id.map(|id| PlayoutDelay::new(id, least, most)).unwrap_or_default()
}

fn slot_spec(media: &Media, kind: SlotKind, index: u8) -> Option<SlotSpec> {
    let send = media.send.as_ref()?;
    let codec = |codec: &sdp::PayloadType| SlotCodec { codec: codec.codec, payload_type: codec.number, rtx: codec.rtx };
    Some(SlotSpec {
        kind,
        index,
        mid: media.mid.clone(),
        codecs: media.codecs.iter().map(codec).collect(),
        ssrc: send.ssrc,
        rtx_ssrc: media.codecs.iter().any(|codec| codec.rtx.is_some()).then_some(send.rtx_ssrc),
        first_sequence: (rand::random::<u16>() & 0x7fff, rand::random::<u16>() & 0x7fff),
        first_timestamp: rand::random(),
    })
}

/// How lessons are brought over a line of which this is known. Of what is sold and what was measured the lower holds.
fn tier_of(tiers: &Tiers, known: &LineNominal) -> Tier {
    let named = known.tier.as_deref().and_then(|name| tiers.named(name));
    let mut tier = named.cloned().unwrap_or_else(|| tiers.of(known.nominal.or(known.measured)));
    let line = &mut tier.line;
    line.nominal = [known.nominal.or(line.nominal), known.measured].into_iter().flatten().min();
    line.share = known.share.unwrap_or(line.share);
    line.start = line.most().map_or(line.start, |most| line.start.min(most));
    tier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m_lines_are_slots_in_their_order() {
        let slots: Vec<_> = (0..4).map(|nth| slot(false, nth)).collect();
        assert_eq!(slots, [(SlotKind::Slides, 0), (SlotKind::Camera, 0), (SlotKind::Stage, 0), (SlotKind::Stage, 1)]);
        assert_eq!(slot(true, 2), (SlotKind::Voice, 2));
    }

    #[test]
    fn the_teachers_voice_and_camera_are_one_stream_and_slides_another() {
        assert_eq!(stream(SlotKind::Voice, 0).stream, stream(SlotKind::Camera, 0).stream);
        assert_ne!(stream(SlotKind::Slides, 0).stream, stream(SlotKind::Camera, 0).stream);
        assert_eq!(stream(SlotKind::Voice, 1).stream, stream(SlotKind::Stage, 0).stream);
    }
}
