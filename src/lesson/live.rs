//! A lesson while it runs: who is there, what they send, what is in whose slots, whose hand is up,
//! who is on stage. Fed with the workers' reports and the pages' requests, it says what changed and
//! who is to be told; a page that comes later reads the same state whole.

#[path = "live_backup.rs"]
mod backup;
#[path = "live_behind.rs"]
mod behind;
#[path = "live_decided.rs"]
mod decided;
#[path = "live_measured.rs"]
mod measured;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use time::OffsetDateTime;

use super::EndReason;
use super::media::{Codec, SlotName};
use super::message::{Audience, Behind, Held, Layer, Message, Notice, Participant, Publication, Replaced, Role, Slot};
use super::stats::Measured;
use crate::id::{ConnectionId, ParticipantId, PublicationId, SourceName};
use crate::worker::mailbox::{Closed, End, LayerReport, LineReport, MediaKind, PublicationReport, Report, SlotState};

pub use measured::{Flow, Seen};

/// How many classrooms may be on stage at a time.
pub const MAX_ON_STAGE: usize = 6;

/// How many participants are remembered; beyond it the absent are forgotten first.
const MAX_REMEMBERED: usize = 4096;

/// How many of a participant's sources that others took over are remembered; the oldest are forgotten.
const MAX_REPLACED: usize = 16;

/// Who looks at a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    /// Its id.
    pub participant: ParticipantId,
    /// What it is.
    pub role: Role,
}

impl Viewer {
    /// Studio and operators see everybody; classrooms see the studio, the stage and themselves.
    #[must_use]
    pub fn is_staff(self) -> bool {
        matches!(self.role, Role::Operator | Role::Studio)
    }
}

/// What a token says about its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub participant: ParticipantId,
    /// What it is.
    pub role: Role,
    /// Shown to the studio.
    pub name: Option<String>,
    /// Its school.
    pub school: Option<String>,
}

/// Why somebody can't be on stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// Nobody of that id has come to the lesson.
    #[error("{0} has not come to this lesson")]
    Unknown(ParticipantId),
    /// The studio is on air anyway.
    #[error("{0} is not a classroom")]
    NotAClassroom(ParticipantId),
    /// The stage is full.
    #[error("{asked} classrooms asked for; {MAX_ON_STAGE} fit on stage")]
    Full {
        /// How many were asked for.
        asked: usize,
    },
}

#[derive(Debug)]
struct Person {
    identity: Identity,
    joined_at: OffsetDateTime,
    pages: u32,
    connections_up: u32,
    hand_raised: bool,
    behind: Option<Behind>,
    replaced: VecDeque<Replaced>,
    measured: Measured,
}

impl Person {
    fn new(identity: Identity, joined_at: OffsetDateTime) -> Self {
        Self {
            identity,
            joined_at,
            pages: 0,
            connections_up: 0,
            hand_raised: false,
            behind: None,
            replaced: VecDeque::new(),
            measured: Measured::default(),
        }
    }

    fn is_present(&self) -> bool {
        self.pages > 0 || self.connections_up > 0
    }
}

#[derive(Debug)]
struct Connection {
    participant: ParticipantId,
    sources: Vec<SourceName>,
    up: bool,
    slots: Vec<SlotState>,
    /// Why slots that could be better aren't, where it is the line.
    held: BTreeMap<(SlotName, u8), Held>,
    line: Option<LineReport>,
    line_untold: bool,
    flow: Flow,
}

impl Connection {
    fn of(participant: ParticipantId) -> Self {
        Self {
            participant,
            sources: Vec::new(),
            up: false,
            slots: Vec::new(),
            held: BTreeMap::new(),
            line: None,
            line_untold: false,
            flow: Flow::default(),
        }
    }
}

/// One running lesson.
#[derive(Debug, Default)]
pub struct Live {
    people: BTreeMap<ParticipantId, Person>,
    connections: HashMap<ConnectionId, Connection>,
    publications: BTreeMap<PublicationId, PublicationReport>,
    stage: Vec<ParticipantId>,
    backup_wanted: bool,
    up: Flow,
    down: Flow,
    frozen_seconds: f64,
}

impl Live {
    /// Take note of who a participant is, before its page or connection opens.
    pub fn introduce(&mut self, identity: Identity, now: OffsetDateTime) -> Vec<Notice> {
        if identity.role == Role::Operator {
            return Vec::new();
        }
        let id = identity.participant;
        if let Some(person) = self.people.get_mut(&id) {
            if person.identity == identity {
                return Vec::new();
            }
            person.identity = identity;
            return self.participant_notice(id).into_iter().collect();
        }
        if self.people.len() >= MAX_REMEMBERED {
            self.forget_one();
        }
        self.people.insert(id, Person::new(identity, now));
        Vec::new()
    }

    /// A lesson page of a participant has opened its websocket.
    pub fn page_opened(&mut self, id: ParticipantId) -> Vec<Notice> {
        self.presence(id, |person| person.pages += 1)
    }

    /// A lesson page of a participant is gone.
    pub fn page_closed(&mut self, id: ParticipantId) -> Vec<Notice> {
        self.presence(id, |person| {
            person.pages = person.pages.saturating_sub(1);
            if person.pages == 0 {
                person.hand_raised = false;
                person.behind = None;
            }
        })
    }

    /// An offer of a participant was accepted; `sources` is what the connection will publish.
    pub fn connecting(&mut self, connection: ConnectionId, participant: ParticipantId, sources: Vec<SourceName>) {
        let entry = self.connections.entry(connection).or_insert_with(|| Connection::of(participant));
        entry.sources = sources;
    }

    /// Take in what a worker reported.
    pub fn apply(&mut self, report: Report) -> Vec<Notice> {
        let mut notices = match report {
            Report::Up { participant, connection, .. } => self.up(participant, connection),
            Report::Down { participant, connection, why, .. } => self.down(participant, connection, why),
            Report::Publication { publication, .. } => self.published(publication),
            Report::PublicationEnded { publication, why, .. } => self.publication_ended(publication, why.into()),
            Report::Slots { participant, connection, slots, .. } => self.slots_changed(participant, connection, slots),
            Report::Line { participant, connection, line, .. } => {
                self.line_measured(participant, connection, line);
                return Vec::new();
            }
            Report::Decision { participant, connection, decision, .. } => {
                return self.decided(participant, connection, &decision);
            }
        };
        notices.extend(self.backup_notice());
        notices
    }

    /// Raise or lower a classroom's hand.
    pub fn raise_hand(&mut self, id: ParticipantId, raised: bool) -> Vec<Notice> {
        match self.people.get_mut(&id) {
            Some(person) if person.identity.role == Role::Classroom && person.hand_raised != raised => {
                person.hand_raised = raised;
                self.participant_notice(id).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Put these classrooms, and no others, on stage. Who is brought on stage needs its hand no longer.
    ///
    /// # Errors
    /// [`StageError`] says who can't be on stage; nothing has changed then.
    pub fn set_stage(&mut self, participants: &[ParticipantId]) -> Result<Vec<Notice>, StageError> {
        let mut stage = Vec::new();
        for &id in participants {
            match self.people.get(&id).map(|person| person.identity.role) {
                None => return Err(StageError::Unknown(id)),
                Some(Role::Classroom) if !stage.contains(&id) => stage.push(id),
                Some(Role::Classroom) => {}
                Some(_) => return Err(StageError::NotAClassroom(id)),
            }
        }
        if stage.len() > MAX_ON_STAGE {
            return Err(StageError::Full { asked: stage.len() });
        }
        let before = std::mem::replace(&mut self.stage, stage);
        let mut notices = Vec::new();
        for &id in before.iter().filter(|id| !self.stage.contains(id)) {
            self.hide_from_classrooms(id, &mut notices);
        }
        for id in self.stage.clone().into_iter().filter(|id| !before.contains(id)) {
            if let Some(person) = self.people.get_mut(&id) {
                person.hand_raised = false;
            }
            notices.extend(self.participant_notice(id));
            let publications = self.publications.values().filter(|p| p.participant == id);
            notices.extend(publications.map(|p| self.publication_notice(p)));
        }
        Ok(notices)
    }

    /// Put those on stage again who were there before the server was restarted. They may be on their way still.
    pub fn restore_stage(&mut self, classrooms: Vec<Identity>, now: OffsetDateTime) {
        self.stage = classrooms.iter().take(MAX_ON_STAGE).map(|identity| identity.participant).collect();
        for identity in classrooms.into_iter().take(MAX_ON_STAGE) {
            self.people.entry(identity.participant).or_insert_with(|| Person::new(identity, now));
        }
    }

    /// Who is there, as far as `viewer` may see.
    #[must_use]
    pub fn participants(&self, viewer: Viewer) -> Vec<Participant> {
        let people = self.people.iter().filter(|(_, person)| person.is_present());
        people.filter(|(id, _)| self.seers(**id).includes(viewer)).map(|(_, person)| self.view(person)).collect()
    }

    /// What is sent, as far as `viewer` may see.
    #[must_use]
    pub fn publications(&self, viewer: Viewer) -> Vec<Publication> {
        let visible = |p: &&PublicationReport| self.seers_of_publication(p).includes(viewer);
        self.publications.values().filter(visible).map(publication).collect()
    }

    /// The slots of all connections of a participant.
    #[must_use]
    pub fn slots(&self, participant: ParticipantId) -> Vec<Slot> {
        let own = self.connections.iter().filter(|(_, connection)| connection.participant == participant);
        own.flat_map(|(&id, connection)| self.slots_of(id, connection)).collect()
    }

    /// Who is on stage.
    #[must_use]
    pub fn stage(&self) -> &[ParticipantId] {
        &self.stage
    }

    /// Who is on stage, as they would be put there again.
    #[must_use]
    pub fn on_stage(&self) -> Vec<Identity> {
        self.stage.iter().filter_map(|id| self.people.get(id)).map(|person| person.identity.clone()).collect()
    }

    /// What others took over from this participant lately.
    #[must_use]
    pub fn replaced(&self, participant: ParticipantId) -> Vec<Replaced> {
        self.people.get(&participant).map(|person| person.replaced.iter().cloned().collect()).unwrap_or_default()
    }

    /// Whose connection this is.
    #[must_use]
    pub fn owner(&self, connection: ConnectionId) -> Option<ParticipantId> {
        self.connections.get(&connection).map(|connection| connection.participant)
    }

    /// Who a participant is, where it is known.
    #[must_use]
    pub fn identity(&self, participant: ParticipantId) -> Option<Identity> {
        self.people.get(&participant).map(|person| person.identity.clone())
    }

    /// Who is there.
    pub fn identities(&self) -> impl Iterator<Item = Identity> + '_ {
        self.people.values().filter(|person| person.is_present()).map(|person| person.identity.clone())
    }

    /// What a participant is, where it is known.
    #[must_use]
    pub fn role(&self, participant: ParticipantId) -> Option<Role> {
        self.people.get(&participant).map(|person| person.identity.role)
    }

    /// Whether pictures of the studio flow.
    #[must_use]
    pub fn has_picture(&self) -> bool {
        let studio = self.publications.values().filter(|p| p.end == End::Studio && p.kind == MediaKind::Video);
        studio.into_iter().any(|p| p.codec.is_some() && !p.silent)
    }

    /// Whether the studio sends anything.
    #[must_use]
    pub fn is_on_air(&self) -> bool {
        self.publications.values().any(|p| p.end == End::Studio && !p.silent)
    }

    /// Whether anybody at the studio's end but `participant` sends pictures.
    #[must_use]
    pub fn has_other_studio(&self, participant: ParticipantId) -> bool {
        let studio = self.publications.values().filter(|p| p.end == End::Studio && p.kind == MediaKind::Video);
        studio.into_iter().any(|p| p.participant != participant)
    }

    /// How many participants are there.
    #[must_use]
    pub fn present(&self) -> usize {
        self.people.values().filter(|person| person.is_present()).count()
    }

    /// Whether nothing would be lost by forgetting it: nobody there, nothing on its way, nobody on stage.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.stage.is_empty() && self.present() == 0
    }
}

impl Live {
    fn up(&mut self, participant: ParticipantId, id: ConnectionId) -> Vec<Notice> {
        let connection = self.connection(id, participant);
        if std::mem::replace(&mut connection.up, true) {
            return Vec::new();
        }
        self.presence(participant, |person| person.connections_up += 1)
    }

    fn down(&mut self, participant: ParticipantId, id: ConnectionId, why: Closed) -> Vec<Notice> {
        let Some(connection) = self.connections.remove(&id) else {
            return Vec::new();
        };
        let only = |message| Notice { to: Audience::Only(participant), message };
        let mut notices = Vec::new();
        if why == Closed::Replaced {
            let replaced = connection.sources.into_iter().map(|source| Replaced { source, connection: id });
            let replaced: Vec<_> = replaced.collect();
            // Kept as well: whoever lost its line, and so its place, can't be told now.
            if let Some(person) = self.people.get_mut(&participant) {
                person.replaced.extend(replaced.iter().cloned());
                person.replaced.drain(..person.replaced.len().saturating_sub(MAX_REPLACED));
            }
            notices.extend(replaced.into_iter().map(|replaced| only(Message::Replaced(replaced))));
        }
        if !connection.slots.is_empty() {
            notices.push(only(Message::Slots { connection: id, slots: Vec::new() }));
        }
        if connection.up {
            notices.extend(self.presence(participant, |person| {
                person.connections_up = person.connections_up.saturating_sub(1);
                if person.connections_up == 0 {
                    person.measured.forget();
                }
            }));
        }
        notices
    }

    fn published(&mut self, report: PublicationReport) -> Vec<Notice> {
        let (id, participant) = (report.id, report.participant);
        let sources = self.sources(participant);
        let after = publication(&report);
        let before = self.publications.insert(id, report).map(|report| publication(&report));
        let mut notices = Vec::new();
        if !before.as_ref().is_some_and(|before| differ_only_in_bitrate(before, &after)) {
            notices.extend(self.publications.get(&id).map(|report| self.publication_notice(report)));
        }
        if self.sources(participant) != sources {
            notices.extend(self.participant_notice(participant));
        }
        if before.is_none() {
            // Reports of two workers may overtake each other: slots that named it can only now say its source.
            let waiting = self.connections.iter().filter(|(_, c)| c.slots.iter().any(|s| s.publication == Some(id)));
            notices.extend(waiting.map(|(&id, connection)| self.slots_notice(id, connection)));
        }
        notices
    }

    fn publication_ended(&mut self, id: PublicationId, reason: EndReason) -> Vec<Notice> {
        let Some(report) = self.publications.remove(&id) else { return Vec::new() };
        let message = Message::PublicationEnded { id, reason };
        let mut notices = vec![Notice { to: self.seers_of_publication(&report), message }];
        if !self.sources(report.participant).contains(&report.source) {
            notices.extend(self.participant_notice(report.participant));
        }
        notices
    }

    fn slots_changed(&mut self, participant: ParticipantId, id: ConnectionId, slots: Vec<SlotState>) -> Vec<Notice> {
        let connection = self.connection(id, participant);
        if connection.slots == slots {
            return Vec::new();
        }
        connection.slots = slots;
        self.connections.get(&id).map(|connection| self.slots_notice(id, connection)).into_iter().collect()
    }

    /// Change what makes a participant present, and tell what came of it.
    fn presence(&mut self, id: ParticipantId, change: impl FnOnce(&mut Person)) -> Vec<Notice> {
        let Some(person) = self.people.get_mut(&id) else {
            return Vec::new();
        };
        let seen =
            |person: &Person| (person.is_present(), person.connections_up > 0, person.hand_raised, person.behind);
        let before = seen(person);
        change(person);
        let after = seen(person);
        if before == after {
            return Vec::new();
        }
        if after.0 {
            return self.participant_notice(id).into_iter().collect();
        }
        vec![Notice { to: self.seers(id), message: Message::ParticipantLeft { id } }]
    }

    fn connection(&mut self, id: ConnectionId, participant: ParticipantId) -> &mut Connection {
        self.connections.entry(id).or_insert_with(|| Connection::of(participant))
    }

    fn sources(&self, participant: ParticipantId) -> BTreeSet<SourceName> {
        let own = self.publications.values().filter(|p| p.participant == participant);
        own.map(|p| p.source.clone()).collect()
    }

    fn is_public(&self, id: ParticipantId) -> bool {
        self.stage.contains(&id) || self.people.get(&id).is_some_and(|p| p.identity.role == Role::Studio)
    }

    fn seers(&self, participant: ParticipantId) -> Audience {
        Audience::SeersOf { participant, public: self.is_public(participant) }
    }

    fn seers_of_publication(&self, report: &PublicationReport) -> Audience {
        let public = report.end == End::Studio || self.stage.contains(&report.participant);
        Audience::SeersOf { participant: report.participant, public }
    }

    fn view(&self, person: &Person) -> Participant {
        let id = person.identity.participant;
        Participant {
            id,
            role: person.identity.role,
            name: person.identity.name.clone(),
            school: person.identity.school.clone(),
            connected: person.connections_up > 0,
            publishing: self.sources(id).into_iter().collect(),
            hand_raised: person.hand_raised,
            on_stage: self.stage.contains(&id),
            line: if person.connections_up > 0 { person.measured.line() } else { None },
            behind: person.behind,
            joined_at: person.joined_at,
        }
    }

    fn participant_notice(&self, id: ParticipantId) -> Option<Notice> {
        let person = self.people.get(&id).filter(|person| person.is_present())?;
        Some(Notice { to: self.seers(id), message: Message::Participant { participant: self.view(person) } })
    }

    fn publication_notice(&self, report: &PublicationReport) -> Notice {
        let message = Message::Publication { publication: publication(report) };
        Notice { to: self.seers_of_publication(report), message }
    }

    fn slots_notice(&self, id: ConnectionId, connection: &Connection) -> Notice {
        let slots = self.slots_of(id, connection);
        Notice { to: Audience::Only(connection.participant), message: Message::Slots { connection: id, slots } }
    }

    /// Somebody has left the stage: classrooms lose sight of it and of what it sends.
    fn hide_from_classrooms(&self, id: ParticipantId, notices: &mut Vec<Notice>) {
        let others = |message| Notice { to: Audience::OtherClassrooms(id), message };
        let ended = |id| others(Message::PublicationEnded { id, reason: EndReason::LeftStage });
        notices.extend(self.publications.values().filter(|p| p.participant == id).map(|p| ended(p.id)));
        if let Some(notice) = self.participant_notice(id) {
            notices.push(others(Message::ParticipantLeft { id }));
            notices.push(notice);
        }
    }

    fn forget_one(&mut self) {
        let absent = self.people.iter().filter(|(id, person)| !person.is_present() && !self.stage.contains(id));
        if let Some(id) = absent.min_by_key(|(_, person)| person.joined_at).map(|(&id, _)| id) {
            self.people.remove(&id);
        }
    }
}

fn publication(report: &PublicationReport) -> Publication {
    let layer = |layer: &LayerReport| Layer {
        rid: layer.rid.clone(),
        width: layer.size.map(|(width, _)| width),
        height: layer.size.map(|(_, height)| height),
        bitrate: layer.bitrate,
    };
    Publication {
        id: report.id,
        participant: report.participant,
        connection: report.connection,
        source: report.source.clone(),
        kind: report.kind.into(),
        codec: report.codec.and_then(Codec::of),
        layers: report.layers.iter().map(layer).collect(),
        muted: report.silent,
    }
}

/// Bitrates move with every report; alone they are no news to a thousand classrooms.
fn differ_only_in_bitrate(before: &Publication, after: &Publication) -> bool {
    let still = |publication: &Publication| {
        let mut still = publication.clone();
        still.layers.iter_mut().for_each(|layer| layer.bitrate = 0);
        still
    };
    still(before) == still(after)
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
