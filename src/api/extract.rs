//! What handlers take from a request, with problem documents where it doesn't fit.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};
use super::state::{ApiState, Peer};
use crate::auth::{Claims, client_address};
use crate::id::LessonId;
use crate::lesson::Role;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<ApiState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(json_problem(&rejection)),
        }
    }
}

fn json_problem(rejection: &JsonRejection) -> Problem {
    let said = innermost(rejection);
    match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            Problem::new(Kind::WrongContentType, "the body has to be application/json", "请求内容须为 application/json")
        }
        JsonRejection::JsonDataError(_) => {
            Problem::new(Kind::Unprocessable, said.clone(), format!("字段不符合要求：{said}"))
        }
        _ if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Problem::plain(Kind::TooLarge),
        _ => Problem::new(Kind::BadJson, said.clone(), format!("JSON 格式有误：{said}")),
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}

/// The query, every key of it known.
#[derive(Debug)]
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let said = innermost(&rejection);
                Err(Problem::new(Kind::BadRequest, said.clone(), format!("查询参数有误：{said}")))
            }
        }
    }
}

/// One segment of the path; what can't be read names nothing that exists.
pub(super) async fn segment<T: FromStr>(
    parts: &mut Parts,
    state: &ApiState,
    name: &str,
    missing: Kind,
) -> Result<T, Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::plain(missing))?;
    let text = params.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Problem::plain(missing))
}

/// The `{lesson}` of the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LessonPath(pub LessonId);

impl FromRequestParts<ApiState> for LessonPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        segment(parts, state, "lesson", Kind::LessonNotFound).await.map(Self)
    }
}

/// The client's address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// The address, behind trusted proxies too.
    pub address: IpAddr,
    /// Whether it is this machine itself, nobody forwarding for others.
    pub is_local: bool,
}

impl FromRequestParts<ApiState> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip());
        let joined = joined(&parts.headers, "x-forwarded-for");
        let address = client_address(peer, joined.as_deref(), &state.trusted_proxies);
        let forwarded = joined.is_some() || parts.headers.contains_key(header::FORWARDED);
        Ok(Self { address, is_local: peer.to_canonical().is_loopback() && !forwarded })
    }
}

/// Where the site is, without a slash at the end: as configured, else as the request came.
#[derive(Debug, Clone)]
pub(crate) struct Base(pub String);

impl FromRequestParts<ApiState> for Base {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        if let Some(url) = &state.public_url {
            return Ok(Self(url.clone()));
        }
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let host = parts.uri.authority().map(axum::http::uri::Authority::as_str).or_else(|| text("host"));
        let peer = parts.extensions.get::<Peer>();
        let proxied =
            peer.is_some_and(|peer| state.trusted_proxies.iter().any(|proxy| proxy.contains(peer.address.ip())));
        let over_tls = peer.is_some_and(|peer| peer.tls) || (proxied && text("x-forwarded-proto") == Some("https"));
        let scheme = if over_tls { "https" } else { "http" };
        Ok(Self(host.map(|host| format!("{scheme}://{host}")).unwrap_or_default()))
    }
}

/// A header that may come in several lines, as one list.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(Problem::new(
            Kind::TokenMissing,
            "Authorization: Bearer … is needed",
            "缺少 Authorization: Bearer 凭证",
        ));
    };
    let split = value.to_str().ok().and_then(|value| value.split_once(' '));
    match split {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Problem::plain(Kind::TokenInvalid)),
    }
}

/// The holder of a token that is good now.
#[derive(Debug, Clone)]
pub(crate) struct Holder(pub Claims);

impl FromRequestParts<ApiState> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let claims = state.claims(bearer(&parts.headers)?).await?;
        Ok(Self(claims))
    }
}

impl Holder {
    /// The holder, if an operator.
    ///
    /// # Errors
    /// [`Kind::RoleNotAllowed`].
    pub(crate) fn operator(self) -> Result<Claims, Problem> {
        match self.0.role {
            Role::Operator => Ok(self.0),
            _ => Err(Problem::new(Kind::RoleNotAllowed, "only an operator may do that", "只有管理员可以执行此操作")),
        }
    }

    /// The holder, if an operator or of this lesson.
    ///
    /// # Errors
    /// [`Kind::TokenOfAnotherLesson`].
    pub(crate) fn of(self, lesson: LessonId) -> Result<Claims, Problem> {
        if self.0.role == Role::Operator { Ok(self.0) } else { self.belonging(lesson) }
    }

    /// The holder, if an operator or this lesson's studio.
    ///
    /// # Errors
    /// [`Kind::TokenOfAnotherLesson`] or [`Kind::RoleNotAllowed`].
    pub(crate) fn staff(self, lesson: LessonId) -> Result<Claims, Problem> {
        let claims = self.of(lesson)?;
        if !matches!(claims.role, Role::Operator | Role::Studio) {
            return Err(Problem::new(
                Kind::RoleNotAllowed,
                "only the studio or an operator may do that",
                "只有主讲端或管理员可以执行此操作",
            ));
        }
        Ok(claims)
    }

    /// The holder, if they take part in this lesson: operators take part in none, and viewers come when it is over.
    ///
    /// # Errors
    /// [`Kind::TokenOfAnotherLesson`] or [`Kind::RoleNotAllowed`].
    pub(crate) fn member(self, lesson: LessonId) -> Result<Claims, Problem> {
        let claims = self.belonging(lesson)?;
        if claims.role == Role::Viewer {
            return Err(Problem::new(
                Kind::RoleNotAllowed,
                "a replay link opens the recording only",
                "回放链接只能观看录像",
            ));
        }
        Ok(claims)
    }

    /// The holder, if their token is of this lesson.
    fn belonging(self, lesson: LessonId) -> Result<Claims, Problem> {
        match self.0.lesson {
            Some(own) if own == lesson => Ok(self.0),
            Some(_) => Err(Problem::plain(Kind::TokenOfAnotherLesson)),
            None => Err(Problem::new(
                Kind::RoleNotAllowed,
                "an operator takes part with a token of the lesson",
                "管理员须先领取该课的凭证",
            )),
        }
    }
}

/// A text body of one content type.
pub(super) async fn text_body(
    request: Request,
    state: &ApiState,
    content_type: &'static str,
    accept: axum::http::HeaderName,
) -> Result<String, Problem> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(content_type) {
        let said = format!("the body has to be {content_type}, not {essence:?}");
        let problem = Problem::new(Kind::WrongContentType, said, format!("请求内容须为 {content_type}"));
        return Err(problem.with(accept, HeaderValue::from_static(content_type)));
    }
    match String::from_request(request, state).await {
        Ok(text) if text.trim().is_empty() => Err(Problem::new(Kind::BadRequest, "the body is empty", "请求内容为空")),
        Ok(text) => Ok(text),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Problem::plain(Kind::TooLarge)),
        Err(rejection) => Err(Problem::new(Kind::BadRequest, rejection.body_text(), "请求内容不是 UTF-8 文本")),
    }
}

/// The bytes were refused before anything was read from them.
impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::plain(Kind::TooLarge)
        } else {
            Self::new(Kind::BadRequest, rejection.body_text(), "请求内容无法读取")
        }
    }
}
