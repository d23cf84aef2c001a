//! Who is on stage in lessons on air, so that a restart in mid-lesson sends nobody off it.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Error, Store};
use crate::id::LessonId;
use crate::lesson::{Identity, Role};

impl Store {
    /// Keep who is on stage in a lesson, in order; nobody else is then.
    ///
    /// # Errors
    /// [`Error::Statement`]; what was kept before stays then.
    pub async fn keep_stage(&self, lesson: LessonId, classrooms: &[Identity]) -> Result<(), Error> {
        let mut transaction = self.writer.begin().await?;
        let clear = sqlx::query("DELETE FROM stage WHERE lesson = ?");
        clear.bind(lesson.to_string()).execute(&mut *transaction).await?;
        for (place, classroom) in classrooms.iter().enumerate() {
            let sql = "INSERT INTO stage (lesson, place, participant, name, school) VALUES (?, ?, ?, ?, ?)";
            sqlx::query(sql)
                .bind(lesson.to_string())
                .bind(place as i64)
                .bind(classroom.participant.to_string())
                .bind(&classroom.name)
                .bind(&classroom.school)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The stages of all lessons on air on which anybody is.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn stages(&self) -> Result<Vec<(LessonId, Vec<Identity>)>, Error> {
        let sql = "SELECT stage.* FROM stage JOIN lesson ON lesson.id = stage.lesson WHERE lesson.state = 'live' \
                   ORDER BY stage.lesson, stage.place";
        let mut stages: Vec<(LessonId, Vec<Identity>)> = Vec::new();
        for row in sqlx::query(sql).fetch_all(&self.readers).await? {
            let (lesson, classroom) = read(&row)?;
            match stages.last_mut() {
                Some((last, classrooms)) if *last == lesson => classrooms.push(classroom),
                _ => stages.push((lesson, vec![classroom])),
            }
        }
        Ok(stages)
    }
}

fn read(row: &SqliteRow) -> Result<(LessonId, Identity), Error> {
    let corrupt = |id: &str| Error::Corrupt { table: "stage", fact: format!("id {id}") };
    let (lesson, participant): (String, String) = (row.try_get("lesson")?, row.try_get("participant")?);
    let identity = Identity {
        participant: participant.parse().map_err(|_| corrupt(&participant))?,
        role: Role::Classroom,
        name: row.try_get("name")?,
        school: row.try_get("school")?,
    };
    Ok((lesson.parse().map_err(|_| corrupt(&lesson))?, identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ParticipantId;
    use crate::lesson::{Draft, JoinCode, Lesson, State};
    use time::macros::datetime;

    #[tokio::test]
    async fn a_stage_comes_back_in_its_order_until_its_lesson_has_ended() {
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path()).await.expect("a new database");
        let now = datetime!(2026-11-24 08:00 UTC);
        let draft = Draft { title: "数学".into(), ..Draft::default() };
        let mut lesson = Lesson::new(draft, JoinCode::random(), now).expect("it has a title");
        lesson.start(now).expect("it can begin");
        store.insert_lesson(&mut lesson).await.expect("kept");
        let classroom = |name: &str| Identity {
            participant: ParticipantId::random(),
            role: Role::Classroom,
            name: Some(name.into()),
            school: None,
        };
        let stage = vec![classroom("乙"), classroom("甲"), classroom("丙")];
        store.keep_stage(lesson.id, &stage).await.expect("kept");
        store.keep_stage(lesson.id, &stage[..2]).await.expect("kept");
        store.close().await;

        let store = Store::open(data.path()).await.expect("the same database");
        assert_eq!(store.stages().await.expect("read"), [(lesson.id, stage[..2].to_vec())]);
        lesson.end(now).expect("it can end");
        assert!(store.move_lesson(&lesson, State::Live).await.expect("moved"));
        assert_eq!(store.stages().await.expect("read"), []);
    }
}
