//! What is written down of a lesson besides its media, for whoever writes it down.

use super::{Identity, Lesson};
use crate::id::{LessonId, ParticipantId};

/// Something that happened in a lesson.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Somebody came.
    Joined(Identity),
    /// Somebody went.
    Left(ParticipantId),
    /// These, and no others, are on stage from here on.
    Stage(Vec<ParticipantId>),
    /// A hand was raised or lowered.
    Hand(ParticipantId, bool),
}

/// Who writes down what happens. Nobody waits for it.
pub trait Chronicle: Send + Sync + std::fmt::Debug {
    /// The lesson is on air, and what happens in it is to be kept from here on.
    fn on_air(&self, lesson: &Lesson);
    /// Something happened; where that comes in a great rush, some of it may be let go.
    fn happened(&self, lesson: LessonId, happening: Happening);
    /// The lesson is over.
    fn ended(&self, lesson: LessonId);
}
