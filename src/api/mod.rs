//! What the server offers over HTTP: WHIP, WHEP, lessons, tokens, the lesson websocket, the web client.
//! The contract is docs/signalling.md; its machine-readable form is generated from this code.

mod clock;
mod connection;
mod cors;
mod custody;
mod decisions;
mod directory;
mod dvr;
mod events;
mod extract;
mod files;
mod headers;
mod health;
mod join;
mod lessons;
mod media;
mod openapi;
mod pace;
mod participants;
mod problem;
mod recordings;
mod replay;
mod schools;
mod series;
mod sources;
mod stage;
mod state;
mod story;
mod tickets;
mod tokens;
mod web;
mod whep;
mod whip;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, options};
use tower::Layer;
use utoipa::openapi::OpenApi as Description;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use clock::Clock;
pub use directory::{Closing, Directory, Outgoing, Seat};
pub use events::{ClientMessage, PROTOCOL};
pub use join::operator_claims;
pub use lessons::LessonView;
pub use media::Media;
pub use problem::{Document, Kind, Problem};
pub use state::{ApiState, Parts, Peer};
pub use tokens::{member, page_url};
pub use web::has_web_client;

/// The largest JSON body that is read.
const MAX_JSON: usize = 64 * 1024;

/// How long a request may take from its first header to its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The whole site.
pub fn app(state: ApiState) -> Router {
    let (api, description) = documented().split_for_parts();
    let description = axum::Json(description);
    let document = get(move || std::future::ready(description.clone().into_response()));
    // Not in the document: programs learn nothing from them that it doesn't say.
    let resource = || options(connection::connection_options).get(connection::connection_get);
    let media_options = Router::new()
        .route("/whip/{lesson}", options(whip::studio_options).get(connection::endpoint_get))
        .route("/whip/{lesson}/{source}", options(whip::source_options).get(connection::endpoint_get))
        .route("/whep/{lesson}", options(whep::endpoint_options).get(connection::endpoint_get))
        .route("/whep/{lesson}/{source}", options(whep::endpoint_options).get(connection::endpoint_get))
        .route("/whip/{lesson}/c/{connection}", resource())
        .route("/whep/{lesson}/c/{connection}", resource());
    let site = api
        .merge(media_options)
        .route("/lessons/{lesson}/dvr/{ticket}/{*path}", get(dvr::piece))
        .route("/recordings/{lesson}", get(replay::main_file))
        .route("/api/openapi.json", document)
        .method_not_allowed_fallback(|| async { Problem::plain(Kind::MethodNotAllowed) })
        .fallback(elsewhere)
        .layer(from_fn_with_state(state.clock.clone(), headers::measure))
        .with_state(state);
    // Around the router and not in it: what a route allows is only written down when its answer leaves it.
    let site = from_fn(headers::secure).layer(from_fn(cors::cross_origin).layer(site));
    Router::new().fallback_service(site)
}

/// Any address that is none of the above: nothing, where programs ask; the web client, where people do.
async fn elsewhere(request: Request) -> Response {
    if is_for_programs(request.uri().path()) {
        Problem::plain(Kind::NotFound).into_response()
    } else {
        web::serve(request)
    }
}

/// What pages of other origins may call: media players of theirs are WHIP and WHEP clients.
fn is_for_others(path: &str) -> bool {
    matches!(first_part(path), "api" | "whip" | "whep")
}

fn first_part(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

fn is_for_programs(path: &str) -> bool {
    matches!(first_part(path), "api" | "whip" | "whep" | "lessons" | "recordings")
}

/// The OpenAPI document.
#[must_use]
pub fn description() -> Description {
    documented().into_openapi()
}

fn documented() -> OpenApiRouter<ApiState> {
    let json = OpenApiRouter::new()
        .routes(routes!(lessons::create, lessons::list))
        .routes(routes!(lessons::read))
        .routes(routes!(lessons::start))
        .routes(routes!(lessons::end))
        .routes(routes!(schools::create, schools::list))
        .routes(routes!(schools::read, schools::change, schools::delete))
        .routes(routes!(schools::create_classroom, schools::list_classrooms))
        .routes(routes!(schools::change_classroom, schools::delete_classroom))
        .routes(routes!(tokens::hand_out))
        .routes(routes!(tokens::renew))
        .routes(routes!(stage::set))
        .routes(routes!(participants::everybody))
        .routes(routes!(dvr::read))
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::overview))
        .routes(routes!(recordings::read, recordings::delete))
        .routes(routes!(recordings::keep))
        .routes(routes!(replay::link))
        .routes(routes!(replay::view))
        .routes(routes!(replay::file))
        .routes(routes!(join::join))
        .routes(routes!(join::operator))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(health::ca_certificate))
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .layer(from_fn(in_time));
    let media = OpenApiRouter::new()
        .routes(routes!(whip::publish_studio))
        .routes(routes!(whip::publish_source))
        .routes(routes!(whip::patch, whip::delete))
        .routes(routes!(whep::subscribe_lesson))
        .routes(routes!(whep::subscribe_source))
        .routes(routes!(whep::patch, whep::delete))
        .layer(DefaultBodyLimit::max(connection::MAX_SDP))
        .layer(from_fn(in_time));
    let events = OpenApiRouter::new().routes(routes!(events::events));
    OpenApiRouter::with_openapi(openapi::root()).merge(json).merge(media).merge(events)
}

/// A client that sends its body a byte at a time is answered before it is done.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::plain(Kind::Timeout).into_response(),
    }
}
