//! What is told about a running lesson, and to whom: the bodies of the lesson websocket.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Viewer;
use super::media::{Codec, PublicationKind, SlotName};
use super::stats::LineState;
use crate::id::{ConnectionId, ParticipantId, PublicationId, SourceName};
use crate::worker::mailbox::{Closed, Paused, Reason};

/// What a participant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the service: creates lessons, sees every one.
    Operator,
    /// The teaching end of one lesson.
    Studio,
    /// A receiving classroom of one lesson.
    Classroom,
    /// Watches one lesson's recording, and nothing live.
    Viewer,
}

impl Role {
    /// Its name in messages, the log, journals and the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Studio => "studio",
            Self::Classroom => "classroom",
            Self::Viewer => "viewer",
        }
    }
}

/// What a classroom does that isn't live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BehindMode {
    /// It sees what it missed, faster than it was said.
    CatchingUp,
    /// The lesson is held there while the local teacher explains.
    Paused,
    /// It sees the last half minute again.
    Again,
}

/// How far a classroom is behind what is said now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Behind {
    /// Milliseconds, in whole seconds.
    pub behind_ms: u32,
    /// What it does meanwhile; `null` where its line lets nothing through but pages, which makes it late all the time.
    pub mode: Option<BehindMode>,
}

impl Behind {
    /// A lesson doesn't last longer.
    const MOST_MS: u32 = 24 * 3_600_000;

    /// What a page says of itself; without a time it is live. Rounded to seconds: less is no news to anybody.
    #[must_use]
    pub fn told(behind_ms: Option<u32>, mode: Option<BehindMode>) -> Option<Self> {
        let behind_ms = behind_ms?.min(Self::MOST_MS) / 1000 * 1000;
        Some(Self { behind_ms, mode })
    }
}

/// Somebody in the lesson.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Participant {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ParticipantId,
    /// Which end.
    pub role: Role,
    /// Shown to the studio.
    pub name: Option<String>,
    /// Its school.
    pub school: Option<String>,
    /// Whether a media connection of it is up.
    pub connected: bool,
    /// The sources it sends at present.
    #[schema(value_type = Vec<String>)]
    pub publishing: Vec<SourceName>,
    /// Whether its hand is up.
    pub hand_raised: bool,
    /// Whether it is on stage.
    pub on_stage: bool,
    /// How its line is by what its page measures; `null` where it measures nothing or isn't connected.
    pub line: Option<LineState>,
    /// How far it is behind, where it isn't live.
    pub behind: Option<Behind>,
    /// When it first came.
    #[serde(with = "time::serde::rfc3339")]
    pub joined_at: OffsetDateTime,
}

/// One encoding of a publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Layer {
    /// Its restriction id (RFC 8851), where the publisher sends several.
    pub rid: Option<String>,
    /// Pixels, where known.
    pub width: Option<u16>,
    /// Pixels, where known.
    pub height: Option<u16>,
    /// Bits per second.
    pub bitrate: u64,
}

/// One track that a participant sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Publication {
    /// Its id.
    #[schema(value_type = String)]
    pub id: PublicationId,
    /// Who sends it.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// Over which connection.
    #[schema(value_type = String)]
    pub connection: ConnectionId,
    /// Under which name.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// Voice or video.
    pub kind: PublicationKind,
    /// How it is encoded; `null` until its first packet came.
    pub codec: Option<Codec>,
    /// Its encodings, lowest first.
    pub layers: Vec<Layer>,
    /// Whether nothing came for a second.
    pub muted: bool,
}

/// Why nothing flows in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedReason {
    /// No publication is mapped to it.
    NoSource,
    /// The subscriber negotiated no codec that can carry it.
    UnsupportedCodec,
    /// A keyframe was asked for and hasn't come yet.
    WaitingForKeyframe,
    /// The publication sends nothing.
    SourceSilent,
    /// The subscriber asked for nothing.
    Capped,
    /// The line has no room for it.
    NoRoom,
}

impl From<Paused> for PausedReason {
    fn from(paused: Paused) -> Self {
        match paused {
            Paused::NoSource => Self::NoSource,
            Paused::UnsupportedCodec => Self::UnsupportedCodec,
            Paused::WaitingForKeyframe => Self::WaitingForKeyframe,
            Paused::SourceSilent => Self::SourceSilent,
            Paused::Capped => Self::Capped,
            Paused::NoRoom => Self::NoRoom,
        }
    }
}

/// What is in one slot of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SlotState)]
pub struct Slot {
    /// Whose slot.
    #[schema(value_type = String)]
    pub connection: ConnectionId,
    /// Which kind.
    pub slot: SlotName,
    /// Its number among its kind.
    pub index: u8,
    /// Its m-line.
    pub mid: String,
    /// The publication mapped to it.
    #[schema(value_type = Option<String>)]
    pub publication: Option<PublicationId>,
    /// That publication's source.
    #[schema(value_type = Option<String>)]
    pub source: Option<SourceName>,
    /// That publication's participant.
    #[schema(value_type = Option<String>)]
    pub participant: Option<ParticipantId>,
    /// The spatial layer that flows, 0 = lowest.
    pub layer: Option<u8>,
    /// Why nothing flows.
    pub paused: Option<PausedReason>,
    /// Why nothing better flows, where it is the line; `null` where it is anything else, or all is well.
    pub held: Option<Held>,
}

/// Why a line lets nothing better through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// It carries no more.
    NoRoom,
    /// It may carry more, but lessons may use no more of it.
    Tier,
    /// The school's line would do; the classroom's own part of it won't.
    Own,
    /// There is room for more, which has yet to prove that it lasts.
    Waiting,
}

impl Held {
    /// What a decision's reason says of the line.
    #[must_use]
    pub const fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::NoRoom => Some(Self::NoRoom),
            Reason::Tier => Some(Self::Tier),
            Reason::Own => Some(Self::Own),
            Reason::Waiting => Some(Self::Waiting),
            Reason::Best | Reason::Capped | Reason::NotSent | Reason::Silent | Reason::Small => None,
        }
    }
}

/// What a line takes from a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cut {
    /// Which kind of slot.
    pub slot: SlotName,
    /// Its number among its kind.
    pub index: u8,
    /// All of it; otherwise a lower layer flows than there is.
    pub paused: bool,
}

/// Which way a line was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the server.
    Up,
    /// Towards the participant.
    Down,
}

/// How one connection's line does.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Line {
    /// Whose.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// Which connection.
    #[schema(value_type = String)]
    pub connection: ConnectionId,
    /// Which way.
    pub direction: Direction,
    /// Fraction of packets lost, 0 to 1.
    pub loss: f32,
    /// Round trip in milliseconds, where a report told.
    pub round_trip_ms: Option<u32>,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: u32,
    /// Bits per second.
    pub bitrate: u64,
    /// What the line of its school carries, as estimated, in bits per second; `null` while that isn't known.
    pub estimate: Option<u64>,
    /// What lessons may spend of it at present, in bits per second; the classrooms of a school share it.
    pub budget: Option<u64>,
    /// The name of that line's tier.
    #[schema(value_type = Option<String>)]
    pub tier: Option<Arc<str>>,
    /// What the line takes from the slots of this connection.
    pub cut: Vec<Cut>,
}

/// Why a publication is no longer to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its publisher stopped.
    Deleted,
    /// Its publisher went silent.
    Expired,
    /// Another publisher took over the source.
    Replaced,
    /// Its publisher left the stage.
    LeftStage,
    /// The lesson ended.
    LessonEnded,
    /// The server stops.
    Stopping,
}

impl From<Closed> for EndReason {
    fn from(why: Closed) -> Self {
        match why {
            Closed::Deleted | Closed::Dtls => Self::Deleted,
            Closed::Expired | Closed::NeverConnected => Self::Expired,
            Closed::Replaced => Self::Replaced,
            Closed::LessonEnded => Self::LessonEnded,
            Closed::Stopping => Self::Stopping,
        }
    }
}

/// What has changed in a lesson.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = LessonMessage)]
pub enum Message {
    /// Somebody is new or has changed.
    Participant {
        /// The whole of it.
        participant: Participant,
    },
    /// Somebody is gone (for a classroom: out of its sight).
    ParticipantLeft {
        /// Who.
        #[schema(value_type = String)]
        id: ParticipantId,
    },
    /// A publication is new or has changed.
    Publication {
        /// The whole of it.
        publication: Publication,
    },
    /// A publication is over (for a classroom: out of its reach).
    PublicationEnded {
        /// Which.
        #[schema(value_type = String)]
        id: PublicationId,
        /// Why.
        reason: EndReason,
    },
    /// The slots of one of this participant's connections, whole, after a change.
    Slots {
        /// Which connection.
        #[schema(value_type = String)]
        connection: ConnectionId,
        /// All its slots; none when the connection is gone.
        slots: Vec<Slot>,
    },
    /// How lines do.
    Line {
        /// For a classroom its own, for studio and operator everybody's.
        lines: Vec<Line>,
    },
    /// Another publisher took over a source that this participant sent on `connection`.
    Replaced(Replaced),
    /// Whether somebody present needs a source that stands in for another one, which it can't decode. Told to studio and
    /// operators when that changes, and after `welcome` where it is so.
    Wanted {
        /// `slides-backup`.
        #[schema(value_type = String)]
        source: SourceName,
        /// Whether it is to be sent.
        wanted: bool,
    },
}

/// A source that another publisher took over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Replaced {
    /// The source.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// The connection that was closed: a page that has reloaded knows by it that its *old* one is meant.
    #[schema(value_type = String)]
    pub connection: ConnectionId,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Studio and operators.
    Staff,
    /// This participant only.
    Only(ParticipantId),
    /// Those who may see this participant: staff, itself, and everybody if it is `public`.
    SeersOf {
        /// Who is seen.
        participant: ParticipantId,
        /// Whether classrooms see it: a studio's, or on stage.
        public: bool,
    },
    /// Classrooms other than this one: those who have just lost sight of it.
    OtherClassrooms(ParticipantId),
}

impl Audience {
    /// Whether `viewer` is among them.
    #[must_use]
    pub fn includes(self, viewer: Viewer) -> bool {
        match self {
            Self::Staff => viewer.is_staff(),
            Self::Only(participant) => viewer.participant == participant,
            Self::SeersOf { participant, public } => public || viewer.is_staff() || viewer.participant == participant,
            Self::OtherClassrooms(participant) => !viewer.is_staff() && viewer.participant != participant,
        }
    }
}

/// One change, and who is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Who is told.
    pub to: Audience,
    /// What.
    pub message: Message,
}
