//! What is asked of a worker: connections made, changed and ended.

use std::collections::HashSet;

use crate::id::{ConnectionId, LessonId, ParticipantId, client_network};
use crate::transport::Credentials;
use crate::transport::sdp::{self, Local};

use super::admission::admit;
use super::connection::Side;
use super::crossing::Crossing;
use super::mailbox::{Closed, Connect, Connected, Patch, Patched, Refused, Report, Request};
use super::placement::credentials;
use super::worker::Worker;

/// Connections of one participant that have not come up. A page has two at most, and leaves one behind when it tries again.
const MAX_UNFINISHED_OF_PARTICIPANT: usize = 8;

impl Worker {
    /// Answers one request. Nobody may be waiting for the answer any more: then it is dropped.
    pub(super) fn serve(&mut self, request: Request) {
        match request {
            Request::Connect(request, answer) => {
                let _ = answer.send(self.connect(&request));
            }
            Request::Patch(lesson, connection, patch, answer) => {
                let _ = answer.send(self.patch(lesson, connection, &patch));
            }
            Request::Disconnect(lesson, participant, connection, answer) => {
                let _ = answer.send(self.disconnect(lesson, participant, connection));
            }
            Request::Adopt(stream, remote, first) => self.adopt(stream, remote, &first),
            Request::EndLesson(lesson) => {
                let of_lesson = self.connections.iter().filter(|(_, connection)| connection.lesson == lesson);
                for key in of_lesson.map(|(key, _)| key).collect::<Vec<_>>() {
                    self.close(key, Closed::LessonEnded);
                }
                self.router.set_stage(lesson, Vec::new());
            }
            Request::SetStage(lesson, participants) => self.router.set_stage(lesson, participants),
            Request::CapLayer { lesson, participant, slot, cap } => {
                self.router.cap_layer(lesson, participant, slot, cap)
            }
            Request::Show { lesson, participant, slot, pixels } => {
                self.router.show(lesson, participant, slot, pixels);
            }
            Request::WantKeyframe(publication, layer) => {
                if let Some(publication) = self.router.publication(publication) {
                    self.router.want_keyframe(publication, layer);
                }
            }
            Request::Answer(answer) => {
                let _ = answer.send(Ok(()));
            }
            Request::Stop => {
                for key in self.connections.iter().map(|(key, _)| key).collect::<Vec<_>>() {
                    self.close(key, Closed::Stopping);
                }
                self.stopping = true;
            }
        }
    }

    fn connect(&mut self, request: &Connect) -> Result<Connected, Refused> {
        if self.connections.len() >= self.max_connections {
            return Err(Refused::Busy);
        }
        self.may_begin(request)?;
        let key = self.connections.vacant_key();
        let (connection, answered) = admit(&self.host, request, key, self.now)?;
        self.demux.add_ufrag(connection.ufrag.clone(), key);
        self.by_id.insert(connection.id, key);
        self.busy.insert(key);
        self.connections.insert(connection);
        Ok(answered)
    }

    /// Whether this address and this participant may have one more connection that has not come up. Such a one costs
    /// nobody but us anything, so whoever leaves many behind would keep the places that others need.
    fn may_begin(&self, request: &Connect) -> Result<(), Refused> {
        let network = client_network(request.address);
        // Connections that have not come up are all among the busy ones.
        let unfinished = self.busy.iter().filter_map(|&key| self.connections.get(key));
        let (mut of_network, mut of_participant) = (0, 0);
        for connection in unfinished.filter(|connection| !connection.peer.is_connected()) {
            of_network += usize::from(connection.network == network);
            of_participant += usize::from(connection.participant == request.participant);
        }
        if of_network < self.max_unfinished && of_participant < MAX_UNFINISHED_OF_PARTICIPANT {
            Ok(())
        } else {
            Err(Refused::TooManyUnfinished)
        }
    }

    fn patch(&mut self, lesson: LessonId, id: ConnectionId, patch: &Patch) -> Result<Patched, Refused> {
        let key = *self.by_id.get(&id).ok_or(Refused::NoSuchConnection)?;
        let connection = self.connections.get_mut(key).filter(|connection| connection.lesson == lesson);
        let connection = connection.ok_or(Refused::NoSuchConnection)?;
        let fragment = sdp::parse_fragment(&patch.fragment).map_err(|error| Refused::BadFragment(error.to_string()))?;
        let tags = patch.if_match.as_deref().ok_or(Refused::MissingEtag)?;
        if !matches_etag(tags, &connection.ufrag) {
            return Err(Refused::StaleEtag);
        }
        // New credentials are a restart whatever the tag says (RFC 9725 §4.3.3). We are ICE-lite: the peer's candidates
        // are nothing to us, its checks tell where it is.
        let fresh = fragment.credentials.filter(|(ufrag, _)| !connection.remote_ufrags.contains(ufrag));
        let Some((remote_ufrag, remote_password)) = fresh else {
            return Ok(Patched::Trickled);
        };
        let local = credentials(self.host.index);
        let cname = id.to_string();
        let description = Local {
            ufrag: &local.ufrag,
            password: &local.password,
            fingerprint: self.host.identity.fingerprint(),
            cname: &cname,
            candidates: &self.host.candidates,
        };
        let fragment = sdp::write_fragment(&description, &connection.mids, connection.trickle);
        connection.ufrag.clone_from(&local.ufrag);
        connection.remote_ufrags = vec![remote_ufrag.clone()];
        self.demux.add_ufrag(local.ufrag.clone(), key);
        let etag = local.ufrag.clone();
        let remote = Credentials { ufrag: remote_ufrag, password: remote_password };
        connection.peer.restart_ice(local, remote);
        self.demux.retain_ufrags(key, |ufrag| connection.peer.answers_to(ufrag));
        Ok(Patched::Restarted { fragment, etag })
    }

    fn disconnect(
        &mut self,
        lesson: LessonId,
        participant: Option<ParticipantId>,
        id: ConnectionId,
    ) -> Result<(), Refused> {
        let key = *self.by_id.get(&id).ok_or(Refused::NoSuchConnection)?;
        let connection = self.connections.get(key).ok_or(Refused::NoSuchConnection)?;
        if connection.lesson != lesson || participant.is_some_and(|participant| participant != connection.participant) {
            return Err(Refused::NoSuchConnection);
        }
        self.close(key, Closed::Deleted);
        Ok(())
    }

    /// A connection is up: a subscriber's slots begin to fill.
    pub(super) fn up(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (lesson, participant, id) = (connection.lesson, connection.participant, connection.id);
        let spec = match &connection.side {
            Side::Subscriber { spec, key: None } => Some((**spec).clone()),
            _ => None,
        };
        if let Some(spec) = spec {
            self.busy.remove(&key);
            let first = !self.router.has_subscribers(lesson);
            self.open_line(key, spec.line);
            let subscriber = self.router.add_subscriber(spec);
            if let Some(Side::Subscriber { key, .. }) =
                self.connections.get_mut(key).map(|connection| &mut connection.side)
            {
                *key = Some(subscriber);
            }
            self.join_line(key);
            if first {
                self.tell_all(&Crossing::Interest { lesson, worker: self.host.index, wanted: true });
            }
        }
        self.report(Report::Up { lesson, participant, connection: id });
    }

    /// Ends a connection and everything that hangs on it.
    pub(super) fn close(&mut self, key: usize, why: Closed) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(key) else { return };
        let local = connection.local;
        connection.peer.close(now);
        self.send_from_peer(key, local);
        let connection = self.connections.remove(key);
        self.by_id.remove(&connection.id);
        self.busy.remove(&key);
        self.waiting.remove(&key);
        let line = connection.line_key();
        self.demux.remove(key, &connection.endpoints);
        for stream in connection.endpoints.iter().filter_map(|endpoint| endpoint.stream) {
            self.links.tcp.close(stream);
        }
        match connection.side {
            Side::Publisher(ingress) => {
                let publications: Vec<usize> =
                    ingress.sections().iter().filter_map(|section| section.publication).collect();
                for publication in publications {
                    self.end_publication(publication, why);
                }
            }
            Side::Subscriber { key: Some(subscriber), .. } => {
                self.router.remove_subscriber(subscriber);
                if let Some(line) = line {
                    self.leave_line(key, line);
                }
                if !self.router.has_subscribers(connection.lesson) {
                    self.lose_interest(connection.lesson);
                }
            }
            Side::Subscriber { key: None, .. } => {}
        }
        let (lesson, participant) = (connection.lesson, connection.participant);
        self.report(Report::Down { lesson, participant, connection: connection.id, why });
    }

    /// Nobody here receives the lesson any more: other workers needn't send it.
    fn lose_interest(&mut self, lesson: LessonId) {
        let local: HashSet<usize> = self.origins.keys().copied().collect();
        let replicas: Vec<usize> = self.router.publications_of(lesson).filter(|key| !local.contains(key)).collect();
        for publication in replicas {
            self.router.remove_publication(publication);
        }
        self.tell_all(&Crossing::Interest { lesson, worker: self.host.index, wanted: false });
    }
}

/// Whether `If-Match` names the ICE session `etag`: it or any, compared strongly (RFC 9110 §13.1.1).
fn matches_etag(if_match: &str, etag: &str) -> bool {
    let quoted = |tag: &str| tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(etag);
    // The examples of RFC 9725 write the star in quotes.
    if_match.split(',').map(str::trim).any(|tag| matches!(tag, "*" | "\"*\"") || quoted(tag) || tag == etag)
}

#[cfg(test)]
mod tests {
    use super::matches_etag;

    #[test]
    fn an_entity_tag_is_matched_alone_in_a_list_and_by_a_star() {
        for yes in ["\"00ab\"", "00ab", " \"00ab\" ", "\"old\", \"00ab\"", "*", "\"*\""] {
            assert!(matches_etag(yes, "00ab"), "{yes}");
        }
        for no in ["\"00ac\"", "W/\"00ab\"", "", "\"\"", "\"00ab", "**"] {
            assert!(!matches_etag(no, "00ab"), "{no}");
        }
    }
}
