//! What every request handler is given.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::clock::Clock;
use super::custody::Custody;
use super::directory::Directory;
use super::media::Media;
use super::problem::{Kind, Problem};
use crate::auth::{Claims, Limited, Network, RateLimit, Tickets, Tokens, Turn};
use crate::id::{LessonId, ParticipantId, client_network};
use crate::lesson::{Identity, Lesson, Role, School, State};
use crate::recording::Recordings;
use crate::store::Store;
use crate::units::Bitrate;
use crate::worker::mailbox::LineNominal;

/// What the API is put together from.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Issues and reads tokens.
    pub tokens: Tokens,
    /// The media workers.
    pub media: Arc<dyn Media>,
    /// The lessons that run.
    pub directory: Arc<Directory>,
    /// The time of day.
    pub clock: Clock,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How often one address may guess a join code or operator key in a minute.
    pub join_attempts_per_minute: u32,
    /// How often one address may ask for tokens, connections and websockets in a minute.
    pub requests_per_address: u32,
    /// How often one participant may.
    pub requests_per_participant: u32,
    /// How the site is reached from outside, without a slash at the end; `None` = as the request came.
    pub public_url: Option<String>,
    /// TURN servers that clients are told.
    pub turn: Option<Turn>,
    /// Writes the metrics down, where they are collected.
    pub metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
    /// Signs the addresses of media.
    pub tickets: Tickets,
    /// Recordings.
    pub recordings: Recordings,
    /// How the media side is configured: what lines of each tier carry.
    pub lines: crate::config::Media,
    /// What the tiers of schools' lines are called.
    pub tiers: Vec<String>,
    /// Which series of their own lessons and connections have.
    pub series: crate::config::Metrics,
    /// The certificate authority that browsers are to trust, as PEM, where the server made its own.
    pub ca_certificate: Option<String>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The shared state of all handlers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    // Held for a few hash map operations, never across an await.
    limits: Mutex<Limits>,
    custody: Custody,
    draining: AtomicBool,
}

/// Who guessed and asked how often.
#[derive(Debug)]
struct Limits {
    guesses: RateLimit<IpAddr>,
    addresses: RateLimit<IpAddr>,
    participants: RateLimit<ParticipantId>,
}

/// How a request came in; put into its extensions by whoever accepted the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// From where.
    pub address: SocketAddr,
    /// Whether over TLS.
    pub tls: bool,
}

impl ApiState {
    /// The state made of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let limits = Mutex::new(Limits {
            guesses: RateLimit::per_minute(parts.join_attempts_per_minute),
            addresses: RateLimit::per_minute(parts.requests_per_address),
            participants: RateLimit::per_minute(parts.requests_per_participant),
        });
        Self(Arc::new(Inner { parts, limits, custody: Custody::default(), draining: AtomicBool::new(false) }))
    }

    /// What is saved behind a lesson's back.
    pub(super) fn custody(&self) -> &Custody {
        &self.0.custody
    }

    /// Save what comes and look after the database, for as long as this is polled.
    pub async fn look_after_database(self) {
        tokio::join!(self.custody().run(&self.store, &self.clock), self.directory.decisions().run(&self.store));
    }

    /// Save what still waits to be saved.
    pub async fn save_all(&self) {
        tokio::join!(self.custody().finish(&self.store), self.directory.decisions().finish(&self.store));
    }

    /// From now on let nobody new in.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
        metrics::gauge!("mingshi_draining").set(1.0);
    }

    /// Whether nobody new is let in.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// A server that drains lets in only who is in the lesson already: after a reload or a break of the line.
    pub(super) fn lets_in(&self, lesson: LessonId, participant: ParticipantId) -> Result<(), Problem> {
        if self.is_draining() && self.directory.role(lesson, participant).is_none() {
            return Err(Problem::stopping());
        }
        Ok(())
    }

    /// The lesson, or the problem that there is none.
    ///
    /// # Errors
    /// [`Kind::LessonNotFound`].
    pub async fn lesson(&self, id: LessonId) -> Result<Lesson, Problem> {
        self.store.lesson(id).await?.ok_or_else(|| Problem::plain(Kind::LessonNotFound))
    }

    /// What a token says, if it is good now; an operator's also needs its key not to be retired.
    ///
    /// # Errors
    /// [`Kind::TokenInvalid`] or [`Kind::TokenExpired`].
    pub async fn claims(&self, token: &str) -> Result<Claims, Problem> {
        let claims = self.tokens.read(token, self.clock.earliest())?;
        if claims.role == Role::Operator {
            let key = self.store.operator_key().await?.map(|(id, _)| id);
            if claims.key.is_none() || claims.key != key {
                return Err(Problem::new(
                    Kind::TokenInvalid,
                    "the operator link was replaced by a newer one",
                    "管理链接已更换",
                ));
            }
        }
        Ok(claims)
    }

    /// The school that this text names, by id or name. A roster that can't be read is one that is silent: nobody is kept
    /// out of a lesson for it.
    pub(super) async fn school_named(&self, text: &str) -> Option<School> {
        self.store.school_named(text).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the roster can't be read; a school's line is taken for one like any other");
            None
        })
    }

    /// What lessons may use of a line, by what is known of it.
    pub(super) fn line_carries(&self, line: &LineNominal) -> Bitrate {
        self.lines.most(line.tier.as_deref(), line.nominal, line.share, line.measured)
    }

    /// Who the holder is, for the others in the lesson, and the holder's school where the roster knows it: it is shown by
    /// the name that it has now.
    pub(super) async fn identity(&self, claims: &Claims) -> (Identity, Option<School>) {
        let mut identity = claims.identity();
        let known = match &claims.school {
            Some(text) => self.school_named(text).await,
            None => None,
        };
        if let Some(school) = &known {
            identity.school = Some(school.name.clone());
        }
        (identity, known)
    }

    /// Begin one of an address's tries at a code or key. Only [wrong](Guess::wrong) ones count.
    ///
    /// # Errors
    /// [`Limited`] when it has none left.
    pub(super) fn guess(&self, address: IpAddr) -> Result<Guess, Limited> {
        let network = client_network(address);
        match self.limits().guesses.begin(network, self.clock.instant()) {
            Ok(()) => Ok(Guess { state: self.clone(), network, wrong: false }),
            Err(limited) => {
                metrics::counter!("mingshi_guesses_limited_total").increment(1);
                Err(limited)
            }
        }
    }

    /// Counts a request that makes something: a token, a connection, a websocket. Of `claims` the participant is limited
    /// by itself, so that one of a school's classrooms can't use up what the others behind the same address need;
    /// operators hand out many tokens at a time and are limited by address only.
    ///
    /// # Errors
    /// [`Kind::TooManyRequests`], with when the next one is welcome.
    pub(super) fn count(&self, address: IpAddr, claims: Option<&Claims>) -> Result<(), Problem> {
        let now = self.clock.instant();
        let mut limits = self.limits();
        let participant = claims.filter(|claims| claims.role != Role::Operator).map(|claims| claims.sub);
        let by_participant = participant.map_or(Ok(()), |participant| limits.participants.take(participant, now));
        let outcome = by_participant
            .map_err(|limited| ("participant", limited))
            .and_then(|()| limits.addresses.take(client_network(address), now).map_err(|limited| ("address", limited)));
        outcome.map_err(|(by, limited)| {
            metrics::counter!("mingshi_requests_limited_total", "by" => by).increment(1);
            Problem::too_many_requests(limited)
        })
    }

    /// Forgets whom nothing is held against any more. To be called now and then.
    pub fn forget_the_patient(&self) {
        let now = self.clock.instant();
        let mut limits = self.limits();
        limits.guesses.forget(now);
        limits.addresses.forget(now);
        limits.participants.forget(now);
        for (of, remembered) in [
            ("guesses", limits.guesses.len()),
            ("addresses", limits.addresses.len()),
            ("participants", limits.participants.len()),
        ] {
            metrics::gauge!("mingshi_rate_limit_entries", "of" => of).set(remembered as f64);
        }
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A try at a code or key that is under way. It ends with this value, also when whoever tried is gone before the answer.
#[derive(Debug)]
pub(super) struct Guess {
    state: ApiState,
    network: IpAddr,
    wrong: bool,
}

impl Guess {
    /// It is no code or key of ours.
    pub(super) fn wrong(mut self) {
        self.wrong = true;
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        let now = self.state.clock.instant();
        self.state.limits().guesses.finish(self.network, now, self.wrong);
    }
}

impl std::ops::Deref for ApiState {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

/// A lesson on which nobody can connect any more is a problem of its own.
///
/// # Errors
/// [`Kind::LessonEnded`].
pub(super) fn not_ended(lesson: &Lesson) -> Result<(), Problem> {
    match (lesson.state, lesson.ended_at) {
        (State::Ended, at) => {
            let at: OffsetDateTime = at.unwrap_or(lesson.created_at);
            Err(Problem::new(Kind::LessonEnded, format!("the lesson ended at {at}"), "这节课已经结束"))
        }
        _ => Ok(()),
    }
}
