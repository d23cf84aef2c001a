//! What a worker tells the rest of the server unasked, when that is slow to listen.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::mpsc::Sender;

use super::mailbox::{Report, SlotKind};
use crate::id::{ConnectionId, PublicationId};

/// Reports that wait for the listener. A worker of which so many are unheard has other troubles.
const MAX_WAITING: usize = 65_536;

/// What a state is of: the next state of the same makes it worthless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Publication(PublicationId),
    Slots(ConnectionId),
    Line(ConnectionId),
    Decision(ConnectionId, SlotKind, u8),
}

impl Subject {
    /// `None` for what happens once: connections come up and end, and publications end.
    const fn of(report: &Report) -> Option<Self> {
        match report {
            Report::Publication { publication, .. } => Some(Self::Publication(publication.id)),
            Report::Slots { connection, .. } => Some(Self::Slots(*connection)),
            Report::Line { connection, .. } => Some(Self::Line(*connection)),
            Report::Decision { connection, decision, .. } => {
                Some(Self::Decision(*connection, decision.slot, decision.index))
            }
            Report::Up { .. } | Report::Down { .. } | Report::PublicationEnded { .. } => None,
        }
    }
}

/// The way to the rest of the server. What finds no room waits in order; of a state only the latest does.
#[derive(Debug)]
pub(super) struct Reporter {
    sender: Sender<Report>,
    waiting: BTreeMap<u64, Report>,
    states: HashMap<Subject, u64>,
    next: u64,
}

impl Reporter {
    /// Over this channel.
    pub(super) fn new(sender: Sender<Report>) -> Self {
        Self { sender, waiting: BTreeMap::new(), states: HashMap::new(), next: 0 }
    }

    /// Tells a report, or keeps it for [`catch_up`](Self::catch_up). Returns whether it could be kept.
    pub(super) fn tell(&mut self, report: Report) -> bool {
        if self.catch_up()
            && let Ok(place) = self.sender.try_reserve()
        {
            place.send(report);
            return true;
        }
        let subject = Subject::of(&report);
        if let Some(&place) = subject.and_then(|subject| self.states.get(&subject)) {
            self.waiting.insert(place, report);
            return true;
        }
        if self.waiting.len() == MAX_WAITING {
            return false;
        }
        self.states.extend(subject.map(|subject| (subject, self.next)));
        self.waiting.insert(self.next, report);
        self.next += 1;
        true
    }

    /// Tells what waits, as far as there is room. Returns whether nothing waits any more.
    pub(super) fn catch_up(&mut self) -> bool {
        while let Some(entry) = self.waiting.first_entry() {
            let Ok(place) = self.sender.try_reserve() else { return false };
            let report = entry.remove();
            if let Some(subject) = Subject::of(&report) {
                self.states.remove(&subject);
            }
            place.send(report);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ConnectionId, LessonId, ParticipantId};
    use crate::worker::mailbox::Closed;

    fn down(number: u64) -> Report {
        Report::Down {
            lesson: LessonId::from_u64(1),
            participant: ParticipantId::from_u64(1),
            connection: ConnectionId::from_u64(number),
            why: Closed::Deleted,
        }
    }

    fn slots(participant: u64) -> Report {
        Report::Slots {
            lesson: LessonId::from_u64(1),
            participant: ParticipantId::from_u64(participant),
            connection: ConnectionId::from_u64(1),
            slots: Vec::new(),
        }
    }

    #[test]
    fn a_slow_listener_hears_all_that_happened_and_the_latest_of_every_state() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        let mut reporter = Reporter::new(sender);
        for report in [slots(1), down(0), slots(2), down(1), slots(3), down(2)] {
            assert!(reporter.tell(report));
        }
        let mut told = Vec::new();
        while let Ok(report) = receiver.try_recv() {
            told.push(report);
            reporter.catch_up();
        }
        assert_eq!(told, [slots(1), down(0), slots(3), down(1), down(2)]);
        assert!(reporter.waiting.is_empty() && reporter.states.is_empty());
    }

    #[test]
    fn a_listener_that_is_gone_is_not_waited_for_without_bounds() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        drop(receiver);
        let mut reporter = Reporter::new(sender);
        let kept = (0..MAX_WAITING as u64 + 5).filter(|&number| reporter.tell(down(number))).count();
        assert_eq!(kept, MAX_WAITING);
    }
}
