//! Replay: links to a recording, its media, and who watched how much.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Base, Client, Holder, Json, LessonPath, Query};
use super::files::{self, Answer, content_type};
use super::problem::{Document, Kind, Problem};
use super::recordings::recorded;
use super::state::ApiState;
use super::tickets;
use super::tokens::{member, page_url};
use crate::auth::{Opens, Publish};
use crate::id::{LessonId, ParticipantId};
use crate::lesson::{Recorded, RecordingFile, Role, Watched};
use crate::store::Stretch;

/// How long a link is good at most: a school year.
const MAX_HOURS: u32 = 24 * 366;
const VIEW_LIMIT: usize = 64;

/// A link to a recording, and for what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLink {
    /// Whether who has it may keep the files too.
    #[serde(default)]
    pub download: bool,
    /// How long it is good, 1 to 8,784 hours.
    #[schema(minimum = 1, maximum = 8784)]
    pub hours: u32,
}

/// A link to a recording. It works while the lesson goes on, too.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayLink {
    /// The page that plays it.
    pub url: String,
    /// The token in it: of role `viewer`, good for this lesson's recording alone.
    pub token: String,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// Make a link with which anybody may watch a lesson's recording.
#[utoipa::path(post, path = "/api/v1/recordings/{lesson}/links", tag = "recordings", operation_id = "link_to_recording",
    params(("lesson" = String, Path)), request_body = NewLink,
    responses((status = 201, body = ReplayLink), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn link(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    client: Client,
    holder: Holder,
    Base(base): Base,
    Json(new): Json<NewLink>,
) -> Result<(StatusCode, axum::Json<ReplayLink>), Problem> {
    let by = holder.staff(id)?;
    state.count(client.address, Some(&by))?;
    let NewLink { download, hours } = new;
    if !(1..=MAX_HOURS).contains(&hours) {
        let said = format!("hours has to be 1 to {MAX_HOURS}, not {hours}");
        return Err(Problem::new(Kind::Unprocessable, said, format!("hours 应为 1 到 {MAX_HOURS}")));
    }
    state.lesson(id).await?;
    let mut claims = member(id, ParticipantId::random(), Role::Viewer, Publish::default(), None, None);
    (claims.subscribe, claims.download) = (false, download);
    let issued = state.tokens.issue_for(claims, state.clock.latest(), Duration::hours(hours.into()));
    tracing::info!(lesson = %id, hours, download, by = ?by.role, "link to a recording made");
    let url = page_url(&base, &issued);
    let link = ReplayLink { url, token: issued.token, expires_at: issued.expires_at };
    Ok((StatusCode::CREATED, axum::Json(link)))
}

/// A stretch that was watched.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct View {
    /// Chosen by the page each time the player is opened: 1 to 64 letters, digits, `-` and `_`.
    pub view: String,
    /// From here, in milliseconds from the recording's zero.
    pub from_ms: u64,
    /// To here, two minutes later at most.
    pub to_ms: u64,
    /// How fast, 0.25 to 4.
    pub rate: f64,
}

/// Tell what was watched since it was told last: every 15 seconds of playing, and at its end.
#[utoipa::path(post, path = "/api/v1/recordings/{lesson}/views", tag = "recordings", operation_id = "view_recording",
    params(("lesson" = String, Path)), request_body = View,
    responses((status = 204), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn view(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    client: Client,
    holder: Holder,
    Json(told): Json<View>,
) -> Result<StatusCode, Problem> {
    let claims = holder.of(id)?;
    state.count(client.address, Some(&claims))?;
    let View { view, from_ms, to_ms, rate } = told;
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if view.is_empty() || view.len() > VIEW_LIMIT || !view.bytes().all(is_name) {
        let said = "view has 1 to 64 letters, digits, - and _";
        return Err(Problem::new(Kind::Unprocessable, said, "view 应为 1 到 64 个字母、数字、- 或 _"));
    }
    let took_ms = Watched { from_ms, to_ms, rate }
        .took_ms()
        .map_err(|error| Problem::new(Kind::Unprocessable, error.to_string(), "观看的起止时间或倍速不符合要求"))?;
    let stretch = Stretch { watched_ms: to_ms - from_ms, took_ms, to_ms };
    let (viewer, _) = state.identity(&claims).await;
    match state.store.add_to_view(id, &view, &viewer, stretch, state.clock.now()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::plain(Kind::RecordingNotFound)),
    }
}

/// What stands behind a file's address.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileQuery {
    /// As it stands in the address that was given.
    pub ticket: Option<String>,
    /// `1`: to be saved under a name that tells the lesson, for those who may.
    pub download: Option<u8>,
}

/// A recording's main file, as `/recordings/{lesson}.mp4`.
pub(super) async fn main_file(
    Shared(state): Shared<ApiState>,
    path: Result<Path<String>, PathRejection>,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || Problem::plain(Kind::RecordingNotFound);
    let Path(name) = path.map_err(|_| missing())?;
    let lesson = name.strip_suffix(".mp4").and_then(|lesson| lesson.parse().ok()).ok_or_else(missing)?;
    serve(&state, lesson, None, &query, &headers).await
}

/// A file of a recording, with ranges (RFC 9110 §14).
#[utoipa::path(get, path = "/recordings/{lesson}/{file}", tag = "recordings", operation_id = "recording_file",
    params(("lesson" = String, Path), ("file" = String, Path), FileQuery),
    responses((status = 200, content_type = "video/mp4"), (status = 206, content_type = "video/mp4"),
        (status = 304), (status = 416, body = Document), (status = "4XX", body = Document)))]
pub(super) async fn file(
    Shared(state): Shared<ApiState>,
    path: Result<Path<(String, String)>, PathRejection>,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || Problem::plain(Kind::RecordingNotFound);
    let Path((lesson, name)) = path.map_err(|_| missing())?;
    let lesson = lesson.parse().map_err(|_| missing())?;
    serve(&state, lesson, Some(&name), &query, &headers).await
}

/// Only what the catalogue names is served, whatever else is in the folder.
async fn serve(
    state: &ApiState,
    id: LessonId,
    name: Option<&str>,
    query: &FileQuery,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let ticket = tickets::read(state, id, query.ticket.as_deref().unwrap_or_default())?;
    let Opens::Recording { download } = ticket.opens else { return Err(Problem::plain(Kind::TicketInvalid)) };
    let wants_to_keep = query.download == Some(1);
    if wants_to_keep && !download {
        let said = "the link is for watching only";
        return Err(Problem::new(Kind::RoleNotAllowed, said, "该链接只能观看，不能下载"));
    }
    let Recorded { lesson, recording } = recorded(state, id).await?;
    let contents = state.store.contents(id).await?;
    let file = match name {
        Some(name) => contents.files.iter().find(|file| file.name == name),
        None => contents.main(),
    };
    let missing = || Problem::plain(Kind::NotFound);
    let file = file.filter(|_| recording.state.has_files()).ok_or_else(missing)?;
    let opened = state.recordings.storage().open(&recording, file).await.map_err(|error| {
        tracing::error!(lesson = %id, file = file.name, %error, "a file of a recording can't be read");
        Problem::plain(Kind::Internal)
    })?;
    let readable = opened.ok_or_else(missing)?;
    let save_as = wants_to_keep.then(|| saved_as(&lesson.title, file));
    let answer = Answer { caching: "private, max-age=3600", line: ticket.line, counted: "recording", save_as };
    files::media(state, headers, content_type(&file.name), readable, answer).await
}

/// The lesson's title and the file's own name.
fn saved_as(title: &str, file: &RecordingFile) -> String {
    let plain: String =
        title.chars().map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { ' ' } else { c }).collect();
    format!("{} {}", plain.trim(), file.name)
}
