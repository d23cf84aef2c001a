//! Publishing over HTTP: WHIP (RFC 9725).

use axum::extract::{Request, State as Shared};
use axum::response::Response;

use super::connection::{self, ConnectionPath, Session, Way};
use super::extract::{Client, Holder, LessonPath};
use super::problem::{Document, Kind, Problem};
use super::sources::SourcePath;
use super::state::ApiState;
use crate::auth::Claims;
use crate::id::{LessonId, SourceName};
use crate::lesson::{Lesson, Role, State};
use crate::worker::mailbox::Purpose;

/// The studio page's one connection: voice and camera, slides.
#[utoipa::path(post, path = "/whip/{lesson}", tag = "media", params(("lesson" = String, Path)),
    request_body(content = String, content_type = "application/sdp"),
    responses((status = 201, content_type = "application/sdp", body = String,
        headers(("Location" = String, description = "An absolute path"), ("ETag" = String, description = "The ICE session"))),
        (status = "4XX", body = Document), (status = 503, body = Document)),
    security(("token" = [])))]
pub(super) async fn publish_studio(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    client: Client,
    holder: Holder,
    request: Request,
) -> Result<Response, Problem> {
    let claims = admit_studio(&state, id, holder).await?;
    let sources = studio_sources().to_vec();
    let session = Session { way: Way::Whip, lesson: id, purpose: Purpose::PublishStudio, sources };
    connection::open(&state, session, claims, client, request).await
}

/// One source, at most one voice and one video.
#[utoipa::path(post, path = "/whip/{lesson}/{source}", tag = "media",
    params(("lesson" = String, Path), ("source" = String, Path)),
    request_body(content = String, content_type = "application/sdp"),
    responses((status = 201, content_type = "application/sdp", body = String,
        headers(("Location" = String, description = "An absolute path"), ("ETag" = String, description = "The ICE session"))),
        (status = "4XX", body = Document), (status = 503, body = Document)),
    security(("token" = [])))]
pub(super) async fn publish_source(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    SourcePath(source): SourcePath,
    client: Client,
    holder: Holder,
    request: Request,
) -> Result<Response, Problem> {
    let claims = admit(&state, id, &source, holder).await?;
    let session =
        Session { way: Way::Whip, lesson: id, purpose: Purpose::PublishSource(source.clone()), sources: vec![source] };
    connection::open(&state, session, claims, client, request).await
}

/// `OPTIONS` of the studio page's endpoint.
pub(super) async fn studio_options(
    Shared(state): Shared<ApiState>,
    lesson: Result<LessonPath, Problem>,
    holder: Result<Holder, Problem>,
) -> Response {
    let admitted = async { admit_studio(&state, lesson?.0, holder?).await }.await;
    connection::endpoint_options(&state, admitted)
}

/// `OPTIONS` of one source's endpoint.
pub(super) async fn source_options(
    Shared(state): Shared<ApiState>,
    lesson: Result<LessonPath, Problem>,
    source: Result<SourcePath, Problem>,
    holder: Result<Holder, Problem>,
) -> Response {
    let admitted = async { admit(&state, lesson?.0, &source?.0, holder?).await }.await;
    connection::endpoint_options(&state, admitted)
}

/// Trickle candidates, or restart ICE.
#[utoipa::path(patch, operation_id = "whip_patch", path = "/whip/{lesson}/c/{connection}", tag = "media",
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
#[utoipa::path(delete, operation_id = "whip_delete", path = "/whip/{lesson}/c/{connection}", tag = "media",
    params(("lesson" = String, Path), ("connection" = String, Path)),
    responses((status = 200), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn delete(
    Shared(state): Shared<ApiState>,
    path: ConnectionPath,
    request: Request,
) -> Result<Response, Problem> {
    connection::delete(&state, path, request).await
}

fn studio_sources() -> [SourceName; 2] {
    [SourceName::camera(), SourceName::slides()]
}

/// The holder, if they may publish the whole lesson now.
async fn admit_studio(state: &ApiState, lesson: LessonId, holder: Holder) -> Result<Claims, Problem> {
    let claims = holder.member(lesson)?;
    if claims.role != Role::Studio {
        return Err(Problem::new(
            Kind::RoleNotAllowed,
            "only the studio publishes the whole lesson",
            "只有主讲端可以发布整节课",
        ));
    }
    may_begin(state, claims, lesson, &studio_sources()).await
}

/// The holder, if they may publish this source now.
async fn admit(state: &ApiState, lesson: LessonId, source: &SourceName, holder: Holder) -> Result<Claims, Problem> {
    may_begin(state, holder.member(lesson)?, lesson, std::slice::from_ref(source)).await
}

async fn may_begin(
    state: &ApiState,
    claims: Claims,
    lesson: LessonId,
    sources: &[SourceName],
) -> Result<Claims, Problem> {
    sources.iter().try_for_each(|source| may_publish(&claims, source))?;
    may_be_on_air(&state.lesson(lesson).await?, claims.role)?;
    state.lets_in(lesson, claims.sub)?;
    Ok(claims)
}

fn may_publish(claims: &Claims, source: &SourceName) -> Result<(), Problem> {
    if claims.publish.allows(source) {
        return Ok(());
    }
    let said = format!("the token may not publish {source}");
    Err(Problem::new(Kind::SourceNotAllowed, said, format!("该凭证不能发布 {source}")))
}

/// A studio may publish before the lesson begins: a rehearsal, which nobody else receives.
fn may_be_on_air(lesson: &Lesson, role: Role) -> Result<(), Problem> {
    match lesson.state {
        State::Scheduled if role == Role::Studio => Ok(()),
        _ => connection::live(lesson),
    }
}
