//! What was measured of a running lesson: by the workers of each connection, by the pages of what they receive.

use std::collections::BTreeMap;

use super::{Connection, Live, Role};
use crate::id::{ConnectionId, ParticipantId, PublicationId};
use crate::lesson::media::SlotName;
use crate::lesson::message::{Notice, Participant};
use crate::lesson::stats::{Change, Expected, LineState, Stats, mean_and_most};
use crate::worker::mailbox::{LineReport, PublicationReport, SlotState};

/// What went over a line so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flow {
    /// Octets of media.
    pub octets: u64,
    /// Media packets.
    pub packets: u64,
    /// Packets asked for again.
    pub asked_again: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Keyframes asked for.
    pub keyframe_requests: u64,
}

impl Flow {
    fn add(&mut self, line: &LineReport) {
        self.octets += line.octets;
        self.packets += line.packets;
        self.asked_again += u64::from(line.asked_again);
        self.retransmitted += u64::from(line.retransmitted);
        self.keyframe_requests += u64::from(line.keyframe_requests);
    }
}

/// One connection as it is measured.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Which.
    pub connection: ConnectionId,
    /// Whose.
    pub participant: ParticipantId,
    /// The last report of its line.
    pub line: &'a LineReport,
    /// What went over it so far.
    pub flow: Flow,
    /// What is in its slots.
    pub slots: &'a [SlotState],
}

impl Live {
    /// How much is kept, by what it is. People are remembered, here or not.
    #[must_use]
    pub fn kept(&self) -> [(&'static str, usize); 3] {
        [
            ("remembered_people", self.people.len()),
            ("connections", self.connections.len()),
            ("publications", self.publications.len()),
        ]
    }

    pub(super) fn line_measured(&mut self, participant: ParticipantId, id: ConnectionId, line: LineReport) {
        let direction = if line.up { &mut self.up } else { &mut self.down };
        direction.add(&line);
        let connection = self.connection(id, participant);
        connection.flow.add(&line);
        connection.line = Some(line);
        connection.line_untold = true;
    }

    /// A page told what it measured. Returns whom to tell, and what is different by it.
    pub fn measured(&mut self, id: ParticipantId, stats: Stats) -> (Vec<Notice>, Vec<Change>) {
        let expected = self.expected(id);
        let Some(person) = self.people.get_mut(&id) else { return (Vec::new(), Vec::new()) };
        if person.connections_up == 0 {
            return (Vec::new(), Vec::new());
        }
        self.frozen_seconds += stats.frozen_seconds();
        let before = person.measured.line();
        let changes = person.measured.take(stats, expected);
        let notices = if person.measured.line() == before {
            Vec::new()
        } else {
            self.participant_notice(id).into_iter().collect()
        };
        (notices, changes)
    }

    fn expected(&self, id: ParticipantId) -> Expected {
        let own = self.connections.values().filter(|connection| connection.participant == id && connection.up);
        let flowing = own
            .flat_map(|connection| &connection.slots)
            .filter(|slot| slot.index == 0 && slot.publication.is_some() && slot.paused.is_none());
        flowing.fold(Expected::default(), |expected, slot| match slot.slot.into() {
            SlotName::Voice => Expected { voice: true, ..expected },
            SlotName::Camera => Expected { camera: true, ..expected },
            SlotName::Slides | SlotName::Stage => expected,
        })
    }

    /// Whether a participant is there: a page of it is open or a connection is up.
    #[must_use]
    pub fn is_present(&self, id: ParticipantId) -> bool {
        self.people.get(&id).is_some_and(super::Person::is_present)
    }

    /// Everybody who is there, with what their pages measured last.
    pub fn everybody(&self) -> impl Iterator<Item = (Participant, Option<&Stats>)> {
        let present = self.people.values().filter(|person| person.is_present());
        present.map(|person| (self.view(person), person.measured.stats()))
    }

    /// The last report of a connection's line, and what went over it so far.
    #[must_use]
    pub fn line_of(&self, id: ConnectionId) -> Option<(&LineReport, Flow)> {
        self.connections.get(&id).and_then(|connection| Some((connection.line.as_ref()?, connection.flow)))
    }

    /// What is in the slots of a connection.
    #[must_use]
    pub fn slots_in(&self, id: ConnectionId) -> &[SlotState] {
        self.connections.get(&id).map(|connection| &connection.slots[..]).unwrap_or_default()
    }

    /// The last report of a publication.
    #[must_use]
    pub fn reported(&self, id: PublicationId) -> Option<&PublicationReport> {
        self.publications.get(&id)
    }

    /// The connections of which a line was reported.
    pub fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        self.connections.iter().filter_map(|(&id, connection)| {
            let Connection { participant, flow, slots, line, .. } = connection;
            Some(Seen { connection: id, participant: *participant, line: line.as_ref()?, flow: *flow, slots })
        })
    }

    /// What the lines of schools carry and may spend, by the schools' names; classrooms without a school are left out.
    #[must_use]
    pub fn school_lines(&self) -> BTreeMap<&str, [(&'static str, Option<u64>); 2]> {
        let of_connection = |connection: &'_ Connection| {
            let school = self.people.get(&connection.participant)?.identity.school.as_deref()?;
            let line = connection.line.as_ref().filter(|line| !line.up)?;
            Some((school, [("estimate", line.estimate), ("budget", line.budget)]))
        };
        self.connections.values().filter_map(of_connection).collect()
    }

    /// What went towards the server and away from it so far, connections that are gone included.
    #[must_use]
    pub const fn flows(&self) -> [(&'static str, Flow); 2] {
        [("up", self.up), ("down", self.down)]
    }

    /// For how long pictures stood still in classrooms so far, all together, in seconds.
    #[must_use]
    pub const fn frozen_seconds(&self) -> f64 {
        self.frozen_seconds
    }

    /// How many connected classrooms there are by the state of their line; the last is of those that measure nothing.
    #[must_use]
    pub fn classrooms(&self) -> [(&'static str, usize); 4] {
        let connected = || self.people.values().filter(|p| p.identity.role == Role::Classroom && p.connections_up > 0);
        let count = |state: Option<LineState>| connected().filter(|person| person.measured.line() == state).count();
        let [good, weak, bad] = LineState::ALL.map(|state| (state.word(), count(Some(state))));
        [good, weak, bad, ("unknown", count(None))]
    }

    /// The parts of the voice that each connected classroom last had to make up: their mean and the greatest.
    #[must_use]
    pub fn voice_concealed(&self) -> Option<(f64, f64)> {
        mean_and_most(self.people.values().filter_map(|person| person.measured.stats()?.voice_concealed()))
    }
}
