//! For those who watch over the server: health, readiness, metrics, the certificate to trust.

use axum::extract::State as Shared;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Client, Holder, bearer};
use super::problem::{Document, Kind, Problem};
use super::state::ApiState;
use crate::config::Metrics;
use crate::telemetry::{Exposition, Kind as SeriesKind, write_process};

/// Whether the server is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    pub status: &'static str,
    /// The server's version.
    pub version: &'static str,
}

const WELL: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = Health)))]
pub(super) async fn healthz() -> axum::Json<Health> {
    axum::Json(WELL)
}

/// The server can take requests: its database answers and can be written to, and it isn't about to stop.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, body = Health), (status = 500, body = Document), (status = 503, body = Document),
        (status = 507, body = Document)))]
pub(super) async fn readyz(Shared(state): Shared<ApiState>) -> Result<axum::Json<Health>, Problem> {
    if state.is_draining() {
        return Err(Problem::stopping());
    }
    state.store.ping().await?;
    if let Some(trouble) = state.custody().trouble() {
        return Err(trouble.into());
    }
    Ok(axum::Json(WELL))
}

/// Metrics in the Prometheus text format; from this machine, or with an operator's token.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String), (status = "4XX", body = Document)),
    security((), ("token" = [])))]
pub(super) async fn metrics(
    Shared(state): Shared<ApiState>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !client.is_local {
        Holder(state.claims(bearer(&headers)?).await?).operator()?;
    }
    let handle = state.metrics.as_ref().ok_or_else(|| Problem::plain(Kind::NotFound))?;
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let mut exposition = Exposition::default();
    write_process(&mut exposition);
    let Metrics { lessons, per_connection } = state.series;
    let running = state.directory.write_metrics(&mut exposition, lessons, per_connection);
    exposition.add(("mingshi_lessons_running", SeriesKind::Gauge, "Lessons in which somebody is"), &[], running as f64);
    Ok((headers, handle.render() + &exposition.render()).into_response())
}

/// The certificate authority that the server made for itself, to be trusted by the devices of a LAN.
#[utoipa::path(get, path = "/ca.crt", tag = "operation",
    responses((status = 200, content_type = "application/x-x509-ca-cert", body = String), (status = 404, body = Document)))]
pub(super) async fn ca_certificate(Shared(state): Shared<ApiState>) -> Result<Response, Problem> {
    let no_ca = || Problem::new(Kind::NotFound, "the certificate is not of a self-made authority", "未使用自建证书");
    let pem = state.ca_certificate.clone().ok_or_else(no_ca)?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-x509-ca-cert"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"mingshi-ca.crt\""),
    ];
    Ok((headers, pem).into_response())
}
