//! The one page on which the rest of the server and the media workers meet: what may be asked of a
//! worker, what it answers, and what it reports unasked.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use mio::Waker;
use tokio::sync::oneshot;

use super::placement::worker_of;
pub use crate::adapt::Reason;
use crate::id::{ConnectionId, LessonId, ParticipantId, PublicationId, SourceName, client_network};
use crate::sfu::LineKey;
pub use crate::sfu::input::{End, MediaKind, SlotKind};
pub use crate::sfu::output::{Decision, LayerReport, Paused, PublicationReport, SlotState};
use crate::transport::ice::local_ufrag;
use crate::units::Bitrate;

/// What a new connection is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// `POST /whip/{lesson}/{source}`: one source, at most one voice and one video.
    PublishSource(SourceName),
    /// `POST /whip/{lesson}`: the studio page's one connection (voice and camera, slides).
    PublishStudio,
    /// `POST /whep/{lesson}/{source}`: one source's voice and video.
    SubscribeSource(SourceName),
    /// `POST /whep/{lesson}`: the whole lesson, through slots.
    SubscribeLesson,
}

/// What the operator knows of a school's line; what isn't said is the tier's, and the tier the usual one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LineNominal {
    /// The name of its tier.
    pub tier: Option<String>,
    /// What the line is sold as towards the school.
    pub nominal: Option<Bitrate>,
    /// The part of that which lessons may use, above 0 and up to 1.
    pub share: Option<f32>,
    /// What a check of the line measured.
    pub measured: Option<Bitrate>,
}

/// A request for a new connection.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The lesson it belongs to.
    pub lesson: LessonId,
    /// Who asks; one participant may hold several connections.
    pub participant: ParticipantId,
    /// At which end the participant stands.
    pub end: End,
    /// The school, which chooses the worker and is the link group; without one the address is.
    pub school: Option<String>,
    /// What is known of the school's line.
    pub nominal: LineNominal,
    /// The client's trusted address.
    pub address: IpAddr,
    /// What it is for.
    pub purpose: Purpose,
    /// The SDP offer.
    pub offer: String,
}

impl Connect {
    /// The line that it comes over: its school's, or its address's where no school is known.
    #[must_use]
    pub fn line(&self) -> LineKey {
        let mut hasher = DefaultHasher::new();
        match &self.school {
            Some(school) => school.hash(&mut hasher),
            None => client_network(self.address).hash(&mut hasher),
        }
        LineKey(hasher.finish())
    }
}

/// A connection that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Its id.
    pub connection: ConnectionId,
    /// The SDP answer, with all candidates.
    pub answer: String,
    /// The entity tag of its ICE session, without quotes.
    pub etag: String,
}

/// A change to a running connection's ICE session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The `If-Match` header as it came.
    pub if_match: Option<String>,
    /// The body, `application/trickle-ice-sdpfrag` (RFC 8840).
    pub fragment: String,
}

/// What a patch did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patched {
    /// Candidates were taken note of.
    Trickled,
    /// ICE was restarted: the new fragment and entity tag.
    Restarted {
        /// Our new credentials and candidates.
        fragment: String,
        /// The new entity tag, without quotes.
        etag: String,
    },
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The SDP is no SDP, or lacks what every offer must have.
    #[error("the offer can't be read: {0}")]
    BadOffer(String),
    /// The offer is well formed, but can't be met whole.
    #[error("the offer can't be met: {0}")]
    Unsatisfiable(String),
    /// No such connection (any more).
    #[error("no such connection")]
    NoSuchConnection,
    /// A patch without If-Match where one is needed.
    #[error("If-Match is missing")]
    MissingEtag,
    /// A patch for an ICE session that is not the present one.
    #[error("the ICE session has changed")]
    StaleEtag,
    /// The fragment can't be read or asks for something that isn't supported.
    #[error("the fragment can't be used: {0}")]
    BadFragment(String),
    /// The client's address or the participant has as many connections that have not come up as it may.
    #[error("too many connections of this address or participant have not come up")]
    TooManyUnfinished,
    /// The worker has as many connections as it may, or its mailbox is full.
    #[error("too busy")]
    Busy,
    /// The server is stopping.
    #[error("stopping")]
    Stopping,
}

/// How a connection's line does, from its RTCP; counts are those since the last report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LineReport {
    /// Whether the peer publishes (its line's up direction) or receives.
    pub up: bool,
    /// Fraction of packets lost since the last report, 0 to 1.
    pub loss: f32,
    /// Round trip, where a report told.
    pub round_trip: Option<Duration>,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// Measured over the last report interval, bits per second.
    pub bitrate: u64,
    /// Octets of media that went over it.
    pub octets: u64,
    /// Media packets that went over it.
    pub packets: u64,
    /// Packets that the receiving end asked for again.
    pub asked_again: u32,
    /// Packets sent again, of those that we send.
    pub retransmitted: u32,
    /// Keyframes that the receiving end asked for.
    pub keyframe_requests: u32,
    /// What its link group's line carries, as estimated, in bits per second; the group shares it.
    pub estimate: Option<u64>,
    /// What its link group may spend at present, in bits per second.
    pub budget: Option<u64>,
    /// The name of its link group's tier.
    pub tier: Option<Arc<str>>,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    /// Its client deleted it.
    Deleted,
    /// Its peer went silent: consent expired (RFC 7675).
    Expired,
    /// It never came up.
    NeverConnected,
    /// DTLS failed or was closed by the peer.
    Dtls,
    /// Another publisher took over its source.
    Replaced,
    /// Its lesson ended.
    LessonEnded,
    /// The server stops.
    Stopping,
}

/// What workers report unasked. Most are states: to who is slow to listen only the latest of each is told. Beginnings and
/// ends are told one and all.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// A connection is up: ICE and DTLS done.
    Up {
        /// The lesson.
        lesson: LessonId,
        /// Who.
        participant: ParticipantId,
        /// Which connection.
        connection: ConnectionId,
    },
    /// A connection is gone.
    Down {
        /// The lesson.
        lesson: LessonId,
        /// Who.
        participant: ParticipantId,
        /// Which connection.
        connection: ConnectionId,
        /// Why.
        why: Closed,
    },
    /// A publication is new or has changed.
    Publication {
        /// The lesson.
        lesson: LessonId,
        /// The whole of it.
        publication: PublicationReport,
    },
    /// A publication is over.
    PublicationEnded {
        /// The lesson.
        lesson: LessonId,
        /// Which.
        publication: PublicationId,
        /// Why.
        why: Closed,
    },
    /// The slots of one connection, whole, after a change.
    Slots {
        /// The lesson.
        lesson: LessonId,
        /// Whose.
        participant: ParticipantId,
        /// Which connection.
        connection: ConnectionId,
        /// All its slots.
        slots: Vec<SlotState>,
    },
    /// A connection's line, about every two seconds.
    Line {
        /// The lesson.
        lesson: LessonId,
        /// Whose.
        participant: ParticipantId,
        /// Which connection.
        connection: ConnectionId,
        /// What was measured.
        line: LineReport,
    },
    /// It was decided what a slot gets, and why.
    Decision {
        /// The lesson.
        lesson: LessonId,
        /// Whose.
        participant: ParticipantId,
        /// Which connection.
        connection: ConnectionId,
        /// What, and why.
        decision: Decision,
    },
}

/// What is put into a worker's mailbox.
#[derive(Debug)]
pub(super) enum Request {
    Connect(Box<Connect>, oneshot::Sender<Result<Connected, Refused>>),
    Patch(LessonId, ConnectionId, Patch, oneshot::Sender<Result<Patched, Refused>>),
    Disconnect(LessonId, Option<ParticipantId>, ConnectionId, oneshot::Sender<Result<(), Refused>>),
    Adopt(TcpStream, SocketAddr, Vec<u8>),
    EndLesson(LessonId),
    SetStage(LessonId, Vec<ParticipantId>),
    CapLayer { lesson: LessonId, participant: ParticipantId, slot: (SlotKind, u8), cap: Option<u8> },
    Show { lesson: LessonId, participant: ParticipantId, slot: (SlotKind, u8), pixels: Option<u32> },
    WantKeyframe(PublicationId, u8),
    Answer(oneshot::Sender<Result<(), Refused>>),
    Stop,
}

/// The mailbox of one worker and what wakes it.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) requests: Sender<Request>,
    pub(super) waker: Arc<Waker>,
}

/// Messages that one mailbox holds; one more is refused as [`Refused::Busy`].
pub(super) const CAPACITY: usize = 1_024;
/// A worker that doesn't answer in this time is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// What can be asked of the workers. Cheap to clone; every call answers or fails within a second.
#[derive(Debug, Clone)]
pub struct Workers {
    mailboxes: Arc<[Mailbox]>,
    threads: Arc<Mutex<Vec<JoinHandle<io::Result<()>>>>>,
}

impl Workers {
    pub(super) fn new(mailboxes: Vec<Mailbox>, threads: Vec<JoinHandle<io::Result<()>>>) -> Self {
        Self { mailboxes: mailboxes.into(), threads: Arc::new(Mutex::new(threads)) }
    }

    fn post(&self, worker: usize, request: Request) -> Result<(), Refused> {
        let mailbox = self.mailboxes.get(worker).ok_or(Refused::NoSuchConnection)?;
        mailbox.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Busy,
            TrySendError::Disconnected(_) => Refused::Stopping,
        })?;
        // A worker that can't be woken comes round by itself within a tick.
        let _ = mailbox.waker.wake();
        Ok(())
    }

    async fn ask<T>(
        &self,
        worker: usize,
        request: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Request,
    ) -> Result<T, Refused> {
        let (sender, receiver) = oneshot::channel();
        self.post(worker, request(sender))?;
        match tokio::time::timeout(PATIENCE, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Refused::Stopping),
            Err(_) => Err(Refused::Busy),
        }
    }

    /// A request to every worker, which needs no answer. One whose mailbox is full is asked again a little later.
    async fn tell_all(&self, request: impl Fn() -> Request) {
        for worker in 0..self.mailboxes.len() {
            for _ in 0..20 {
                match self.post(worker, request()) {
                    Err(Refused::Busy) => tokio::time::sleep(PATIENCE / 20).await,
                    _ => break,
                }
            }
        }
    }

    /// The worker of a line, which lives whole on one.
    fn place(&self, request: &Connect) -> usize {
        (request.line().0 % self.mailboxes.len().max(1) as u64) as usize
    }

    /// Accepts an offer.
    ///
    /// # Errors
    /// [`Refused`] says what was wrong with it or why not now.
    pub async fn connect(&self, request: Connect) -> Result<Connected, Refused> {
        let worker = self.place(&request);
        self.ask(worker, |answer| Request::Connect(Box::new(request), answer)).await
    }

    /// Changes a connection's ICE session.
    ///
    /// # Errors
    /// [`Refused`], among it the entity tag rules of RFC 9725 §4.3.
    pub async fn patch(&self, lesson: LessonId, connection: ConnectionId, patch: Patch) -> Result<Patched, Refused> {
        self.ask(connection.worker(), |answer| Request::Patch(lesson, connection, patch, answer)).await
    }

    /// Ends one connection of `participant` (of anybody, if `None`).
    ///
    /// # Errors
    /// [`Refused::NoSuchConnection`] when there is none such.
    pub async fn disconnect(
        &self,
        lesson: LessonId,
        participant: Option<ParticipantId>,
        connection: ConnectionId,
    ) -> Result<(), Refused> {
        self.ask(connection.worker(), |answer| Request::Disconnect(lesson, participant, connection, answer)).await
    }

    /// Hands over a TCP stream from `remote` whose first datagram is the STUN request `first`; that names the connection,
    /// and so the worker. A stream that is no connection's is closed.
    ///
    /// # Errors
    /// [`Refused`] when no worker could be told; the stream is closed.
    pub fn adopt(&self, stream: TcpStream, remote: SocketAddr, first: Vec<u8>) -> Result<(), Refused> {
        let worker = local_ufrag(&first).and_then(worker_of).ok_or(Refused::NoSuchConnection)?;
        self.post(worker, Request::Adopt(stream, remote, first))
    }

    /// Ends every connection of a lesson.
    pub async fn end_lesson(&self, lesson: LessonId) {
        self.tell_all(|| Request::EndLesson(lesson)).await;
    }

    /// Says who is on stage: whose publications others may receive besides the studio's.
    pub async fn set_stage(&self, lesson: LessonId, participants: Vec<ParticipantId>) {
        self.tell_all(|| Request::SetStage(lesson, participants.clone())).await;
    }

    /// Caps a slot of all of `participant`'s connections to so many places up the ladder; `None` lifts the cap.
    pub async fn cap_layer(
        &self,
        lesson: LessonId,
        participant: ParticipantId,
        slot: SlotKind,
        index: u8,
        cap: Option<u8>,
    ) {
        self.tell_all(|| Request::CapLayer { lesson, participant, slot: (slot, index), cap }).await;
    }

    /// Says how large a page shows a slot, in pixels of its screen, on all of `participant`'s connections: `Some(0)` = not
    /// at all, `None` = nobody knows.
    pub async fn show(
        &self,
        lesson: LessonId,
        participant: ParticipantId,
        slot: SlotKind,
        index: u8,
        pixels: Option<u32>,
    ) {
        self.tell_all(|| Request::Show { lesson, participant, slot: (slot, index), pixels }).await;
    }

    /// Asks the publisher of a connection's publication for a keyframe of one encoding. Requests of all who wait for it are made
    /// into few, and one that is lost is made again by whoever still waits.
    ///
    /// # Errors
    /// [`Refused`] when the worker couldn't be told.
    pub fn want_keyframe(
        &self,
        connection: ConnectionId,
        publication: PublicationId,
        layer: u8,
    ) -> Result<(), Refused> {
        self.post(connection.worker(), Request::WantKeyframe(publication, layer))
    }

    /// Whether every worker answers in time.
    pub async fn answers(&self) -> bool {
        for worker in 0..self.mailboxes.len() {
            if self.ask(worker, Request::Answer).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Ends every connection, and the threads. What is asked afterwards is refused as [`Refused::Stopping`].
    pub async fn stop(&self) {
        self.tell_all(|| Request::Stop).await;
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                match thread.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(%error, "a media thread ended with an error"),
                    Err(_) => tracing::error!("a media thread panicked"),
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("the media threads could not be waited for");
        }
    }
}
