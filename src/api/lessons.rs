//! Lessons: create, list, read, start, end.

use axum::extract::State as Shared;
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Holder, Json, LessonPath, Query};
use super::problem::{Document, Kind, Problem};
use super::state::ApiState;
use crate::auth::Claims;
use crate::id::LessonId;
use crate::lesson::{Draft, JoinCode, Lesson, Moved, Role, State, StateError, Viewer};
use crate::store::LessonFilter;

/// A lesson as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Lesson)]
pub struct LessonView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: LessonId,
    /// What it is called.
    pub title: String,
    /// Who teaches.
    pub teacher: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The grade.
    pub grade: Option<String>,
    /// The school of the studio.
    pub school: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// When it is to begin.
    #[serde(with = "time::serde::rfc3339::option")]
    pub starts_at: Option<OffsetDateTime>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it went on air.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The code classrooms enter with; only for operator and studio, and only until the lesson ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_code: Option<String>,
}

impl LessonView {
    /// The lesson as one of this role sees it.
    #[must_use]
    pub fn new(lesson: &Lesson, role: Role) -> Self {
        let shows_code = matches!(role, Role::Operator | Role::Studio) && lesson.state != State::Ended;
        Self {
            id: lesson.id,
            title: lesson.title.clone(),
            teacher: lesson.teacher.clone(),
            subject: lesson.subject.clone(),
            grade: lesson.grade.clone(),
            school: lesson.school.clone(),
            state: lesson.state,
            starts_at: lesson.starts_at,
            created_at: lesson.created_at,
            started_at: lesson.started_at,
            ended_at: lesson.ended_at,
            join_code: shows_code.then(|| lesson.join_code.to_string()),
        }
    }
}

/// The websocket message that a lesson's state has changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename = "lesson")]
pub(crate) struct LessonChanged {
    /// The whole of it.
    pub lesson: LessonView,
}

/// What a new lesson is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLesson {
    /// What it is called, at most 200 characters.
    pub title: String,
    /// Who teaches, at most 80 characters.
    pub teacher: Option<String>,
    /// The subject, at most 80 characters.
    pub subject: Option<String>,
    /// The grade, at most 80 characters.
    pub grade: Option<String>,
    /// The school of the studio, at most 80 characters.
    pub school: Option<String>,
    /// When it is to begin.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub starts_at: Option<OffsetDateTime>,
}

/// Which lessons to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only in this state.
    pub state: Option<State>,
    /// Only from this time on (planned start, else creation; RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub from: Option<OffsetDateTime>,
    /// Only before this time (RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub to: Option<OffsetDateTime>,
}

/// Lessons, the latest first, at most 500.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LessonList {
    /// The lessons.
    pub lessons: Vec<LessonView>,
}

/// Create a lesson.
#[utoipa::path(post, path = "/api/v1/lessons", tag = "lessons", request_body = NewLesson,
    responses((status = 201, body = LessonView, headers(("Location" = String))), (status = "4XX", body = Document)),
    security(("token" = [])))]
pub(super) async fn create(
    Shared(state): Shared<ApiState>,
    holder: Holder,
    Json(new): Json<NewLesson>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<LessonView>), Problem> {
    let operator = holder.operator()?;
    not_draining(&state)?;
    let NewLesson { title, teacher, subject, grade, school, starts_at } = new;
    let draft = Draft { title, teacher, subject, grade, school, starts_at };
    let mut lesson = Lesson::new(draft, JoinCode::random(), state.clock.now())?;
    state.store.insert_lesson(&mut lesson).await?;
    tracing::info!(lesson = %lesson.id, title = lesson.title, "lesson created");
    let location = format!("/api/v1/lessons/{}", lesson.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(LessonView::new(&lesson, operator.role))))
}

/// List lessons.
#[utoipa::path(get, path = "/api/v1/lessons", tag = "lessons", params(ListQuery),
    responses((status = 200, body = LessonList), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn list(
    Shared(state): Shared<ApiState>,
    holder: Holder,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<LessonList>, Problem> {
    let role = holder.operator()?.role;
    let filter = LessonFilter { state: query.state, from: query.from, to: query.to };
    let lessons = state.store.lessons(filter).await?;
    Ok(axum::Json(LessonList { lessons: lessons.iter().map(|lesson| LessonView::new(lesson, role)).collect() }))
}

/// Read a lesson.
#[utoipa::path(get, path = "/api/v1/lessons/{lesson}", tag = "lessons", params(("lesson" = String, Path)),
    responses((status = 200, body = LessonView), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn read(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    holder: Holder,
) -> Result<axum::Json<LessonView>, Problem> {
    let role = holder.of(id)?.role;
    Ok(axum::Json(LessonView::new(&state.lesson(id).await?, role)))
}

/// Go on air.
#[utoipa::path(post, path = "/api/v1/lessons/{lesson}/start", tag = "lessons", params(("lesson" = String, Path)),
    responses((status = 200, body = LessonView), (status = 409, body = Document), (status = "4XX", body = Document)),
    security(("token" = [])))]
pub(super) async fn start(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    holder: Holder,
) -> Result<axum::Json<LessonView>, Problem> {
    let claims = holder.staff(id)?;
    not_draining(&state)?;
    move_on(&state, id, &claims, Lesson::start).await
}

/// End a lesson, or call off one that has not begun.
#[utoipa::path(post, path = "/api/v1/lessons/{lesson}/end", tag = "lessons", params(("lesson" = String, Path)),
    responses((status = 200, body = LessonView), (status = 409, body = Document), (status = "4XX", body = Document)),
    security(("token" = [])))]
pub(super) async fn end(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    holder: Holder,
) -> Result<axum::Json<LessonView>, Problem> {
    let claims = holder.staff(id)?;
    let view = move_on(&state, id, &claims, Lesson::end).await?;
    state.custody().keep_stage(id, Vec::new());
    state.directory.end_lesson(id);
    state.media.end_lesson(id).await;
    state.directory.written(id);
    Ok(view)
}

/// What begins now would be interrupted at once.
fn not_draining(state: &ApiState) -> Result<(), Problem> {
    if state.is_draining() { Err(Problem::stopping()) } else { Ok(()) }
}

type Step = fn(&mut Lesson, OffsetDateTime) -> Result<Moved, StateError>;

/// Two pages may press at the same moment: whoever comes second looks again at what the first has done.
const MOVE_TRIES: usize = 3;

async fn move_on(
    state: &ApiState,
    id: LessonId,
    claims: &Claims,
    step: Step,
) -> Result<axum::Json<LessonView>, Problem> {
    for _ in 0..MOVE_TRIES {
        let mut lesson = state.lesson(id).await?;
        let before = lesson.state;
        if step(&mut lesson, state.clock.now())? == Moved::Changed {
            if !state.store.move_lesson(&lesson, before).await? {
                continue;
            }
            tracing::info!(lesson = %id, state = lesson.state.as_str(), by = ?claims.role, "lesson moved on");
            if lesson.state == State::Live {
                state.directory.on_air(&lesson);
            }
            let changed = |viewer: Viewer| LessonChanged { lesson: LessonView::new(&lesson, viewer.role) };
            state.directory.tell_pages(id, changed);
        }
        return Ok(axum::Json(LessonView::new(&lesson, claims.role)));
    }
    Err(Problem::new(Kind::Busy, "others change this lesson at the same moment", "其他人正在操作这节课，请重试"))
}
