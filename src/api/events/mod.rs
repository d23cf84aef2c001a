//! The lesson websocket: a welcome with all there is, then every change.

mod message;
mod socket;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, State as Shared};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;

pub use message::ClientMessage;
pub(crate) use message::ServerMessage;

use super::extract::{Client, Holder, LessonPath, bearer};
use super::problem::{Document, Kind, Problem};
use super::state::{ApiState, not_ended};
use crate::auth::Claims;
use crate::id::LessonId;
use crate::lesson::Role;
use socket::Socket;

/// The subprotocol that is spoken.
pub const PROTOCOL: &str = "mingshi.v1";

const BEARER_PREFIX: &str = "bearer.";

/// Clients send a few short messages; anything longer is not one of them.
const MAX_MESSAGE: usize = 16 * 1024;

/// Close codes (RFC 6455 §7.4.2: 4000 to 4999 are an application's own).
mod close {
    pub(super) const TOKEN_REFUSED: u16 = 4001;
    pub(super) const NO_SUCH_LESSON: u16 = 4004;
    pub(super) const TOO_SLOW: u16 = 4008;
    pub(super) const LESSON_ENDED: u16 = 4010;
    pub(super) const RESTARTING: u16 = 1012;
    pub(super) const GONE: u16 = 1001;
    pub(super) const INTERNAL: u16 = 1011;
}

/// Watch a lesson. Subprotocols `mingshi.v1, bearer.<token>`; messages are `ServerMessage` and `ClientMessage`.
///
/// A browser can't read the status of a websocket that is refused, so a bad token or lesson is told with the
/// close codes 4001 and 4004 after the upgrade.
#[utoipa::path(get, path = "/api/v1/lessons/{lesson}/events", tag = "lessons", params(("lesson" = String, Path)),
    responses((status = 101, description = "A websocket of `ServerMessage` and `ClientMessage`"), (status = 426, body = Document)),
    security(("token" = [])))]
pub(super) async fn events(
    Shared(state): Shared<ApiState>,
    Upgrade(upgrade): Upgrade,
    lesson: Result<LessonPath, Problem>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    let admitted = admit(&state, lesson, &headers).await;
    // Before the upgrade: who asks too often gets no websocket to be told so.
    state.count(client.address, admitted.as_ref().ok().map(|(_, claims)| claims))?;
    Ok(upgrade.on_upgrade(move |websocket| async move {
        let socket = Socket::new(websocket);
        match admitted {
            Ok((lesson, claims)) => socket.serve(state, lesson, claims).await,
            Err(problem) => socket.refuse(&problem).await,
        }
    }))
}

async fn admit(
    state: &ApiState,
    lesson: Result<LessonPath, Problem>,
    headers: &HeaderMap,
) -> Result<(LessonId, Claims), Problem> {
    let LessonPath(lesson) = lesson?;
    let token = match token_of_protocols(headers) {
        Some(token) => token,
        None => bearer(headers)?,
    };
    let holder = Holder(state.claims(token).await?);
    let claims = if holder.0.role == Role::Operator { holder.0 } else { holder.member(lesson)? };
    match not_ended(&state.lesson(lesson).await?) {
        // The page is let in to be told so.
        Err(problem) if problem.kind() == Kind::LessonEnded => Ok((lesson, claims)),
        other => other.map(|()| (lesson, claims)),
    }
}

fn token_of_protocols(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all("sec-websocket-protocol").iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).find_map(|word| word.trim().strip_prefix(BEARER_PREFIX))
}

/// An upgrade, or the problem that this address is nothing else.
pub(super) struct Upgrade(WebSocketUpgrade);

impl FromRequestParts<ApiState> for Upgrade {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        WebSocketUpgrade::from_request_parts(parts, state).await.map(Self).map_err(
            |rejection: WebSocketUpgradeRejection| {
                Problem::new(Kind::UpgradeRequired, rejection.body_text(), "此地址只接受 WebSocket 连接")
                    .with(axum::http::header::UPGRADE, axum::http::HeaderValue::from_static("websocket"))
            },
        )
    }
}
