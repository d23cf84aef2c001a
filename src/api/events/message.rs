//! The messages of the lesson websocket.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::api::lessons::{LessonChanged, LessonView};
use crate::api::problem::Document;
use crate::id::ParticipantId;
use crate::lesson::{BehindMode, Message, Participant, Publication, Replaced, Slot, SlotName, Stats};

/// What a page is told first: all there is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename = "welcome")]
pub(crate) struct Welcome {
    /// Who the page is.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// The lesson.
    pub lesson: LessonView,
    /// Who is there, as far as the page may see.
    pub participants: Vec<Participant>,
    /// What is sent, as far as the page may see.
    pub publications: Vec<Publication>,
    /// What is in the slots of the participant's own connections.
    pub slots: Vec<Slot>,
    /// Connections of the participant that other publishers took over lately: what a page with a dead line missed.
    pub replaced: Vec<Replaced>,
    /// The server's time of day.
    #[serde(with = "time::serde::rfc3339")]
    pub server_time: OffsetDateTime,
}

/// What is told to one page only.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Reply {
    /// A renewed token.
    Token {
        /// The token.
        token: String,
        /// Until when it is good.
        #[serde(with = "time::serde::rfc3339")]
        expires_at: OffsetDateTime,
    },
    /// What the page sent made no sense.
    Problem {
        /// Why.
        problem: Document,
    },
    /// Answer to `ping`.
    Pong {
        /// The server's time of day.
        #[serde(with = "time::serde::rfc3339")]
        server_time: OffsetDateTime,
    },
}

/// Everything the server sends on the lesson websocket; `type` tells which.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "names the union for the OpenAPI document; each part is sent by itself")]
pub(crate) enum ServerMessage {
    /// First of all.
    Welcome(Welcome),
    /// The lesson's state.
    Lesson(LessonChanged),
    /// What changed in it.
    Change(Message),
    /// For this page only.
    Reply(Reply),
}

/// Everything a page sends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Are you there?
    Ping,
    /// Let no higher layer than this flow in a slot.
    LayerCap {
        /// Which kind of slot.
        slot: SlotName,
        /// Its number among its kind.
        index: u8,
        /// The highest spatial layer wanted; `null` lifts the cap.
        max_spatial: Option<u8>,
    },
    /// How large a slot is shown; pages tell when it changes, at most once a second for each.
    Shown {
        /// Which kind of slot.
        slot: SlotName,
        /// Its number among its kind.
        index: u8,
        /// Pixels of the screen, really shown; 0 = hidden, or the page isn't looked at.
        width: u16,
        /// Pixels of the screen, really shown.
        height: u16,
    },
    /// Raise or lower the hand.
    Hand {
        /// Whether it is up.
        raised: bool,
    },
    /// How far what is seen here is behind the lesson; pages tell when the mode changes, and every five seconds while they
    /// aren't live.
    Behind {
        /// Milliseconds; `null` = live again.
        behind_ms: Option<u32>,
        /// What the classroom does meanwhile.
        mode: Option<BehindMode>,
    },
    /// What the page measured since it last told; at most once in three seconds.
    Stats {
        /// The measurement.
        stats: Stats,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_pages_are_read_as_documented() {
        let read = |text| serde_json::from_str::<ClientMessage>(text).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"type":"ping"}"#), Ok(ClientMessage::Ping));
        assert_eq!(read(r#"{"type":"hand","raised":true}"#), Ok(ClientMessage::Hand { raised: true }));
        let cap = ClientMessage::LayerCap { slot: SlotName::Camera, index: 0, max_spatial: None };
        assert_eq!(read(r#"{"type":"layer_cap","slot":"camera","index":0,"max_spatial":null}"#), Ok(cap));
        let shown = ClientMessage::Shown { slot: SlotName::Slides, index: 0, width: 1366, height: 768 };
        assert_eq!(read(r#"{"type":"shown","slot":"slides","index":0,"width":1366,"height":768}"#), Ok(shown));
        let behind = ClientMessage::Behind { behind_ms: Some(80_000), mode: Some(BehindMode::CatchingUp) };
        assert_eq!(read(r#"{"type":"behind","behind_ms":80000,"mode":"catching_up"}"#), Ok(behind));
        let live = ClientMessage::Behind { behind_ms: None, mode: None };
        assert_eq!(read(r#"{"type":"behind","behind_ms":null,"mode":null}"#), Ok(live));
        let sad = r#"{"type":"behind","behind_ms":-1,"mode":null}"#;
        for text in ["", "[]", sad, r#"{"type":"dance"}"#, r#"{"type":"hand"}"#, r#"{"type":"hand","raised":1}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
