//! Tickets: who may have which media, for how long, over which line.

use std::net::IpAddr;

use time::{Duration, OffsetDateTime};

use super::pace;
use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::auth::{Claims, Opens, Ticket, TicketError};
use crate::id::LessonId;
use crate::lesson::{Role, School};

/// How long a ticket is good: for the longest lesson, and the night after it.
const LIFE: Duration = Duration::hours(12);

/// What stands in addresses, and until when it is good.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) ticket: String,
    pub(super) expires_at: OffsetDateTime,
}

/// A ticket for the holder of a token; one for a viewer ends with the viewer's token.
///
/// What a school receives is held back to what its line carries, and so is what any classroom does; others may have any line.
pub(super) async fn issue(
    state: &ApiState,
    lesson: LessonId,
    claims: &Claims,
    address: IpAddr,
    opens: Opens,
) -> Issued {
    let now = state.clock.latest();
    let end = OffsetDateTime::from_unix_timestamp(claims.exp).unwrap_or(now);
    let expires_at = if claims.role == Role::Viewer { end.min(now + LIFE) } else { now + LIFE };
    let known = match &claims.school {
        Some(text) => state.school_named(text).await,
        None => None,
    };
    let is_held = known.is_some() || claims.role == Role::Classroom;
    let line = is_held.then(|| know_line(state, known.as_ref(), claims, address));
    let ticket = Ticket { opens, viewer: claims.sub, line, expires_at };
    Issued { ticket: state.tickets.issue(lesson, &ticket), expires_at }
}

/// The line that the holder comes over, as far as it is known.
pub(super) fn know_line(state: &ApiState, school: Option<&School>, claims: &Claims, address: IpAddr) -> u64 {
    let id = school.map(|school| school.id.to_string());
    let line = pace::line(id.as_deref().or(claims.school.as_deref()), address);
    let nominal = school.map(School::nominal_line).unwrap_or_default();
    state.directory.lines().know(line, state.line_carries(&nominal), state.clock.instant());
    line
}

/// What a ticket of an address says.
///
/// # Errors
/// [`Kind::TicketExpired`] or [`Kind::TicketInvalid`].
pub(super) fn read(state: &ApiState, lesson: LessonId, text: &str) -> Result<Ticket, Problem> {
    state.tickets.read(lesson, text, state.clock.earliest()).map_err(|error| {
        Problem::plain(match error {
            TicketError::Expired => Kind::TicketExpired,
            TicketError::Invalid => Kind::TicketInvalid,
        })
    })
}
