//! What the forwarding unit is told.

use std::time::Instant;

use crate::id::{ConnectionId, LessonId, ParticipantId, PublicationId, SourceName};
use crate::rtp::codec::Codec;

/// Which end of a lesson a participant stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The teaching end: its sources are replaced by the next publisher of the same name.
    Studio,
    /// A receiving classroom: its sources are its own and reach others only from the stage.
    Classroom,
}

/// Voice or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound.
    Voice,
    /// Pictures.
    Video,
}

impl MediaKind {
    /// The RTP clock of all its codecs here, ticks per second.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Voice => 48_000,
            Self::Video => 90_000,
        }
    }
}

/// Which kind of slot; a slot is this and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SlotKind {
    /// Voices: 0 is the teacher's.
    Voice,
    /// The slides.
    Slides,
    /// The teacher's camera.
    Camera,
    /// Other participants on stage.
    Stage,
}

impl SlotKind {
    /// What it carries.
    #[must_use]
    pub const fn media(self) -> MediaKind {
        match self {
            Self::Voice => MediaKind::Voice,
            Self::Slides | Self::Camera | Self::Stage => MediaKind::Video,
        }
    }
}

/// A new publication: one track into a lesson.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationSpec {
    /// Its id.
    pub id: PublicationId,
    /// The lesson it belongs to.
    pub lesson: LessonId,
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
    /// Restriction ids of its encodings in the publisher's order; empty for a single one.
    pub rids: Vec<String>,
    /// When its publisher connected: of two publishers of one studio source the later stays.
    pub since: Instant,
}

/// One packet of a publication.
#[derive(Debug, Clone, Copy)]
pub struct Inbound<'a> {
    /// What the publisher negotiated its payload type for.
    pub codec: Codec,
    /// Extended sequence number.
    pub sequence: u64,
    /// Media time.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Without padding.
    pub payload: &'a [u8],
}

/// How a codec is written in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCodec {
    /// The codec.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
}

/// One m-line of a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSpec {
    /// Which kind.
    pub kind: SlotKind,
    /// Its number among its kind.
    pub index: u8,
    /// Its m-line's identification tag.
    pub mid: String,
    /// Everything that was negotiated for it.
    pub codecs: Vec<SlotCodec>,
    /// Its stream.
    pub ssrc: u32,
    /// The stream of its retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// First sequence number of the stream, and of its retransmissions.
    pub first_sequence: (u16, u16),
    /// First media time.
    pub first_timestamp: u32,
}

/// Names a line on one worker: what the subscribers of a school share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineKey(pub u64);

/// A new subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberSpec {
    /// The lesson it follows.
    pub lesson: LessonId,
    /// Who it is: nobody receives itself.
    pub participant: ParticipantId,
    /// The key under which the caller keeps the connection; [`Forward`](super::Forward)s carry it.
    pub connection: usize,
    /// The line that it shares with others.
    pub line: LineKey,
    /// One source instead of the whole lesson.
    pub source: Option<SourceName>,
    /// So many packets of each voice go again with the next, where redundancy was negotiated (RFC 2198); at most
    /// [`MAX_GENERATIONS`](crate::rtp::red::MAX_GENERATIONS) of them. At 5 % random loss one leaves 0.25 % of the voice
    /// missing, and two 0.01 %, and a loss of two in a row is outlasted.
    pub redundancy: u8,
    /// Its m-lines.
    pub slots: Vec<SlotSpec>,
}
