//! The receiving side of a publisher's connection: which stream is which encoding, what is missing, and what the publisher is told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::id::SourceName;
use crate::rtp::codec::Codec;
use crate::rtp::nack::Missing;
use crate::rtp::packet::Packet;
use crate::rtp::reception::Statistics;
use crate::rtp::rtcp::{Reception, Sent};
use crate::rtp::sequence::Extender;
use crate::rtp::timeline::ClockOffset;
use crate::rtp::twcc::Arrivals;
use crate::sfu::input::MediaKind;
use crate::transport::sdp::{Media, PayloadType};
use crate::units::{NtpTime, ServerClock};

/// Streams of one connection: three rids of two videos, a voice and their retransmissions, twice over.
const MAX_STREAMS: usize = 32;
/// Reports are sent this often (RFC 3550 §6.2 allows one in 5 s; loss must be told sooner to a live sender).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Until a report tells better, for spacing requests.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(60);

/// One m-line of the publisher.
#[derive(Debug)]
pub(super) struct Section {
    /// What was agreed.
    pub(super) media: Media,
    /// Under which name it is published.
    pub(super) source: SourceName,
    /// Key of its publication, from the first packet on.
    pub(super) publication: Option<usize>,
    /// Another publisher took the source over: what still comes here is dropped.
    pub(super) replaced: bool,
}

impl Section {
    /// Voice or video.
    #[must_use]
    pub(super) const fn kind(&self) -> MediaKind {
        if self.media.voice { MediaKind::Voice } else { MediaKind::Video }
    }

    fn payload_type(&self, number: u8) -> Option<&PayloadType> {
        self.media.codecs.iter().find(|codec| codec.number == number)
    }

    fn is_rtx(&self, number: u8) -> bool {
        self.media.codecs.iter().any(|codec| codec.rtx == Some(number))
    }
}

/// One incoming SSRC.
#[derive(Debug)]
enum Stream {
    Media(Box<MediaStream>),
    /// Retransmissions of an encoding's stream.
    Rtx {
        section: usize,
        layer: u8,
    },
}

#[derive(Debug)]
struct MediaStream {
    section: usize,
    layer: u8,
    extender: Extender,
    missing: Missing,
    statistics: Statistics,
    nack: bool,
}

/// A packet that is some encoding's, with what was made of its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived<'a> {
    /// Index of the m-line.
    pub(super) section: usize,
    /// Encoding.
    pub(super) layer: u8,
    /// The encoding's stream began anew with this packet.
    pub(super) restarted: bool,
    /// Codec of the payload type.
    pub(super) codec: Codec,
    /// Extended sequence number.
    pub(super) sequence: u64,
    /// Media time.
    pub(super) timestamp: u32,
    /// Marker.
    pub(super) marker: bool,
    /// Payload.
    pub(super) payload: &'a [u8],
}

/// Why a packet is no encoding's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unused {
    /// Nothing says which m-line it belongs to.
    #[error("a stream that no m-line announced")]
    UnknownStream,
    /// Its payload type was not agreed.
    #[error("a payload type that was not agreed")]
    UnknownPayloadType,
    /// Too many streams.
    #[error("more streams than a connection may have")]
    TooManyStreams,
    /// Padding to probe the line, or a retransmission of nothing.
    #[error("a probe")]
    Probe,
    /// Its source was taken over.
    #[error("the source was taken over by another publisher")]
    Replaced,
}

/// The receiving side of one connection.
#[derive(Debug)]
pub(super) struct Ingress {
    sections: Vec<Section>,
    streams: HashMap<u32, Stream>,
    /// Current SSRC of each m-line's encodings.
    current: HashMap<(usize, u8), u32>,
    arrivals: Arrivals,
    clock_offset: ClockOffset,
    next_report: Instant,
    octets: u64,
    packets: u64,
}

impl Ingress {
    /// For a connection with these m-lines.
    #[must_use]
    pub(super) fn new(sections: Vec<Section>, now: Instant) -> Self {
        Self {
            sections,
            streams: HashMap::new(),
            current: HashMap::new(),
            arrivals: Arrivals::new(now),
            clock_offset: ClockOffset::default(),
            next_report: now + REPORT_INTERVAL,
            octets: 0,
            packets: 0,
        }
    }

    /// Its m-lines.
    #[must_use]
    pub(super) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// One of its m-lines.
    pub(super) fn section_mut(&mut self, at: usize) -> Option<&mut Section> {
        self.sections.get_mut(at)
    }

    /// Takes one opened packet.
    ///
    /// # Errors
    /// [`Unused`] says why it isn't forwarded.
    pub(super) fn receive<'a>(&mut self, packet: &Packet<'a>, now: Instant) -> Result<Arrived<'a>, Unused> {
        let transport_cc = self.sections.iter().find_map(|section| section.media.extensions.transport_cc);
        if let Some(&[high, low, ..]) = transport_cc.and_then(|id| packet.extension(id)) {
            self.arrivals.arrived(packet.ssrc, u16::from_be_bytes([high, low]), now);
        }
        self.octets += packet.payload.len() as u64;
        self.packets += 1;
        let restarted = if self.streams.contains_key(&packet.ssrc) { false } else { self.identify(packet)? };
        match self.streams.get_mut(&packet.ssrc) {
            Some(Stream::Media(stream)) => {
                let section = &self.sections[stream.section];
                if section.replaced {
                    return Err(Unused::Replaced);
                }
                let codec = section.payload_type(packet.payload_type).ok_or(Unused::UnknownPayloadType)?.codec;
                let sequence = stream.extender.extend(packet.sequence);
                stream.statistics.arrived(sequence, packet.timestamp, packet.payload.len(), now);
                if stream.nack {
                    stream.missing.arrived(sequence, now);
                }
                Ok(Arrived {
                    section: stream.section,
                    layer: stream.layer,
                    restarted,
                    codec,
                    sequence,
                    timestamp: packet.timestamp,
                    marker: packet.marker,
                    payload: packet.payload,
                })
            }
            Some(&mut Stream::Rtx { section, layer }) => self.retransmitted(section, layer, packet, now),
            None => Err(Unused::UnknownStream),
        }
    }

    /// A retransmission is the packet that it repeats (RFC 4588 §4).
    fn retransmitted<'a>(
        &mut self,
        section: usize,
        layer: u8,
        packet: &Packet<'a>,
        now: Instant,
    ) -> Result<Arrived<'a>, Unused> {
        let [high, low, payload @ ..] = packet.payload else { return Err(Unused::Probe) };
        let ssrc = *self.current.get(&(section, layer)).ok_or(Unused::Probe)?;
        let Some(Stream::Media(stream)) = self.streams.get_mut(&ssrc) else { return Err(Unused::Probe) };
        let agreed = &self.sections[section];
        if agreed.replaced {
            return Err(Unused::Replaced);
        }
        let codec = agreed.media.codecs.iter().find(|codec| codec.rtx == Some(packet.payload_type));
        let codec = codec.ok_or(Unused::UnknownPayloadType)?.codec;
        let sequence = stream.extender.peek(u16::from_be_bytes([*high, *low]));
        stream.missing.arrived(sequence, now);
        Ok(Arrived {
            section,
            layer,
            restarted: false,
            codec,
            sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload,
        })
    }

    /// Finds out what a new stream is: by its MID and RID extensions (RFC 8843 §9.2, RFC 8852), by the offer's `a=ssrc`
    /// lines, or, from senders that have neither, by a payload type that one m-line only has. Returns whether it takes an
    /// encoding over from a stream before it.
    fn identify(&mut self, packet: &Packet<'_>) -> Result<bool, Unused> {
        if self.streams.len() == MAX_STREAMS {
            return Err(Unused::TooManyStreams);
        }
        let section = self.section_of(packet).ok_or(Unused::UnknownStream)?;
        let agreed = &self.sections[section];
        let text =
            |id: Option<u8>| id.and_then(|id| packet.extension(id)).and_then(|value| std::str::from_utf8(value).ok());
        let rid = text(agreed.media.extensions.rid);
        let repaired = text(agreed.media.extensions.repaired_rid);
        let number = |rid: &str| agreed.media.rids.iter().position(|known| known == rid);
        let layer = match repaired.or(rid) {
            Some(rid) if !agreed.media.rids.is_empty() => number(rid).ok_or(Unused::UnknownStream)? as u8,
            // Of several encodings, a packet without a name can't be told apart; the next one has it.
            None if agreed.media.rids.len() > 1 => return Err(Unused::UnknownStream),
            _ => 0,
        };
        if repaired.is_some() || agreed.is_rtx(packet.payload_type) {
            self.streams.insert(packet.ssrc, Stream::Rtx { section, layer });
            return Ok(false);
        }
        let payload_type = agreed.payload_type(packet.payload_type).ok_or(Unused::UnknownPayloadType)?;
        let (nack, clock_rate) = (payload_type.nack, payload_type.codec.clock_rate());
        let before = self.current.insert((section, layer), packet.ssrc);
        if let Some(before) = before {
            self.streams.remove(&before);
        }
        let mut extender = Extender::default();
        let first = extender.extend(packet.sequence);
        let statistics = Statistics::new(packet.ssrc, clock_rate, first);
        let stream = MediaStream { section, layer, extender, missing: Missing::default(), statistics, nack };
        self.streams.insert(packet.ssrc, Stream::Media(Box::new(stream)));
        Ok(before.is_some())
    }

    fn section_of(&self, packet: &Packet<'_>) -> Option<usize> {
        let by_mid = self.sections.iter().position(|section| {
            let mid = section.media.extensions.mid.and_then(|id| packet.extension(id));
            mid.is_some_and(|mid| mid == section.media.mid.as_bytes())
        });
        let announced = |section: &Section| {
            section.media.ssrcs.iter().any(|&(ssrc, rtx)| ssrc == packet.ssrc || rtx == Some(packet.ssrc))
        };
        let carries = |section: &&Section| {
            section.payload_type(packet.payload_type).is_some() || section.is_rtx(packet.payload_type)
        };
        by_mid.or_else(|| self.sections.iter().position(announced)).or_else(|| {
            let mut carriers = self.sections.iter().enumerate().filter(|(_, section)| carries(section));
            carriers.next().filter(|_| carriers.next().is_none()).map(|(at, _)| at)
        })
    }

    /// A sender report: which encoding it is of, and the instant of its media time on the server's clock (nanoseconds).
    pub(super) fn sender_report(
        &mut self,
        ssrc: u32,
        ntp: NtpTime,
        clock: &ServerClock,
        now: Instant,
    ) -> Option<(usize, u8, i64)> {
        let Some(Stream::Media(stream)) = self.streams.get_mut(&ssrc) else { return None };
        stream.statistics.sender_report(ntp, now);
        let place = (stream.section, stream.layer);
        Some((place.0, place.1, self.clock_offset.report(ntp, clock, now)))
    }

    /// The stream of an encoding, for asking for a keyframe.
    #[must_use]
    pub(super) fn ssrc_of(&self, section: usize, layer: u8) -> Option<u32> {
        self.current.get(&(section, layer)).copied()
    }

    /// What the publisher is to be told now: missing packets, arrivals, reports. Returns the reports' content when they were due.
    pub(super) fn feedback(&mut self, now: Instant, out: &mut Vec<Sent>) -> Option<Vec<Reception>> {
        let mut reports = None;
        if now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            let blocks: Vec<Reception> = self
                .streams
                .values_mut()
                .filter_map(|stream| match stream {
                    Stream::Media(stream) => Some(stream.statistics.report(now)),
                    Stream::Rtx { .. } => None,
                })
                .collect();
            out.push(Sent::ReceiverReport(blocks.clone()));
            reports = Some(blocks);
        }
        for (&ssrc, stream) in &mut self.streams {
            if let Stream::Media(stream) = stream {
                let mut sequence_numbers = Vec::new();
                stream.missing.due(now, ASSUMED_ROUND_TRIP, &mut sequence_numbers);
                if !sequence_numbers.is_empty() {
                    out.push(Sent::Nack { ssrc, sequence_numbers });
                }
            }
        }
        out.extend(self.arrivals.feedback(now).map(Sent::TransportFeedback));
        reports
    }

    /// Octets of payload and packets since this was last asked.
    pub(super) const fn take_carried(&mut self) -> (u64, u64) {
        (std::mem::replace(&mut self.octets, 0), std::mem::replace(&mut self.packets, 0))
    }
}
