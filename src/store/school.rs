//! The roster: schools, what is known of their lines, their classrooms.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use super::{Error, Store, from_millis, millis};
use crate::id::{ClassroomId, SchoolId};
use crate::lesson::{Classroom, School};
use crate::units::Bitrate;

/// How many schools one list holds.
const LIST_LIMIT: i64 = 5_000;

/// What became of something that must not be called like another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    Kept,
    /// Another one is called so; nothing was changed.
    NameTaken,
    /// It isn't there any more.
    Gone,
}

impl Store {
    /// Keep a new school.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn insert_school(&self, school: &School) -> Result<Kept, Error> {
        let sql = "INSERT INTO school (name, county, tier, nominal_rate, share, measured_rate, measured_at, updated_at, \
                   created_at, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = bind(sqlx::query(sql), school).bind(millis(school.created_at)).bind(school.id.to_string());
        kept(query.execute(&self.writer).await)
    }

    /// Keep what has become of a school.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn change_school(&self, school: &School) -> Result<Kept, Error> {
        let sql = "UPDATE school SET name = ?, county = ?, tier = ?, nominal_rate = ?, share = ?, measured_rate = ?, \
                   measured_at = ?, updated_at = ? WHERE id = ?";
        let query = bind(sqlx::query(sql), school).bind(school.id.to_string());
        kept(query.execute(&self.writer).await)
    }

    /// Forget a school and its classrooms. Returns whether there was one.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn delete_school(&self, id: SchoolId) -> Result<bool, Error> {
        let query = sqlx::query("DELETE FROM school WHERE id = ?").bind(id.to_string());
        Ok(query.execute(&self.writer).await?.rows_affected() == 1)
    }

    /// The school of this id.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn school(&self, id: SchoolId) -> Result<Option<School>, Error> {
        let query = sqlx::query("SELECT * FROM school WHERE id = ?").bind(id.to_string());
        query.fetch_optional(&self.readers).await?.as_ref().map(read).transpose()
    }

    /// The school that this text names, by id or else by name.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn school_named(&self, text: &str) -> Result<Option<School>, Error> {
        let query = sqlx::query("SELECT * FROM school WHERE id = ? OR name = ? ORDER BY id = ? DESC LIMIT 1");
        let query = query.bind(text).bind(text).bind(text);
        query.fetch_optional(&self.readers).await?.as_ref().map(read).transpose()
    }

    /// All schools by name, at most 5,000.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn schools(&self) -> Result<Vec<School>, Error> {
        let query = sqlx::query("SELECT * FROM school ORDER BY county, name LIMIT ?").bind(LIST_LIMIT);
        query.fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    /// The classrooms of a school by name.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn classrooms(&self, school: SchoolId) -> Result<Vec<Classroom>, Error> {
        let query = sqlx::query("SELECT id, name FROM classroom WHERE school = ? ORDER BY name");
        let rows = query.bind(school.to_string()).fetch_all(&self.readers).await?;
        rows.iter().map(read_classroom).collect()
    }

    /// Keep a new classroom of a school.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn insert_classroom(&self, school: SchoolId, classroom: &Classroom) -> Result<Kept, Error> {
        let sql = "INSERT INTO classroom (id, school, name) SELECT ?, id, ? FROM school WHERE id = ?";
        let query = sqlx::query(sql).bind(classroom.id.to_string()).bind(&classroom.name).bind(school.to_string());
        kept(query.execute(&self.writer).await)
    }

    /// Call a classroom of a school something else.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn rename_classroom(&self, school: SchoolId, classroom: &Classroom) -> Result<Kept, Error> {
        let query = sqlx::query("UPDATE classroom SET name = ? WHERE id = ? AND school = ?");
        let query = query.bind(&classroom.name).bind(classroom.id.to_string()).bind(school.to_string());
        kept(query.execute(&self.writer).await)
    }

    /// Forget a classroom of a school. Returns whether there was one.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn delete_classroom(&self, school: SchoolId, id: ClassroomId) -> Result<bool, Error> {
        let query = sqlx::query("DELETE FROM classroom WHERE id = ? AND school = ?");
        let query = query.bind(id.to_string()).bind(school.to_string());
        Ok(query.execute(&self.writer).await?.rows_affected() == 1)
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// What insertion and change have in common, in the order of their columns.
fn bind<'q>(query: Query<'q>, school: &'q School) -> Query<'q> {
    let bps = |rate: Option<Bitrate>| rate.map(|rate| rate.bps() as i64);
    query
        .bind(&school.name)
        .bind(&school.county)
        .bind(&school.tier)
        .bind(bps(school.nominal))
        .bind(school.share.map(f64::from))
        .bind(bps(school.measured))
        .bind(school.measured_at.map(millis))
        .bind(millis(school.updated_at))
}

fn kept(done: Result<sqlx::sqlite::SqliteQueryResult, sqlx::Error>) -> Result<Kept, Error> {
    match done {
        Ok(done) if done.rows_affected() == 1 => Ok(Kept::Kept),
        Ok(_) => Ok(Kept::Gone),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(Kept::NameTaken),
        Err(error) => Err(error.into()),
    }
}

fn read(row: &SqliteRow) -> Result<School, Error> {
    let corrupt = |fact: String| Error::Corrupt { table: "school", fact };
    let time = |column: &str| -> Result<Option<OffsetDateTime>, Error> {
        row.try_get::<Option<i64>, _>(column)?.map(|millis| from_millis("school", millis)).transpose()
    };
    let rate = |column: &str| -> Result<Option<Bitrate>, Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(|bps| Bitrate::from_bps(bps.unsigned_abs())))
    };
    let id: String = row.try_get("id")?;
    Ok(School {
        id: id.parse().map_err(|_| corrupt(format!("id {id}")))?,
        name: row.try_get("name")?,
        county: row.try_get("county")?,
        tier: row.try_get("tier")?,
        nominal: rate("nominal_rate")?,
        share: row.try_get::<Option<f64>, _>("share")?.map(|share| share as f32),
        measured: rate("measured_rate")?,
        measured_at: time("measured_at")?,
        created_at: time("created_at")?.ok_or_else(|| corrupt(format!("{id} without creation time")))?,
        updated_at: time("updated_at")?.ok_or_else(|| corrupt(format!("{id} without time of change")))?,
    })
}

fn read_classroom(row: &SqliteRow) -> Result<Classroom, Error> {
    let id: String = row.try_get("id")?;
    let name = row.try_get("name")?;
    let id = id.parse().map_err(|_| Error::Corrupt { table: "classroom", fact: format!("id {id}") })?;
    Ok(Classroom { id, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::SchoolDraft;
    use time::macros::datetime;

    #[tokio::test]
    async fn a_school_comes_back_as_it_was_kept_by_id_and_by_name() {
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path()).await.expect("a new database");
        let draft = SchoolDraft {
            name: "河棚镇中心小学".into(),
            county: Some("舒城".into()),
            tier: Some("4M".into()),
            nominal: Some(Bitrate::from_bps(6_000_000)),
            share: Some(0.5),
            measured: Some(Bitrate::from_bps(3_100_000)),
        };
        let school = School::new(draft, datetime!(2026-11-24 08:00 UTC)).expect("it has a name");
        assert_eq!(store.insert_school(&school).await.expect("written"), Kept::Kept);
        let room = Classroom { id: ClassroomId::random(), name: "五（1）班".into() };
        assert_eq!(store.insert_classroom(school.id, &room).await.expect("written"), Kept::Kept);
        store.close().await;

        let store = Store::open(data.path()).await.expect("the same database");
        for name in [school.id.to_string(), school.name.clone()] {
            assert_eq!(store.school_named(&name).await.expect("read"), Some(school.clone()));
        }
        assert_eq!(store.classrooms(school.id).await.expect("read"), [room]);
        assert!(store.delete_school(school.id).await.expect("written"));
        assert_eq!(store.classrooms(school.id).await.expect("read"), []);
    }
}
