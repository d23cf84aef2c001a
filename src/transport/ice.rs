//! The lite agent of ICE (RFC 8445 §2.5, §7.3): it answers checks and remembers where the peer wants to be sent to.
//!
//! Written over `rtc-stun` and not with `rtc-ice`, whose agent keeps the first pair for good: a classroom's address
//! changes in mid-lesson when its router forgets a mapping, and the peer says so with its next nomination.

use std::net::SocketAddr;
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

/// A peer that sent no authenticated request for so long is gone (in the spirit of RFC 7675 §5.1). Browsers send one every
/// two or three seconds, so this outlasts a short break of a school's line and still ends well within 30 s.
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(20);
/// A nominated address that was silent for so long, while the peer's checks come from another one, is not the peer's any
/// more. Not every client nominates again when a router gives it another mapping: it doesn't notice.
const MOVED_AFTER: Duration = Duration::from_secs(3);
/// Addresses a peer may have shown itself from at a time.
const MAX_ADDRESSES: usize = 8;
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
    /// Nothing that is owed an answer.
    Ignored,
}

/// The lite agent of one peer.
pub struct LiteAgent {
    local: Credentials,
    remote_ufrag: String,
    /// Accepted until the first check of the restarted session.
    before_restart: Option<(Credentials, String)>,
    provider: Arc<dyn RTCCryptoProvider>,
    addresses: Vec<SocketAddr>,
    nominated: Option<SocketAddr>,
    /// When the last check came from there.
    nominated_check: Option<Instant>,
    last_check: Option<Instant>,
}

impl std::fmt::Debug for LiteAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiteAgent")
            .field("local", &self.local)
            .field("nominated", &self.nominated)
            .finish_non_exhaustive()
    }
}

impl LiteAgent {
    /// For a peer that was told `local` and told us its own fragment.
    #[must_use]
    pub fn new(local: Credentials, remote_ufrag: String, provider: Arc<dyn RTCCryptoProvider>) -> Self {
        Self {
            local,
            remote_ufrag,
            before_restart: None,
            provider,
            addresses: Vec::new(),
            nominated: None,
            nominated_check: None,
            last_check: None,
        }
    }

    /// New credentials on both sides (RFC 8445 §9). Media goes on over the old pair until the new session nominates one;
    /// the old session is known until the new one's first check.
    pub fn restart(&mut self, local: Credentials, remote_ufrag: String) {
        let local = std::mem::replace(&mut self.local, local);
        let remote_ufrag = std::mem::replace(&mut self.remote_ufrag, remote_ufrag);
        // Of several restarts in a row only the last is to come; the session in use is the one before them all.
        self.before_restart.get_or_insert((local, remote_ufrag));
    }

    /// Whether checks that name this fragment of ours may be answered.
    #[must_use]
    pub fn answers_to(&self, ufrag: &str) -> bool {
        self.local.ufrag == ufrag || self.before_restart.as_ref().is_some_and(|(local, _)| local.ufrag == ufrag)
    }

    /// Where the peer wants to be sent to: where its latest nomination came from.
    #[must_use]
    pub const fn nominated(&self) -> Option<SocketAddr> {
        self.nominated
    }

    /// Whether the peer has shown itself from this address.
    #[must_use]
    pub fn knows(&self, address: SocketAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// When the last authenticated check came.
    #[must_use]
    pub const fn last_check(&self) -> Option<Instant> {
        self.last_check
    }

    /// Takes a STUN datagram; an answer owed is appended to `out`. What isn't authenticated gets none, so that we never
    /// send to an address that a stranger made up.
    pub fn check(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], out: &mut Vec<Vec<u8>>) -> Checked {
        let Some((request, password)) = self.authenticated(datagram) else { return Checked::Ignored };
        self.last_check = Some(now);
        if !self.knows(from) {
            if self.addresses.len() == MAX_ADDRESSES {
                // The nominated address stays: it is where media goes.
                let oldest = self.addresses.iter().position(|&address| Some(address) != self.nominated).unwrap_or(0);
                self.addresses.remove(oldest);
            }
            self.addresses.push(from);
        }
        let unknown: Vec<AttrType> =
            understood(&request).filter(|attribute| attribute.0 < 0x8000 && !known(*attribute)).collect();
        let answer = if !unknown.is_empty() {
            self.refuse(&request, password, CODE_UNKNOWN_ATTRIBUTE, Some(UnknownAttributes(unknown)))
        } else if understood(&request).any(|attribute| attribute == ATTR_ICE_CONTROLLED) {
            // A lite agent is always the controlled one (RFC 8445 §6.1.1): a peer that thinks itself so must change.
            self.refuse(&request, password, CODE_ROLE_CONFLICT, None)
        } else {
            let nominates = understood(&request).any(|attribute| attribute == ATTR_USE_CANDIDATE);
            if nominates || self.has_moved(now) {
                self.nominated = Some(from);
            }
            if self.nominated == Some(from) {
                self.nominated_check = Some(now);
            }
            let mapped = XorMappedAddress { ip: from.ip(), port: from.port() };
            self.answer(password, &[Box::new(request.clone()), Box::new(BINDING_SUCCESS), Box::new(mapped)])
        };
        out.extend(answer);
        Checked::Answered
    }

    fn has_moved(&self, now: Instant) -> bool {
        self.nominated_check.is_some_and(|last| now.saturating_duration_since(last) >= MOVED_AFTER)
    }

    /// The request, if it is one of our peer's: well formed, with its user name and an integrity that verifies
    /// (RFC 8489 §9.1.3). With it the password that did so, which the answer's integrity needs too.
    fn authenticated(&mut self, datagram: &[u8]) -> Option<(Message, String)> {
        let mut message = Message::new();
        message.unmarshal_binary(datagram).ok()?;
        // The crate computes from the declared length; a datagram that is longer is none of its making.
        let whole = datagram.len() == HEADER + message.length as usize;
        let (integrity, has_integrity) = message.attributes.get(ATTR_MESSAGE_INTEGRITY);
        if !whole || message.typ != BINDING_REQUEST || !has_integrity || integrity.value.len() != 20 {
            return None;
        }
        let fingerprint_last = message.attributes.0.last().is_some_and(|last| last.typ == ATTR_FINGERPRINT);
        if fingerprint_last && FINGERPRINT.check(&message).is_err() {
            return None;
        }
        let username = message.get(ATTR_USERNAME).ok()?;
        let names = |local: &Credentials, remote: &str| username == format!("{}:{remote}", local.ufrag).as_bytes();
        let verifies = |message: &mut Message, local: &Credentials| {
            MessageIntegrity::check(message, local.password.as_bytes(), self.provider.crypto()).is_ok()
        };
        if names(&self.local, &self.remote_ufrag) {
            if !verifies(&mut message, &self.local) {
                return None;
            }
            self.before_restart = None;
            return Some((message, self.local.password.clone()));
        }
        let (local, remote) = self.before_restart.as_ref()?;
        (names(local, remote) && verifies(&mut message, local)).then(|| (message, local.password.clone()))
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
        self.answer(password, &attributes)
    }

    fn answer(&self, password: String, attributes: &[Box<dyn Setter + '_>]) -> Option<Vec<u8>> {
        let mut message = Message::new();
        message.build(attributes).ok()?;
        let integrity = MessageIntegrity::new_short_term_integrity_with_provider(password, self.provider.crypto());
        integrity.add_to(&mut message).ok()?;
        FINGERPRINT.add_to(&mut message).ok()?;
        Some(message.raw)
    }
}

/// The attributes that count: those before the integrity (RFC 8489 §14.5).
fn understood(message: &Message) -> impl Iterator<Item = AttrType> + '_ {
    message.attributes.0.iter().map(|attribute| attribute.typ).take_while(|&typ| typ != ATTR_MESSAGE_INTEGRITY)
}

fn known(attribute: AttrType) -> bool {
    [ATTR_USERNAME, ATTR_PRIORITY, ATTR_USE_CANDIDATE].contains(&attribute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc_crypto::providers::AwsLcRsProvider;
    use rtc_stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_REALM};
    use rtc_stun::message::TransactionId;
    use rtc_stun::textattrs::TextAttribute;
    use std::cell::LazyCell;

    thread_local! {
        static PROVIDER: LazyCell<Arc<dyn RTCCryptoProvider>> = LazyCell::new(|| Arc::new(AwsLcRsProvider::new()));
    }

    struct Raw(AttrType, Vec<u8>);

    impl Setter for Raw {
        fn add_to(&self, message: &mut Message) -> rtc_shared::error::Result<()> {
            message.add(self.0, &self.1);
            Ok(())
        }
    }

    fn agent() -> LiteAgent {
        let local = Credentials { ufrag: "ours".into(), password: "a password of ours, long".into() };
        LiteAgent::new(local, "theirs".into(), PROVIDER.with(|provider| Arc::clone(provider)))
    }

    fn request(username: &str, password: &str, extra: Vec<Raw>) -> Vec<u8> {
        let mut message = Message::new();
        let username = TextAttribute::new(ATTR_USERNAME, username.into());
        message
            .build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST), Box::new(username)])
            .expect("builds");
        for attribute in extra {
            attribute.add_to(&mut message).expect("adds");
        }
        PROVIDER.with(|provider| {
            MessageIntegrity::new_short_term_integrity_with_provider(password.into(), provider.crypto())
                .add_to(&mut message)
                .expect("adds");
        });
        FINGERPRINT.add_to(&mut message).expect("adds");
        message.raw
    }

    const PASSWORD: &str = "a password of ours, long";

    fn answer_to(agent: &mut LiteAgent, from: &str, datagram: &[u8]) -> Option<Message> {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
        let now = Instant::now();
        let mut out = Vec::new();
        agent.check(now, from.parse().expect("an address"), datagram, &mut out);
        out.pop().map(|raw| {
            let mut message = Message::new();
            message.unmarshal_binary(&raw).expect("we write what can be read");
            message
        })
    }

    #[test]
    fn media_follows_the_latest_nomination() {
        let mut agent = agent();
        let controlling = || Raw(ATTR_ICE_CONTROLLING, vec![0; 8]);
        let check = request("ours:theirs", PASSWORD, vec![controlling()]);
        assert_eq!(answer_to(&mut agent, "192.0.2.1:5", &check).map(|answer| answer.typ), Some(BINDING_SUCCESS));
        assert_eq!(agent.nominated(), None);
        for from in ["192.0.2.1:5", "192.0.2.1:9"] {
            let nomination = request("ours:theirs", PASSWORD, vec![controlling(), Raw(ATTR_USE_CANDIDATE, vec![])]);
            answer_to(&mut agent, from, &nomination);
            assert_eq!(agent.nominated().map(|address| address.to_string()).as_deref(), Some(from));
        }
    }

    #[test]
    fn strangers_get_no_answer() {
        let mut agent = agent();
        for (username, password) in [("ours:others", PASSWORD), ("ours:theirs", "wrong"), ("ours", PASSWORD)] {
            assert_eq!(answer_to(&mut agent, "192.0.2.1:5", &request(username, password, vec![])), None);
        }
        assert!(agent.last_check().is_none());
        let mut longer = request("ours:theirs", PASSWORD, vec![]);
        longer.extend([0; 4]);
        assert_eq!(answer_to(&mut agent, "192.0.2.1:5", &longer), None);
    }

    #[test]
    fn a_role_conflict_and_an_unknown_attribute_are_answered_as_such() {
        let mut agent = agent();
        for (attribute, code) in [(ATTR_ICE_CONTROLLED, 487), (ATTR_REALM, 420)] {
            let check = request("ours:theirs", PASSWORD, vec![Raw(attribute, vec![0; 8])]);
            let answer = answer_to(&mut agent, "192.0.2.1:5", &check).expect("answered");
            let reason = answer.get(rtc_stun::attributes::ATTR_ERROR_CODE).expect("has a code");
            assert_eq!(u16::from(reason[2]) * 100 + u16::from(reason[3]), code);
        }
    }

    #[test]
    fn an_attribute_behind_the_integrity_does_not_count() {
        let mut agent = agent();
        let mut message = Message::new();
        message.unmarshal_binary(&request("ours:theirs", PASSWORD, vec![])).expect("reads");
        let fingerprint = 8;
        message.raw.truncate(message.raw.len() - fingerprint);
        message.length -= fingerprint as u32;
        message.add(ATTR_USE_CANDIDATE, &[]);
        answer_to(&mut agent, "192.0.2.1:5", &message.raw.clone());
        assert_eq!(agent.nominated(), None, "it was not authenticated");
    }

    #[test]
    fn a_restart_takes_both_until_the_new_session_shows_itself() {
        let mut agent = agent();
        let nominate =
            |username: &str, password: &str| request(username, password, vec![Raw(ATTR_USE_CANDIDATE, vec![])]);
        answer_to(&mut agent, "192.0.2.1:5", &nominate("ours:theirs", PASSWORD));
        agent.restart(Credentials { ufrag: "new".into(), password: "another".into() }, "fresh".into());
        assert!(agent.nominated().is_some(), "media goes on");
        assert!(answer_to(&mut agent, "192.0.2.1:5", &nominate("ours:theirs", PASSWORD)).is_some());
        assert!(answer_to(&mut agent, "192.0.2.1:7", &nominate("new:fresh", "another")).is_some());
        assert_eq!(agent.nominated().map(|address| address.port()), Some(7));
        assert!(answer_to(&mut agent, "192.0.2.1:5", &nominate("ours:theirs", PASSWORD)).is_none());
    }

    #[test]
    fn after_two_restarts_the_session_in_use_is_still_answered_in_its_own_words() {
        let mut agent = agent();
        let check = |username: &str, password: &str| request(username, password, vec![]);
        answer_to(&mut agent, "192.0.2.1:5", &check("ours:theirs", PASSWORD));
        for name in ["second", "third"] {
            agent.restart(Credentials { ufrag: name.into(), password: name.into() }, "fresh".into());
        }
        let mut answer = answer_to(&mut agent, "192.0.2.1:5", &check("ours:theirs", PASSWORD)).expect("still in use");
        PROVIDER.with(|provider| {
            MessageIntegrity::check(&mut answer, PASSWORD.as_bytes(), provider.crypto()).expect("with its password");
        });
        assert_eq!(["ours", "second", "third"].map(|ufrag| agent.answers_to(ufrag)), [true, false, true]);
        assert!(answer_to(&mut agent, "192.0.2.1:5", &check("third:fresh", "third")).is_some());
        assert!(!agent.answers_to("ours"));
    }

    #[test]
    fn a_peer_that_moved_without_saying_so_is_followed_once_its_old_address_is_silent() {
        let mut agent = agent();
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
        let start = Instant::now();
        let check = |agent: &mut LiteAgent, after: Duration, port: u16, extra: Vec<Raw>| {
            let from = SocketAddr::from(([192, 0, 2, 1], port));
            agent.check(start + after, from, &request("ours:theirs", PASSWORD, extra), &mut Vec::new());
            agent.nominated().map(|address| address.port())
        };
        assert_eq!(check(&mut agent, Duration::ZERO, 5, vec![Raw(ATTR_USE_CANDIDATE, vec![])]), Some(5));
        assert_eq!(check(&mut agent, Duration::from_secs(2), 9, vec![]), Some(5), "it may check another path");
        assert_eq!(check(&mut agent, Duration::from_secs(4), 5, vec![]), Some(5));
        assert_eq!(check(&mut agent, Duration::from_secs(6), 9, vec![]), Some(5));
        assert_eq!(check(&mut agent, Duration::from_secs(8), 9, vec![]), Some(9));
    }

    #[test]
    fn the_fragment_is_found_without_decoding() {
        let datagram = request("ours:theirs", PASSWORD, vec![]);
        assert_eq!(local_ufrag(&datagram), Some("ours"));
        assert_eq!(local_ufrag(&datagram[..30]), None);
    }

    proptest! {
        #[test]
        fn mutated_checks_never_panic(at in 0usize..96, value: u8, cut in 0usize..120) {
            let mut datagram = request("ours:theirs", PASSWORD, vec![]);
            if let Some(byte) = datagram.get_mut(at) {
                *byte = value;
            }
            datagram.truncate(cut);
            let _ = local_ufrag(&datagram);
            let _ = answer_to(&mut agent(), "192.0.2.1:5", &datagram);
        }
    }
}
