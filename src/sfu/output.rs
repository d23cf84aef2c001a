//! What the forwarding unit decides.

use crate::adapt::{Reason, Urgency};
use crate::id::{ConnectionId, LessonId, ParticipantId, PublicationId, SourceName};
use crate::rtp::vp8::Offsets;
use crate::units::Bitrate;

use super::input::{End, MediaKind, SlotKind};
use super::publication::Source;

/// How a voice is written for a receiver that reads redundancy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundancy {
    /// The payload type of its blocks.
    pub payload_type: u8,
    /// So many packets before this one go with it again, as far as they are held.
    pub generations: u8,
    /// And as far as they are no older than it by so many ticks.
    pub within: u16,
}

/// One packet to one subscriber. The packet itself stays in its publication's cache until it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The subscriber's connection, as named in its [`SubscriberSpec`](super::SubscriberSpec).
    pub connection: u32,
    /// The encoding that the packet is of, in the life in which it was decided on.
    pub source: Source,
    /// Number of the packet in that encoding's cache.
    pub packet: u64,
    /// Outgoing stream.
    pub ssrc: u32,
    /// Outgoing payload type.
    pub payload_type: u8,
    /// Index of the outgoing packet (roll-over count and sequence number).
    pub sequence: u64,
    /// Outgoing media time.
    pub timestamp: u32,
    /// To apply to picture numbers.
    pub pictures: Offsets,
    /// Leading octets of the payload that aren't sent: the publisher's own redundancy.
    pub skip: u16,
    /// For a voice that goes out with redundancy (RFC 2198).
    pub redundancy: Option<Redundancy>,
    /// For a retransmission: the sequence number that the packet first had (RFC 4588 §4).
    pub original: Option<u16>,
    /// What it may wait for.
    pub urgency: Urgency,
}

/// Padding to one subscriber, in the stream of retransmissions, where it leaves no gap in what is played (RFC 4588 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Outgoing stream.
    pub ssrc: u32,
    /// Outgoing payload type.
    pub payload_type: u8,
    /// Index of the outgoing packet.
    pub sequence: u64,
}

/// Why nothing flows in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Paused {
    /// No publication is mapped to it.
    NoSource,
    /// The subscriber negotiated no codec that can carry it.
    UnsupportedCodec,
    /// A keyframe was asked for and hasn't come yet.
    WaitingForKeyframe,
    /// The publication sends nothing.
    SourceSilent,
    /// The subscriber asked for nothing (a cap of no layer).
    Capped,
    /// The line has no room for it.
    NoRoom,
}

/// Why a slot gets from now on what it gets: one switch, with all that it was decided from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Which kind of slot.
    pub slot: SlotKind,
    /// Its number among its kind.
    pub index: u8,
    /// The publication in it.
    pub publication: PublicationId,
    /// What was decided before, as a place up the ladder, 0 = lowest; `None` = nothing.
    pub from: Option<u8>,
    /// What is decided now.
    pub to: Option<u8>,
    /// Why.
    pub reason: Reason,
    /// What the line's members may spend together; `None` = whatever they want.
    pub budget: Option<Bitrate>,
    /// What the line was measured to carry.
    pub estimate: Option<Bitrate>,
    /// What was decided for all members of the line comes to.
    pub allocated: Bitrate,
    /// How many subscribers share the line.
    pub members: usize,
}

/// What is in one slot of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Which kind of slot.
    pub slot: SlotKind,
    /// Its number among its kind.
    pub index: u8,
    /// Its m-line.
    pub mid: String,
    /// The publication mapped to it.
    pub publication: Option<PublicationId>,
    /// The spatial layer that flows, 0 = lowest.
    pub layer: Option<u8>,
    /// Why nothing flows.
    pub paused: Option<Paused>,
}

/// One encoding of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// Its restriction id (RFC 8851), where the publisher sends several.
    pub rid: Option<String>,
    /// Measured over the last second, bits per second.
    pub bitrate: u64,
    /// Width and height read from the bitstream, where known.
    pub size: Option<(u16, u16)>,
}

/// A publication as others may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationReport {
    /// Its id.
    pub id: PublicationId,
    /// Who sends it.
    pub participant: ParticipantId,
    /// Over which connection.
    pub connection: ConnectionId,
    /// At which end.
    pub end: End,
    /// Under which name.
    pub source: SourceName,
    /// Voice or video.
    pub kind: MediaKind,
    /// `opus`, `vp8`, `h264` or `av1`; `None` until the first packet said which of those negotiated.
    pub codec: Option<&'static str>,
    /// Its encodings, in the publisher's order.
    pub layers: Vec<LayerReport>,
    /// Whether nothing came for some seconds.
    pub silent: bool,
}

/// A sender report's content for one slot (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotReport {
    /// Outgoing stream.
    pub ssrc: u32,
    /// An instant on the server's clock, nanoseconds since the Unix epoch.
    pub unix_nanos: i64,
    /// The same instant in outgoing media time.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
}

/// What is to be done besides forwarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask the publisher for a keyframe.
    KeyframeRequest {
        /// Key of the publication.
        publication: usize,
        /// Its encoding.
        layer: u8,
    },
    /// The slots of a connection changed.
    Slots {
        /// The lesson.
        lesson: LessonId,
        /// Whose.
        participant: ParticipantId,
        /// The connection, as named in its spec.
        connection: usize,
        /// All of them.
        slots: Vec<SlotState>,
    },
    /// It was decided that a slot gets another encoding, or that it gets the same for another reason.
    Decided {
        /// The lesson.
        lesson: LessonId,
        /// Whose.
        participant: ParticipantId,
        /// The connection, as named in its spec.
        connection: usize,
        /// What, and why.
        decision: Decision,
    },
    /// A publication is new or has changed.
    Publication {
        /// Key of the publication.
        publication: usize,
        /// The lesson.
        lesson: LessonId,
        /// The whole of it.
        report: PublicationReport,
    },
}
