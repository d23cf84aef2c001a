//! The worker's part of publications: from the first packet to the last, here and on other workers.

use std::time::Instant;

use crate::id::{ConnectionId, LessonId, PublicationId, SourceName};
use crate::rtp::packet::Packet;
use crate::rtp::rtcp::{Received, Sent};
use crate::sfu::input::End;
use crate::sfu::{Inbound, Output, PublicationSpec};
use crate::transport::rtcp;

use super::connection::Side;
use super::crossing::{Batch, Crossing, CrossingPacket};
use super::ingress::{Arrived, Unused};
use super::mailbox::{Closed, Report};
use super::worker::Worker;

/// Payload octets that one crossing batch holds at most.
const MAX_BATCH: usize = 256 * 1024;

impl Worker {
    /// A packet from a publisher.
    pub(super) fn rtp(&mut self, key: usize, bytes: &[u8]) {
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(_) => return self.meters.drop("rtp_malformed", 1),
        };
        let now = self.now;
        let Some(ingress) = self.connections.get_mut(key).and_then(|connection| connection.ingress()) else {
            return self.meters.drop("media_from_subscriber", 1);
        };
        match ingress.receive(&packet, now) {
            Ok(arrived) => self.arrived(key, &arrived),
            Err(Unused::Probe) => {}
            Err(Unused::Replaced) => self.meters.drop("replaced_source", 1),
            Err(Unused::UnknownStream) => self.meters.drop("unknown_stream", 1),
            Err(Unused::UnknownPayloadType) => self.meters.drop("unknown_payload_type", 1),
            Err(Unused::TooManyStreams) => self.meters.drop("too_many_streams", 1),
        }
    }

    fn arrived(&mut self, key: usize, arrived: &Arrived<'_>) {
        let Some(publication) = self.publication_of(key, arrived.section) else { return };
        let id = self.router.spec(publication).map(|spec| (spec.id, spec.lesson));
        let Some((id, lesson)) = id else { return };
        if arrived.restarted {
            self.router.restart_layer(publication, arrived.layer);
            if let Some(tap) = &mut self.tap {
                tap.restarted(publication, arrived.layer);
            }
            self.tell_interested(lesson, &Crossing::Restarted(id, arrived.layer));
        }
        let inbound = Inbound {
            codec: arrived.codec,
            sequence: arrived.sequence,
            timestamp: arrived.timestamp,
            marker: arrived.marker,
            payload: arrived.payload,
        };
        // What is late for receivers isn't for the journal.
        if let Some(tap) = &mut self.tap {
            tap.packet(publication, arrived.layer, &inbound, self.clock.unix_nanos(self.now));
        }
        if self.router.ingest(publication, arrived.layer, &inbound, self.now).is_err() {
            return self.meters.drop("late_or_duplicate", 1);
        }
        if self.interested.contains_key(&lesson) {
            let batch = self.leaving.entry(id).or_default();
            if batch.payloads.len() < MAX_BATCH {
                batch.payloads.extend_from_slice(inbound.payload);
                batch.packets.push(CrossingPacket {
                    layer: arrived.layer,
                    codec: inbound.codec,
                    sequence: inbound.sequence,
                    timestamp: inbound.timestamp,
                    marker: inbound.marker,
                    length: inbound.payload.len() as u16,
                });
            }
        }
    }

    /// The publication of an m-line; the first packet makes it.
    fn publication_of(&mut self, key: usize, section: usize) -> Option<usize> {
        let connection = self.connections.get_mut(key)?;
        let (lesson, participant, id, end, since) =
            (connection.lesson, connection.participant, connection.id, connection.end, connection.since);
        let section_of = connection.ingress()?.section_mut(section)?;
        if section_of.publication.is_some() {
            return section_of.publication;
        }
        let spec = PublicationSpec {
            id: PublicationId::random(),
            lesson,
            participant,
            connection: id,
            end,
            source: section_of.source.clone(),
            kind: section_of.kind(),
            rids: section_of.media.rids.clone(),
            since,
        };
        let source = spec.source.clone();
        if end == End::Studio {
            self.take_over(lesson, &source, id, since);
            if source == SourceName::slides() {
                // It stands in for the slides before, and would keep its connection up.
                self.take_over(lesson, &SourceName::slides_backup(), id, since);
            }
            // It may have turned out that a newer connection has the source: then this one's is not published.
            if self.connections.get_mut(key)?.ingress()?.section_mut(section)?.replaced {
                return None;
            }
        }
        let publication = self.router.add_publication(spec.clone(), self.now);
        self.origins.insert(publication, (key, section));
        if let Some(tap) = &mut self.tap {
            tap.began(publication, &spec);
        }
        self.connections.get_mut(key)?.ingress()?.section_mut(section)?.publication = Some(publication);
        self.tell_interested(lesson, &Crossing::Published(Box::new(spec)));
        if end == End::Studio {
            self.tell_all(&Crossing::Replaces { lesson, source, connection: id, since });
        }
        Some(publication)
    }

    /// A studio's source has a new publisher: older connections stop sending it; a newer one says so in its turn.
    pub(super) fn take_over(&mut self, lesson: LessonId, source: &SourceName, by: ConnectionId, since: Instant) {
        let mut newer = None;
        let mut older = Vec::new();
        for (key, connection) in &mut self.connections {
            if connection.lesson != lesson || connection.end != End::Studio || connection.id == by {
                continue;
            }
            let (id, began) = (connection.id, connection.since);
            let Some(ingress) = connection.ingress() else { continue };
            if !ingress.sections().iter().any(|section| section.source == *source && section.publication.is_some()) {
                continue;
            }
            if (began, id) > (since, by) {
                newer = Some((id, began));
            } else {
                older.push(key);
            }
        }
        for key in older {
            self.replace(key, source);
        }
        if let Some((connection, since)) = newer {
            self.tell_all(&Crossing::Replaces { lesson, source: source.clone(), connection, since });
            if let Some(&key) = self.by_id.get(&by) {
                self.replace(key, source);
            }
        }
    }

    /// One source of a connection belongs to another publisher now. A connection with nothing left is closed.
    fn replace(&mut self, key: usize, source: &SourceName) {
        let Some(ingress) = self.connections.get_mut(key).and_then(|connection| connection.ingress()) else { return };
        let mut ended = Vec::new();
        for at in 0..ingress.sections().len() {
            if let Some(section) = ingress.section_mut(at).filter(|section| section.source == *source) {
                section.replaced = true;
                ended.extend(section.publication.take());
            }
        }
        let nothing_left = ingress.sections().iter().all(|section| section.publication.is_none());
        for publication in ended {
            self.end_publication(publication, Closed::Replaced);
        }
        if nothing_left {
            self.close(key, Closed::Replaced);
        }
    }

    /// A local publication is over.
    pub(super) fn end_publication(&mut self, publication: usize, why: Closed) {
        let Some((id, lesson)) = self.router.spec(publication).map(|spec| (spec.id, spec.lesson)) else { return };
        self.origins.remove(&publication);
        if let Some(tap) = &mut self.tap {
            tap.ended(publication);
        }
        self.leaving.remove(&id);
        self.router.remove_publication(publication);
        self.tell_interested(lesson, &Crossing::Unpublished(id));
        self.report(Report::PublicationEnded { lesson, publication: id, why });
    }

    /// RTCP from a peer.
    pub(super) fn rtcp(&mut self, key: usize, compound: &[u8]) {
        let Ok(messages) = rtcp::read(compound) else { return self.meters.drop("rtcp_malformed", 1) };
        for message in messages {
            self.rtcp_message(key, message);
        }
    }

    fn rtcp_message(&mut self, key: usize, message: Received) {
        let (now, clock) = (self.now, self.clock);
        let Some(connection) = self.connections.get_mut(key) else { return };
        match (message, &mut connection.side) {
            (Received::SenderReport { ssrc, ntp, rtp }, Side::Publisher(ingress)) => {
                let Some((section, layer, unix_nanos)) = ingress.sender_report(ssrc, ntp, &clock, now) else { return };
                let Some(publication) = ingress.sections()[section].publication else { return };
                self.router.anchor(publication, layer, rtp, unix_nanos);
                if let Some(tap) = &mut self.tap {
                    tap.anchor(publication, layer, rtp, unix_nanos);
                }
                if let Some((id, lesson)) = self.router.spec(publication).map(|spec| (spec.id, spec.lesson)) {
                    self.tell_interested(
                        lesson,
                        &Crossing::Anchor { publication: id, layer, timestamp: rtp, unix_nanos },
                    );
                }
            }
            (Received::Nack { ssrc, sequence_numbers }, Side::Subscriber { key: Some(subscriber), .. }) => {
                let subscriber = *subscriber;
                connection.line.asked_again(sequence_numbers.len());
                if !self.repeat(key, ssrc, &sequence_numbers) {
                    self.router.nack(subscriber, ssrc, &sequence_numbers, now);
                }
            }
            (Received::KeyframeRequest { ssrc }, Side::Subscriber { key: Some(subscriber), .. }) => {
                connection.line.keyframe_requested();
                self.router.keyframe_request(*subscriber, ssrc);
            }
            (Received::Reception(block), Side::Subscriber { spec, .. }) => {
                if let Some(slot) = spec.slots.iter().find(|slot| slot.ssrc == block.ssrc) {
                    connection.line.reception(&block, slot.kind.media().clock_rate(), clock.ntp(now));
                    self.reception_on_line(key, &block);
                }
            }
            (Received::TransportFeedback(feedback), Side::Subscriber { .. }) => self.transport_feedback(key, &feedback),
            (Received::Remb { bps }, Side::Subscriber { .. }) => self.remb_on_line(key, bps),
            // Goodbyes of streams say nothing that silence doesn't.
            _ => {}
        }
    }

    /// What the router wants done.
    pub(super) fn drain_outputs(&mut self) {
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::KeyframeRequest { publication, layer } => self.request_keyframe(publication, layer),
                Output::Slots { lesson, participant, connection, slots } => {
                    let Some(connection) = self.connections.get(connection).map(|connection| connection.id) else {
                        continue;
                    };
                    self.report(Report::Slots { lesson, participant, connection, slots });
                }
                Output::Decided { lesson, participant, connection, decision } => {
                    let Some(connection) = self.connections.get(connection).map(|connection| connection.id) else {
                        continue;
                    };
                    self.report(Report::Decision { lesson, participant, connection, decision });
                }
                Output::Publication { publication, lesson, report } => {
                    if self.origins.contains_key(&publication) {
                        self.report(Report::Publication { lesson, publication: report });
                    }
                }
            }
        }
    }

    fn request_keyframe(&mut self, publication: usize, layer: u8) {
        let Some(&(key, section)) = self.origins.get(&publication) else {
            let Some(spec) = self.router.spec(publication) else { return };
            let (origin, message) = (spec.connection.worker(), Crossing::WantKeyframe(spec.id, layer));
            return self.tell(origin, message);
        };
        let ingress = self.connections.get_mut(key).and_then(|connection| connection.ingress());
        if let Some(ssrc) = ingress.and_then(|ingress| ingress.ssrc_of(section, layer)) {
            self.meters.keyframes += 1;
            if let Some(connection) = self.connections.get_mut(key) {
                connection.line.keyframe_requested();
            }
            self.send_rtcp(key, &[Sent::KeyframeRequest { ssrc }]);
        }
    }

    /// Sends gathered packets to the workers that have receivers for them.
    pub(super) fn send_crossings(&mut self) {
        if self.leaving.values().all(|batch| batch.packets.is_empty()) {
            return;
        }
        let mut leaving = std::mem::take(&mut self.leaving);
        for (id, batch) in leaving.drain().filter(|(_, batch)| !batch.packets.is_empty()) {
            let spec = self.router.publication(id).and_then(|key| self.router.spec(key));
            if let Some(lesson) = spec.map(|spec| spec.lesson) {
                self.tell_interested(lesson, &Crossing::Media(id, batch));
            }
        }
        self.leaving = leaving;
    }

    fn tell_interested(&mut self, lesson: LessonId, message: &Crossing) {
        let workers: Vec<usize> = self.interested.get(&lesson).into_iter().flatten().copied().collect();
        for worker in workers {
            self.tell(worker, message.clone());
        }
    }

    /// Tells every other worker.
    pub(super) fn tell_all(&mut self, message: &Crossing) {
        let own = self.host.index;
        for worker in (0..self.ways.len()).filter(|&worker| worker != own) {
            self.tell(worker, message.clone());
        }
    }

    fn tell(&mut self, worker: usize, message: Crossing) {
        let Some((way, waker)) = self.ways.get(worker) else { return };
        if !way.send(message) {
            self.meters.drop("crossing_full", 1);
        }
        // A worker that can't be woken comes round by itself within a tick.
        let _ = waker.wake();
    }

    /// A message from another worker.
    pub(super) fn cross(&mut self, message: Crossing) {
        match message {
            Crossing::Interest { lesson, worker, wanted } => self.interest(lesson, worker, wanted),
            Crossing::Published(spec) => {
                if self.router.publication(spec.id).is_none() && self.router.has_subscribers(spec.lesson) {
                    self.router.add_publication(*spec, self.now);
                }
            }
            Crossing::Unpublished(id) => {
                if let Some(publication) = self.router.publication(id) {
                    self.router.remove_publication(publication);
                }
            }
            Crossing::Replaces { lesson, source, connection, since } => {
                self.take_over(lesson, &source, connection, since);
                if source == SourceName::slides() {
                    self.take_over(lesson, &SourceName::slides_backup(), connection, since);
                }
            }
            Crossing::Media(id, batch) => self.ingest_batch(id, &batch),
            Crossing::Anchor { publication, layer, timestamp, unix_nanos } => {
                if let Some(publication) = self.router.publication(publication) {
                    self.router.anchor(publication, layer, timestamp, unix_nanos);
                }
            }
            Crossing::Restarted(id, layer) => {
                if let Some(publication) = self.router.publication(id) {
                    self.router.restart_layer(publication, layer);
                }
            }
            Crossing::WantKeyframe(id, layer) => {
                if let Some(publication) = self.router.publication(id) {
                    self.router.want_keyframe(publication, layer);
                }
            }
        }
    }

    fn ingest_batch(&mut self, id: PublicationId, batch: &Batch) {
        let Some(publication) = self.router.publication(id) else { return };
        let mut at = 0;
        for packet in &batch.packets {
            let end = at + usize::from(packet.length);
            let inbound = Inbound {
                codec: packet.codec,
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                marker: packet.marker,
                payload: &batch.payloads[at..end],
            };
            // The publisher's worker let it through: only a restart in between can make it a stranger.
            let _ = self.router.ingest(publication, packet.layer, &inbound, self.now);
            at = end;
        }
    }

    fn interest(&mut self, lesson: LessonId, worker: usize, wanted: bool) {
        let workers = self.interested.entry(lesson).or_default();
        if !wanted {
            workers.remove(&worker);
            if workers.is_empty() {
                self.interested.remove(&lesson);
            }
            return;
        }
        workers.insert(worker);
        let local: Vec<usize> =
            self.router.publications_of(lesson).filter(|key| self.origins.contains_key(key)).collect();
        for key in local {
            let Some(spec) = self.router.spec(key).cloned() else { continue };
            let id = spec.id;
            let anchors: Vec<_> = self.router.anchors(key).collect();
            self.tell(worker, Crossing::Published(Box::new(spec)));
            for (layer, timestamp, unix_nanos) in anchors {
                self.tell(worker, Crossing::Anchor { publication: id, layer, timestamp, unix_nanos });
            }
        }
    }
}
