//! Recordings: the catalogue of them.

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row, Sqlite, SqliteConnection};
use time::{Duration, OffsetDateTime};

use super::{Error, Store, from_millis, millis};
use crate::id::LessonId;
use crate::lesson::{
    Contents, Recorded, Recording, RecordingAudio, RecordingFile, RecordingGap, RecordingSlide, RecordingState,
    RecordingVideo, Words,
};

/// How many recordings one list holds at most.
pub const RECORDINGS_PER_LIST: u32 = 200;

/// Where a list goes on: after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingCursor {
    /// When it began, in milliseconds since the Unix epoch.
    pub begun: i64,
    /// Its lesson.
    pub lesson: LessonId,
}

/// Which recordings to list.
#[derive(Debug, Clone, Default)]
pub struct RecordingFilter {
    /// Only of this lesson.
    pub lesson: Option<LessonId>,
    /// With all these words somewhere in title, teacher, subject, grade or school.
    pub words: Vec<String>,
    /// Of this subject.
    pub subject: Option<String>,
    /// Of this grade.
    pub grade: Option<String>,
    /// By this teacher.
    pub teacher: Option<String>,
    /// From this school.
    pub school: Option<String>,
    /// In this state.
    pub state: Option<RecordingState>,
    /// Begun at this time or later.
    pub from: Option<OffsetDateTime>,
    /// Begun before this time.
    pub to: Option<OffsetDateTime>,
    /// Only those after this one.
    pub after: Option<RecordingCursor>,
    /// So many at most.
    pub limit: u32,
}

const COLUMNS: &str = "recording.lesson, recording.state AS recording_state, reason_zh, reason_en, begun_at, zero, \
                       duration, octets, complete, kept, poster, ready_at, stored_at";

impl Store {
    /// Keep a recording that begins, unless the lesson has one. Of a lesson that isn't there nothing is kept. Returns whether
    /// it was.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn insert_recording(&self, recording: &Recording) -> Result<bool, Error> {
        let sql = "INSERT INTO recording (lesson, state, begun_at) SELECT id, ?, ? FROM lesson WHERE id = ? \
                   ON CONFLICT (lesson) DO NOTHING";
        let query = sqlx::query(sql).bind(recording.state.as_str()).bind(millis(recording.begun_at));
        Ok(query.bind(recording.lesson.to_string()).execute(&self.writer).await?.rows_affected() == 1)
    }

    /// A recording grows: it is so long now, and all goes well.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn recording_grows(&self, lesson: LessonId, duration_ms: u64) -> Result<(), Error> {
        let sql = "UPDATE recording SET duration = ?, reason_zh = NULL, reason_en = NULL \
                   WHERE lesson = ? AND state IN ('recording', 'finishing')";
        let query = sqlx::query(sql).bind(i64::try_from(duration_ms).unwrap_or(i64::MAX)).bind(lesson.to_string());
        query.execute(&self.writer).await?;
        Ok(())
    }

    /// The lesson of a recording has ended.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn finish_recording(&self, lesson: LessonId) -> Result<(), Error> {
        let sql = "UPDATE recording SET state = 'finishing' WHERE lesson = ? AND state = 'recording'";
        sqlx::query(sql).bind(lesson.to_string()).execute(&self.writer).await?;
        Ok(())
    }

    /// Say why a recording isn't further.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn explain_recording(&self, lesson: LessonId, why: Option<&Words>) -> Result<(), Error> {
        let query = sqlx::query("UPDATE recording SET reason_zh = ?, reason_en = ? WHERE lesson = ?");
        let query = query.bind(why.map(|why| &why.zh)).bind(why.map(|why| &why.en)).bind(lesson.to_string());
        query.execute(&self.writer).await?;
        Ok(())
    }

    /// A recording can't be made, and why. One whose first files are there is left with them.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn fail_recording(&self, lesson: LessonId, why: &Words) -> Result<(), Error> {
        let sql = "UPDATE recording SET complete = state IN ('ready', 'repaired'), \
                   state = CASE WHEN state IN ('ready', 'repaired') THEN state ELSE 'failed' END, \
                   reason_zh = ?, reason_en = ? WHERE lesson = ?";
        let query = sqlx::query(sql).bind(&why.zh).bind(&why.en).bind(lesson.to_string());
        query.execute(&self.writer).await?;
        Ok(())
    }

    /// Recordings that failed are to be tried again.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn retry_recordings(&self) -> Result<(), Error> {
        sqlx::query("UPDATE recording SET state = 'finishing' WHERE state = 'failed'").execute(&self.writer).await?;
        Ok(())
    }

    /// All files of a recording are there.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn complete_recording(&self, lesson: LessonId) -> Result<(), Error> {
        let sql = "UPDATE recording SET complete = 1 WHERE lesson = ? AND state IN ('ready', 'repaired')";
        sqlx::query(sql).bind(lesson.to_string()).execute(&self.writer).await?;
        Ok(())
    }

    /// The files of a recording were verified in the object store.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn stored_recording(&self, lesson: LessonId, now: OffsetDateTime) -> Result<(), Error> {
        let query = sqlx::query("UPDATE recording SET stored_at = ? WHERE lesson = ?");
        query.bind(millis(now)).bind(lesson.to_string()).execute(&self.writer).await?;
        Ok(())
    }

    /// Keep a recording with what it is made of, whole.
    ///
    /// # Errors
    /// [`Error::Statement`]; what was kept before stays then.
    pub async fn catalogue(&self, recording: &Recording, contents: &Contents) -> Result<(), Error> {
        let mut transaction = self.writer.begin().await?;
        change(&mut transaction, recording).await?;
        insert_contents(&mut transaction, recording.lesson, contents).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Say whether somebody wants a recording kept. Returns whether there is one.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn keep_recording(&self, lesson: LessonId, kept: bool) -> Result<bool, Error> {
        let query = sqlx::query("UPDATE recording SET kept = ? WHERE lesson = ?").bind(kept).bind(lesson.to_string());
        Ok(query.execute(&self.writer).await?.rows_affected() == 1)
    }

    /// Forget a recording. Returns whether there was one.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn delete_recording(&self, lesson: LessonId) -> Result<bool, Error> {
        let query = sqlx::query("DELETE FROM recording WHERE lesson = ?").bind(lesson.to_string());
        Ok(query.execute(&self.writer).await?.rows_affected() == 1)
    }

    /// A lesson's recording.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn recording(&self, lesson: LessonId) -> Result<Option<Recording>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM recording WHERE lesson = ?");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(lesson.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// All recordings, the oldest first.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn all_recordings(&self) -> Result<Vec<Recording>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM recording ORDER BY begun_at, lesson");
        sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.readers).await?.iter().map(read).collect()
    }

    /// The recordings for which something remains to be done, and where their lessons are in their lives.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn unfinished_recordings(&self) -> Result<Vec<Recorded>, Error> {
        let sql = format!(
            "SELECT lesson.*, {COLUMNS} FROM recording JOIN lesson ON lesson.id = recording.lesson \
             WHERE recording.complete = 0 AND recording.state <> 'failed' ORDER BY begun_at, lesson"
        );
        sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.readers).await?.iter().map(read_both).collect()
    }

    /// Recordings with their lessons, the latest first.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn recordings(&self, filter: &RecordingFilter) -> Result<Vec<Recorded>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT lesson.*, ");
        query.push(COLUMNS).push(" FROM recording JOIN lesson ON lesson.id = recording.lesson WHERE 1 = 1");
        for word in &filter.words {
            query.push(
                " AND instr(lower(title || ' ' || coalesce(teacher, '') || ' ' || coalesce(subject, '') || ' ' || ",
            );
            query.push("coalesce(grade, '') || ' ' || coalesce(school, '')), lower(").push_bind(word).push(")) > 0");
        }
        for (column, value) in [
            ("subject", &filter.subject),
            ("grade", &filter.grade),
            ("teacher", &filter.teacher),
            ("school", &filter.school),
        ] {
            if let Some(value) = value {
                query.push(" AND lesson.").push(column).push(" = ").push_bind(value);
            }
        }
        if let Some(lesson) = filter.lesson {
            query.push(" AND recording.lesson = ").push_bind(lesson.to_string());
        }
        if let Some(state) = filter.state {
            query.push(" AND recording.state = ").push_bind(state.as_str());
        }
        if let Some(from) = filter.from {
            query.push(" AND begun_at >= ").push_bind(millis(from));
        }
        if let Some(to) = filter.to {
            query.push(" AND begun_at < ").push_bind(millis(to));
        }
        if let Some(RecordingCursor { begun, lesson }) = filter.after {
            query.push(" AND (begun_at, recording.lesson) < (").push_bind(begun).push(", ");
            query.push_bind(lesson.to_string()).push(")");
        }
        query.push(" ORDER BY begun_at DESC, recording.lesson DESC LIMIT ");
        query.push_bind(filter.limit.min(RECORDINGS_PER_LIST));
        query.build().fetch_all(&self.readers).await?.iter().map(read_both).collect()
    }

    /// How many recordings there are by state, and how large they are together.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn count_recordings(&self) -> Result<Vec<(RecordingState, u64, u64)>, Error> {
        let rows = sqlx::query("SELECT state, count(*) AS number, sum(octets) AS octets FROM recording GROUP BY state");
        let mut counts = Vec::new();
        for row in rows.fetch_all(&self.readers).await? {
            let state: String = row.try_get("state")?;
            let (number, octets): (i64, i64) = (row.try_get("number")?, row.try_get("octets")?);
            counts
                .extend(RecordingState::of(&state).map(|state| (state, number.unsigned_abs(), octets.unsigned_abs())));
        }
        Ok(counts)
    }

    /// What a recording is made of.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn contents(&self, lesson: LessonId) -> Result<Contents, Error> {
        let rows = async |table: &str| {
            let sql = format!("SELECT * FROM {table} WHERE lesson = ? ORDER BY number");
            sqlx::query(AssertSqlSafe(sql)).bind(lesson.to_string()).fetch_all(&self.readers).await
        };
        let files = rows("recording_file").await?.iter().map(read_file).collect::<Result<_, sqlx::Error>>()?;
        let slide = |row: &SqliteRow| Ok(RecordingSlide { at_ms: count(row, "at")?, picture: row.try_get("picture")? });
        let slides = rows("recording_slide").await?.iter().map(slide).collect::<Result<_, sqlx::Error>>()?;
        let gap = |row: &SqliteRow| {
            let (from_ms, to_ms) = (count(row, "begins")?, count(row, "ends")?);
            Ok(RecordingGap { from_ms, to_ms, track: row.try_get("track")?, why: row.try_get("why")? })
        };
        let gaps = rows("recording_gap").await?.iter().map(gap).collect::<Result<_, sqlx::Error>>()?;
        let lack = |row: &SqliteRow| Ok(Words { zh: row.try_get("zh")?, en: row.try_get("en")? });
        let lacks = rows("recording_lack").await?.iter().map(lack).collect::<Result<_, sqlx::Error>>()?;
        Ok(Contents { files, slides, gaps, lacks })
    }
}

async fn change(connection: &mut SqliteConnection, recording: &Recording) -> Result<(), sqlx::Error> {
    let sql = "UPDATE recording SET state = ?, reason_zh = ?, reason_en = ?, zero = ?, duration = ?, octets = ?, \
               complete = ?, poster = ?, ready_at = ?, stored_at = ? WHERE lesson = ?";
    sqlx::query(sql)
        .bind(recording.state.as_str())
        .bind(recording.reason.as_ref().map(|reason| &reason.zh))
        .bind(recording.reason.as_ref().map(|reason| &reason.en))
        .bind(recording.zero.map(millis))
        .bind(recording.duration.whole_milliseconds() as i64)
        .bind(recording.octets as i64)
        .bind(recording.complete)
        .bind(&recording.poster)
        .bind(recording.ready_at.map(millis))
        .bind(recording.stored_at.map(millis))
        .bind(recording.lesson.to_string())
        .execute(connection)
        .await
        .map(|_| ())
}

async fn insert_contents(
    connection: &mut SqliteConnection,
    lesson: LessonId,
    contents: &Contents,
) -> Result<(), sqlx::Error> {
    let lesson = lesson.to_string();
    for table in ["recording_file", "recording_slide", "recording_gap", "recording_lack"] {
        let sql = format!("DELETE FROM {table} WHERE lesson = ?");
        sqlx::query(AssertSqlSafe(sql)).bind(&lesson).execute(&mut *connection).await?;
    }
    for (number, file) in (0_i64..).zip(&contents.files) {
        let sql = "INSERT INTO recording_file (lesson, number, name, track, variant, whole, video, width, height, audio, \
                   octets, sha256, duration) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(&lesson)
            .bind(number)
            .bind(&file.name)
            .bind(&file.track)
            .bind(&file.variant)
            .bind(file.whole)
            .bind(file.video.as_ref().map(|video| &video.codec))
            .bind(file.video.as_ref().map(|video| i64::from(video.width)))
            .bind(file.video.as_ref().map(|video| i64::from(video.height)))
            .bind(file.audio.as_ref().map(|audio| &audio.codec))
            .bind(file.octets as i64)
            .bind(&file.sha256)
            .bind(file.duration_ms as i64)
            .execute(&mut *connection)
            .await?;
    }
    for (number, slide) in (0_i64..).zip(&contents.slides) {
        let query = sqlx::query("INSERT INTO recording_slide (lesson, number, at, picture) VALUES (?, ?, ?, ?)");
        let query = query.bind(&lesson).bind(number).bind(slide.at_ms as i64).bind(&slide.picture);
        query.execute(&mut *connection).await?;
    }
    for (number, gap) in (0_i64..).zip(&contents.gaps) {
        let sql = "INSERT INTO recording_gap (lesson, number, begins, ends, track, why) VALUES (?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(&lesson).bind(number).bind(gap.from_ms as i64).bind(gap.to_ms as i64);
        query.bind(&gap.track).bind(&gap.why).execute(&mut *connection).await?;
    }
    for (number, lack) in (0_i64..).zip(&contents.lacks) {
        let query = sqlx::query("INSERT INTO recording_lack (lesson, number, zh, en) VALUES (?, ?, ?, ?)");
        query.bind(&lesson).bind(number).bind(&lack.zh).bind(&lack.en).execute(&mut *connection).await?;
    }
    Ok(())
}

fn count(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)?.unsigned_abs())
}

fn read_file(row: &SqliteRow) -> Result<RecordingFile, sqlx::Error> {
    let pixels = |column: &str| -> Result<u16, sqlx::Error> {
        let value: Option<i64> = row.try_get(column)?;
        Ok(value.and_then(|value| u16::try_from(value).ok()).unwrap_or_default())
    };
    let (codec, audio): (Option<String>, Option<String>) = (row.try_get("video")?, row.try_get("audio")?);
    let (width, height) = (pixels("width")?, pixels("height")?);
    Ok(RecordingFile {
        name: row.try_get("name")?,
        track: row.try_get("track")?,
        variant: row.try_get("variant")?,
        whole: row.try_get("whole")?,
        video: codec.map(|codec| RecordingVideo { codec, width, height }),
        audio: audio.map(|codec| RecordingAudio { codec }),
        octets: count(row, "octets")?,
        sha256: row.try_get("sha256")?,
        duration_ms: count(row, "duration")?,
    })
}

fn read_both(row: &SqliteRow) -> Result<Recorded, Error> {
    Ok(Recorded { lesson: super::lesson::read(row)?, recording: read(row)? })
}

fn read(row: &SqliteRow) -> Result<Recording, Error> {
    let corrupt = |fact: String| Error::Corrupt { table: "recording", fact };
    let time = |column: &str| -> Result<Option<OffsetDateTime>, Error> {
        row.try_get::<Option<i64>, _>(column)?.map(|millis| from_millis("recording", millis)).transpose()
    };
    let (lesson, state): (String, String) = (row.try_get("lesson")?, row.try_get("recording_state")?);
    let (zh, en): (Option<String>, Option<String>) = (row.try_get("reason_zh")?, row.try_get("reason_en")?);
    Ok(Recording {
        lesson: lesson.parse().map_err(|_| corrupt(format!("lesson {lesson}")))?,
        state: RecordingState::of(&state).ok_or_else(|| corrupt(format!("state {state}")))?,
        reason: zh.zip(en).map(|(zh, en)| Words { zh, en }),
        begun_at: time("begun_at")?.ok_or_else(|| corrupt(format!("{lesson} without a beginning")))?,
        zero: time("zero")?,
        duration: Duration::milliseconds(row.try_get("duration")?),
        octets: count(row, "octets")?,
        complete: row.try_get("complete")?,
        kept: row.try_get("kept")?,
        poster: row.try_get("poster")?,
        ready_at: time("ready_at")?,
        stored_at: time("stored_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::{Draft, JoinCode, Lesson};
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00:00.125 UTC);

    async fn store() -> (tempfile::TempDir, Store) {
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path()).await.expect("a new database");
        (data, store)
    }

    async fn recorded(store: &Store, title: &str, teacher: &str, at: OffsetDateTime) -> Recording {
        let draft = Draft {
            title: title.into(),
            teacher: Some(teacher.into()),
            school: Some("县实验小学".into()),
            ..Draft::default()
        };
        let mut lesson = Lesson::new(draft, JoinCode::random(), at).expect("it has a title");
        store.insert_lesson(&mut lesson).await.expect("kept");
        let recording = Recording::new(lesson.id, at);
        assert!(store.insert_recording(&recording).await.expect("kept"));
        assert!(!store.insert_recording(&recording).await.expect("there is one"), "one recording per lesson");
        recording
    }

    fn contents() -> Contents {
        let picture = RecordingFile {
            name: "poster.jpg".into(),
            track: None,
            variant: None,
            whole: true,
            video: None,
            audio: None,
            octets: 3,
            sha256: "00".into(),
            duration_ms: 0,
        };
        let camera = RecordingFile {
            name: "camera.mp4".into(),
            track: Some("camera".into()),
            variant: Some("original".into()),
            whole: false,
            video: Some(RecordingVideo { codec: "h264".into(), width: 1280, height: 720 }),
            audio: Some(RecordingAudio { codec: "opus".into() }),
            duration_ms: 2_700_000,
            ..picture.clone()
        };
        Contents {
            files: vec![camera, picture],
            slides: vec![RecordingSlide { at_ms: 5, picture: Some("slide-0001.jpg".into()) }],
            gaps: vec![RecordingGap { from_ms: 1, to_ms: 2, track: None, why: "server_down".into() }],
            lacks: vec![Words::new("缺少课件", "the slides are missing")],
        }
    }

    #[tokio::test]
    async fn a_recording_comes_back_as_it_was_catalogued_and_goes_with_all_it_is_made_of() {
        let (data, store) = store().await;
        let mut recording = recorded(&store, "数学", "王老师", NOW).await;
        assert_eq!(store.unfinished_recordings().await.expect("read").len(), 1);
        recording.state = RecordingState::Repaired;
        recording.reason = Some(Words::new("中断两次", "interrupted twice"));
        (recording.zero, recording.ready_at, recording.stored_at) = (Some(NOW), Some(NOW), Some(NOW));
        (recording.duration, recording.octets) = (Duration::minutes(45), 1 << 33);
        (recording.complete, recording.poster) = (true, Some("poster.jpg".into()));
        store.catalogue(&recording, &contents()).await.expect("kept");
        store.catalogue(&recording, &contents()).await.expect("kept in place of what was");
        assert!(store.keep_recording(recording.lesson, true).await.expect("kept"));
        store.close().await;

        let store = Store::open(data.path()).await.expect("the same database");
        recording.kept = true;
        assert_eq!(store.recording(recording.lesson).await.expect("read"), Some(recording.clone()));
        assert_eq!(store.contents(recording.lesson).await.expect("read"), contents());
        assert_eq!(store.unfinished_recordings().await.expect("read"), []);
        assert_eq!(store.count_recordings().await.expect("read"), [(RecordingState::Repaired, 1, 1 << 33)]);
        assert!(store.delete_recording(recording.lesson).await.expect("deleted"));
        assert_eq!(store.contents(recording.lesson).await.expect("read"), Contents::default());
        assert!(!store.delete_recording(recording.lesson).await.expect("there is none"));
        assert!(!store.insert_recording(&Recording::new(LessonId::random(), NOW)).await.expect("no such lesson"));
    }

    #[tokio::test]
    async fn recordings_are_found_by_words_and_listed_page_by_page() {
        let (_data, store) = store().await;
        let mut all = Vec::new();
        for (number, title) in ["五年级英语 Unit 3", "数学：分数", "五年级英语 Unit 4"].into_iter().enumerate()
        {
            let teacher = if number == 1 { "李老师" } else { "王老师" };
            all.push(recorded(&store, title, teacher, NOW + Duration::days(number as i64)).await.lesson);
        }
        let ids = async |filter: RecordingFilter| {
            let found = store.recordings(&RecordingFilter { limit: 10, ..filter }).await.expect("read");
            found.iter().map(|recorded| recorded.lesson.id).collect::<Vec<_>>()
        };
        let words = |text: &str| RecordingFilter {
            words: text.split(' ').map(str::to_owned).collect(),
            ..RecordingFilter::default()
        };
        assert_eq!(ids(RecordingFilter::default()).await, [all[2], all[1], all[0]]);
        assert_eq!(ids(words("unit 王")).await, [all[2], all[0]]);
        assert_eq!(ids(words("100%")).await, []);
        assert_eq!(
            ids(RecordingFilter { teacher: Some("李老师".into()), ..RecordingFilter::default() }).await,
            [all[1]]
        );
        let day = |days| Some(NOW + Duration::days(days));
        assert_eq!(ids(RecordingFilter { from: day(1), to: day(2), ..RecordingFilter::default() }).await, [all[1]]);
        let first = store.recordings(&RecordingFilter { limit: 2, ..RecordingFilter::default() }).await.expect("read");
        let last = &first.last().expect("two").recording;
        let after = Some(RecordingCursor { begun: millis(last.begun_at), lesson: last.lesson });
        assert_eq!(ids(RecordingFilter { after, ..RecordingFilter::default() }).await, [all[0]]);
    }
}
