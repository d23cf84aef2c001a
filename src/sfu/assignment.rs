//! Which publications are in the slots of whom: kept in line with who publishes, who is on stage, and who receives.

use crate::id::LessonId;

use super::forwarding::instant;
use super::input::SlotSpec;
use super::router::Router;
use super::routing::{Viewer, publication_for};

impl Router {
    /// Maps publications to slots anew for everybody in the lesson.
    pub(super) fn assign(&mut self, lesson: LessonId) {
        let subscribers = self.lessons.get(&lesson).map(|lesson| lesson.subscribers.clone()).unwrap_or_default();
        for subscriber in subscribers {
            self.assign_one(subscriber);
        }
    }

    /// Maps publications to the slots of one subscriber anew.
    pub(super) fn assign_one(&mut self, key: usize) {
        let Some(subscriber) = self.subscribers.get(key) else { return };
        let Some(lesson) = self.lessons.get(&subscriber.spec.lesson) else { return };
        let specs: Vec<_> =
            lesson.publications.iter().map(|&publication| &self.publications[publication].spec).collect();
        let viewer = Viewer { participant: subscriber.spec.participant, source: subscriber.spec.source.as_ref() };
        let wanted: Vec<Option<usize>> = subscriber
            .slots
            .iter()
            .map(|&slot| {
                let slot = &self.slots[slot];
                let plays = |at: usize| slot.plays(self.publications[lesson.publications[at]].codec());
                let SlotSpec { kind, index, .. } = *slot.spec();
                publication_for(kind, index, viewer, &specs, &lesson.stage, plays).map(|at| lesson.publications[at])
            })
            .collect();
        for (slot, publication) in subscriber.slots.clone().into_iter().zip(wanted) {
            if self.slots[slot].publication() == publication {
                continue;
            }
            self.detach(slot);
            if let Some(publication) = publication {
                self.slots[slot].attach(publication);
                self.publications[publication].receivers.push(slot);
                self.touch(slot);
            }
        }
    }

    /// Nothing is mapped to a slot any more.
    pub(super) fn detach(&mut self, key: usize) {
        let slot = &mut self.slots[key];
        let last = slot.last_in();
        let last_nanos = last.and_then(|(source, timestamp)| instant(&self.publications, source, timestamp));
        if let Some(publication) = slot.publication().and_then(|key| self.publications.get_mut(key)) {
            publication.receivers.retain(|&receiver| receiver != key);
        }
        slot.detach(last_nanos);
        self.changed.push(slot.subscriber());
        self.touch(key);
    }
}
