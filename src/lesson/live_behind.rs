//! Which classrooms aren't live, and how far behind they are.

use super::{Live, Role};
use crate::id::ParticipantId;
use crate::lesson::message::{Behind, Notice};

impl Live {
    /// A classroom's page says how far behind it is, or that it is live again.
    pub fn behind(&mut self, id: ParticipantId, behind: Option<Behind>) -> Vec<Notice> {
        match self.people.get_mut(&id) {
            // Who has no page any more has nobody who could say that it is live again.
            Some(person) if person.identity.role == Role::Classroom && person.pages > 0 && person.behind != behind => {
                person.behind = behind;
                self.participant_notice(id).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::{Identity, Viewer};
    use super::*;
    use crate::lesson::message::{BehindMode, Message};

    const STUDIO: ParticipantId = ParticipantId::from_u64(10);
    const SHUCHENG: ParticipantId = ParticipantId::from_u64(20);
    const HUOSHAN: ParticipantId = ParticipantId::from_u64(30);

    fn lesson() -> Live {
        let mut live = Live::default();
        for (participant, role) in [(STUDIO, Role::Studio), (SHUCHENG, Role::Classroom), (HUOSHAN, Role::Classroom)] {
            let identity = Identity { participant, role, name: None, school: None };
            live.introduce(identity, datetime!(2026-11-24 08:00 UTC));
            live.page_opened(participant);
        }
        live
    }

    /// What one who looks is told of how far Shucheng is behind.
    fn seen(notices: &[Notice], participant: ParticipantId, role: Role) -> Vec<Option<Behind>> {
        let heard = notices.iter().filter(|notice| notice.to.includes(Viewer { participant, role }));
        let behind = heard.map(|notice| match &notice.message {
            Message::Participant { participant } if participant.id == SHUCHENG => participant.behind,
            other => panic!("expected a participant, got {other:?}"),
        });
        behind.collect()
    }

    #[test]
    fn the_studio_sees_how_far_a_classroom_is_behind_and_the_neighbour_does_not() {
        let mut live = lesson();
        let behind = Behind::told(Some(80_900), Some(BehindMode::CatchingUp));
        assert_eq!(behind.map(|behind| behind.behind_ms), Some(80_000));
        let notices = live.behind(SHUCHENG, behind);
        assert_eq!(seen(&notices, STUDIO, Role::Studio), [behind]);
        assert_eq!(seen(&notices, HUOSHAN, Role::Classroom), []);
        assert_eq!(
            live.behind(SHUCHENG, Behind::told(Some(80_100), Some(BehindMode::CatchingUp))),
            [],
            "the same second"
        );
        let notices = live.behind(SHUCHENG, Behind::told(None, Some(BehindMode::CatchingUp)));
        assert_eq!(seen(&notices, STUDIO, Role::Studio), [None], "live again");
        assert_eq!(live.behind(STUDIO, behind), [], "a studio is never behind");
    }

    #[test]
    fn who_closes_its_page_is_behind_no_longer() {
        let mut live = lesson();
        live.behind(SHUCHENG, Behind::told(Some(80_000), Some(BehindMode::Paused)));
        live.page_closed(SHUCHENG);
        let came = live.page_opened(SHUCHENG);
        assert_eq!(seen(&came, STUDIO, Role::Studio), [None]);
        live.page_closed(SHUCHENG);
        assert_eq!(live.behind(SHUCHENG, Behind::told(Some(1000), None)), [], "nobody is there to say so");
    }

    #[test]
    fn a_time_that_no_lesson_has_is_cut() {
        assert_eq!(Behind::told(Some(u32::MAX), None), Behind::told(Some(24 * 3_600_000), None));
    }
}
