//! The `{source}` of a path.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::extract::segment;
use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::id::SourceName;

/// The name of what is published or received.
#[derive(Debug, Clone)]
pub(crate) struct SourcePath(pub SourceName);

impl FromRequestParts<ApiState> for SourcePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        segment(parts, state, "source", Kind::NotFound).await.map(Self)
    }
}
