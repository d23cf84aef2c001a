//! What is sent, and where it is shown, in the words of messages, metrics and the log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::worker::mailbox::{MediaKind, SlotKind};

/// Voice or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicationKind {
    /// Sound.
    Voice,
    /// Pictures.
    Video,
}

impl From<MediaKind> for PublicationKind {
    fn from(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Voice => Self::Voice,
            MediaKind::Video => Self::Video,
        }
    }
}

/// How a publication is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// Opus (RFC 7587), with or without RED.
    Opus,
    /// VP8 (RFC 7741).
    Vp8,
    /// H.264 (RFC 6184).
    H264,
    /// AV1.
    Av1,
}

impl Codec {
    pub(super) fn of(word: &str) -> Option<Self> {
        match word {
            "opus" => Some(Self::Opus),
            "vp8" => Some(Self::Vp8),
            "h264" => Some(Self::H264),
            "av1" => Some(Self::Av1),
            _ => None,
        }
    }
}

/// Which kind of slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlotName {
    /// Voices: 0 is the teacher's.
    Voice,
    /// The slides.
    Slides,
    /// The teacher's camera.
    Camera,
    /// Others on stage.
    Stage,
}

impl SlotName {
    /// As it is written in messages, metrics and the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Slides => "slides",
            Self::Camera => "camera",
            Self::Stage => "stage",
        }
    }

    /// The one that is written so.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Voice, Self::Slides, Self::Camera, Self::Stage].into_iter().find(|name| name.word() == word)
    }
}

impl From<SlotKind> for SlotName {
    fn from(kind: SlotKind) -> Self {
        match kind {
            SlotKind::Voice => Self::Voice,
            SlotKind::Slides => Self::Slides,
            SlotKind::Camera => Self::Camera,
            SlotKind::Stage => Self::Stage,
        }
    }
}

impl From<SlotName> for SlotKind {
    fn from(name: SlotName) -> Self {
        match name {
            SlotName::Voice => Self::Voice,
            SlotName::Slides => Self::Slides,
            SlotName::Camera => Self::Camera,
            SlotName::Stage => Self::Stage,
        }
    }
}
