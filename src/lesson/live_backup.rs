//! Whether anybody needs the slides in another codec than they are sent in: the studio sends them twice only as long as
//! that is so.

use super::Live;
use crate::id::SourceName;
use crate::lesson::message::{Audience, Message, Notice};
use crate::worker::mailbox::{End, Paused, SlotState};

impl Live {
    /// What the staff is told when somebody begins to need the backup of the slides, or nobody needs it any more.
    pub(super) fn backup_notice(&mut self) -> Option<Notice> {
        let wanted = self.needs_backup();
        let before = std::mem::replace(&mut self.backup_wanted, wanted);
        (wanted != before).then(|| self.backup_told())
    }

    /// What a studio's page is told first, where it has to know.
    #[must_use]
    pub fn backup_standing(&self) -> Option<Notice> {
        self.backup_wanted.then(|| self.backup_told())
    }

    fn backup_told(&self) -> Notice {
        let message = Message::Wanted { source: SourceName::slides_backup(), wanted: self.backup_wanted };
        Notice { to: Audience::Staff, message }
    }

    /// Whether in some slot there is the backup, or the slides undecodable.
    fn needs_backup(&self) -> bool {
        let named = |name: &SourceName| {
            let studio = self.publications.values().filter(|one| one.end == End::Studio && one.source == *name);
            studio.map(|one| one.id).collect::<Vec<_>>()
        };
        let (slides, backup) = (named(&SourceName::slides()), named(&SourceName::slides_backup()));
        let needs = |slot: &SlotState| {
            slot.publication.is_some_and(|id| {
                backup.contains(&id) || slides.contains(&id) && slot.paused == Some(Paused::UnsupportedCodec)
            })
        };
        self.connections.values().any(|connection| connection.slots.iter().any(needs))
    }
}
