//! What WHIP and WHEP have in common: offer and answer, trickle and restart, the end.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State as Shared};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::extract::{Client, bearer, segment, text_body};
use super::problem::{Kind, Problem};
use super::state::{ApiState, not_ended};
use crate::auth::Claims;
use crate::id::{ConnectionId, LessonId, SourceName};
use crate::lesson::{Lesson, Role, School, State};
use crate::worker::mailbox::{Connect, Connected, End, Patch, Patched, Purpose};

pub(super) const SDP: &str = "application/sdp";
pub(super) const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";
pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The largest SDP that is read.
pub(super) const MAX_SDP: usize = 256 * 1024;

/// When to ask again for a lesson that has not begun (draft-ietf-wish-whep, session management).
const BEFORE_LESSON_RETRY: Duration = Duration::from_secs(5);

/// Which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Publishing.
    Whip,
    /// Receiving.
    Whep,
}

impl Way {
    const fn word(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
        }
    }
}

/// A connection that is asked for.
pub(super) struct Session {
    pub(super) way: Way,
    pub(super) lesson: LessonId,
    pub(super) purpose: Purpose,
    pub(super) sources: Vec<SourceName>,
}

/// `{lesson}` and `{connection}` of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionPath {
    lesson: LessonId,
    connection: ConnectionId,
}

impl FromRequestParts<ApiState> for ConnectionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let lesson = segment(parts, state, "lesson", Kind::LessonNotFound).await?;
        let connection = segment(parts, state, "connection", Kind::ConnectionNotFound).await?;
        Ok(Self { lesson, connection })
    }
}

/// A lesson that is on air, or the problem that it isn't.
pub(super) fn live(lesson: &Lesson) -> Result<(), Problem> {
    not_ended(lesson)?;
    match lesson.state {
        State::Scheduled => {
            let problem = Problem::new(Kind::LessonNotLive, "the lesson has not begun", "尚未开始上课，请稍候");
            Err(problem.retry_after(BEFORE_LESSON_RETRY))
        }
        State::Live | State::Ended => Ok(()),
    }
}

/// `POST`: an offer becomes a connection (RFC 9725 §4.2).
pub(super) async fn open(
    state: &ApiState,
    session: Session,
    claims: Claims,
    client: Client,
    request: Request,
) -> Result<Response, Problem> {
    state.count(client.address, Some(&claims))?;
    let offer = text_body(request, state, SDP, ACCEPT_POST).await?;
    let Session { way, lesson, purpose, sources } = session;
    let end = if claims.role == Role::Studio { End::Studio } else { End::Classroom };
    let (identity, known) = state.identity(&claims).await;
    // By its id, whatever the token calls it: one school is one link group.
    let school = known.as_ref().map(|school| school.id.to_string()).or_else(|| claims.school.clone());
    let nominal = known.as_ref().map(School::nominal_line).unwrap_or_default();
    let line = super::tickets::know_line(state, known.as_ref(), &claims, client.address);
    let request =
        Connect { lesson, participant: claims.sub, end, school, nominal, address: client.address, purpose, offer };
    let answered = state.media.connect(request).await;
    let outcome = if answered.is_ok() { "accepted" } else { "refused" };
    metrics::counter!("mingshi_connections_asked_total", "way" => way.word(), "outcome" => outcome).increment(1);
    let Connected { connection, answer, etag } = answered?;
    state.directory.lines().connected(connection, line);
    state.directory.connecting(lesson, identity, connection, sources);
    tracing::info!(%lesson, %connection, participant = %claims.sub, way = way.word(), "connection accepted");
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (header::LOCATION, format!("/{}/{lesson}/c/{connection}", way.word())),
        (header::ETAG, format!("\"{etag}\"")),
        (ACCEPT_PATCH, SDP_FRAGMENT.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let mut response = (StatusCode::CREATED, headers, answer).into_response();
    add_ice_servers(state, &claims, response.headers_mut());
    Ok(response)
}

/// `PATCH`: candidates or an ICE restart (RFC 9725 §4.3).
pub(super) async fn patch(state: &ApiState, path: ConnectionPath, request: Request) -> Result<Response, Problem> {
    may_touch(state, path, request.headers())?;
    let if_match =
        request.headers().get(header::IF_MATCH).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let fragment = text_body(request, state, SDP_FRAGMENT, ACCEPT_PATCH).await?;
    let patched = state.media.patch(path.lesson, path.connection, Patch { if_match, fragment }).await?;
    Ok(match patched {
        Patched::Trickled => StatusCode::NO_CONTENT.into_response(),
        Patched::Restarted { fragment, etag } => {
            let headers = [(header::CONTENT_TYPE, SDP_FRAGMENT.to_owned()), (header::ETAG, format!("\"{etag}\""))];
            (StatusCode::OK, headers, fragment).into_response()
        }
    })
}

/// `DELETE`: the connection ends, whatever its ICE session is (RFC 9725 §4.2: If-Match is ignored).
pub(super) async fn delete(state: &ApiState, path: ConnectionPath, request: Request) -> Result<Response, Problem> {
    let claims = may_touch(state, path, request.headers())?;
    let participant = (claims.role != Role::Studio).then_some(claims.sub);
    state.media.disconnect(path.lesson, participant, path.connection).await?;
    Ok(StatusCode::OK.into_response())
}

/// Who opened a connection may move and end it, with its token however old (an expired token ends nothing
/// that runs); so may the lesson's studio. To others it doesn't exist.
fn may_touch(state: &ApiState, path: ConnectionPath, headers: &HeaderMap) -> Result<Claims, Problem> {
    let claims = state.tokens.read_expired(bearer(headers)?)?;
    if claims.lesson != Some(path.lesson) {
        return Err(Problem::plain(Kind::TokenOfAnotherLesson));
    }
    let owner = state.directory.owner(path.lesson, path.connection);
    if owner == Some(claims.sub) {
        return Ok(claims);
    }
    if state.tokens.read(bearer(headers)?, state.clock.earliest()).is_err() {
        return Err(Problem::plain(Kind::TokenExpired));
    }
    if claims.role != Role::Studio || owner.is_none() {
        return Err(Problem::plain(Kind::ConnectionNotFound));
    }
    Ok(claims)
}

/// `OPTIONS` of an endpoint: what may be posted (RFC 9725 §4.2).
///
/// Whose offer would be met now is told of TURN servers too, since a browser wants to know them before it offers (RFC 9725
/// §4.6); anybody else isn't, and isn't told why either.
pub(super) fn endpoint_options(state: &ApiState, admitted: Result<Claims, Problem>) -> Response {
    let mut response = options("GET, HEAD, OPTIONS, POST", ACCEPT_POST, SDP);
    if let Ok(claims) = admitted {
        add_ice_servers(state, &claims, response.headers_mut());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Whoever may connect is told with its token as well: a page that knows them, or that there are none, needn't ask before it offers.
pub(super) fn ice_servers(state: &ApiState, holder: &Claims) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    add_ice_servers(state, holder, &mut headers);
    headers
}

fn add_ice_servers(state: &ApiState, holder: &Claims, headers: &mut HeaderMap) {
    let links = state.turn.iter().flat_map(|turn| turn.links(holder));
    for link in links.filter_map(|link| HeaderValue::try_from(link).ok()) {
        headers.append(header::LINK, link);
    }
}

/// `OPTIONS` of a connection: what may be patched.
pub(super) async fn connection_options() -> Response {
    options("DELETE, GET, HEAD, OPTIONS, PATCH", ACCEPT_PATCH, SDP_FRAGMENT)
}

fn options(allow: &'static str, accept: HeaderName, content_type: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response.headers_mut().insert(accept, HeaderValue::from_static(content_type));
    response
}

/// `GET` and `HEAD` of an endpoint: nothing, of the type by which players know an endpoint (RFC 9725 §4.1,
/// draft-ietf-wish-whep, discoverability). It says nothing of the lesson, so nobody needs a token for it.
pub(super) async fn endpoint_get() -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    response.headers_mut().insert(ACCEPT_POST, HeaderValue::from_static(SDP));
    response
}

/// `GET` and `HEAD` of a connection: it is there, and has no representation (RFC 9725 §4.1).
pub(super) async fn connection_get(
    Shared(state): Shared<ApiState>,
    path: ConnectionPath,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    may_touch(&state, path, &headers)?;
    Ok(StatusCode::NO_CONTENT)
}
