//! Receiving over HTTP: WHEP (draft-ietf-wish-whep).

use axum::extract::{Request, State as Shared};
use axum::response::Response;

use super::connection::{self, ConnectionPath, Session, Way};
use super::extract::{Client, Holder, LessonPath};
use super::problem::{Document, Kind, Problem};
use super::sources::SourcePath;
use super::state::ApiState;
use crate::auth::Claims;
use crate::id::LessonId;
use crate::worker::mailbox::Purpose;

/// The whole lesson, through slots.
#[utoipa::path(post, path = "/whep/{lesson}", tag = "media", params(("lesson" = String, Path)),
    request_body(content = String, content_type = "application/sdp"),
    responses((status = 201, content_type = "application/sdp", body = String,
        headers(("Location" = String, description = "An absolute path"), ("ETag" = String, description = "The ICE session"))),
        (status = "4XX", body = Document), (status = 503, body = Document)),
    security(("token" = [])))]
pub(super) async fn subscribe_lesson(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    client: Client,
    holder: Holder,
    request: Request,
) -> Result<Response, Problem> {
    subscribe(&state, id, Purpose::SubscribeLesson, client, holder, request).await
}

/// One source's voice and video.
#[utoipa::path(post, path = "/whep/{lesson}/{source}", tag = "media",
    params(("lesson" = String, Path), ("source" = String, Path)),
    request_body(content = String, content_type = "application/sdp"),
    responses((status = 201, content_type = "application/sdp", body = String,
        headers(("Location" = String, description = "An absolute path"), ("ETag" = String, description = "The ICE session"))),
        (status = "4XX", body = Document), (status = 503, body = Document)),
    security(("token" = [])))]
pub(super) async fn subscribe_source(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    SourcePath(source): SourcePath,
    client: Client,
    holder: Holder,
    request: Request,
) -> Result<Response, Problem> {
    subscribe(&state, id, Purpose::SubscribeSource(source), client, holder, request).await
}

/// Trickle candidates, or restart ICE.
#[utoipa::path(patch, operation_id = "whep_patch", path = "/whep/{lesson}/c/{connection}", tag = "media",
    params(("lesson" = String, Path), ("connection" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses((status = 204, description = "Candidates taken note of"),
        (status = 200, content_type = "application/trickle-ice-sdpfrag", body = String, description = "ICE restarted"),
        (status = "4XX", body = Document)),
    security(("token" = [])))]
pub(super) async fn patch(
    Shared(state): Shared<ApiState>,
    path: ConnectionPath,
    request: Request,
) -> Result<Response, Problem> {
    connection::patch(&state, path, request).await
}

/// End the connection.
#[utoipa::path(delete, operation_id = "whep_delete", path = "/whep/{lesson}/c/{connection}", tag = "media",
    params(("lesson" = String, Path), ("connection" = String, Path)),
    responses((status = 200), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn delete(
    Shared(state): Shared<ApiState>,
    path: ConnectionPath,
    request: Request,
) -> Result<Response, Problem> {
    connection::delete(&state, path, request).await
}

/// `OPTIONS` of an endpoint.
pub(super) async fn endpoint_options(
    Shared(state): Shared<ApiState>,
    lesson: Result<LessonPath, Problem>,
    holder: Result<Holder, Problem>,
) -> Response {
    let admitted = async { admit(&state, lesson?.0, holder?).await }.await;
    connection::endpoint_options(&state, admitted)
}

async fn subscribe(
    state: &ApiState,
    lesson: LessonId,
    purpose: Purpose,
    client: Client,
    holder: Holder,
    request: Request,
) -> Result<Response, Problem> {
    let claims = admit(state, lesson, holder).await?;
    let session = Session { way: Way::Whep, lesson, purpose, sources: Vec::new() };
    connection::open(state, session, claims, client, request).await
}

/// The holder, if they may receive now.
async fn admit(state: &ApiState, lesson: LessonId, holder: Holder) -> Result<Claims, Problem> {
    let claims = holder.member(lesson)?;
    if !claims.subscribe {
        return Err(Problem::plain(Kind::MayNotReceive));
    }
    connection::live(&state.lesson(lesson).await?)?;
    state.lets_in(lesson, claims.sub)?;
    Ok(claims)
}
