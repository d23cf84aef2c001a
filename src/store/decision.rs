//! Why slots got what they got, kept with their lesson: the latest of each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Error, Store, from_millis, millis};
use crate::id::LessonId;
use crate::lesson::{Decided, SlotName};
use crate::units::Bitrate;

/// Decisions that are kept of one lesson: some hundred classrooms through an hour of wavering lines.
pub const DECISIONS_PER_LESSON: i64 = 20_000;

impl Store {
    /// Keep decisions, of each lesson in their order, and let go of its oldest beyond [`DECISIONS_PER_LESSON`]. Those of a
    /// lesson that isn't there are let go.
    ///
    /// # Errors
    /// [`Error::Statement`]; none of them is kept then.
    pub async fn keep_decisions(&self, decisions: &[(LessonId, Decided)]) -> Result<(), Error> {
        let mut transaction = self.writer.begin().await?;
        // The number that was given last in each lesson, where it is there.
        let mut lessons: HashMap<LessonId, Option<i64>> = HashMap::new();
        for (lesson, decided) in decisions {
            let last = match lessons.entry(*lesson) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(last_number(&mut transaction, *lesson).await?),
            };
            if let Some(last) = last {
                *last += 1;
                insert(&mut transaction, *lesson, *last, decided).await?;
            }
        }
        for (lesson, last) in lessons.into_iter().filter_map(|(lesson, last)| Some((lesson, last?))) {
            let trim = sqlx::query("DELETE FROM decision WHERE lesson = ? AND number <= ?");
            let trim = trim.bind(lesson.to_string()).bind(last - DECISIONS_PER_LESSON);
            trim.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The decisions of a lesson that are kept, in order, and how many older ones were let go.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn decisions(&self, lesson: LessonId) -> Result<(Vec<Decided>, u64), Error> {
        let query = sqlx::query("SELECT * FROM decision WHERE lesson = ? ORDER BY number");
        let rows = query.bind(lesson.to_string()).fetch_all(&self.readers).await?;
        let first: i64 = rows.first().map(|row| row.try_get("number")).transpose()?.unwrap_or(1);
        let decisions = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok((decisions, (first - 1).unsigned_abs()))
    }
}

/// The number of a lesson's latest decision, 0 before the first; `None` where there is no such lesson.
async fn last_number(connection: &mut SqliteConnection, lesson: LessonId) -> Result<Option<i64>, sqlx::Error> {
    let sql = "SELECT coalesce((SELECT max(number) FROM decision WHERE decision.lesson = lesson.id), 0) FROM lesson \
               WHERE id = ?";
    sqlx::query_scalar(sql).bind(lesson.to_string()).fetch_optional(connection).await
}

async fn insert(
    connection: &mut SqliteConnection,
    lesson: LessonId,
    number: i64,
    decided: &Decided,
) -> Result<(), sqlx::Error> {
    let bps = |rate: Option<Bitrate>| rate.map(|rate| rate.bps() as i64);
    let sql = "INSERT INTO decision (lesson, number, at, participant, name, school, slot, place, before, after, reason, \
               budget, estimate, allocated, members) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(lesson.to_string())
        .bind(number)
        .bind(millis(decided.at))
        .bind(decided.participant.to_string())
        .bind(&decided.name)
        .bind(&decided.school)
        .bind(decided.slot.word())
        .bind(i64::from(decided.index))
        .bind(decided.from.map(i64::from))
        .bind(decided.to.map(i64::from))
        .bind(&decided.reason)
        .bind(bps(decided.budget))
        .bind(bps(decided.estimate))
        .bind(decided.allocated.bps() as i64)
        .bind(i64::from(decided.members))
        .execute(connection)
        .await
        .map(|_| ())
}

fn read(row: &SqliteRow) -> Result<Decided, Error> {
    let corrupt = |fact: String| Error::Corrupt { table: "decision", fact };
    let small = |column: &str| -> Result<Option<u8>, Error> {
        let value: Option<i64> = row.try_get(column)?;
        value.map(|value| u8::try_from(value).map_err(|_| corrupt(format!("{column} {value}")))).transpose()
    };
    let rate = |column: &str| -> Result<Option<Bitrate>, Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(|bps| Bitrate::from_bps(bps.unsigned_abs())))
    };
    let (participant, slot): (String, String) = (row.try_get("participant")?, row.try_get("slot")?);
    let members: i64 = row.try_get("members")?;
    Ok(Decided {
        at: from_millis("decision", row.try_get("at")?)?,
        participant: participant.parse().map_err(|_| corrupt(format!("participant {participant}")))?,
        name: row.try_get("name")?,
        school: row.try_get("school")?,
        slot: SlotName::of(&slot).ok_or_else(|| corrupt(format!("slot {slot}")))?,
        index: small("place")?.unwrap_or(0),
        from: small("before")?,
        to: small("after")?,
        reason: row.try_get("reason")?,
        budget: rate("budget")?,
        estimate: rate("estimate")?,
        allocated: rate("allocated")?.unwrap_or(Bitrate::ZERO),
        members: u32::try_from(members).map_err(|_| corrupt(format!("members {members}")))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ParticipantId;
    use crate::lesson::{Draft, JoinCode, Lesson};
    use time::macros::datetime;

    #[tokio::test]
    async fn the_latest_decisions_of_a_lesson_are_kept_and_go_with_it() {
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path()).await.expect("a new database");
        let now = datetime!(2026-11-24 08:00 UTC);
        let draft = Draft { title: "数学".into(), ..Draft::default() };
        let mut lesson = Lesson::new(draft, JoinCode::random(), now).expect("it has a title");
        store.insert_lesson(&mut lesson).await.expect("kept");
        let decided = Decided {
            at: now,
            participant: ParticipantId::random(),
            name: Some("五（1）班".into()),
            school: None,
            slot: SlotName::Slides,
            index: 0,
            from: Some(1),
            to: None,
            reason: "no_room".into(),
            budget: Some(Bitrate::from_bps(200_000)),
            estimate: None,
            allocated: Bitrate::from_bps(40_000),
            members: 3,
        };
        let many = vec![(lesson.id, decided.clone()); DECISIONS_PER_LESSON as usize];
        store.keep_decisions(&many).await.expect("kept");
        let last = Decided { to: Some(0), from: None, reason: "best".into(), ..decided.clone() };
        let mixed = [lesson.id, LessonId::random(), lesson.id].map(|lesson| (lesson, last.clone()));
        store.keep_decisions(&mixed).await.expect("kept, but for nobody's");
        store.close().await;

        let store = Store::read_only(data.path()).await.expect("the same database");
        let (kept, let_go) = store.decisions(lesson.id).await.expect("read");
        assert_eq!((kept.len() as i64, let_go), (DECISIONS_PER_LESSON, 2));
        assert_eq!((&kept[0], kept.last()), (&decided, Some(&last)));
        assert!(store.keep_decisions(&[(lesson.id, last)]).await.is_err(), "whoever reads writes nothing");
    }
}
