//! What a lesson is and what goes on in it, without clock, socket, task or database.

mod chronicle;
mod decision;
mod join_code;
mod live;
mod media;
mod message;
mod pace;
mod recording;
mod school;
mod state;
mod stats;

pub use chronicle::{Chronicle, Happening};
pub use decision::{Decided, DecidedView};
pub use join_code::{JoinCode, NotACode};
pub use live::{Flow, Identity, Live, MAX_ON_STAGE, Seen, StageError, Viewer};
pub use media::{Codec, PublicationKind, SlotName};
pub use message::{
    Audience, Behind, BehindMode, Cut, Direction, EndReason, Held, Layer, Line, Message, Notice, Participant,
    PausedReason, Publication, Replaced, Role, Slot,
};
pub use pace::{Pace, Turn};
pub use recording::{
    Contents, Goes, Recorded, Recording, RecordingAudio, RecordingFile, RecordingGap, RecordingSlide, RecordingState,
    RecordingVideo, Retention, Spent, ViewSum, Watched, WatchedError, Words, Work, spent,
};
pub use school::{Classroom, MAX_CLASSROOMS, School, SchoolDraft, SchoolError, classroom_name};
pub use state::{Draft, DraftError, Lesson, Moved, State, StateError};
pub use stats::{
    Change, Expected, LineState, Measured, PathStats, SentStats, SlotStats, Stats, StatsError, Transport, mean_and_most,
};
