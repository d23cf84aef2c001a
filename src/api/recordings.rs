//! Recordings: find, read, keep, remove.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Client, Holder, Json, LessonPath, Query};
use super::problem::{Document, Kind, Problem};
use super::state::ApiState;
use super::tickets;
use crate::auth::{Claims, Opens};
use crate::id::LessonId;
use crate::lesson::{
    Recorded, RecordingAudio, RecordingFile, RecordingGap, RecordingState, RecordingVideo, Role, State, ViewSum, Words,
};
use crate::recording::Overview;
use crate::store::{RECORDINGS_PER_LIST, RecordingCursor, RecordingFilter};

/// How many recordings a list holds unless said.
const USUAL_LIMIT: u32 = 50;
/// Words that are looked for.
const MAX_WORDS: usize = 8;

/// A recording with its lesson, as it is listed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recording)]
pub(crate) struct RecordingView {
    /// Its lesson, whose only recording it is.
    #[schema(value_type = String)]
    pub lesson: LessonId,
    /// What the lesson is called.
    pub title: String,
    /// Who teaches.
    pub teacher: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The grade.
    pub grade: Option<String>,
    /// The school of the studio.
    pub school: Option<String>,
    /// Where the lesson is in its life.
    pub lesson_state: State,
    /// Where the recording is in its.
    pub state: RecordingState,
    /// Why it isn't further; `null` where all goes as it should.
    pub reason: Option<Words>,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub begun_at: OffsetDateTime,
    /// The instant of its zero, in milliseconds since the Unix epoch, once anything was recorded.
    pub zero_unix_ms: Option<i64>,
    /// How long it is, or, of a lesson that goes on, was a few seconds ago.
    pub duration_ms: u64,
    /// How large its files are together.
    pub bytes: u64,
    /// Whether all its files are there, those that are made afterwards too.
    pub complete: bool,
    /// Whether it is kept, whatever the rules say.
    pub kept: bool,
    /// A picture of it.
    pub poster: Option<String>,
}

impl RecordingView {
    fn new(Recorded { lesson, recording }: &Recorded, ticket: &str) -> Self {
        let poster = recording.poster.as_ref().filter(|_| recording.state.has_files());
        Self {
            lesson: lesson.id,
            title: lesson.title.clone(),
            teacher: lesson.teacher.clone(),
            subject: lesson.subject.clone(),
            grade: lesson.grade.clone(),
            school: lesson.school.clone(),
            lesson_state: lesson.state,
            state: recording.state,
            reason: recording.reason.clone(),
            begun_at: recording.begun_at,
            zero_unix_ms: recording.zero.map(|zero| (zero.unix_timestamp_nanos() / 1_000_000) as i64),
            duration_ms: u64::try_from(recording.duration.whole_milliseconds()).unwrap_or_default(),
            bytes: recording.octets,
            complete: recording.complete,
            kept: recording.kept,
            poster: poster.map(|name| address(lesson.id, name, ticket)),
        }
    }
}

/// Where a file is, signed.
fn address(lesson: LessonId, name: &str, ticket: &str) -> String {
    format!("/recordings/{lesson}/{name}?ticket={ticket}")
}

/// One file of a recording.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordingFile)]
pub(crate) struct FileView {
    /// Its name.
    pub name: String,
    /// `camera`, `slides`, …; `voice` where there is no picture.
    pub track: String,
    /// `original`: as it was received; `compatible`: H.264 and AAC, for players that need them.
    pub variant: String,
    /// Whether it has all that was recorded of its track. A track that changed its codec has an original for each; its
    /// compatible file has all of it.
    pub whole: bool,
    /// Its picture.
    pub video: Option<RecordingVideo>,
    /// Its sound.
    pub audio: Option<RecordingAudio>,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// How long it is.
    pub duration_ms: u64,
    /// Where it is played from, with ranges; good until `expires_at`.
    pub url: String,
    /// Where it is saved from, for those who may.
    pub download_url: Option<String>,
}

impl FileView {
    fn new(lesson: LessonId, file: RecordingFile, ticket: &str, download: bool) -> Option<Self> {
        let url = address(lesson, &file.name, ticket);
        let RecordingFile { name, track, variant, whole, video, audio, octets, sha256, duration_ms } = file;
        let (track, variant) = (track?, variant.unwrap_or_default());
        let download_url = download.then(|| format!("{url}&download=1"));
        Some(Self { name, track, variant, whole, video, audio, bytes: octets, sha256, duration_ms, url, download_url })
    }
}

/// A slide came on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordingSlide)]
pub(crate) struct SlideView {
    /// When, in milliseconds from the recording's zero.
    pub at_ms: u64,
    /// A picture of it.
    pub picture: Option<String>,
}

/// A recording, whole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordingDetails {
    /// As it is listed.
    #[serde(flatten)]
    pub recording: RecordingView,
    /// Until when its addresses are good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// The one file that stands for it: the teacher's picture with the voice, as it was sent where one file has all of it.
    pub main: Option<String>,
    /// Its files; none until they were made. Until then the lesson's `dvr` has what there is.
    pub files: Vec<FileView>,
    /// Its slides.
    pub slides: Vec<SlideView>,
    /// Where something is missing.
    pub gaps: Vec<RecordingGap>,
    /// What it lacks, in words.
    pub missing: Vec<Words>,
    /// Whether the holder may keep its files.
    pub may_download: bool,
    /// How much it was watched; for operators and the studio.
    pub views: Option<ViewSum>,
}

/// Which recordings to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecordingQuery {
    /// Words that all stand somewhere in title, teacher, subject, grade or school; at most eight.
    pub q: Option<String>,
    /// Only of this subject.
    pub subject: Option<String>,
    /// Only of this grade.
    pub grade: Option<String>,
    /// Only by this teacher.
    pub teacher: Option<String>,
    /// Only from this school.
    pub school: Option<String>,
    /// Only in this state.
    pub state: Option<RecordingState>,
    /// Only begun at this time or later (RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub from: Option<OffsetDateTime>,
    /// Only begun before this time (RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub to: Option<OffsetDateTime>,
    /// So many at most; 50 unless said, 200 at most.
    pub limit: Option<u32>,
    /// Where the list before said that it goes on.
    pub cursor: Option<String>,
}

/// Recordings, the latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordingList {
    /// The recordings.
    pub recordings: Vec<RecordingView>,
    /// Where the list goes on; `null` at its end.
    pub next: Option<String>,
}

/// List recordings: an operator sees all of them, everybody else their own lesson's.
#[utoipa::path(get, path = "/api/v1/recordings", tag = "recordings", operation_id = "list_recordings", params(RecordingQuery),
    responses((status = 200, body = RecordingList), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn list(
    Shared(state): Shared<ApiState>,
    client: Client,
    Holder(claims): Holder,
    Query(query): Query<RecordingQuery>,
) -> Result<axum::Json<RecordingList>, Problem> {
    let limit = query.limit.unwrap_or(USUAL_LIMIT).clamp(1, RECORDINGS_PER_LIST);
    let text = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let filter = RecordingFilter {
        lesson: (claims.role != Role::Operator).then_some(claims.lesson).flatten(),
        words: query.q.unwrap_or_default().split_whitespace().take(MAX_WORDS).map(str::to_owned).collect(),
        subject: text(query.subject),
        grade: text(query.grade),
        teacher: text(query.teacher),
        school: text(query.school),
        state: query.state,
        from: query.from,
        to: query.to,
        after: query.cursor.as_deref().map(cursor).transpose()?,
        // One more, to know whether there is more.
        limit: limit + 1,
    };
    if claims.role != Role::Operator && filter.lesson.is_none() {
        return Err(Problem::plain(Kind::RoleNotAllowed));
    }
    let mut found = state.store.recordings(&filter).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|last| {
        let begun = last.recording.begun_at.unix_timestamp_nanos() / 1_000_000;
        format!("{begun}-{}", last.recording.lesson)
    });
    let mut recordings = Vec::with_capacity(found.len());
    for recorded in &found {
        let opens = Opens::Recording { download: false };
        let ticket = tickets::issue(&state, recorded.lesson.id, &claims, client.address, opens).await.ticket;
        recordings.push(RecordingView::new(recorded, &ticket));
    }
    Ok(axum::Json(RecordingList { recordings, next }))
}

fn cursor(text: &str) -> Result<RecordingCursor, Problem> {
    let parts = text.rsplit_once('-').and_then(|(begun, lesson)| Some((begun.parse().ok()?, lesson.parse().ok()?)));
    let (begun, lesson) = parts
        .ok_or_else(|| Problem::new(Kind::BadRequest, "cursor is none that a list gave", "cursor 不是列表返回的值"))?;
    Ok(RecordingCursor { begun, lesson })
}

/// A lesson with its recording, or the problem that it has none.
pub(super) async fn recorded(state: &ApiState, id: LessonId) -> Result<Recorded, Problem> {
    let lesson = state.lesson(id).await?;
    let recording = state.store.recording(id).await?.ok_or_else(|| Problem::plain(Kind::RecordingNotFound))?;
    Ok(Recorded { lesson, recording })
}

/// Operators and the studio may keep what was recorded, viewers if their link says so, classrooms may watch.
const fn may_download(claims: &Claims) -> bool {
    match claims.role {
        Role::Operator | Role::Studio => true,
        Role::Viewer => claims.download,
        Role::Classroom => false,
    }
}

/// Read a recording: what it is made of, and signed addresses of its files.
#[utoipa::path(get, path = "/api/v1/recordings/{lesson}", tag = "recordings", operation_id = "read_recording",
    params(("lesson" = String, Path)),
    responses((status = 200, body = RecordingDetails), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn read(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    client: Client,
    holder: Holder,
) -> Result<axum::Json<RecordingDetails>, Problem> {
    let claims = holder.of(id)?;
    let recorded = recorded(&state, id).await?;
    let download = may_download(&claims);
    let issued = tickets::issue(&state, id, &claims, client.address, Opens::Recording { download }).await;
    let ticket = issued.ticket.as_str();
    let mut contents = state.store.contents(id).await?;
    if !recorded.recording.state.has_files() {
        contents.files.clear();
    }
    let main = contents.main().map(|_| format!("/recordings/{id}.mp4?ticket={ticket}"));
    let is_there = |name: &String| contents.files.iter().any(|file| file.name == *name);
    let slides = contents.slides.iter().map(|slide| {
        let picture = slide.picture.as_ref().filter(|name| is_there(name));
        SlideView { at_ms: slide.at_ms, picture: picture.map(|name| address(id, name, ticket)) }
    });
    let slides = slides.collect();
    let files = contents.files.into_iter().filter_map(|file| FileView::new(id, file, ticket, download)).collect();
    let views = match claims.role {
        Role::Operator | Role::Studio => Some(state.store.views(id).await?),
        Role::Classroom | Role::Viewer => None,
    };
    Ok(axum::Json(RecordingDetails {
        recording: RecordingView::new(&recorded, ticket),
        expires_at: issued.expires_at,
        main,
        files,
        slides,
        gaps: contents.gaps,
        missing: contents.lacks,
        may_download: download,
        views,
    }))
}

/// Remove a recording, and what was received of its lesson. It isn't to be had back.
#[utoipa::path(delete, path = "/api/v1/recordings/{lesson}", tag = "recordings", operation_id = "delete_recording",
    params(("lesson" = String, Path)),
    responses((status = 204), (status = 409, body = Document), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn delete(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    holder: Holder,
) -> Result<StatusCode, Problem> {
    holder.operator()?;
    let Recorded { lesson, recording } = recorded(&state, id).await?;
    let is_over = lesson.state == State::Ended && (recording.complete || recording.state == RecordingState::Failed);
    if !is_over {
        return Err(Problem::plain(Kind::RecordingUnfinished));
    }
    match state.recordings.delete(id).await {
        Ok(true) => {
            tracing::info!(lesson = %id, "recording removed by an operator");
            metrics::counter!("mingshi_recordings_removed_total", "why" => "asked").increment(1);
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(false) => Err(Problem::plain(Kind::RecordingNotFound)),
        Err(error) => {
            tracing::error!(lesson = %id, %error, "a recording can't be removed");
            Err(Problem::plain(Kind::Internal))
        }
    }
}

/// Whether a recording is kept, whatever the rules say.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptRecording {
    /// Whether it is.
    pub kept: bool,
}

/// Keep a recording, whatever the rules say, or no longer.
#[utoipa::path(put, path = "/api/v1/recordings/{lesson}/kept", tag = "recordings", operation_id = "keep_recording",
    params(("lesson" = String, Path)), request_body = KeptRecording,
    responses((status = 200, body = KeptRecording), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn keep(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    holder: Holder,
    Json(wanted): Json<KeptRecording>,
) -> Result<axum::Json<KeptRecording>, Problem> {
    holder.operator()?;
    match state.store.keep_recording(id, wanted.kept).await? {
        true => Ok(axum::Json(wanted)),
        false => Err(Problem::plain(Kind::RecordingNotFound)),
    }
}

/// How recording goes: the disk, the media processes, what went wrong lately.
#[utoipa::path(get, path = "/api/v1/recordings/overview", tag = "recordings", operation_id = "recording_overview",
    responses((status = 200, body = Overview), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn overview(Shared(state): Shared<ApiState>, holder: Holder) -> Result<axum::Json<Overview>, Problem> {
    holder.operator()?;
    Ok(axum::Json(state.recordings.overview()))
}
