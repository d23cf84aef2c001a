//! What is in the slots of a running lesson and why it isn't better, and what is told of lines.

use std::collections::BTreeMap;

use super::{Connection, Live, Role};
use crate::id::{ConnectionId, ParticipantId};
use crate::lesson::media::SlotName;
use crate::lesson::message::{Audience, Cut, Direction, Held, Line, Message, Notice, PausedReason, Slot};
use crate::worker::mailbox::{Decision, LineReport};

/// Slots of one connection of which it is kept why they aren't better; a connection has no more m-lines.
const MAX_HELD: usize = 16;

impl Live {
    /// What a participant is called, and its school.
    #[must_use]
    pub fn called(&self, id: ParticipantId) -> (Option<String>, Option<String>) {
        let person = self.people.get(&id);
        person.map(|person| (person.identity.name.clone(), person.identity.school.clone())).unwrap_or_default()
    }

    /// It was decided what a slot gets. Where the reason of it not being better is new, the page is told.
    pub(super) fn decided(&mut self, participant: ParticipantId, id: ConnectionId, decision: &Decision) -> Vec<Notice> {
        let connection = self.connection(id, participant);
        let place = (SlotName::from(decision.slot), decision.index);
        let held = Held::of(decision.reason);
        let before = match held {
            Some(held) if connection.held.len() < MAX_HELD || connection.held.contains_key(&place) => {
                connection.held.insert(place, held)
            }
            Some(_) => return Vec::new(),
            None => connection.held.remove(&place),
        };
        if before == held || connection.slots.is_empty() {
            return Vec::new();
        }
        self.connections.get(&id).map(|connection| self.slots_notice(id, connection)).into_iter().collect()
    }

    pub(super) fn slots_of(&self, id: ConnectionId, connection: &Connection) -> Vec<Slot> {
        let slots = connection.slots.iter().map(|state| {
            let publication = state.publication.and_then(|id| self.publications.get(&id));
            let slot = state.slot.into();
            Slot {
                connection: id,
                slot,
                index: state.index,
                mid: state.mid.clone(),
                publication: state.publication,
                source: publication.map(|p| p.source.clone()),
                participant: publication.map(|p| p.participant),
                layer: state.layer,
                paused: state.paused.map(Into::into),
                held: connection.held.get(&(slot, state.index)).copied(),
            }
        });
        slots.collect()
    }

    /// What was measured since this was last asked: all for the staff, its own for each classroom.
    pub fn line_notices(&mut self) -> Vec<Notice> {
        let mut all = Vec::new();
        let mut own: BTreeMap<ParticipantId, Vec<Line>> = BTreeMap::new();
        for (&id, connection) in &mut self.connections {
            if !std::mem::take(&mut connection.line_untold) {
                continue;
            }
            let Some(line) = connection.line.as_ref().map(|report| line(id, connection, report)) else { continue };
            let staff = self.people.get(&connection.participant).is_some_and(|p| p.identity.role != Role::Classroom);
            if !staff {
                own.entry(connection.participant).or_default().push(line.clone());
            }
            all.push(line);
        }
        if all.is_empty() {
            return Vec::new();
        }
        let notice = |to, lines| Notice { to, message: Message::Line { lines } };
        let own = own.into_iter().map(|(participant, lines)| notice(Audience::Only(participant), lines));
        std::iter::once(notice(Audience::Staff, all)).chain(own).collect()
    }

    /// The last report of each line of a participant, and what is in its slots.
    #[must_use]
    pub fn lines_of(&self, id: ParticipantId) -> (Vec<Line>, Vec<Slot>) {
        let own = self.connections.iter().filter(|(_, connection)| connection.participant == id);
        let lines = own.filter_map(|(&id, connection)| Some(line(id, connection, connection.line.as_ref()?)));
        (lines.collect(), self.slots(id))
    }
}

fn line(id: ConnectionId, connection: &Connection, report: &LineReport) -> Line {
    Line {
        participant: connection.participant,
        connection: id,
        direction: if report.up { Direction::Up } else { Direction::Down },
        loss: report.loss,
        round_trip_ms: report.round_trip.map(|round_trip| round_trip.as_millis() as u32),
        jitter_ms: report.jitter.as_millis() as u32,
        bitrate: report.bitrate,
        estimate: report.estimate,
        budget: report.budget,
        tier: report.tier.clone(),
        cut: cut(connection),
    }
}

/// What the line takes from a connection: what it pauses, and what would be better without it.
fn cut(connection: &Connection) -> Vec<Cut> {
    let slots = connection.slots.iter().filter_map(|state| {
        let (slot, index) = (SlotName::from(state.slot), state.index);
        let paused = state.paused.map(PausedReason::from) == Some(PausedReason::NoRoom);
        let lowered = state.layer.is_some() && connection.held.contains_key(&(slot, index));
        (paused || lowered).then_some(Cut { slot, index, paused })
    });
    slots.collect()
}
