//! The lite agent of ICE (RFC 8445 §2.5, §7.3): it answers checks and remembers where the peer wants to be sent to.
//!
//! Written over `rtc-stun` and not with `rtc-ice`, whose agent keeps the first pair for good: a classroom's address
//! changes in mid-lesson when its router forgets a mapping, and the peer says so with its next nomination. Whoever
//! recorded a nomination can send it again from anywhere, so once media flows it moves only to where the peer has
//! proved to be (see [`proof`]).

mod proof;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc_crypto::RTCCryptoProvider;
use rtc_stun::attributes::{
    ATTR_FINGERPRINT, ATTR_ICE_CONTROLLED, ATTR_MESSAGE_INTEGRITY, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME,
    AttrType,
};
use rtc_stun::error_code::{CODE_ROLE_CONFLICT, CODE_UNKNOWN_ATTRIBUTE, ErrorCode, ErrorCodeAttribute};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Message, Setter};
use rtc_stun::uattrs::UnknownAttributes;
use rtc_stun::xoraddr::XorMappedAddress;

use super::Endpoint;
use proof::Proof;

/// A peer that sent no authenticated request for so long is gone (in the spirit of RFC 7675 §5.1). Browsers send one every
/// two or three seconds, so this outlasts a short break of a school's line and still ends well within 30 s.
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(20);
/// A nominated address that was silent for so long, while the peer's checks come from another one, is not the peer's any
/// more. Not every client nominates again when a router gives it another mapping: it doesn't notice.
const MOVED_AFTER: Duration = Duration::from_secs(3);
/// As [`MOVED_AFTER`], where the peer's media comes from the other address: media flows steadily, checks don't. A receiver's
/// feedback comes at least four times in a second while it receives.
const MEDIA_MOVED_AFTER: Duration = Duration::from_millis(250);
/// Endpoints a peer may have shown itself from at a time.
const MAX_ENDPOINTS: usize = 8;
/// Transactions of which is remembered where they came from: at least two minutes of a browser's checks.
const REMEMBERED: usize = 64;
const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = 0x2112_a442u32.to_be_bytes();

/// A user name fragment and password (RFC 8839 §5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The fragment.
    pub ufrag: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

impl Credentials {
    /// With a random password of 144 bits.
    #[must_use]
    pub fn random(ufrag: String) -> Self {
        let password = (0..24).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect();
        Self { ufrag, password }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Our user name fragment in the USERNAME of a binding request: what comes before the colon. `None` for anything else.
#[must_use]
pub fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    if datagram.len() < HEADER || datagram[..2] != [0, 1] || datagram[4..8] != MAGIC_COOKIE {
        return None;
    }
    let mut rest = &datagram[HEADER..];
    while let [t0, t1, l0, l1, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let value = after.get(..length)?;
        if u16::from_be_bytes([*t0, *t1]) == ATTR_USERNAME.0 {
            return std::str::from_utf8(value).ok()?.split_once(':').map(|(local, _)| local);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// What a datagram did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// An authenticated check, answered.
    Answered,
    /// An answer to a check of ours.
    Proved,
    /// An authentic check that came before from elsewhere: a recording, or a late copy from an address of the past.
    Replayed,
    /// Nothing that is owed an answer.
    Ignored,
}

/// The lite agent of one peer.
pub struct LiteAgent {
    session: Session,
    /// Accepted until the first check of the restarted session.
    before_restart: Option<Session>,
    provider: Arc<dyn RTCCryptoProvider>,
    endpoints: Vec<Endpoint>,
    nominated: Option<Endpoint>,
    /// When the last check or media came from there.
    nominated_heard: Option<Instant>,
    last_check: Option<Instant>,
    /// Media flows: from now on it moves on proof only.
    guarded: bool,
    proof: Option<Proof>,
    /// Where the peer's media came from since the nominated address was heard last.
    seen_at: Option<Endpoint>,
    transactions: VecDeque<([u8; 12], Endpoint)>,
}

/// The credentials of both ends for one ICE session.
#[derive(Clone)]
struct Session {
    local: Credentials,
    remote: Credentials,
}

impl std::fmt::Debug for LiteAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiteAgent")
            .field("local", &self.session.local)
            .field("nominated", &self.nominated)
            .finish_non_exhaustive()
    }
}

impl LiteAgent {
    /// For a peer that was told `local` and told us `remote`.
    #[must_use]
    pub fn new(local: Credentials, remote: Credentials, provider: Arc<dyn RTCCryptoProvider>) -> Self {
        Self {
            session: Session { local, remote },
            before_restart: None,
            provider,
            endpoints: Vec::new(),
            nominated: None,
            nominated_heard: None,
            last_check: None,
            guarded: false,
            proof: None,
            seen_at: None,
            transactions: VecDeque::new(),
        }
    }

    /// New credentials on both sides (RFC 8445 §9). Media goes on over the old pair until the new session nominates one;
    /// the old session is known until the new one's first check.
    pub fn restart(&mut self, local: Credentials, remote: Credentials) {
        let before = std::mem::replace(&mut self.session, Session { local, remote });
        // Of several restarts in a row only the last is to come; the session in use is the one before them all.
        self.before_restart.get_or_insert(before);
    }

    /// Media flows from now on, and first to where the handshake was done, which heard us; a nomination alone doesn't move
    /// it any more.
    pub fn guard(&mut self, now: Instant, heard_us: Endpoint, out: &mut Vec<(Endpoint, Vec<u8>)>) {
        self.guarded = true;
        let unproved = |nominated: &Endpoint| *nominated != heard_us && nominated.stream.is_none();
        if let Some(unproved) = self.nominated.filter(unproved) {
            self.move_to(now, heard_us);
            let session = self.session.clone();
            self.nominate(now, unproved, &session, out);
        }
    }

    /// Whether checks that name this fragment of ours may be answered.
    #[must_use]
    pub fn answers_to(&self, ufrag: &str) -> bool {
        let sessions = std::iter::once(&self.session).chain(&self.before_restart);
        sessions.into_iter().any(|session| session.local.ufrag == ufrag)
    }

    /// Where the peer wants to be sent to: where its latest nomination came from, once that is proven.
    #[must_use]
    pub const fn nominated(&self) -> Option<Endpoint> {
        self.nominated
    }

    /// Whether the peer has shown itself from there.
    #[must_use]
    pub fn knows(&self, endpoint: Endpoint) -> bool {
        self.endpoints.contains(&endpoint)
    }

    /// When the last authenticated check came.
    #[must_use]
    pub const fn last_check(&self) -> Option<Instant> {
        self.last_check
    }

    /// Takes a STUN datagram; what is to be sent is appended to `out`. What isn't authenticated gets no answer, so that
    /// we never send to an address that a stranger made up.
    pub fn check(
        &mut self,
        now: Instant,
        from: Endpoint,
        datagram: &[u8],
        out: &mut Vec<(Endpoint, Vec<u8>)>,
    ) -> Checked {
        if self.is_proof(from, datagram) {
            self.proof = None;
            self.move_to(now, from);
            return Checked::Proved;
        }
        let Some((request, session)) = self.authenticated(datagram) else { return Checked::Ignored };
        if !self.is_first_from(from, request.transaction_id.0) {
            return Checked::Replayed;
        }
        self.last_check = Some(now);
        self.remember(from);
        let unknown: Vec<AttrType> =
            understood(&request).filter(|attribute| attribute.0 < 0x8000 && !known(*attribute)).collect();
        let password = session.local.password.clone();
        let answer = if !unknown.is_empty() {
            self.refuse(&request, password, CODE_UNKNOWN_ATTRIBUTE, Some(UnknownAttributes(unknown)))
        } else if understood(&request).any(|attribute| attribute == ATTR_ICE_CONTROLLED) {
            // A lite agent is always the controlled one (RFC 8445 §6.1.1): a peer that thinks itself so must change.
            self.refuse(&request, password, CODE_ROLE_CONFLICT, None)
        } else {
            let nominates = understood(&request).any(|attribute| attribute == ATTR_USE_CANDIDATE);
            let mapped = XorMappedAddress { ip: from.address.ip(), port: from.address.port() };
            let attributes: [Box<dyn Setter>; 3] =
                [Box::new(request.clone()), Box::new(BINDING_SUCCESS), Box::new(mapped)];
            let answer = sealed(&attributes, password, &*self.provider);
            if self.nominated == Some(from) {
                self.hear_nominated(now);
                // The latest word counts: where the peer was about to move it doesn't want to be any more.
                self.proof.take_if(|_| nominates);
            } else if nominates || self.is_silent(now, MOVED_AFTER) {
                self.nominate(now, from, &session, out);
            }
            answer
        };
        out.extend(answer.map(|answer| (from, answer)));
        Checked::Answered
    }

    /// Authentic media, which never came before, came from there, be it where no check has come from yet: a router that
    /// forgot its mapping gives the peer another port, and the peer's next check may be seconds away.
    pub fn media(&mut self, now: Instant, from: Endpoint, out: &mut Vec<(Endpoint, Vec<u8>)>) {
        if self.nominated == Some(from) {
            self.hear_nominated(now);
        } else if self.guarded {
            self.remember(from);
            self.seen_at = Some(from);
            if self.is_silent(now, MEDIA_MOVED_AFTER) {
                self.follow(now, from, out);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next needed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let suspicion = self.seen_at.and(self.nominated_heard).map(|heard| heard + MEDIA_MOVED_AFTER);
        [suspicion, self.proof.as_ref().and_then(Proof::due)].into_iter().flatten().min()
    }

    /// Asks the peer whether it is where its media came from last, once it is silent where it was; asks again for a proof
    /// that doesn't come.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<(Endpoint, Vec<u8>)>) {
        if self.is_silent(now, MEDIA_MOVED_AFTER)
            && let Some(seen_at) = self.seen_at.take()
        {
            self.follow(now, seen_at, out);
        }
        let provider = &self.provider;
        if let Some(proof) = self.proof.as_mut().filter(|proof| proof.due().is_some_and(|due| due <= now)) {
            out.extend(proof.ask(now, &**provider).map(|request| (proof.to, request)));
        }
    }

    /// Nothing can be sent there any more: its stream is closed.
    pub fn forget(&mut self, endpoint: Endpoint) {
        self.endpoints.retain(|known| *known != endpoint);
        self.nominated.take_if(|nominated| *nominated == endpoint);
        self.proof.take_if(|proof| proof.to == endpoint);
        self.seen_at.take_if(|seen_at| *seen_at == endpoint);
    }

    /// Media that came from there, and from nowhere else for a while, is the beginning of a move, or its end where the peer
    /// answers no checks.
    fn follow(&mut self, now: Instant, from: Endpoint, out: &mut Vec<(Endpoint, Vec<u8>)>) {
        self.seen_at = None;
        // What was heard from the old endpoint since makes it a new move.
        let heard = self.nominated_heard;
        self.proof.take_if(|proof| proof.to == from && heard.is_some_and(|heard| heard >= proof.began));
        if self.proof.as_ref().is_some_and(|proof| proof.to == from && proof.is_unanswered(now)) {
            // Not every client answers the checks of a lite agent.
            self.proof = None;
            self.move_to(now, from);
        } else {
            let session = self.session.clone();
            self.nominate(now, from, &session, out);
        }
    }

    fn hear_nominated(&mut self, now: Instant) {
        self.nominated_heard = Some(now);
        self.seen_at = None;
    }

    fn nominate(&mut self, now: Instant, to: Endpoint, session: &Session, out: &mut Vec<(Endpoint, Vec<u8>)>) {
        if !self.guarded {
            return self.move_to(now, to);
        }
        let proof = match &mut self.proof {
            Some(proof) if proof.to == to => proof,
            _ => self.proof.insert(Proof::new(now, to, session)),
        };
        if proof.may_ask(now) {
            out.extend(proof.ask(now, &*self.provider).map(|request| (to, request)));
        }
    }

    fn move_to(&mut self, now: Instant, to: Endpoint) {
        self.nominated = Some(to);
        self.hear_nominated(now);
    }

    fn is_silent(&self, now: Instant, span: Duration) -> bool {
        match self.nominated {
            Some(_) => self.nominated_heard.is_some_and(|heard| now.saturating_duration_since(heard) >= span),
            // A stream that was nominated is closed; before the first nomination nobody has moved.
            None => self.guarded,
        }
    }

    /// Whether this is an answer, authenticated by the peer, to the check that we sent there.
    fn is_proof(&self, from: Endpoint, datagram: &[u8]) -> bool {
        self.proof.as_ref().is_some_and(|proof| proof.to == from && proof.is_answered(datagram, &*self.provider))
    }

    /// Notes where a transaction came from. A peer repeats one from where it sent it first; from elsewhere it is a copy.
    fn is_first_from(&mut self, from: Endpoint, transaction: [u8; 12]) -> bool {
        if let Some((_, first)) = self.transactions.iter().find(|(known, _)| *known == transaction) {
            return *first == from;
        }
        if self.transactions.len() == REMEMBERED {
            self.transactions.pop_front();
        }
        self.transactions.push_back((transaction, from));
        true
    }

    fn remember(&mut self, from: Endpoint) {
        if self.knows(from) {
            return;
        }
        if self.endpoints.len() == MAX_ENDPOINTS {
            // The nominated endpoint stays: it is where media goes.
            let oldest = self.endpoints.iter().position(|&endpoint| Some(endpoint) != self.nominated).unwrap_or(0);
            self.endpoints.remove(oldest);
        }
        self.endpoints.push(from);
    }

    /// The request, if it is one of our peer's: well formed, with its user name and an integrity that verifies
    /// (RFC 8489 §9.1.3). With it the session that it belongs to.
    fn authenticated(&mut self, datagram: &[u8]) -> Option<(Message, Session)> {
        let mut message = read(datagram).filter(|message| message.typ == BINDING_REQUEST)?;
        let username = message.get(ATTR_USERNAME).ok()?;
        let names =
            |session: &Session| username == format!("{}:{}", session.local.ufrag, session.remote.ufrag).as_bytes();
        let verifies =
            |message: &mut Message, session: &Session| verifies(message, &session.local.password, &*self.provider);
        if names(&self.session) {
            if !verifies(&mut message, &self.session) {
                return None;
            }
            self.before_restart = None;
            return Some((message, self.session.clone()));
        }
        let before = self.before_restart.as_ref()?;
        (names(before) && verifies(&mut message, before)).then(|| (message, before.clone()))
    }

    fn refuse(
        &self,
        request: &Message,
        password: String,
        code: ErrorCode,
        unknown: Option<UnknownAttributes>,
    ) -> Option<Vec<u8>> {
        let reason = ErrorCodeAttribute { code, reason: Vec::new() };
        let mut attributes: Vec<Box<dyn Setter>> =
            vec![Box::new(request.clone()), Box::new(BINDING_ERROR), Box::new(reason)];
        if let Some(unknown) = unknown {
            attributes.push(Box::new(unknown));
        }
        sealed(&attributes, password, &*self.provider)
    }
}

/// A message of these attributes with its integrity and fingerprint.
fn sealed(attributes: &[Box<dyn Setter + '_>], password: String, provider: &dyn RTCCryptoProvider) -> Option<Vec<u8>> {
    let mut message = Message::new();
    message.build(attributes).ok()?;
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(password, provider.crypto());
    integrity.add_to(&mut message).ok()?;
    FINGERPRINT.add_to(&mut message).ok()?;
    Some(message.raw)
}

/// The message that a datagram is, if it is whole, with an integrity that can be checked and a fingerprint at the end
/// that is right or none.
fn read(datagram: &[u8]) -> Option<Message> {
    let mut message = Message::new();
    message.unmarshal_binary(datagram).ok()?;
    let (integrity, has_integrity) = message.attributes.get(ATTR_MESSAGE_INTEGRITY);
    let fingerprint_last = message.attributes.0.last().is_some_and(|last| last.typ == ATTR_FINGERPRINT);
    // The crate computes from the declared length; a datagram that is longer is none of its making.
    let whole = datagram.len() == HEADER + message.length as usize;
    let sealed = has_integrity && integrity.value.len() == 20;
    (whole && sealed && (!fingerprint_last || FINGERPRINT.check(&message).is_ok())).then_some(message)
}

/// Whether a message's integrity is that of this password.
fn verifies(message: &mut Message, password: &str, provider: &dyn RTCCryptoProvider) -> bool {
    MessageIntegrity::check(message, password.as_bytes(), provider.crypto()).is_ok()
}

/// The attributes that count: those before the integrity (RFC 8489 §14.5).
fn understood(message: &Message) -> impl Iterator<Item = AttrType> + '_ {
    message.attributes.0.iter().map(|attribute| attribute.typ).take_while(|&typ| typ != ATTR_MESSAGE_INTEGRITY)
}

fn known(attribute: AttrType) -> bool {
    [ATTR_USERNAME, ATTR_PRIORITY, ATTR_USE_CANDIDATE].contains(&attribute)
}
