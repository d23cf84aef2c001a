//! The log of a lesson: what happened to whom, in lines that carry the lesson, the participant and the connection, so
//! that it can be told afterwards. One participant writes so many lines and no more.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::id::{ConnectionId, LessonId, ParticipantId, PublicationId};
use crate::lesson::{Change, Identity, Live, Role, SlotName, Stats};
use crate::worker::mailbox::{Closed, LineReport, Paused, PublicationReport, Report, SlotState};

/// Lines that one participant may have written at once, and one more each time this has passed.
const AT_ONCE: u32 = 60;
const ONE_MORE_EVERY: Duration = Duration::from_secs(2);
/// Participants whose share is kept in mind.
const MAX_SHARES: usize = 4_096;
/// Keyframe requests of one connection within one report of its line (two seconds) that are worth a line, and how often.
const STORM: u32 = 6;
const STORM_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Told {
    participant: ParticipantId,
    since: Instant,
    storm_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    left: u32,
    at: Instant,
    left_out: u32,
}

/// What the log was told of a lesson, as far as [`Live`] doesn't know it.
#[derive(Debug, Default)]
pub(super) struct Story {
    connections: HashMap<ConnectionId, Told>,
    present: HashMap<ParticipantId, Instant>,
    shares: HashMap<ParticipantId, Share>,
}

impl Story {
    /// How much is kept, by what it is: connections and participants that the log was told of and that aren't over; shares
    /// of the log that are remembered.
    pub(super) fn kept(&self) -> [(&'static str, usize); 3] {
        [
            ("told_connections", self.connections.len()),
            ("told_people", self.present.len()),
            ("remembered_shares", self.shares.len()),
        ]
    }

    /// An offer was accepted.
    pub(super) fn accepted(&mut self, participant: ParticipantId, connection: ConnectionId, now: Instant) {
        self.told(participant, connection, now);
    }

    /// A page opened its websocket.
    pub(super) fn page_opened(&mut self, lesson: LessonId, who: &Identity, now: Instant) {
        let participant = who.participant;
        if self.may_say(lesson, participant, now) {
            let (name, school) = (who.name.as_deref().unwrap_or_default(), who.school.as_deref().unwrap_or_default());
            info!(%lesson, %participant, role = who.role.word(), name, school, "page opened");
        }
    }

    /// A page is gone.
    pub(super) fn page_closed(&mut self, lesson: LessonId, participant: ParticipantId, now: Instant) {
        if self.may_say(lesson, participant, now) {
            info!(%lesson, %participant, "page closed");
        }
    }

    /// A participant came (its first page or connection) or left (its last).
    pub(super) fn presence(
        &mut self,
        lesson: LessonId,
        participant: ParticipantId,
        came: bool,
        what: Option<Role>,
        now: Instant,
    ) {
        let since = if came { self.present.insert(participant, now) } else { self.present.remove(&participant) };
        if !self.may_say(lesson, participant, now) {
            return;
        }
        let role = what.map_or("unknown", Role::word);
        if came {
            info!(%lesson, %participant, role, "participant came");
        } else {
            let seconds = since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
            info!(%lesson, %participant, role, seconds, "participant left");
        }
    }

    /// A worker reported something; told before `live` takes it in, so that what was before is known.
    pub(super) fn report(&mut self, lesson: LessonId, report: &Report, live: &Live, now: Instant) {
        match report {
            Report::Up { participant, connection, .. } => self.up(lesson, *participant, *connection, now),
            Report::Down { participant, connection, why, .. } => {
                self.down(lesson, *participant, *connection, *why, live, now);
            }
            Report::Publication { publication, .. } => self.publication(lesson, publication, live, now),
            Report::PublicationEnded { publication, why, .. } => {
                self.publication_ended(lesson, *publication, *why, live, now)
            }
            Report::Slots { participant, connection, slots, .. } => {
                self.slots(lesson, *participant, *connection, (live.slots_in(*connection), slots), now);
            }
            Report::Line { participant, connection, line, .. } => {
                let so_far = live.line_of(*connection).map_or(0, |(_, flow)| flow.keyframe_requests);
                self.line(lesson, *participant, *connection, (line, so_far), now);
            }
            Report::Decision { .. } => {}
        }
    }

    /// The lesson is over, and with it whatever goes on in it: what the workers still report of it comes too late.
    pub(super) fn lesson_over(&mut self, lesson: LessonId, live: &Live, now: Instant) {
        let ended: Vec<(ConnectionId, ParticipantId)> =
            self.connections.iter().map(|(&connection, told)| (connection, told.participant)).collect();
        for (connection, participant) in ended {
            self.down(lesson, participant, connection, Closed::LessonEnded, live, now);
        }
        for participant in self.present.keys().copied().collect::<Vec<_>>() {
            self.presence(lesson, participant, false, None, now);
        }
    }

    /// A page told what it measured.
    pub(super) fn measured(
        &mut self,
        lesson: LessonId,
        participant: ParticipantId,
        stats: &Stats,
        changes: &[Change],
        now: Instant,
    ) {
        let concealed = stats.voice_concealed();
        if let Some(part) = concealed {
            metrics::histogram!("mingshi_voice_concealed_ratio").record(part);
        }
        metrics::counter!("mingshi_page_stats_total").increment(1);
        let (loss, frozen_seconds) = (stats.loss(), stats.frozen_seconds());
        let concealed = concealed.unwrap_or(0.0);
        for change in changes {
            if !self.may_say(lesson, participant, now) {
                return;
            }
            match change {
                Change::VoiceBroken => warn!(%lesson, %participant, concealed, loss, "voice broken"),
                Change::VoiceHealed => info!(%lesson, %participant, concealed, loss, "voice healed"),
                Change::PictureFrozen => warn!(%lesson, %participant, frozen_seconds, loss, "picture frozen"),
                Change::PictureHealed => info!(%lesson, %participant, frozen_seconds, loss, "picture healed"),
            }
        }
    }

    fn up(&mut self, lesson: LessonId, participant: ParticipantId, connection: ConnectionId, now: Instant) {
        let seconds = now.saturating_duration_since(self.told(participant, connection, now).since).as_secs_f64();
        if self.may_say(lesson, participant, now) {
            info!(%lesson, %participant, %connection, seconds, "connection up");
        }
    }

    fn down(
        &mut self,
        lesson: LessonId,
        participant: ParticipantId,
        connection: ConnectionId,
        why: Closed,
        live: &Live,
        now: Instant,
    ) {
        let told = self.connections.remove(&connection);
        metrics::counter!("mingshi_connections_ended_total", "why" => closed(why)).increment(1);
        if !self.may_say(lesson, participant, now) {
            return;
        }
        let seconds = told.map_or(0.0, |told| now.saturating_duration_since(told.since).as_secs_f64());
        let line = live.line_of(connection).map(|(line, _)| line.clone()).unwrap_or_default();
        let (loss, bitrate, jitter_ms) = (line.loss, line.bitrate, line.jitter.as_millis() as u64);
        let round_trip_ms = line.round_trip.map(|round_trip| round_trip.as_millis() as u64);
        let why = closed(why);
        info!(%lesson, %participant, %connection, why, seconds, loss, round_trip_ms, jitter_ms, bitrate, "connection ended");
    }

    fn publication(&mut self, lesson: LessonId, report: &PublicationReport, live: &Live, now: Instant) {
        let PublicationReport { id: publication, participant, source, silent, .. } = report;
        // It is reported from its first packet on, and has begun when that told the codec.
        let is_silent = |report: &PublicationReport| report.codec.map(|_| report.silent);
        let before = live.reported(*publication).and_then(is_silent);
        if before == is_silent(report) || !self.may_say(lesson, *participant, now) {
            return;
        }
        match before {
            None => {
                let (kind, codec) = (format!("{:?}", report.kind).to_lowercase(), report.codec.unwrap_or_default());
                info!(%lesson, %participant, %publication, %source, kind, codec, "publication begins");
            }
            Some(_) if *silent => warn!(%lesson, %participant, %publication, %source, "publication silent"),
            Some(_) => info!(%lesson, %participant, %publication, %source, "publication wakes"),
        }
    }

    fn publication_ended(
        &mut self,
        lesson: LessonId,
        publication: PublicationId,
        why: Closed,
        live: &Live,
        now: Instant,
    ) {
        let Some(participant) = live.reported(publication).map(|report| report.participant) else { return };
        if self.may_say(lesson, participant, now) {
            info!(%lesson, %participant, %publication, why = closed(why), "publication ended");
        }
    }

    fn slots(
        &mut self,
        lesson: LessonId,
        participant: ParticipantId,
        connection: ConnectionId,
        (before, slots): (&[SlotState], &[SlotState]),
        now: Instant,
    ) {
        for state in slots {
            let before = before.iter().find(|before| (before.slot, before.index) == (state.slot, state.index));
            // A slot that never had anything to carry is no news.
            let news = before.map_or(state.paused != Some(Paused::NoSource), |before| before.paused != state.paused);
            if !news || !self.may_say(lesson, participant, now) {
                continue;
            }
            let (slot, index) = (SlotName::from(state.slot).word(), state.index);
            let publication = state.publication.map(tracing::field::display);
            match state.paused {
                None => {
                    info!(%lesson, %participant, %connection, publication, slot, index, layer = state.layer, "slot flows")
                }
                Some(why) => {
                    info!(%lesson, %participant, %connection, publication, slot, index, why = paused(why), "slot paused");
                }
            }
        }
    }

    fn line(
        &mut self,
        lesson: LessonId,
        participant: ParticipantId,
        connection: ConnectionId,
        (line, so_far): (&LineReport, u64),
        now: Instant,
    ) {
        let told = self.told(participant, connection, now);
        let lately = told.storm_at.is_some_and(|at| now.saturating_duration_since(at) < STORM_EVERY);
        if line.keyframe_requests < STORM || lately {
            return;
        }
        told.storm_at = Some(now);
        let (requests, so_far) = (line.keyframe_requests, so_far + u64::from(line.keyframe_requests));
        if self.may_say(lesson, participant, now) {
            let direction = if line.up { "up" } else { "down" };
            warn!(%lesson, %participant, %connection, direction, requests, so_far, "many keyframe requests");
        }
    }

    fn told(&mut self, participant: ParticipantId, connection: ConnectionId, now: Instant) -> &mut Told {
        self.connections.entry(connection).or_insert_with(|| Told { participant, since: now, storm_at: None })
    }

    /// Whether one more line about this participant may be written. What was left out is told with the next that may.
    fn may_say(&mut self, lesson: LessonId, participant: ParticipantId, now: Instant) -> bool {
        if self.shares.len() >= MAX_SHARES && !self.shares.contains_key(&participant) {
            let full = ONE_MORE_EVERY * AT_ONCE;
            self.shares.retain(|_, share| now.saturating_duration_since(share.at) < full);
            if self.shares.len() >= MAX_SHARES {
                return false;
            }
        }
        let share = self.shares.entry(participant).or_insert(Share { left: AT_ONCE, at: now, left_out: 0 });
        let earned = now.saturating_duration_since(share.at).as_secs() / ONE_MORE_EVERY.as_secs();
        if earned > 0 {
            share.left = share.left.saturating_add(earned.min(u64::from(AT_ONCE)) as u32).min(AT_ONCE);
            share.at = now;
        }
        if share.left == 0 {
            share.left_out = share.left_out.saturating_add(1);
            metrics::counter!("mingshi_log_lines_left_out_total").increment(1);
            return false;
        }
        share.left -= 1;
        let left_out = std::mem::take(&mut share.left_out);
        if left_out > 0 {
            warn!(%lesson, %participant, left_out, "lines left out: too many of one participant");
        }
        true
    }
}

const fn closed(why: Closed) -> &'static str {
    match why {
        Closed::Deleted => "deleted",
        Closed::Expired => "expired",
        Closed::NeverConnected => "never_connected",
        Closed::Dtls => "dtls",
        Closed::Replaced => "replaced",
        Closed::LessonEnded => "lesson_ended",
        Closed::Stopping => "stopping",
    }
}

const fn paused(why: Paused) -> &'static str {
    match why {
        Paused::NoSource => "no_source",
        Paused::UnsupportedCodec => "unsupported_codec",
        Paused::WaitingForKeyframe => "waiting_for_keyframe",
        Paused::SourceSilent => "source_silent",
        Paused::Capped => "capped",
        Paused::NoRoom => "no_room",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn one_participant_cannot_fill_the_log_and_the_others_are_still_told_of() {
        let (now, lesson) = (Instant::now(), LessonId::from_u64(1));
        let (vandal, quiet) = (ParticipantId::from_u64(1), ParticipantId::from_u64(2));
        let mut story = Story::default();
        let said = (0..10_000).filter(|_| story.may_say(lesson, vandal, now)).count();
        assert_eq!(said, AT_ONCE as usize);
        assert!(story.may_say(lesson, quiet, now));
        let later = now + ONE_MORE_EVERY * 3;
        assert_eq!((0..100).filter(|_| story.may_say(lesson, vandal, later)).count(), 3);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn what_is_kept_of_connections_and_people_goes_with_them() {
        let (now, lesson) = (Instant::now(), LessonId::from_u64(1));
        let (participant, connection) = (ParticipantId::from_u64(1), ConnectionId::from_u64(64));
        let (mut story, live) = (Story::default(), Live::default());
        story.accepted(participant, connection, now);
        story.presence(lesson, participant, true, Some(Role::Classroom), now);
        story.report(lesson, &Report::Up { lesson, participant, connection }, &live, now);
        let line = LineReport { keyframe_requests: STORM, ..LineReport::default() };
        story.report(lesson, &Report::Line { lesson, participant, connection, line }, &live, now);
        story.report(lesson, &Report::Down { lesson, participant, connection, why: Closed::Expired }, &live, now);
        story.presence(lesson, participant, false, Some(Role::Classroom), now);
        assert!(story.connections.is_empty() && story.present.is_empty());

        story.accepted(participant, connection, now);
        story.presence(lesson, participant, true, Some(Role::Classroom), now);
        story.lesson_over(lesson, &live, now);
        assert!(story.connections.is_empty() && story.present.is_empty());
    }
}
