//! Who is on stage.

use axum::extract::State as Shared;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Holder, Json, LessonPath};
use super::problem::{Document, Problem};
use super::state::{ApiState, not_ended};
use crate::id::ParticipantId;

/// The classrooms on stage.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    /// Their ids; at most six.
    #[schema(value_type = Vec<String>)]
    pub participants: Vec<ParticipantId>,
}

/// Put these classrooms, and no others, on stage.
#[utoipa::path(put, path = "/api/v1/lessons/{lesson}/stage", tag = "lessons", params(("lesson" = String, Path)),
    request_body = Stage, responses((status = 200, body = Stage), (status = "4XX", body = Document)),
    security(("token" = [])))]
pub(super) async fn set(
    Shared(state): Shared<ApiState>,
    LessonPath(id): LessonPath,
    holder: Holder,
    Json(stage): Json<Stage>,
) -> Result<axum::Json<Stage>, Problem> {
    holder.staff(id)?;
    not_ended(&state.lesson(id).await?)?;
    let participants = state.directory.set_stage(id, &stage.participants)?;
    state.media.set_stage(id, participants.clone()).await;
    state.custody().keep_stage(id, state.directory.on_stage(id));
    Ok(axum::Json(Stage { participants }))
}
