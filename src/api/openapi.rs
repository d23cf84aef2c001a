//! The OpenAPI document, generated from the handlers.

use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::events::{ClientMessage, ServerMessage};
use super::problem::Document;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "mingshi",
        description = "Lessons of a synchronous classroom: WHIP and WHEP, lessons, tokens, and the lesson websocket.",
    ),
    components(schemas(ServerMessage, ClientMessage, Document)),
    modifiers(&Bearer),
    tags(
        (name = "lessons", description = "Lessons and what goes on in them"),
        (name = "schools", description = "The roster: schools, their lines and classrooms"),
        (name = "recordings", description = "What was recorded of lessons, and what goes on of those that do"),
        (name = "tokens", description = "Ways in"),
        (name = "media", description = "WHIP (RFC 9725) and WHEP"),
        (name = "operation", description = "For those who watch over the server"),
    ),
)]
struct Root;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut Description) {
        let bearer = SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build());
        description.components.get_or_insert_default().add_security_scheme("token", bearer);
    }
}

/// What stands in the document besides the handlers.
pub(super) fn root() -> Description {
    Root::openapi()
}
