//! Who is in a lesson, and how it reaches them.

use axum::extract::State as Shared;
use serde::Serialize;
use utoipa::ToSchema;

use super::directory::Attendance;
use super::extract::{Holder, LessonPath};
use super::problem::{Document, Problem};
use super::state::ApiState;

/// Everybody in the lesson.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Attendances {
    /// In the order of their ids.
    pub participants: Vec<Attendance>,
}

/// See who is there and how it reaches them, for an operator or the lesson's studio.
#[utoipa::path(get, path = "/api/v1/lessons/{lesson}/participants", tag = "lessons", params(("lesson" = String, Path)),
    responses((status = 200, body = Attendances), (status = "4XX", body = Document)), security(("token" = [])))]
pub(super) async fn everybody(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    holder: Holder,
) -> Result<axum::Json<Attendances>, Problem> {
    holder.staff(id)?;
    state.lesson(id).await?;
    Ok(axum::Json(Attendances { participants: state.directory.everybody(id) }))
}
