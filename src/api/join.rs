//! How a classroom gets in with six digits, and an operator with the operator link.

use axum::extract::State as Shared;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::connection::ice_servers;
use super::extract::{Client, Json, bearer};
use super::lessons::LessonView;
use super::problem::{Document, Kind, Problem};
use super::state::ApiState;
use super::tokens::{member, shown};
use crate::auth::{Claims, Issued, OperatorKey, Publish};
use crate::id::{LessonId, ParticipantId, SourceName};
use crate::lesson::{JoinCode, Role};

/// A join code, and who enters with it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Join {
    /// Six digits.
    pub code: String,
    /// Shown to the studio.
    pub name: Option<String>,
    /// Its school, by id or name of the roster. One that the roster doesn't know is ignored: who comes by code is taken at
    /// its word for a school that is there, and for no other.
    pub school: Option<String>,
    /// The participant this device was before, to be it again. One that is on stage, and so known to the
    /// others, is given only to who sends a token of it along, however old (`Authorization: Bearer`).
    #[schema(value_type = Option<String>)]
    pub participant: Option<ParticipantId>,
}

/// The way in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Joined {
    /// The lesson.
    pub lesson: LessonView,
    /// A classroom's token.
    pub token: String,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// The participant it names.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
}

/// Enter a lesson with its code.
#[utoipa::path(post, path = "/api/v1/join", tag = "tokens", request_body = Join,
    responses((status = 200, body = Joined), (status = 429, body = Document), (status = "4XX", body = Document)))]
pub(super) async fn join(
    Shared(state): Shared<ApiState>,
    client: Client,
    headers: HeaderMap,
    Json(join): Json<Join>,
) -> Result<(HeaderMap, axum::Json<Joined>), Problem> {
    state.count(client.address, None)?;
    let guess = state.guess(client.address)?;
    let code: JoinCode = join.code.parse().map_err(|_| Problem::plain(Kind::BadCode))?;
    let name = shown("name", join.name)?;
    let Some(lesson) = state.store.lesson_by_code(code).await? else {
        guess.wrong();
        return Err(Problem::plain(Kind::CodeNotFound));
    };
    let participant = join.participant.filter(|&id| may_be(&state, &headers, lesson.id, id));
    let participant = participant.unwrap_or_else(ParticipantId::random);
    state.lets_in(lesson.id, participant)?;
    let publish = Publish::These([SourceName::camera()].into());
    let school = match shown("school", join.school)? {
        Some(text) => state.school_named(&text).await.map(|school| school.id.to_string()),
        None => None,
    };
    let claims = member(lesson.id, participant, Role::Classroom, publish, name, school);
    let Issued { token, claims, expires_at } = state.tokens.issue(claims, state.clock.latest());
    let lesson = LessonView::new(&lesson, Role::Classroom);
    Ok((ice_servers(&state, &claims), axum::Json(Joined { lesson, token, expires_at, participant })))
}

/// Whoever claims to be the studio or somebody on stage would be heard by all: that takes more than an id.
fn may_be(state: &ApiState, headers: &HeaderMap, lesson: LessonId, participant: ParticipantId) -> bool {
    let proof = || bearer(headers).ok().and_then(|token| state.tokens.read_expired(token).ok());
    match state.directory.role(lesson, participant) {
        Some(Role::Studio | Role::Operator | Role::Viewer) => false,
        Some(Role::Classroom) if state.directory.is_on_stage(lesson, participant) => {
            proof().is_some_and(|claims| claims.sub == participant && claims.lesson == Some(lesson))
        }
        Some(Role::Classroom) | None => true,
    }
}

/// The key of the operator link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// What stands after `#/operator/` in the link.
    pub key: String,
}

/// An operator's token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorToken {
    /// The token.
    pub token: String,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// Get in with the operator link.
#[utoipa::path(post, path = "/api/v1/operator", tag = "tokens", request_body = Key,
    responses((status = 200, body = OperatorToken), (status = 429, body = Document), (status = "4XX", body = Document)))]
pub(super) async fn operator(
    Shared(state): Shared<ApiState>,
    client: Client,
    Json(Key { key }): Json<Key>,
) -> Result<axum::Json<OperatorToken>, Problem> {
    state.count(client.address, None)?;
    let guess = state.guess(client.address)?;
    let invalid = || Problem::plain(Kind::KeyInvalid);
    let key: OperatorKey = key.parse().map_err(|_| invalid())?;
    let (id, hash) = state.store.operator_key().await?.ok_or_else(invalid)?;
    if !key.is_of(&hash) {
        guess.wrong();
        return Err(invalid());
    }
    let Issued { token, expires_at, .. } = state.tokens.issue(operator_claims(id), state.clock.latest());
    Ok(axum::Json(OperatorToken { token, expires_at }))
}

/// The claims of an operator who came with this key.
#[must_use]
pub fn operator_claims(key: crate::store::OperatorKeyId) -> Claims {
    Claims {
        iss: String::new(),
        iat: 0,
        exp: 0,
        sub: ParticipantId::random(),
        role: Role::Operator,
        lesson: None,
        publish: Publish::default(),
        subscribe: true,
        name: None,
        school: None,
        key: Some(key),
        download: true,
    }
}
