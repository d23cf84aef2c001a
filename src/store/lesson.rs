//! Lessons.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};
use time::OffsetDateTime;

use super::{Error, Store, from_millis, millis};
use crate::id::LessonId;
use crate::lesson::{JoinCode, Lesson, State};

/// Which lessons to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct LessonFilter {
    /// Only in this state.
    pub state: Option<State>,
    /// Only from this time on (planned start, else creation).
    pub from: Option<OffsetDateTime>,
    /// Only before this time.
    pub to: Option<OffsetDateTime>,
}

/// How many lessons one list holds.
const LIST_LIMIT: i64 = 500;

/// With a thousand lessons that have not ended, eight tries miss once in 10^24.
const CODE_TRIES: usize = 8;

impl Store {
    /// Keep a new lesson, giving it another join code if its own is taken.
    ///
    /// # Errors
    /// [`Error::NoFreeCode`] or [`Error::Statement`].
    pub async fn insert_lesson(&self, lesson: &mut Lesson) -> Result<(), Error> {
        for _ in 0..CODE_TRIES {
            match self.try_insert(lesson).await {
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                    lesson.join_code = JoinCode::random()
                }
                other => return Ok(other?),
            }
        }
        Err(Error::NoFreeCode)
    }

    async fn try_insert(&self, lesson: &Lesson) -> Result<(), sqlx::Error> {
        let sql = "INSERT INTO lesson (id, title, teacher, subject, grade, school, state, starts_at, created_at, \
                   started_at, ended_at, join_code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(lesson.id.to_string())
            .bind(&lesson.title)
            .bind(&lesson.teacher)
            .bind(&lesson.subject)
            .bind(&lesson.grade)
            .bind(&lesson.school)
            .bind(lesson.state.as_str())
            .bind(lesson.starts_at.map(millis))
            .bind(millis(lesson.created_at))
            .bind(lesson.started_at.map(millis))
            .bind(lesson.ended_at.map(millis))
            .bind(lesson.join_code.to_string())
            .execute(&self.writer)
            .await
            .map(|_| ())
    }

    /// The lesson of this id.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn lesson(&self, id: LessonId) -> Result<Option<Lesson>, Error> {
        let row =
            sqlx::query("SELECT * FROM lesson WHERE id = ?").bind(id.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// The lesson that is entered with this code.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn lesson_by_code(&self, code: JoinCode) -> Result<Option<Lesson>, Error> {
        let sql = "SELECT * FROM lesson WHERE join_code = ? AND state <> 'ended'";
        let row = sqlx::query(sql).bind(code.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// Lessons by time, the latest first.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn lessons(&self, filter: LessonFilter) -> Result<Vec<Lesson>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM lesson WHERE 1 = 1");
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(from) = filter.from {
            query.push(" AND coalesce(starts_at, created_at) >= ").push_bind(millis(from));
        }
        if let Some(to) = filter.to {
            query.push(" AND coalesce(starts_at, created_at) < ").push_bind(millis(to));
        }
        query.push(" ORDER BY coalesce(starts_at, created_at) DESC LIMIT ").push_bind(LIST_LIMIT);
        query.build().fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    /// Keep a lesson's new state, provided that it is still in the state `before`.
    ///
    /// Two pages may press at the same moment: the loser is told `false` and looks again.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn move_lesson(&self, lesson: &Lesson, before: State) -> Result<bool, Error> {
        let sql = "UPDATE lesson SET state = ?, started_at = ?, ended_at = ? WHERE id = ? AND state = ?";
        let done = sqlx::query(sql)
            .bind(lesson.state.as_str())
            .bind(lesson.started_at.map(millis))
            .bind(lesson.ended_at.map(millis))
            .bind(lesson.id.to_string())
            .bind(before.as_str())
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Say which school a lesson is given from, unless that is known.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn name_school(&self, lesson: LessonId, school: &str) -> Result<(), Error> {
        let query = sqlx::query("UPDATE lesson SET school = ? WHERE id = ? AND school IS NULL");
        query.bind(school).bind(lesson.to_string()).execute(&self.writer).await?;
        Ok(())
    }
}

pub(super) fn read(row: &SqliteRow) -> Result<Lesson, Error> {
    let corrupt = |fact: String| Error::Corrupt { table: "lesson", fact };
    let time = |column: &str| -> Result<Option<OffsetDateTime>, Error> {
        row.try_get::<Option<i64>, _>(column)?.map(|millis| from_millis("lesson", millis)).transpose()
    };
    let (id, state, code): (String, String, String) =
        (row.try_get("id")?, row.try_get("state")?, row.try_get("join_code")?);
    Ok(Lesson {
        id: id.parse().map_err(|_| corrupt(format!("id {id}")))?,
        title: row.try_get("title")?,
        teacher: row.try_get("teacher")?,
        subject: row.try_get("subject")?,
        grade: row.try_get("grade")?,
        school: row.try_get("school")?,
        state: match state.as_str() {
            "scheduled" => State::Scheduled,
            "live" => State::Live,
            "ended" => State::Ended,
            other => return Err(corrupt(format!("state {other}"))),
        },
        starts_at: time("starts_at")?,
        created_at: time("created_at")?.ok_or_else(|| corrupt(format!("{id} without creation time")))?,
        started_at: time("started_at")?,
        ended_at: time("ended_at")?,
        join_code: code.parse().map_err(|_| corrupt(format!("join code {code}")))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::Draft;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00:00.125 UTC);

    fn lesson(title: &str, code: &str) -> Lesson {
        let draft = Draft { title: title.into(), ..Draft::default() };
        let code = code.parse().expect("the test's code has six digits");
        Lesson::new(draft, code, NOW).expect("the test's draft has a title")
    }

    #[tokio::test]
    async fn a_lesson_comes_back_as_it_was_kept() {
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path()).await.expect("a new database");
        let mut math = lesson("数学", "000123");
        (math.teacher, math.school) = (Some("王老师".into()), Some("县实验小学".into()));
        store.insert_lesson(&mut math).await.expect("kept");
        store.close().await;

        let again = Store::open(data.path()).await.expect("the same database");
        assert_eq!(again.lesson(math.id).await.expect("read"), Some(math.clone()));
        assert_eq!(again.lesson_by_code(math.join_code).await.expect("read"), Some(math));
    }

    #[tokio::test]
    async fn a_code_is_unique_until_its_lesson_has_ended() {
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path()).await.expect("a new database");
        let (mut first, mut second, mut third) =
            (lesson("一", "111111"), lesson("二", "111111"), lesson("三", "111111"));
        store.insert_lesson(&mut first).await.expect("kept");
        store.insert_lesson(&mut second).await.expect("kept under another code");
        assert_ne!(second.join_code, first.join_code);

        first.end(NOW).expect("it can be called off");
        assert!(store.move_lesson(&first, State::Scheduled).await.expect("moved"));
        assert!(!store.move_lesson(&first, State::Scheduled).await.expect("asked again, in vain"));
        store.insert_lesson(&mut third).await.expect("kept");
        assert_eq!(third.join_code, first.join_code);
    }
}
