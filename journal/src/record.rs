//! What a journal holds.

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use crate::{Error, Result, frame};

/// One record. Instants (`at`, `arrival`, `from`, `to`, `unix_nanos`) are nanoseconds since 1970 on the server's clock, which
/// runs monotonically within one run of the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A run of the server takes the lesson's journal up: the first record of every run.
    Opened(Opened),
    /// A track begins to flow.
    Source(Source),
    /// A track's publisher has gone, or another one took its place.
    SourceEnded(SourceEnded),
    /// A media packet as it was received.
    Packet(Packet),
    /// Where a layer's media time stands on the server's clock.
    Anchor(Anchor),
    /// A layer's stream began anew: sequence numbers and timestamps have nothing to do with those before.
    Restarted(Restarted),
    /// From here on these layers of a source are kept; others follow for a moment more.
    Keeps(Keeps),
    /// Something happened in the lesson.
    Event(Event),
    /// Packets were received and are not here.
    Lost(Lost),
    /// The lesson is over, and so is its journal.
    Closed(Closed),
}

/// See [`Record::Opened`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The lesson's id.
    pub lesson: String,
    /// Its title.
    pub title: String,
    /// Who teaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// The subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The grade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<String>,
    /// When.
    pub at: i64,
}

/// At which end of the lesson a participant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The teaching end.
    Studio,
    /// A receiving room.
    Classroom,
}

/// What kind of track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Sound.
    Voice,
    /// Pictures.
    Video,
}

/// See [`Record::Source`]. A track of a recording is a source's voice or its pictures; which publication brings it may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What packets name it by, from here on; a number is given to another source only by another such record.
    pub number: u16,
    /// The publication's id.
    pub publication: String,
    /// Who publishes.
    pub participant: String,
    /// From which end.
    pub end: End,
    /// Which source: `camera` (and the voice that comes with it), `slides`, …
    pub source: String,
    /// Voice or video.
    pub kind: Kind,
    /// The layers' names in the order of their numbers; empty where there is just one.
    pub rids: Vec<String>,
    /// When.
    pub at: i64,
}

/// See [`Record::SourceEnded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEnded {
    /// Which.
    pub number: u16,
    /// When.
    pub at: i64,
}

/// A packet's payload format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// H.264, packetization-mode 1 (RFC 6184).
    H264,
    /// VP8 (RFC 7741).
    Vp8,
    /// AV1 (AV1 RTP specification 1.0).
    Av1,
    /// Opus (RFC 7587).
    Opus,
}

/// See [`Record::Packet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Packet {
    /// Of which source, see [`Source::number`].
    pub source: u16,
    /// Of which layer, counted in the order of [`Source::rids`].
    pub layer: u8,
    /// Its payload format.
    pub codec: Codec,
    /// The RTP marker: the last packet of a picture.
    pub marker: bool,
    /// The sequence number with its wraps counted. Packets stand in order of arrival: a late one has a smaller number than
    /// those before it.
    pub sequence: u64,
    /// The RTP timestamp, 48,000 a second for sound and 90,000 for pictures.
    pub timestamp: u32,
    /// When it was received.
    pub arrival: i64,
    /// The RTP payload; told by its length where a record is shown as JSON.
    #[serde(rename = "octets", serialize_with = "length")]
    pub payload: Bytes,
}

fn length<S: Serializer>(payload: &Bytes, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u64(payload.len() as u64)
}

/// All of a packet but its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketHead {
    /// See [`Packet::source`].
    pub source: u16,
    /// See [`Packet::layer`].
    pub layer: u8,
    /// See [`Packet::codec`].
    pub codec: Codec,
    /// See [`Packet::marker`].
    pub marker: bool,
    /// See [`Packet::sequence`].
    pub sequence: u64,
    /// See [`Packet::timestamp`].
    pub timestamp: u32,
    /// See [`Packet::arrival`].
    pub arrival: i64,
}

/// See [`Record::Anchor`]; from the publisher's sender reports (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Anchor {
    /// Of which source.
    pub source: u16,
    /// Of which layer.
    pub layer: u8,
    /// This RTP timestamp …
    pub timestamp: u32,
    /// … was sampled at this instant.
    pub unix_nanos: i64,
}

/// See [`Record::Restarted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Restarted {
    /// Of which source.
    pub source: u16,
    /// Which layer.
    pub layer: u8,
}

/// See [`Record::Keeps`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeps {
    /// Of which source.
    pub source: u16,
    /// Which layers.
    pub layers: Vec<u8>,
    /// When.
    pub at: i64,
}

/// See [`Record::Event`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: i64,
    /// What.
    pub what: What,
}

/// What happened in a lesson.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// Somebody came.
    Joined {
        /// Who, by the id that [`Source::participant`] has too.
        participant: String,
        /// The name that is shown.
        name: String,
        /// `studio`, `classroom` or another role.
        role: String,
        /// Of which school.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        school: Option<String>,
    },
    /// Somebody went.
    Left {
        /// Who.
        participant: String,
    },
    /// Who is on stage from here on.
    Stage {
        /// All of them.
        participants: Vec<String>,
    },
    /// A hand was raised or lowered.
    Hand {
        /// Whose.
        participant: String,
        /// Whether it is up.
        raised: bool,
    },
    /// Something that a later make of this program knows.
    #[serde(other)]
    Other,
}

/// Why packets are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostWhy {
    /// The journal's thread didn't follow.
    QueueFull,
    /// There was no room on the disk.
    DiskFull,
    /// The disk didn't follow.
    DiskSlow,
    /// A reason that a later make of this program knows.
    #[serde(other)]
    Other,
}

/// See [`Record::Lost`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Since when.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// Of which source; of several where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<u16>,
    /// Why.
    pub why: LostWhy,
    /// How many packets.
    pub packets: u64,
}

/// See [`Record::Closed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at: i64,
}

const OPENED: u8 = 1;
const SOURCE: u8 = 2;
const SOURCE_ENDED: u8 = 3;
const PACKET: u8 = 4;
const ANCHOR: u8 = 5;
const RESTARTED: u8 = 6;
const EVENT: u8 = 7;
const LOST: u8 = 8;
const CLOSED: u8 = 9;
const KEEPS: u8 = 10;

/// Octets of a packet's payload before the RTP payload.
const PACKET_HEAD: usize = 24;
const ANCHOR_OCTETS: usize = 15;
const RESTARTED_OCTETS: usize = 3;

/// The low bits of a packet's fourth octet are its codec, the highest is the marker.
const MARKER: u8 = 0x80;

impl Codec {
    const fn number(self) -> u8 {
        match self {
            Self::H264 => 0,
            Self::Vp8 => 1,
            Self::Av1 => 2,
            Self::Opus => 3,
        }
    }

    const fn numbered(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::H264),
            1 => Some(Self::Vp8),
            2 => Some(Self::Av1),
            3 => Some(Self::Opus),
            _ => None,
        }
    }

    /// The RTP clock, ticks per second.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::H264 | Self::Vp8 | Self::Av1 => 90_000,
        }
    }
}

impl Packet {
    /// All but the payload.
    #[must_use]
    pub const fn head(&self) -> PacketHead {
        PacketHead {
            source: self.source,
            layer: self.layer,
            codec: self.codec,
            marker: self.marker,
            sequence: self.sequence,
            timestamp: self.timestamp,
            arrival: self.arrival,
        }
    }
}

/// Appends a packet's record.
pub(crate) fn append_packet(head: &PacketHead, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
    frame::append(PACKET, out, |out| {
        out.extend_from_slice(&head.source.to_le_bytes());
        out.push(head.layer);
        out.push(head.codec.number() | if head.marker { MARKER } else { 0 });
        out.extend_from_slice(&head.sequence.to_le_bytes());
        out.extend_from_slice(&head.timestamp.to_le_bytes());
        out.extend_from_slice(&head.arrival.to_le_bytes());
        out.extend_from_slice(payload);
        Ok(())
    })
}

/// Appends any record.
pub(crate) fn append(record: &Record, out: &mut Vec<u8>) -> Result<()> {
    match record {
        Record::Opened(opened) => json(OPENED, opened, out),
        Record::Source(source) => json(SOURCE, source, out),
        Record::SourceEnded(ended) => json(SOURCE_ENDED, ended, out),
        Record::Packet(packet) => append_packet(&packet.head(), &packet.payload, out),
        Record::Anchor(anchor) => frame::append(ANCHOR, out, |out| {
            out.extend_from_slice(&anchor.source.to_le_bytes());
            out.push(anchor.layer);
            out.extend_from_slice(&anchor.timestamp.to_le_bytes());
            out.extend_from_slice(&anchor.unix_nanos.to_le_bytes());
            Ok(())
        }),
        Record::Restarted(restarted) => frame::append(RESTARTED, out, |out| {
            out.extend_from_slice(&restarted.source.to_le_bytes());
            out.push(restarted.layer);
            Ok(())
        }),
        Record::Keeps(keeps) => json(KEEPS, keeps, out),
        Record::Event(event) => json(EVENT, event, out),
        Record::Lost(lost) => json(LOST, lost, out),
        Record::Closed(closed) => json(CLOSED, closed, out),
    }
}

fn json(kind: u8, value: &impl Serialize, out: &mut Vec<u8>) -> Result<()> {
    frame::append(kind, out, |out| serde_json::to_writer(out, value).map_err(Error::from))
}

/// What a payload turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    Record(Record),
    /// A type of record that a later make of this program writes.
    Unknown,
    /// It is not what its type says.
    Unreadable,
}

pub(crate) fn read(kind: u8, payload: &[u8]) -> Read {
    fn parsed<'a, T: Deserialize<'a>>(payload: &'a [u8], wrap: impl FnOnce(T) -> Record) -> Option<Record> {
        serde_json::from_slice(payload).ok().map(wrap)
    }
    let record = match kind {
        OPENED => parsed(payload, Record::Opened),
        SOURCE => parsed(payload, Record::Source),
        SOURCE_ENDED => parsed(payload, Record::SourceEnded),
        PACKET => packet(payload).map(Record::Packet),
        ANCHOR => anchor(payload).map(Record::Anchor),
        RESTARTED => match *payload {
            [low, high, layer] => Some(Record::Restarted(Restarted { source: u16::from_le_bytes([low, high]), layer })),
            _ => None,
        },
        KEEPS => parsed(payload, Record::Keeps),
        EVENT => parsed(payload, Record::Event),
        LOST => parsed(payload, Record::Lost),
        CLOSED => parsed(payload, Record::Closed),
        _ => return Read::Unknown,
    };
    record.map_or(Read::Unreadable, Read::Record)
}

fn packet(payload: &[u8]) -> Option<Packet> {
    let (source, rest) = payload.split_first_chunk::<2>()?;
    let (&[layer, bits], rest) = rest.split_first_chunk::<2>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (timestamp, rest) = rest.split_first_chunk::<4>()?;
    let (arrival, rest) = rest.split_first_chunk::<8>()?;
    Some(Packet {
        source: u16::from_le_bytes(*source),
        layer,
        codec: Codec::numbered(bits & !MARKER)?,
        marker: bits & MARKER != 0,
        sequence: u64::from_le_bytes(*sequence),
        timestamp: u32::from_le_bytes(*timestamp),
        arrival: i64::from_le_bytes(*arrival),
        payload: Bytes::copy_from_slice(rest),
    })
}

fn anchor(payload: &[u8]) -> Option<Anchor> {
    let (source, rest) = payload.split_first_chunk::<2>()?;
    let (&[layer], rest) = rest.split_first_chunk::<1>()?;
    let (timestamp, rest) = rest.split_first_chunk::<4>()?;
    let unix_nanos = rest.try_into().ok()?;
    Some(Anchor {
        source: u16::from_le_bytes(*source),
        layer,
        timestamp: u32::from_le_bytes(*timestamp),
        unix_nanos: i64::from_le_bytes(unix_nanos),
    })
}

/// Whether these octets are the record of a lesson's end, and nothing else.
pub(crate) fn is_closing(octets: &[u8]) -> bool {
    matches!(frame::look(octets), frame::Look::Whole(CLOSED, payload) if payload.end == octets.len())
}

/// Whether a record of this type with a payload of `length` octets that begins with `first` is ever written.
pub(crate) fn is_plausible(kind: u8, length: usize, first: Option<u8>) -> bool {
    match kind {
        PACKET => (PACKET_HEAD..=PACKET_HEAD + usize::from(u16::MAX)).contains(&length),
        ANCHOR => length == ANCHOR_OCTETS,
        RESTARTED => length == RESTARTED_OCTETS,
        OPENED | SOURCE | SOURCE_ENDED | EVENT | LOST | CLOSED => length > 1 && first.is_none_or(|octet| octet == b'{'),
        _ => false,
    }
}
