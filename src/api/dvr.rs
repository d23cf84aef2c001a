//! What a lesson is cut into while it goes on, for those who missed some of it or can't receive it otherwise.

use axum::extract::{Path, State as Shared};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::extract::{Client, Holder, LessonPath};
use super::files::{self, Answer, content_type};
use super::problem::{Document, Kind, Problem};
use super::state::ApiState;
use super::tickets;
use crate::auth::Opens;
use crate::id::LessonId;
use crate::lesson::RecordingGap;

const TIMELINE: &str = "timeline.json";
/// A lesson of a whole day with a slide every second has less.
const LARGEST_TIMELINE: usize = 16 * 1024 * 1024;

/// How one track is cut up at one size.
#[derive(Debug, Serialize, serde::Deserialize, ToSchema)]
pub(crate) struct Rendition {
    /// `high`, `low` or `audio`; its playlist is `{track}/{name}/index.m3u8`.
    pub name: String,
    /// As players are told it (RFC 6381).
    pub codec: String,
    /// Pixels.
    #[serde(default)]
    pub width: Option<u16>,
    /// Pixels.
    #[serde(default)]
    pub height: Option<u16>,
    /// What it takes.
    pub bits_per_second: u64,
    /// How far it goes, in milliseconds from the zero.
    pub end_ms: u64,
}

/// One track.
#[derive(Debug, Serialize, serde::Deserialize, ToSchema)]
pub(crate) struct Track {
    /// `camera`, `slides`, …, `voice`; its master playlist is `{name}.m3u8`.
    pub name: String,
    /// `video` or `audio`.
    pub kind: String,
    /// The best first.
    pub renditions: Vec<Rendition>,
}

/// A slide came on.
#[derive(Debug, Serialize, serde::Deserialize, ToSchema)]
pub(crate) struct TimelineSlide {
    /// When, in milliseconds from the zero.
    pub at_ms: u64,
    /// A picture of it, below `base`.
    pub picture: Option<String>,
}

/// What there is to watch of a lesson that goes on. The same zero holds for all tracks.
#[derive(Debug, Serialize, serde::Deserialize, ToSchema)]
pub(crate) struct Timeline {
    /// 1.
    pub version: u32,
    /// The lesson.
    pub lesson: String,
    /// The instant of the zero on the server's clock, in milliseconds since the Unix epoch.
    pub zero_unix_ms: i64,
    /// Whether it grows still.
    pub live: bool,
    /// How far it goes.
    pub duration_ms: u64,
    /// Its tracks.
    pub tracks: Vec<Track>,
    /// Where something is missing.
    #[serde(default)]
    pub gaps: Vec<RecordingGap>,
    /// Its slides.
    #[serde(default)]
    pub slides: Vec<TimelineSlide>,
}

/// The way to what there is to watch of a lesson that goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dvr {
    /// What the paths of playlists and pieces are below: `{track}.m3u8` for a video track with the voice, `voice.m3u8`,
    /// `timeline.json`. They need no token, and are good until `expires_at`.
    pub base: String,
    /// Until when.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// What there is; `null` until anything was recorded, and when it was removed since: the recording's files stand for it then.
    pub timeline: Option<Timeline>,
}

/// Watch a lesson that goes on from where one likes.
#[utoipa::path(get, path = "/api/v1/lessons/{lesson}/dvr", tag = "recordings", operation_id = "dvr",
    params(("lesson" = String, Path)),
    responses((status = 200, body = Dvr), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn read(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    client: Client,
    holder: Holder,
) -> Result<axum::Json<Dvr>, Problem> {
    let claims = holder.of(id)?;
    state.count(client.address, Some(&claims))?;
    state.lesson(id).await?;
    let issued = tickets::issue(&state, id, &claims, client.address, Opens::Dvr).await;
    let base = format!("/lessons/{id}/dvr/{}/", issued.ticket);
    Ok(axum::Json(Dvr { base, expires_at: issued.expires_at, timeline: timeline(&state, id).await }))
}

/// What can't be read is not there yet: it is replaced every second.
async fn timeline(state: &ApiState, lesson: LessonId) -> Option<Timeline> {
    let readable = state.recordings.dvr(lesson, TIMELINE).await.ok().flatten()?;
    let text = readable.whole(LARGEST_TIMELINE).await.ok()?;
    match serde_json::from_slice(&text) {
        Ok(timeline) => Some(timeline),
        Err(error) => {
            tracing::warn!(%lesson, %error, "a timeline makes no sense");
            None
        }
    }
}

/// `GET /lessons/{lesson}/dvr/{ticket}/{path}`: one of the pieces.
pub(super) async fn piece(
    Shared(state): Shared<ApiState>,
    path: Result<Path<(String, String, String)>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || Problem::plain(Kind::NotFound);
    let Path((lesson, ticket, path)) = path.map_err(|_| missing())?;
    let lesson: LessonId = lesson.parse().map_err(|_| Problem::plain(Kind::LessonNotFound))?;
    let ticket = tickets::read(&state, lesson, &ticket)?;
    if ticket.opens != Opens::Dvr {
        return Err(Problem::plain(Kind::TicketInvalid));
    }
    let readable = state.recordings.dvr(lesson, &path).await.map_err(|error| {
        tracing::error!(%lesson, path, %error, "a piece can't be read");
        Problem::plain(Kind::Internal)
    })?;
    let readable = readable.ok_or_else(missing)?;
    let kind = content_type(&path);
    // All of it grows, and begins anew where the media process was killed: it is asked for again, and mostly unchanged.
    let answer = Answer { caching: "private, no-cache", line: ticket.line, counted: "dvr", save_as: None };
    match path.rsplit('.').next() {
        Some("m3u8" | "json") => files::text(&headers, kind, readable, &answer).await,
        Some("mp4" | "m4s" | "jpg") => files::media(&state, &headers, kind, readable, answer).await,
        _ => Err(missing()),
    }
}
