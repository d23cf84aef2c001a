//! What a worker tells the rest of the server unasked, when that is slow to listen.

use std::collections::VecDeque;

use tokio::sync::mpsc::Sender;

use super::mailbox::Report;

/// Beginnings and ends that wait for the listener. A worker with as many connections has other troubles.
const MAX_UNTOLD: usize = 65_536;

/// The way to the rest of the server.
#[derive(Debug)]
pub(super) struct Reporter {
    sender: Sender<Report>,
    untold: VecDeque<Report>,
    states_lost: bool,
}

impl Reporter {
    /// Over this channel.
    pub(super) const fn new(sender: Sender<Report>) -> Self {
        Self { sender, untold: VecDeque::new(), states_lost: false }
    }

    /// Tells a report. States that can't be told are dropped, and [`states_lost`](Self::states_lost) says so; what
    /// happens once only is kept for [`catch_up`](Self::catch_up). Returns whether the report was told or kept.
    pub(super) fn tell(&mut self, report: Report) -> bool {
        let once = happens_once(&report);
        if once && (!self.catch_up() || self.sender.capacity() == 0) {
            self.untold.push_back(report);
            let whole = self.untold.len() <= MAX_UNTOLD;
            if !whole {
                self.untold.pop_front();
            }
            return whole;
        }
        let told = self.sender.try_send(report).is_ok();
        self.states_lost |= !told && !once;
        told
    }

    /// Tells what was kept. Returns whether nothing is left of it.
    pub(super) fn catch_up(&mut self) -> bool {
        while let Some(report) = self.untold.pop_front() {
            match self.sender.try_reserve() {
                Ok(place) => place.send(report),
                Err(_) => {
                    self.untold.push_front(report);
                    return false;
                }
            }
        }
        true
    }

    /// Whether states were dropped since this was last asked, so that all of them are to be told anew.
    pub(super) const fn states_lost(&mut self) -> bool {
        std::mem::replace(&mut self.states_lost, false)
    }
}

/// Connections come up and end, and publications end, without anything later that says so again.
const fn happens_once(report: &Report) -> bool {
    matches!(report, Report::Up { .. } | Report::Down { .. } | Report::PublicationEnded { .. })
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

    fn slots() -> Report {
        Report::Slots {
            lesson: LessonId::from_u64(1),
            participant: ParticipantId::from_u64(1),
            connection: ConnectionId::from_u64(1),
            slots: Vec::new(),
        }
    }

    #[test]
    fn ends_are_told_in_their_order_and_states_are_dropped() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        let mut reporter = Reporter::new(sender);
        assert!(reporter.tell(slots()) && reporter.tell(down(0)));
        assert!(!reporter.tell(slots()));
        assert!((1..5).all(|number| reporter.tell(down(number))));
        assert!(reporter.states_lost() && !reporter.states_lost());
        let mut told = Vec::new();
        for _ in 0..6 {
            reporter.catch_up();
            told.extend(receiver.try_recv());
        }
        assert_eq!(told, [vec![slots()], (0..5).map(down).collect()].concat());
    }
}
