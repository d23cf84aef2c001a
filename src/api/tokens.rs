//! Tokens: handed out by staff, renewed by their holders.

use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::connection::ice_servers;
use super::extract::{Base, Client, Holder, Json, LessonPath};
use super::problem::{Document, Kind, Problem};
use super::state::{ApiState, not_ended};
use crate::auth::{Claims, Issued, Publish};
use crate::id::{LessonId, ParticipantId, SourceName};
use crate::lesson::{Identity, Role};

/// A token for whom, and for what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// `studio` or `classroom`.
    pub role: Role,
    /// Shown to the studio.
    pub name: Option<String>,
    /// Its school, by id or name of the roster, or as it is to be shown: the link group. A studio's becomes the lesson's,
    /// where that has none.
    pub school: Option<String>,
    /// Sources it may publish, or `["*"]`; by default a studio any, a classroom `camera`.
    pub publish: Option<Vec<String>>,
    /// How long it lives, 1 to 1,440 minutes, for clients that can't renew it; operators only.
    #[schema(minimum = 1, maximum = 1440)]
    pub minutes: Option<u32>,
}

/// A token that was handed out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HandedOut {
    /// The token.
    pub token: String,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// The participant it names.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// The page that it opens.
    pub url: String,
}

/// A renewed token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Renewed {
    /// The token.
    pub token: String,
    /// Until when it is good.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// The participant it names, the same as before.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
}

const NAME_LIMIT: usize = 80;
const MAX_MINUTES: u32 = 24 * 60;

/// Hand out a token of a lesson.
#[utoipa::path(post, path = "/api/v1/lessons/{lesson}/tokens", tag = "tokens", params(("lesson" = String, Path)),
    request_body = NewToken,
    responses((status = 201, body = HandedOut), (status = 409, body = Document), (status = "4XX", body = Document)),
    security(("token" = [])))]
pub(super) async fn hand_out(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    client: Client,
    holder: Holder,
    Base(base): Base,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, axum::Json<HandedOut>), Problem> {
    let by = holder.staff(id)?;
    state.count(client.address, Some(&by))?;
    let allowed = match new.role {
        Role::Operator | Role::Viewer => false,
        Role::Studio => by.role == Role::Operator,
        Role::Classroom => true,
    } && (new.minutes.is_none() || by.role == Role::Operator);
    if !allowed {
        return Err(Problem::new(
            Kind::RoleNotAllowed,
            "a studio hands out classroom tokens of the usual life only",
            "主讲端只能发放普通的课堂凭证",
        ));
    }
    let lesson = state.lesson(id).await?;
    not_ended(&lesson)?;
    let minutes = new.minutes.map(life).transpose()?;
    let claims = claims(id, ParticipantId::random(), new)?;
    if claims.role == Role::Studio
        && lesson.school.is_none()
        && let (Identity { school: Some(school), .. }, _) = state.identity(&claims).await
    {
        // By the name it has in the roster, so that recordings are found by it. No studio is kept waiting for that.
        if let Err(error) = state.store.name_school(id, &school).await {
            tracing::warn!(lesson = %id, %error, "the school of the lesson isn't kept");
        }
    }
    let now = state.clock.latest();
    let issued = match minutes {
        Some(life) => state.tokens.issue_for(claims, now, life),
        None => state.tokens.issue(claims, now),
    };
    let url = page_url(&base, &issued);
    let Issued { token, claims, expires_at } = issued;
    Ok((StatusCode::CREATED, axum::Json(HandedOut { token, expires_at, participant: claims.sub, url })))
}

fn life(minutes: u32) -> Result<Duration, Problem> {
    if (1..=MAX_MINUTES).contains(&minutes) {
        return Ok(Duration::minutes(minutes.into()));
    }
    let said = format!("minutes has to be 1 to {MAX_MINUTES}, not {minutes}");
    Err(Problem::new(Kind::Unprocessable, said, format!("minutes 应为 1 到 {MAX_MINUTES}")))
}

fn claims(lesson: LessonId, participant: ParticipantId, new: NewToken) -> Result<Claims, Problem> {
    let publish = match (&new.publish, new.role) {
        (Some(names), _) => Publish::parse(names).map_err(|error| {
            Problem::new(Kind::Unprocessable, format!("publish: {error}"), "publish 中有无效的来源名")
        })?,
        (None, Role::Studio) => Publish::Any,
        (None, _) => Publish::These([SourceName::camera()].into()),
    };
    Ok(member(lesson, participant, new.role, publish, shown("name", new.name)?, shown("school", new.school)?))
}

/// The claims of one who takes part in a lesson, its times still to be filled in.
#[must_use]
pub fn member(
    lesson: LessonId,
    participant: ParticipantId,
    role: Role,
    publish: Publish,
    name: Option<String>,
    school: Option<String>,
) -> Claims {
    let iss = String::new();
    Claims {
        iss,
        iat: 0,
        exp: 0,
        sub: participant,
        role,
        lesson: Some(lesson),
        publish,
        subscribe: true,
        name,
        school,
        key: None,
        download: false,
    }
}

/// A text that others are shown: trimmed, bounded, and none if nothing is left.
pub(super) fn shown(field: &'static str, value: Option<String>) -> Result<Option<String>, Problem> {
    let value = value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    match value.as_ref().map(|value| value.chars().count()) {
        Some(length) if length > NAME_LIMIT => {
            let said = format!("{field} has {length} characters; at most {NAME_LIMIT} are shown");
            Err(Problem::new(Kind::Unprocessable, said, format!("{field} 最多 {NAME_LIMIT} 个字符")))
        }
        _ => Ok(value),
    }
}

/// The page that a token opens; the token stands in the fragment, which no server and no log gets to see.
#[must_use]
pub fn page_url(base: &str, issued: &Issued) -> String {
    let page = match issued.claims.role {
        Role::Studio => "studio",
        Role::Viewer => "replay",
        Role::Operator | Role::Classroom => "c",
    };
    let lesson = issued.claims.lesson.map(|lesson| lesson.to_string()).unwrap_or_default();
    format!("{base}/#/{page}/{lesson}?token={}", issued.token)
}

/// Renew a token that is still good.
#[utoipa::path(post, path = "/api/v1/token", tag = "tokens",
    responses((status = 200, body = Renewed), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn renew(
    Shared(state): Shared<ApiState>,
    client: Client,
    holder: Holder,
) -> Result<(HeaderMap, axum::Json<Renewed>), Problem> {
    let claims = holder.0;
    if claims.role == Role::Viewer {
        let zh = "回放链接到期后请向老师索取新的链接";
        return Err(Problem::new(Kind::RoleNotAllowed, "a replay link isn't renewed; ask for another one", zh));
    }
    state.count(client.address, Some(&claims))?;
    if let Some(lesson) = claims.lesson {
        not_ended(&state.lesson(lesson).await?)?;
    }
    let Issued { token, claims, expires_at } = state.tokens.issue(claims, state.clock.latest());
    // An operator takes part in no lesson.
    let headers = if claims.lesson.is_some() { ice_servers(&state, &claims) } else { HeaderMap::new() };
    Ok((headers, axum::Json(Renewed { token, expires_at, participant: claims.sub })))
}
