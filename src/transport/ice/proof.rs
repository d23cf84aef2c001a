//! Proof that a peer is where its media is to move: it answers a check of ours from there.
//!
//! A nomination alone proves nothing, since a recorded one is as authentic as a fresh one. Only the peer has the password
//! that an answer to our own transaction is sealed with. A lite agent sends no checks by itself (RFC 8445 §2.5); this one
//! is asked for by the peer's move, and full agents answer every authenticated check (RFC 8445 §7.3).

use std::time::{Duration, Instant};

use rtc_crypto::RTCCryptoProvider;
use rtc_stun::attributes::{ATTR_ICE_CONTROLLED, ATTR_PRIORITY, ATTR_USERNAME, AttrType};
use rtc_stun::message::{BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Message, Setter, TransactionId};

use super::{HEADER, Session, read, sealed, verifies};
use crate::transport::Endpoint;

/// The second request follows after so long, each further one after twice the time.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Requests without an answer; more are sent only as further checks of the peer come, so that a recorded check draws
/// hardly more octets than it has.
const MAX_REQUESTS: u32 = 4;
/// A client that hasn't answered in this time may not answer lite agents at all.
const UNANSWERED_AFTER: Duration = Duration::from_secs(1);
/// Of a peer-reflexive candidate (RFC 8445 §5.1.2.1): we have no better to offer.
const PRIORITY: u32 = 110 << 24 | 0xffff << 8 | 255;

/// A move that waits for its proof.
pub(super) struct Proof {
    /// Where media is to go.
    pub(super) to: Endpoint,
    /// When the peer first asked for it.
    pub(super) began: Instant,
    session: Session,
    transaction: TransactionId,
    tie_breaker: u64,
    asked: Option<Instant>,
    requests: u32,
}

impl Proof {
    pub(super) fn new(now: Instant, to: Endpoint, session: &Session) -> Self {
        let session = session.clone();
        let tie_breaker = rand::random();
        Self {
            to,
            began: now,
            session,
            transaction: TransactionId(rand::random()),
            tie_breaker,
            asked: None,
            requests: 0,
        }
    }

    /// When the request is to be repeated.
    pub(super) fn due(&self) -> Option<Instant> {
        let asked = self.asked.filter(|_| self.requests < MAX_REQUESTS)?;
        Some(asked + FIRST_WAIT * 2u32.pow(self.requests.saturating_sub(1)))
    }

    /// Whether a check of the peer's may be followed by a request of ours right away.
    pub(super) fn may_ask(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= FIRST_WAIT)
    }

    /// Whether the client had time enough to answer and didn't.
    pub(super) fn is_unanswered(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= UNANSWERED_AFTER
    }

    /// The request to send.
    pub(super) fn ask(&mut self, now: Instant, provider: &dyn RTCCryptoProvider) -> Option<Vec<u8>> {
        self.asked = Some(now);
        self.requests += 1;
        let Session { local, remote } = &self.session;
        let username = format!("{}:{}", remote.ufrag, local.ufrag);
        let (priority, tie_breaker) = (PRIORITY.to_be_bytes(), self.tie_breaker.to_be_bytes());
        let attributes: [Box<dyn Setter + '_>; 5] = [
            Box::new(self.transaction),
            Box::new(BINDING_REQUEST),
            Box::new(Raw(ATTR_USERNAME, username.as_bytes())),
            Box::new(Raw(ATTR_PRIORITY, &priority)),
            Box::new(Raw(ATTR_ICE_CONTROLLED, &tie_breaker)),
        ];
        sealed(&attributes, remote.password.clone(), provider)
    }

    /// Whether this is the answer: of our transaction, and sealed with the peer's password. A refusal is as good, since
    /// nobody else could have sealed it.
    pub(super) fn is_answered(&self, datagram: &[u8], provider: &dyn RTCCryptoProvider) -> bool {
        if datagram.get(8..HEADER) != Some(&self.transaction.0) {
            return false;
        }
        let is_answer = |message: &Message| message.typ == BINDING_SUCCESS || message.typ == BINDING_ERROR;
        read(datagram)
            .filter(is_answer)
            .is_some_and(|mut message| verifies(&mut message, &self.session.remote.password, provider))
    }
}

/// An attribute with these octets.
pub(super) struct Raw<'a>(pub(super) AttrType, pub(super) &'a [u8]);

impl Setter for Raw<'_> {
    fn add_to(&self, message: &mut Message) -> rtc_shared::error::Result<()> {
        message.add(self.0, self.1);
        Ok(())
    }
}
