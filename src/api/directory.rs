//! The lessons that run, and the pages that watch them: reports go in, messages come out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::extract::ws::Utf8Bytes;
use dashmap::DashMap;
use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use utoipa::ToSchema;

use super::clock::Clock;
use super::decisions::Decisions;
use super::pace::Lines;
use super::story::Story;
use crate::id::{ConnectionId, LessonId, ParticipantId, SourceName};
use crate::lesson::{
    Behind, Chronicle, Decided, Happening, Identity, Lesson, Line, Live, Notice, Participant, Publication, Replaced, Role,
    Slot, StageError, Stats, Viewer,
};
use crate::telemetry::Exposition;
use crate::worker::mailbox::Report;

/// How many messages a page may lag behind before it is sent away (close code 4008).
const QUEUE: usize = 256;

/// How often lines are told of.
pub(crate) const LINE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(2);

/// Why the server closes a page's websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The lesson is over.
    LessonEnded,
    /// The server restarts.
    Restarting,
}

/// What waits to be sent to a page.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// A message.
    Text(Utf8Bytes),
    /// The last thing it hears.
    Close(Closing),
}

/// What a page is told first, and the queue of what follows without a gap.
#[derive(Debug)]
pub struct Seat {
    /// Names the page.
    pub page: PageId,
    /// Who is there.
    pub participants: Vec<Participant>,
    /// What is sent.
    pub publications: Vec<Publication>,
    /// What is in the participant's own slots.
    pub slots: Vec<Slot>,
    /// What others took over from the participant lately.
    pub replaced: Vec<Replaced>,
    /// What follows. Its end without [`Outgoing::Close`] means that the page was too slow.
    pub queue: mpsc::Receiver<Outgoing>,
}

/// Somebody in the lesson, as measured.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Attendance {
    /// Who.
    pub participant: Participant,
    /// Its lines, as the server last measured them.
    pub lines: Vec<Line>,
    /// What the server sends it.
    pub slots: Vec<Slot>,
    /// What its page measured last; `null` where it measures nothing or isn't connected.
    pub stats: Option<Stats>,
}

/// One page's websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageId(u64);

#[derive(Debug)]
struct Page {
    viewer: Viewer,
    queue: mpsc::Sender<Outgoing>,
}

#[derive(Debug, Default)]
struct Running {
    live: Live,
    story: Story,
    pages: HashMap<PageId, Page>,
}

/// All lessons in which somebody is.
///
/// A lesson's entry is locked for one change and its fan-out, so that a page which takes its seat sees
/// every change either in its welcome or in its queue.
#[derive(Debug)]
pub struct Directory {
    running: DashMap<LessonId, Running>,
    next_page: AtomicU64,
    restarting: AtomicBool,
    decisions: Decisions,
    lines: Lines,
    restart: Notify,
    chronicle: Option<Arc<dyn Chronicle>>,
    clock: Clock,
}

impl Directory {
    /// An empty directory.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Self::with_chronicle(clock, None)
    }

    /// An empty directory that has what happens written down.
    #[must_use]
    pub fn with_chronicle(clock: Clock, chronicle: Option<Arc<dyn Chronicle>>) -> Arc<Self> {
        Arc::new(Self {
            running: DashMap::new(),
            next_page: AtomicU64::new(0),
            restarting: AtomicBool::new(false),
            decisions: Decisions::default(),
            lines: Lines::default(),
            restart: Notify::new(),
            chronicle,
            clock,
        })
    }

    /// Take in reports until their senders are gone, and tell of lines every two seconds.
    pub async fn run(self: Arc<Self>, mut reports: mpsc::Receiver<Report>) {
        let mut tick = tokio::time::interval(LINE_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => self.report(report),
                    None => return,
                },
                _ = tick.tick() => self.tell_lines(),
            }
        }
    }

    /// Take in what a worker reported. Reports of a lesson that is over come too late and are let go.
    pub fn report(&self, report: Report) {
        let lesson = lesson_of(&report);
        self.lines.report(&report, self.clock.instant());
        if let Some(mut running) = self.running.get_mut(&lesson) {
            let now = self.clock.instant();
            let Running { live, story, .. } = &mut *running;
            story.report(lesson, &report, live, now);
            if let Report::Decision { participant, decision, .. } = &report {
                let called = live.called(*participant);
                self.decisions.keep(lesson, Decided::new(decision, *participant, called, self.clock.now()));
            }
            let of = participant_of(&report);
            let presence = running.change(lesson, of, now, |live| live.apply(report));
            self.note(lesson, presence);
        }
    }

    /// What was decided in lessons, on its way to be saved.
    pub(super) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The lines that lessons and recordings come over.
    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Tell of the lines that were measured, and forget lessons in which nobody is.
    pub fn tell_lines(&self) {
        let (mut participants, mut pages, mut kept) = (0, 0, Running::default().kept());
        for mut running in self.running.iter_mut() {
            let notices = running.live.line_notices();
            running.tell(&notices);
            participants += running.live.present();
            pages += running.pages.len();
            kept.iter_mut().zip(running.kept()).for_each(|((_, sum), (_, here))| *sum += here);
        }
        self.running.retain(|_, running| !running.pages.is_empty() || !running.live.is_idle());
        metrics::gauge!("mingshi_participants").set(participants as f64);
        metrics::gauge!("mingshi_lesson_pages").set(pages as f64);
        for (of, kept) in kept {
            metrics::gauge!("mingshi_lesson_entries", "of" => of).set(kept as f64);
        }
    }

    /// Take note of who is about to connect, and of what the accepted connection will publish.
    pub fn connecting(&self, lesson: LessonId, identity: Identity, connection: ConnectionId, sources: Vec<SourceName>) {
        let participant = identity.participant;
        let now = self.clock.now();
        let mut running = self.running.entry(lesson).or_default();
        running.story.accepted(participant, connection, self.clock.instant());
        let presence = running.change(lesson, Some(participant), self.clock.instant(), |live| {
            let notices = live.introduce(identity, now);
            live.connecting(connection, participant, sources);
            notices
        });
        self.note(lesson, presence);
    }

    /// Has something written down.
    fn note(&self, lesson: LessonId, happening: Option<Happening>) {
        if let (Some(chronicle), Some(happening)) = (&self.chronicle, happening) {
            chronicle.happened(lesson, happening);
        }
    }

    /// A lesson is on air: it is written down from here on, with who is there already.
    pub fn on_air(&self, lesson: &Lesson) {
        let Some(chronicle) = &self.chronicle else { return };
        chronicle.on_air(lesson);
        let Some(running) = self.running.get(&lesson.id) else { return };
        for identity in running.live.identities() {
            chronicle.happened(lesson.id, Happening::Joined(identity));
        }
        chronicle.happened(lesson.id, Happening::Stage(running.live.stage().to_vec()));
    }

    /// A lesson is over, and so is what is written of it.
    pub fn written(&self, lesson: LessonId) {
        if let Some(chronicle) = &self.chronicle {
            chronicle.ended(lesson);
        }
    }

    /// Give a page its seat.
    #[must_use]
    pub fn open_page(&self, lesson: LessonId, identity: Identity) -> Seat {
        let viewer = Viewer { participant: identity.participant, role: identity.role };
        let (queue, receiver) = mpsc::channel(QUEUE);
        let page = PageId(self.next_page.fetch_add(1, Ordering::Relaxed));
        let mut running = self.running.entry(lesson).or_default();
        let (told, now) = (identity.clone(), self.clock.instant());
        let presence = running.change(lesson, Some(viewer.participant), now, |live| {
            let mut notices = live.introduce(identity, self.clock.now());
            if viewer.role != Role::Operator {
                notices.extend(live.page_opened(viewer.participant));
            }
            notices
        });
        self.note(lesson, presence);
        running.story.page_opened(lesson, &told, now);
        if self.restarting.load(Ordering::Acquire) {
            // The queue is new and empty: it can take one.
            let _ = queue.try_send(Outgoing::Close(Closing::Restarting));
        }
        let standing = running.live.backup_standing().filter(|notice| notice.to.includes(viewer));
        if let Some(told) = standing.and_then(|notice| text(&notice.message)) {
            // And so can it take this.
            let _ = queue.try_send(Outgoing::Text(told));
        }
        running.pages.insert(page, Page { viewer, queue });
        Seat {
            page,
            participants: running.live.participants(viewer),
            publications: running.live.publications(viewer),
            slots: running.live.slots(viewer.participant),
            replaced: running.live.replaced(viewer.participant),
            queue: receiver,
        }
    }

    /// A page is gone.
    pub fn close_page(&self, lesson: LessonId, viewer: Viewer, page: PageId) {
        if let Some(mut running) = self.running.get_mut(&lesson) {
            running.pages.remove(&page);
            if viewer.role != Role::Operator {
                let now = self.clock.instant();
                running.story.page_closed(lesson, viewer.participant, now);
                let presence =
                    running.change(lesson, Some(viewer.participant), now, |live| live.page_closed(viewer.participant));
                self.note(lesson, presence);
            }
        }
    }

    /// Raise or lower a hand.
    pub fn raise_hand(&self, lesson: LessonId, participant: ParticipantId, raised: bool) {
        let mut running = self.running.entry(lesson).or_default();
        let notices = running.live.raise_hand(participant, raised);
        running.tell(&notices);
        self.note(lesson, (!notices.is_empty()).then_some(Happening::Hand(participant, raised)));
    }

    /// A classroom says how far behind it is, or that it is live again.
    pub fn behind(&self, lesson: LessonId, participant: ParticipantId, behind: Option<Behind>) {
        let Some(mut running) = self.running.get_mut(&lesson) else { return };
        let notices = running.live.behind(participant, behind);
        running.tell(&notices);
    }

    /// A page told what it measured of what it receives and sends.
    pub fn measured(&self, lesson: LessonId, participant: ParticipantId, stats: Stats) {
        let now = self.clock.instant();
        let Some(mut running) = self.running.get_mut(&lesson) else { return };
        let told = stats.clone();
        let (notices, changes) = running.live.measured(participant, stats);
        running.story.measured(lesson, participant, &told, &changes, now);
        running.tell(&notices);
    }

    /// Everybody who is in a lesson: who, by which lines, with what in its slots, and what its page measured last.
    #[must_use]
    pub(super) fn everybody(&self, lesson: LessonId) -> Vec<Attendance> {
        let Some(running) = self.running.get(&lesson) else { return Vec::new() };
        let everybody = running.live.everybody().map(|(participant, stats)| {
            let (lines, slots) = running.live.lines_of(participant.id);
            Attendance { participant, lines, slots, stats: stats.cloned() }
        });
        everybody.collect()
    }

    /// Writes the series of at most `most` lessons, and of their connections where these are wanted too. Returns how many
    /// lessons there are.
    pub(crate) fn write_metrics(&self, exposition: &mut Exposition, most: usize, connections: bool) -> usize {
        for running in self.running.iter().take(most) {
            super::series::write_lesson(exposition, *running.key(), &running.live, connections);
        }
        self.running.len()
    }

    /// Put these classrooms on stage.
    ///
    /// # Errors
    /// [`StageError`] says who can't be.
    pub fn set_stage(
        &self,
        lesson: LessonId,
        participants: &[ParticipantId],
    ) -> Result<Vec<ParticipantId>, StageError> {
        let mut running = self.running.entry(lesson).or_default();
        let notices = running.live.set_stage(participants)?;
        running.tell(&notices);
        let stage = running.live.stage().to_vec();
        self.note(lesson, Some(Happening::Stage(stage.clone())));
        let names = stage.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        tracing::info!(%lesson, participants = names, "stage set");
        Ok(stage)
    }

    /// Who is on stage, as they would be put there again.
    #[must_use]
    pub fn on_stage(&self, lesson: LessonId) -> Vec<Identity> {
        self.running.get(&lesson).map(|running| running.live.on_stage()).unwrap_or_default()
    }

    /// Put those on stage again who were there before the server was restarted.
    pub fn restore_stage(&self, lesson: LessonId, classrooms: Vec<Identity>) -> Vec<ParticipantId> {
        let mut running = self.running.entry(lesson).or_default();
        running.live.restore_stage(classrooms, self.clock.now());
        let stage = running.live.stage().to_vec();
        self.note(lesson, Some(Happening::Stage(stage.clone())));
        stage
    }

    /// In how many lessons the studio sends anything.
    #[must_use]
    pub fn lessons_on_air(&self) -> usize {
        self.running.iter().filter(|running| running.live.is_on_air()).count()
    }

    /// Whose connection this is, where it is known.
    #[must_use]
    pub fn owner(&self, lesson: LessonId, connection: ConnectionId) -> Option<ParticipantId> {
        self.running.get(&lesson).and_then(|running| running.live.owner(connection))
    }

    /// What a participant is, where it is known.
    #[must_use]
    pub fn role(&self, lesson: LessonId, participant: ParticipantId) -> Option<Role> {
        self.running.get(&lesson).and_then(|running| running.live.role(participant))
    }

    /// Whether a participant is on stage.
    #[must_use]
    pub fn is_on_stage(&self, lesson: LessonId, participant: ParticipantId) -> bool {
        self.running.get(&lesson).is_some_and(|running| running.live.stage().contains(&participant))
    }

    /// Whether pictures of the lesson's studio flow.
    #[must_use]
    pub fn has_picture(&self, lesson: LessonId) -> bool {
        self.running.get(&lesson).is_some_and(|running| running.live.has_picture())
    }

    /// Whether anybody at the studio's end of the lesson but `participant` sends pictures.
    #[must_use]
    pub fn has_other_studio(&self, lesson: LessonId, participant: ParticipantId) -> bool {
        self.running.get(&lesson).is_some_and(|running| running.live.has_other_studio(participant))
    }

    /// Tell every page of a lesson something; the message is made per viewer, as some may know more.
    pub fn tell_pages<M: Serialize>(&self, lesson: LessonId, message: impl Fn(Viewer) -> M) {
        if let Some(mut running) = self.running.get_mut(&lesson) {
            running.send(|viewer| text(&message(viewer)).map(Outgoing::Text));
        }
    }

    /// A lesson is over: its pages are closed after what was told them, and it is forgotten.
    pub fn end_lesson(&self, lesson: LessonId) {
        if let Some((_, mut running)) = self.running.remove(&lesson) {
            running.story.lesson_over(lesson, &running.live, self.clock.instant());
            self.note(lesson, Some(Happening::Stage(Vec::new())));
            running.send(|_| Some(Outgoing::Close(Closing::LessonEnded)));
        }
    }

    /// The server restarts: all pages are told to come back.
    pub fn restart(&self) {
        self.restarting.store(true, Ordering::Release);
        self.restart.notify_waiters();
        for mut running in self.running.iter_mut() {
            running.send(|_| Some(Outgoing::Close(Closing::Restarting)));
        }
    }

    /// Whether the server restarts.
    pub(super) fn is_restarting(&self) -> bool {
        self.restarting.load(Ordering::Acquire)
    }

    /// Wait until it does.
    pub(super) async fn until_restarting(&self) {
        let told = self.restart.notified();
        tokio::pin!(told);
        // Before the look, so that what is told in between isn't missed.
        told.as_mut().enable();
        if !self.is_restarting() {
            told.await;
        }
    }

    /// How many pages are open.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.running.iter().map(|running| running.pages.len()).sum()
    }
}

impl Running {
    /// How much is kept, by what it is. People and their shares of the log are remembered for as long as the lesson runs, up
    /// to a bound.
    fn kept(&self) -> [(&'static str, usize); 6] {
        let ([people, connections, publications], [told, present, shares]) = (self.live.kept(), self.story.kept());
        [people, connections, publications, told, present, shares]
    }

    /// Changes what is known, tells the pages, and the log where `participant` comes or goes by it, which is returned.
    fn change(
        &mut self,
        lesson: LessonId,
        participant: Option<ParticipantId>,
        now: std::time::Instant,
        change: impl FnOnce(&mut Live) -> Vec<Notice>,
    ) -> Option<Happening> {
        let present = |live: &Live| participant.is_some_and(|id| live.is_present(id));
        let before = present(&self.live);
        let notices = change(&mut self.live);
        if let Some(id) = participant.filter(|_| present(&self.live) != before) {
            self.story.presence(lesson, id, !before, self.live.role(id), now);
        }
        self.tell(&notices);
        let id = participant.filter(|_| present(&self.live) != before)?;
        if before { Some(Happening::Left(id)) } else { self.live.identity(id).map(Happening::Joined) }
    }

    fn tell(&mut self, notices: &[Notice]) {
        for notice in notices {
            // Written once, however many are told.
            let mut written = None;
            self.send(|viewer| {
                if !notice.to.includes(viewer) {
                    return None;
                }
                written.get_or_insert_with(|| text(&notice.message)).clone().map(Outgoing::Text)
            });
        }
    }

    /// Queue something for each page. A page whose queue is full is dropped: it comes back and is told all anew.
    fn send(&mut self, mut message: impl FnMut(Viewer) -> Option<Outgoing>) {
        self.pages.retain(|_, page| match message(page.viewer) {
            Some(message) => {
                let kept = page.queue.try_send(message).is_ok();
                if !kept {
                    metrics::counter!("mingshi_lesson_pages_too_slow_total").increment(1);
                }
                kept
            }
            None => true,
        });
    }
}

/// A message as it is sent.
pub(super) fn text<M: Serialize>(message: &M) -> Option<Utf8Bytes> {
    match serde_json::to_string(message) {
        Ok(text) => Some(text.into()),
        Err(error) => {
            tracing::error!(%error, "a message can't be written");
            None
        }
    }
}

/// Whose coming or going a report may be.
const fn participant_of(report: &Report) -> Option<ParticipantId> {
    match report {
        Report::Up { participant, .. } | Report::Down { participant, .. } => Some(*participant),
        _ => None,
    }
}

fn lesson_of(report: &Report) -> LessonId {
    match report {
        Report::Up { lesson, .. }
        | Report::Down { lesson, .. }
        | Report::Publication { lesson, .. }
        | Report::PublicationEnded { lesson, .. }
        | Report::Slots { lesson, .. }
        | Report::Line { lesson, .. }
        | Report::Decision { lesson, .. } => *lesson,
    }
}
