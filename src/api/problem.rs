//! Errors as people and programs read them: problem documents (RFC 9457), in Chinese and English.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::auth::{Limited, TokenError};
use crate::lesson::{DraftError, SchoolError, StageError, StateError};
use crate::store;
use crate::worker::mailbox::Refused;

/// What kind of problem: each has its status, its stable word and its titles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each kind is documented by its titles below")]
pub enum Kind {
    BadRequest,
    BadJson,
    BadOffer,
    BadCode,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    KeyInvalid,
    TokenOfAnotherLesson,
    RoleNotAllowed,
    SourceNotAllowed,
    MayNotReceive,
    NotFound,
    LessonNotFound,
    SchoolNotFound,
    ClassroomNotFound,
    CodeNotFound,
    ConnectionNotFound,
    MethodNotAllowed,
    Timeout,
    LessonEnded,
    LessonNotLive,
    NameTaken,
    EtagStale,
    TooLarge,
    WrongContentType,
    Unprocessable,
    OfferUnsatisfiable,
    FragmentUnusable,
    ParticipantUnknown,
    StageFull,
    UpgradeRequired,
    EtagMissing,
    TooManyTries,
    TooManyRequests,
    TooManyUnfinished,
    Internal,
    Busy,
    Stopping,
    DatabaseBusy,
    DiskFull,
    RecordingNotFound,
    RecordingUnfinished,
    TicketInvalid,
    TicketExpired,
    RangeBeyond,
}

impl Kind {
    #[expect(clippy::too_many_lines, reason = "one table, a row for each kind")]
    const fn facts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadRequest => (S::BAD_REQUEST, "bad_request", "The request can't be read", "请求格式有误"),
            Self::BadJson => (S::BAD_REQUEST, "bad_json", "The body can't be read", "请求内容格式有误"),
            Self::BadOffer => (S::BAD_REQUEST, "bad_offer", "The SDP offer can't be read", "SDP 请求无法解析"),
            Self::BadCode => (S::BAD_REQUEST, "bad_code", "A join code has six digits", "课堂码是六位数字"),
            Self::TokenMissing => (S::UNAUTHORIZED, "token_missing", "A token is needed", "缺少访问凭证"),
            Self::TokenInvalid => (S::UNAUTHORIZED, "token_invalid", "The token isn't valid", "访问凭证无效"),
            Self::TokenExpired => (S::UNAUTHORIZED, "token_expired", "The token has expired", "访问凭证已过期"),
            Self::KeyInvalid => (S::UNAUTHORIZED, "key_invalid", "The operator link isn't valid", "管理链接无效"),
            Self::TokenOfAnotherLesson => {
                (S::FORBIDDEN, "token_of_another_lesson", "The token is for another lesson", "该凭证属于另一节课")
            }
            Self::RoleNotAllowed => (S::FORBIDDEN, "role_not_allowed", "This role may not do that", "当前身份无此权限"),
            Self::SourceNotAllowed => {
                (S::FORBIDDEN, "source_not_allowed", "The token may not publish this source", "该凭证不能发布此来源")
            }
            Self::MayNotReceive => (S::FORBIDDEN, "may_not_receive", "The token may not receive", "该凭证不能收看"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "There is nothing here", "地址不存在"),
            Self::LessonNotFound => (S::NOT_FOUND, "lesson_not_found", "There is no such lesson", "没有这节课"),
            Self::SchoolNotFound => (S::NOT_FOUND, "school_not_found", "There is no such school", "没有这所学校"),
            Self::ClassroomNotFound => {
                (S::NOT_FOUND, "classroom_not_found", "There is no such classroom", "没有这个课堂")
            }
            Self::CodeNotFound => (S::NOT_FOUND, "code_not_found", "No lesson has this code", "没有使用该课堂码的课程"),
            Self::ConnectionNotFound => {
                (S::NOT_FOUND, "connection_not_found", "There is no such connection", "连接不存在或已结束")
            }
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "This can't be done here", "不支持此操作")
            }
            Self::Timeout => (S::REQUEST_TIMEOUT, "timeout", "The request took too long", "请求超时"),
            Self::LessonEnded => (S::CONFLICT, "lesson_ended", "The lesson has ended", "已下课"),
            Self::LessonNotLive => (S::CONFLICT, "lesson_not_live", "The lesson has not begun", "尚未开始上课"),
            Self::NameTaken => (S::CONFLICT, "name_taken", "Another one has this name", "这个名称已被使用"),
            Self::EtagStale => (S::PRECONDITION_FAILED, "etag_stale", "The ICE session has changed", "ICE 会话已更新"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too_large", "The body is too large", "请求内容过大"),
            Self::WrongContentType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", "The content type doesn't fit", "内容类型不符")
            }
            Self::Unprocessable => {
                (S::UNPROCESSABLE_ENTITY, "unprocessable", "A value doesn't fit", "字段取值不符合要求")
            }
            Self::OfferUnsatisfiable => {
                (S::UNPROCESSABLE_ENTITY, "offer_unsatisfiable", "The SDP offer can't be met", "SDP 请求无法满足")
            }
            Self::FragmentUnusable => {
                (S::UNPROCESSABLE_ENTITY, "fragment_unusable", "The SDP fragment can't be used", "SDP 片段无法使用")
            }
            Self::ParticipantUnknown => (
                S::UNPROCESSABLE_ENTITY,
                "participant_unknown",
                "This participant can't be on stage",
                "该参与者不能上台",
            ),
            Self::StageFull => (S::UNPROCESSABLE_ENTITY, "stage_full", "The stage is full", "台上人数已满"),
            Self::UpgradeRequired => {
                (S::UPGRADE_REQUIRED, "upgrade_required", "This address is a websocket", "此地址只接受 WebSocket")
            }
            Self::EtagMissing => (S::PRECONDITION_REQUIRED, "etag_missing", "If-Match is needed", "缺少 If-Match"),
            Self::TooManyTries => (S::TOO_MANY_REQUESTS, "too_many_tries", "Too many tries", "尝试次数过多，请稍候"),
            Self::TooManyRequests => {
                (S::TOO_MANY_REQUESTS, "too_many_requests", "Too many requests", "请求过于频繁，请稍候")
            }
            Self::TooManyUnfinished => (
                S::TOO_MANY_REQUESTS,
                "too_many_unfinished",
                "Too many connections that have not come up",
                "未接通的连接过多，请稍候",
            ),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here", "服务器内部错误"),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", "The server is full at the moment", "服务器繁忙，请稍候"),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, "stopping", "The server is restarting", "服务器正在重启"),
            Self::RecordingNotFound => {
                (S::NOT_FOUND, "recording_not_found", "The lesson has no recording", "这节课没有录像")
            }
            Self::RecordingUnfinished => (
                S::CONFLICT,
                "recording_unfinished",
                "The recording isn't finished yet",
                "录像尚未完成，请在完成后再删除",
            ),
            Self::TicketInvalid => (
                S::FORBIDDEN,
                "ticket_invalid",
                "The address isn't valid: open the page again",
                "播放地址无效，请重新打开页面",
            ),
            Self::TicketExpired => (
                S::FORBIDDEN,
                "ticket_expired",
                "The address has expired: open the page again",
                "播放地址已过期，请重新打开页面",
            ),
            Self::RangeBeyond => {
                (S::RANGE_NOT_SATISFIABLE, "range_beyond", "The file has no such range", "文件没有这一段")
            }
            Self::DatabaseBusy => (
                S::SERVICE_UNAVAILABLE,
                "database_busy",
                "The database is busy at the moment",
                "数据库繁忙，请稍候重试",
            ),
            Self::DiskFull => (
                S::INSUFFICIENT_STORAGE,
                "disk_full",
                "The server's disk is full: nothing can be saved",
                "服务器磁盘已满，无法保存",
            ),
        }
    }
}

/// The document that is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct Document {
    /// A URI for the kind of problem.
    #[schema(example = "urn:mingshi:problem:token_expired")]
    pub r#type: String,
    /// What kind of problem, in English.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// This very case, in English.
    pub detail: String,
    /// What kind of problem, in Chinese.
    pub title_zh: &'static str,
    /// This very case, in Chinese.
    pub detail_zh: String,
    /// The kind's stable word.
    #[schema(example = "token_expired")]
    pub code: &'static str,
}

/// A problem, ready to be answered with.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    detail_zh: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of this kind, with what there is to say about the case.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>, detail_zh: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Self { kind, detail: detail.into(), detail_zh: detail_zh.into(), headers: Vec::new() };
        if matches!(kind, Kind::TokenMissing | Kind::TokenInvalid | Kind::TokenExpired) {
            let challenge = HeaderValue::from_static("Bearer realm=\"mingshi\"");
            problem.headers.push((header::WWW_AUTHENTICATE, challenge));
        }
        problem
    }

    /// A problem whose titles say all there is.
    #[must_use]
    pub fn plain(kind: Kind) -> Self {
        let (_, _, title, title_zh) = kind.facts();
        Self::new(kind, title, title_zh)
    }

    /// The server restarts: come again in a moment.
    #[must_use]
    pub fn stopping() -> Self {
        Self::plain(Kind::Stopping).retry_after(Duration::from_secs(1))
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With `Retry-After`, whole seconds.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        self.with(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))
    }

    /// Which kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its document.
    #[must_use]
    pub fn document(&self) -> Document {
        let (status, code, title, title_zh) = self.kind.facts();
        Document {
            r#type: format!("urn:mingshi:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: self.detail.to_string(),
            title_zh,
            detail_zh: self.detail_zh.to_string(),
            code,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = self.document();
        let status = StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        // What the database says is for the log, not for whoever asked.
        tracing::error!(%error, "the database failed");
        metrics::counter!("mingshi_database_failures_total").increment(1);
        Self::from(error.trouble())
    }
}

impl From<store::Trouble> for Problem {
    fn from(trouble: store::Trouble) -> Self {
        match trouble {
            store::Trouble::DiskFull => Self::plain(Kind::DiskFull),
            store::Trouble::Busy => Self::plain(Kind::DatabaseBusy).retry_after(Duration::from_secs(2)),
            store::Trouble::Broken => Self::plain(Kind::Internal),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        Self::plain(match error {
            TokenError::Expired => Kind::TokenExpired,
            TokenError::Invalid => Kind::TokenInvalid,
        })
    }
}

impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let seconds = limited.retry_after.as_secs();
        Self::new(Kind::TooManyTries, limited.to_string(), format!("尝试次数过多，请 {seconds} 秒后再试"))
            .retry_after(limited.retry_after)
    }
}

impl Problem {
    /// Requests that were right, and too many.
    pub(super) fn too_many_requests(limited: Limited) -> Self {
        let seconds = limited.retry_after.as_secs();
        let said = format!("too many requests; the next one in {seconds} s");
        Self::new(Kind::TooManyRequests, said, format!("请求过于频繁，请 {seconds} 秒后再试"))
            .retry_after(limited.retry_after)
    }
}

impl From<StateError> for Problem {
    fn from(StateError::Ended(at): StateError) -> Self {
        Self::new(Kind::LessonEnded, StateError::Ended(at).to_string(), "这节课已经结束，不能再次开始或结束")
    }
}

impl From<DraftError> for Problem {
    fn from(error: DraftError) -> Self {
        let zh = match &error {
            DraftError::NoTitle => "课程名称不能为空".to_owned(),
            DraftError::TooLong { field, length, limit } => format!("{field} 有 {length} 个字符，最多 {limit} 个"),
        };
        Self::new(Kind::Unprocessable, error.to_string(), zh)
    }
}

impl From<SchoolError> for Problem {
    fn from(error: SchoolError) -> Self {
        let zh = match &error {
            SchoolError::NoName => "名称不能为空".to_owned(),
            SchoolError::TooLong { field, length } => format!("{field} 有 {length} 个字符，超出上限"),
            SchoolError::Share(share) => format!("share 应大于 0、不超过 1，不能是 {share}"),
            SchoolError::Rate { field, rate } => format!("{field} 超出范围：{rate} 比特每秒"),
        };
        Self::new(Kind::Unprocessable, error.to_string(), zh)
    }
}

impl From<StageError> for Problem {
    fn from(error: StageError) -> Self {
        let (kind, zh) = match &error {
            StageError::Unknown(id) => (Kind::ParticipantUnknown, format!("{id} 没有来过这节课")),
            StageError::NotAClassroom(id) => (Kind::ParticipantUnknown, format!("{id} 不是课堂端")),
            StageError::Full { asked } => (Kind::StageFull, format!("请求 {asked} 个课堂上台，超出上限")),
        };
        Self::new(kind, error.to_string(), zh)
    }
}

impl From<Refused> for Problem {
    /// As RFC 9725 §4 wants it, and a whole refusal rather than half an answer.
    fn from(refused: Refused) -> Self {
        let said = refused.to_string();
        match refused {
            Refused::BadOffer(why) => Self::new(Kind::BadOffer, said, format!("SDP 请求无法解析：{why}")),
            Refused::Unsatisfiable(why) => {
                Self::new(Kind::OfferUnsatisfiable, said, format!("SDP 请求无法满足：{why}"))
            }
            Refused::NoSuchConnection => Self::plain(Kind::ConnectionNotFound),
            Refused::MissingEtag => Self::plain(Kind::EtagMissing),
            Refused::StaleEtag => Self::plain(Kind::EtagStale),
            Refused::BadFragment(why) => Self::new(Kind::FragmentUnusable, said, format!("SDP 片段无法使用：{why}")),
            Refused::TooManyUnfinished => {
                let zh = "来自同一地址或同一设备的未接通连接过多，请稍候再试";
                Self::new(Kind::TooManyUnfinished, said, zh).retry_after(Duration::from_secs(5))
            }
            Refused::Busy => Self::plain(Kind::Busy).retry_after(Duration::from_secs(2)),
            Refused::Stopping => Self::stopping(),
        }
    }
}
