//! Who watched how much of which recording.

use sqlx::Row;
use time::OffsetDateTime;

use super::{Error, Store, millis};
use crate::id::LessonId;
use crate::lesson::{Identity, ViewSum};

/// Views that are kept of one recording; further ones count for nothing.
const VIEWS_PER_RECORDING: i64 = 100_000;

/// A stretch of a recording that somebody watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// How much of the recording, in milliseconds.
    pub watched_ms: u64,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// Where it ended, in milliseconds from the recording's zero.
    pub to_ms: u64,
}

impl Store {
    /// Add a stretch to a view, which begins with its first. Returns whether there is such a recording.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn add_to_view(
        &self,
        lesson: LessonId,
        view: &str,
        viewer: &Identity,
        stretch: Stretch,
        now: OffsetDateTime,
    ) -> Result<bool, Error> {
        let sql = "INSERT INTO recording_view (lesson, view, viewer, role, name, school, began_at, seen_at, watched, took, \
                   furthest) SELECT lesson, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM recording WHERE lesson = ? \
                   AND (SELECT count(*) FROM recording_view WHERE recording_view.lesson = recording.lesson) < ? \
                   ON CONFLICT (lesson, view, viewer) DO UPDATE SET seen_at = excluded.seen_at, \
                   watched = watched + excluded.watched, took = took + excluded.took, \
                   furthest = max(furthest, excluded.furthest)";
        let Stretch { watched_ms, took_ms, to_ms } = stretch;
        let done = sqlx::query(sql)
            .bind(view)
            .bind(viewer.participant.to_string())
            .bind(viewer.role.word())
            .bind(&viewer.name)
            .bind(&viewer.school)
            .bind(millis(now))
            .bind(millis(now))
            .bind(watched_ms as i64)
            .bind(took_ms as i64)
            .bind(to_ms as i64)
            .bind(lesson.to_string())
            .bind(VIEWS_PER_RECORDING)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// How much of a recording was watched, all together.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn views(&self, lesson: LessonId) -> Result<ViewSum, Error> {
        let sql = "SELECT count(*) AS views, count(DISTINCT viewer) AS viewers, coalesce(sum(watched), 0) AS watched \
                   FROM recording_view WHERE lesson = ?";
        let row = sqlx::query(sql).bind(lesson.to_string()).fetch_one(&self.readers).await?;
        let number = |column: &str| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
        Ok(ViewSum { views: number("views")?, viewers: number("viewers")?, watched_ms: number("watched")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ParticipantId;
    use crate::lesson::{Draft, JoinCode, Lesson, Recording, Role};
    use time::macros::datetime;

    #[tokio::test]
    async fn stretches_of_one_view_add_up_and_views_of_a_recording_are_summed() {
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path()).await.expect("a new database");
        let now = datetime!(2026-11-24 08:00 UTC);
        let draft = Draft { title: "数学".into(), ..Draft::default() };
        let mut lesson = Lesson::new(draft, JoinCode::random(), now).expect("it has a title");
        store.insert_lesson(&mut lesson).await.expect("kept");
        let viewer = Identity { participant: ParticipantId::random(), role: Role::Viewer, name: None, school: None };
        let stretch = |to_ms| Stretch { watched_ms: 15_000, took_ms: 12_500, to_ms };
        let add = async |view: &str, to_ms| store.add_to_view(lesson.id, view, &viewer, stretch(to_ms), now).await;
        assert!(!add("a", 15_000).await.expect("asked"), "nothing is recorded yet");
        store.insert_recording(&Recording::new(lesson.id, now)).await.expect("kept");
        for (view, to) in [("a", 15_000), ("a", 30_000), ("b", 20_000)] {
            assert!(add(view, to).await.expect("kept"));
        }
        let sum = store.views(lesson.id).await.expect("read");
        assert_eq!(sum, ViewSum { views: 2, viewers: 1, watched_ms: 45_000 });
    }
}
