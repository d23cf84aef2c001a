//! Tickets: what stands in the addresses of media, since players send no header. A ticket opens one thing of one lesson to one
//! viewer until it expires, and says over which line it is sent.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use crate::id::{LessonId, ParticipantId};

/// What a ticket opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// What a lesson is cut into while it goes on.
    Dvr,
    /// The files of its recording.
    Recording {
        /// Also to be kept.
        download: bool,
    },
}

/// What a ticket says besides its lesson, which stands beside it in the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// What it opens.
    pub opens: Opens,
    /// To whom.
    pub viewer: ParticipantId,
    /// Over which line, where what is sent over it has to be held back.
    pub line: Option<u64>,
    /// Until when, in whole seconds.
    pub expires_at: OffsetDateTime,
}

/// Why a ticket is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It was good once.
    #[error("the ticket has expired")]
    Expired,
    /// Not ours, altered, of another lesson, or no ticket at all.
    #[error("the ticket is not one of this server's for this lesson")]
    Invalid,
}

/// Kind, viewer, whether there is a line, line, expiry.
const SAID: usize = 1 + 8 + 1 + 8 + 8;
/// Half of the HMAC, as RFC 2104 §5 allows; addresses stay short.
const TAG: usize = 16;

/// Issues and reads tickets.
#[derive(Debug)]
pub struct Tickets {
    key: hmac::Key,
}

impl Tickets {
    /// Tickets signed with this secret (HMAC-SHA256).
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// A ticket for this lesson, as it stands in addresses.
    #[must_use]
    pub fn issue(&self, lesson: LessonId, ticket: &Ticket) -> String {
        let mut said = [0; SAID];
        said[0] = match ticket.opens {
            Opens::Dvr => 0,
            Opens::Recording { download: false } => 1,
            Opens::Recording { download: true } => 2,
        };
        said[1..9].copy_from_slice(&ticket.viewer.as_u64().to_be_bytes());
        said[9] = ticket.line.is_some().into();
        said[10..18].copy_from_slice(&ticket.line.unwrap_or_default().to_be_bytes());
        said[18..].copy_from_slice(&ticket.expires_at.unix_timestamp().to_be_bytes());
        let tag = self.tag(lesson, &said);
        URL_SAFE_NO_PAD.encode([&said[..], &tag.as_ref()[..TAG]].concat())
    }

    /// What a ticket for this lesson says, if it is ours and still good at `now`.
    ///
    /// # Errors
    /// [`TicketError`].
    pub fn read(&self, lesson: LessonId, text: &str, now: OffsetDateTime) -> Result<Ticket, TicketError> {
        let octets = URL_SAFE_NO_PAD.decode(text).map_err(|_| TicketError::Invalid)?;
        let (said, tag) = octets.split_first_chunk::<SAID>().ok_or(TicketError::Invalid)?;
        let ours = self.tag(lesson, said);
        // In a time that tells nothing of where they differ.
        let same = subtle::ConstantTimeEq::ct_eq(&ours.as_ref()[..TAG], tag);
        if !bool::from(same) {
            return Err(TicketError::Invalid);
        }
        let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|octet| said[at + octet]));
        let opens = match said[0] {
            0 => Opens::Dvr,
            1 => Opens::Recording { download: false },
            2 => Opens::Recording { download: true },
            _ => return Err(TicketError::Invalid),
        };
        let expires_at = OffsetDateTime::from_unix_timestamp(number(18).cast_signed());
        let expires_at = expires_at.map_err(|_| TicketError::Invalid)?;
        if expires_at < now {
            return Err(TicketError::Expired);
        }
        let line = (said[9] == 1).then(|| number(10));
        Ok(Ticket { opens, viewer: ParticipantId::from_u64(number(1)), line, expires_at })
    }

    fn tag(&self, lesson: LessonId, said: &[u8; SAID]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&lesson.as_u64().to_be_bytes());
        context.update(said);
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::Duration;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    fn ticket(opens: Opens) -> Ticket {
        Ticket { opens, viewer: ParticipantId::from_u64(7), line: Some(u64::MAX), expires_at: NOW + Duration::hours(4) }
    }

    #[test]
    fn a_ticket_opens_what_it_was_issued_for_until_it_expires() {
        let tickets = Tickets::new(&[7; 32]);
        let lesson = LessonId::from_u64(1);
        for opens in [Opens::Dvr, Opens::Recording { download: false }, Opens::Recording { download: true }] {
            for line in [None, Some(0), Some(u64::MAX)] {
                let issued = Ticket { line, ..ticket(opens) };
                let text = tickets.issue(lesson, &issued);
                assert_eq!(tickets.read(lesson, &text, NOW), Ok(issued));
                assert_eq!(tickets.read(lesson, &text, NOW + Duration::hours(5)), Err(TicketError::Expired));
                assert_eq!(tickets.read(LessonId::from_u64(2), &text, NOW), Err(TicketError::Invalid));
                assert_eq!(Tickets::new(&[8; 32]).read(lesson, &text, NOW), Err(TicketError::Invalid));
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_altered_anywhere_or_is_no_ticket_is_refused(at in 0usize..56, to in "[A-Za-z0-9_-]", other in ".{0,80}") {
            let tickets = Tickets::new(&[7; 32]);
            let lesson = LessonId::from_u64(1);
            let text = tickets.issue(lesson, &ticket(Opens::Dvr));
            let mut altered = text.clone();
            altered.replace_range(at..=at, &to);
            if altered != text {
                prop_assert_eq!(tickets.read(lesson, &altered, NOW), Err(TicketError::Invalid));
            }
            prop_assert_eq!(tickets.read(lesson, &other, NOW), Err(TicketError::Invalid));
        }
    }
}
