//! What a lesson is and what goes on in it, without clock, socket, task or database.

mod join_code;
mod lesson;
mod live;
mod message;

pub use join_code::{JoinCode, NotACode};
pub use lesson::{Draft, DraftError, Lesson, Moved, State, StateError};
pub use live::{Identity, Live, MAX_ON_STAGE, StageError, Viewer};
pub use message::{
    Audience, Codec, Direction, EndReason, Layer, Line, Message, Notice, Participant, PausedReason,
    Publication, PublicationKind, Role, Slot, SlotName,
};
