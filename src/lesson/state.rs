//! A lesson and its life: scheduled, live, ended.

use time::OffsetDateTime;

use super::JoinCode;
use crate::id::LessonId;

/// Where a lesson is in its life. It only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LessonState)]
pub enum State {
    /// Announced; the studio may rehearse, classrooms wait.
    Scheduled,
    /// On air.
    Live,
    /// Over; it can't be started again.
    Ended,
}

impl State {
    /// Its word, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Live => "live",
            Self::Ended => "ended",
        }
    }
}

/// Why a lesson can't move on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It has ended, and an ended lesson stays so.
    #[error("the lesson ended at {0}")]
    Ended(OffsetDateTime),
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// The state is a new one.
    Changed,
    /// It was so already.
    Unchanged,
}

/// Why a draft is no lesson.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// Nothing but space in the title.
    #[error("the title is empty")]
    NoTitle,
    /// A text is too long to be shown.
    #[error("{field} has {length} characters; at most {limit} are shown")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
}

/// What one gives to create a lesson.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Draft {
    /// What it is called.
    pub title: String,
    /// Who teaches.
    pub teacher: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The grade.
    pub grade: Option<String>,
    /// The school of its studio.
    pub school: Option<String>,
    /// When it is to begin.
    pub starts_at: Option<OffsetDateTime>,
}

const TITLE_LIMIT: usize = 200;
const TEXT_LIMIT: usize = 80;

/// One lesson.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// Its id.
    pub id: LessonId,
    /// What it is called.
    pub title: String,
    /// Who teaches.
    pub teacher: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The grade.
    pub grade: Option<String>,
    /// The school of its studio, as it is to be shown.
    pub school: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// When it is to begin.
    pub starts_at: Option<OffsetDateTime>,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When it went on air.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// The code classrooms enter with.
    pub join_code: JoinCode,
}

impl Lesson {
    /// A scheduled lesson from what was asked for.
    ///
    /// # Errors
    /// [`DraftError`] when a text is missing or too long.
    pub fn new(draft: Draft, join_code: JoinCode, now: OffsetDateTime) -> Result<Self, DraftError> {
        let title = text("title", &draft.title, TITLE_LIMIT)?.ok_or(DraftError::NoTitle)?;
        let optional = |field, value: Option<String>| text(field, &value.unwrap_or_default(), TEXT_LIMIT);
        Ok(Self {
            id: LessonId::random(),
            title,
            teacher: optional("teacher", draft.teacher)?,
            subject: optional("subject", draft.subject)?,
            grade: optional("grade", draft.grade)?,
            school: optional("school", draft.school)?,
            state: State::Scheduled,
            starts_at: draft.starts_at.map(kept),
            created_at: kept(now),
            started_at: None,
            ended_at: None,
            join_code,
        })
    }

    /// Go on air. A lesson that is on air already stays so: a studio may press twice.
    ///
    /// # Errors
    /// [`StateError::Ended`] when it is over.
    pub fn start(&mut self, now: OffsetDateTime) -> Result<Moved, StateError> {
        match self.state {
            State::Scheduled => {
                self.state = State::Live;
                self.started_at = Some(kept(now));
                Ok(Moved::Changed)
            }
            State::Live => Ok(Moved::Unchanged),
            State::Ended => Err(self.over()),
        }
    }

    /// End, or call off what has not begun.
    ///
    /// # Errors
    /// [`StateError::Ended`] when it is over already.
    pub fn end(&mut self, now: OffsetDateTime) -> Result<Moved, StateError> {
        if self.state == State::Ended {
            return Err(self.over());
        }
        self.state = State::Ended;
        // The machine's clock may have been set back meanwhile; no lesson ends before it has begun.
        let begun = self.started_at.unwrap_or(self.created_at);
        self.ended_at = Some(kept(now).max(begun));
        Ok(Moved::Changed)
    }

    fn over(&self) -> StateError {
        StateError::Ended(self.ended_at.unwrap_or(self.created_at))
    }
}

/// A time as it is kept: in UTC, to the millisecond.
fn kept(time: OffsetDateTime) -> OffsetDateTime {
    let time = time.to_offset(time::UtcOffset::UTC);
    time.replace_millisecond(time.millisecond()).unwrap_or(time)
}

/// A text without the space around it; nothing left is no text.
fn text(field: &'static str, value: &str, limit: usize) -> Result<Option<String>, DraftError> {
    let value = value.trim();
    let length = value.chars().count();
    if length > limit {
        return Err(DraftError::TooLong { field, length, limit });
    }
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const EIGHT: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);
    const NINE: OffsetDateTime = datetime!(2026-11-24 09:00 UTC);

    fn english() -> Lesson {
        let draft = Draft { title: "  五年级英语 ".into(), teacher: Some(" ".into()), ..Draft::default() };
        Lesson::new(draft, JoinCode::random(), EIGHT).expect("a draft with a title is a lesson")
    }

    #[test]
    fn a_lesson_goes_on_air_once_and_ends_once() {
        let mut lesson = english();
        assert_eq!(lesson.start(EIGHT), Ok(Moved::Changed));
        assert_eq!(lesson.start(NINE), Ok(Moved::Unchanged));
        assert_eq!(lesson.started_at, Some(EIGHT), "pressing twice doesn't move the start");
        assert_eq!(lesson.end(NINE), Ok(Moved::Changed));
        assert_eq!(lesson.end(NINE), Err(StateError::Ended(NINE)));
        assert_eq!(lesson.start(NINE), Err(StateError::Ended(NINE)));
    }

    #[test]
    fn a_lesson_can_be_called_off() {
        let mut lesson = english();
        assert_eq!(lesson.end(NINE), Ok(Moved::Changed));
        assert_eq!((lesson.started_at, lesson.ended_at), (None, Some(NINE)));
    }

    #[test]
    fn texts_are_trimmed_and_bounded() {
        let lesson = english();
        assert_eq!((lesson.title.as_str(), lesson.teacher), ("五年级英语", None));
        let long = Draft { title: "课".repeat(201), ..Draft::default() };
        assert!(matches!(
            Lesson::new(long, JoinCode::random(), EIGHT),
            Err(DraftError::TooLong { field: "title", length: 201, .. })
        ));
        let empty = Draft { title: " \n".into(), ..Draft::default() };
        assert_eq!(Lesson::new(empty, JoinCode::random(), EIGHT), Err(DraftError::NoTitle));
    }
}
