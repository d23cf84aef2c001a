use super::proof::Raw;
use super::*;
use proptest::prelude::*;
use rtc_crypto::providers::AwsLcRsProvider;
use rtc_stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_REALM};
use rtc_stun::message::TransactionId;
use rtc_stun::textattrs::TextAttribute;
use std::cell::LazyCell;
use std::net::SocketAddr;

thread_local! {
    static PROVIDER: LazyCell<Arc<dyn RTCCryptoProvider>> = LazyCell::new(|| Arc::new(AwsLcRsProvider::new()));
}

fn theirs(ufrag: &str) -> Credentials {
    Credentials { ufrag: ufrag.into(), password: "a password of theirs".into() }
}

fn agent() -> LiteAgent {
    let local = Credentials { ufrag: "ours".into(), password: "a password of ours, long".into() };
    LiteAgent::new(local, theirs("theirs"), PROVIDER.with(|provider| Arc::clone(provider)))
}

fn request(username: &str, password: &str, extra: Vec<Raw<'static>>) -> Vec<u8> {
    let mut message = Message::new();
    let username = TextAttribute::new(ATTR_USERNAME, username.into());
    message.build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST), Box::new(username)]).expect("builds");
    for attribute in extra {
        attribute.add_to(&mut message).expect("adds");
    }
    sealed_by_hand(message, password)
}

/// The message with its integrity and fingerprint, made without the agent's own code.
fn sealed_by_hand(mut message: Message, password: &str) -> Vec<u8> {
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
    agent.check(now, at(from), datagram, &mut out);
    out.pop().map(|(_, raw)| parsed(&raw))
}

fn at(address: &str) -> Endpoint {
    address.parse::<SocketAddr>().expect("an address").into()
}

fn parsed(raw: &[u8]) -> Message {
    let mut message = Message::new();
    message.unmarshal_binary(raw).expect("we write what can be read");
    message
}

#[test]
fn media_follows_the_latest_nomination() {
    let mut agent = agent();
    let controlling = || Raw(ATTR_ICE_CONTROLLING, &[0; 8]);
    let check = request("ours:theirs", PASSWORD, vec![controlling()]);
    assert_eq!(answer_to(&mut agent, "192.0.2.1:5", &check).map(|answer| answer.typ), Some(BINDING_SUCCESS));
    assert_eq!(agent.nominated(), None);
    for from in ["192.0.2.1:5", "192.0.2.1:9"] {
        let nomination = request("ours:theirs", PASSWORD, vec![controlling(), Raw(ATTR_USE_CANDIDATE, &[])]);
        answer_to(&mut agent, from, &nomination);
        assert_eq!(agent.nominated(), Some(at(from)));
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
        let check = request("ours:theirs", PASSWORD, vec![Raw(attribute, &[0; 8])]);
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
    let nominate = |username: &str, password: &str| request(username, password, vec![Raw(ATTR_USE_CANDIDATE, &[])]);
    answer_to(&mut agent, "192.0.2.1:5", &nominate("ours:theirs", PASSWORD));
    agent.restart(Credentials { ufrag: "new".into(), password: "another".into() }, theirs("fresh"));
    assert!(agent.nominated().is_some(), "media goes on");
    assert!(answer_to(&mut agent, "192.0.2.1:5", &nominate("ours:theirs", PASSWORD)).is_some());
    assert!(answer_to(&mut agent, "192.0.2.1:7", &nominate("new:fresh", "another")).is_some());
    assert_eq!(agent.nominated().map(|endpoint| endpoint.address.port()), Some(7));
    assert!(answer_to(&mut agent, "192.0.2.1:5", &nominate("ours:theirs", PASSWORD)).is_none());
}

#[test]
fn after_two_restarts_the_session_in_use_is_still_answered_in_its_own_words() {
    let mut agent = agent();
    let check = |username: &str, password: &str| request(username, password, vec![]);
    answer_to(&mut agent, "192.0.2.1:5", &check("ours:theirs", PASSWORD));
    for name in ["second", "third"] {
        agent.restart(Credentials { ufrag: name.into(), password: name.into() }, theirs("fresh"));
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
    let check = |agent: &mut LiteAgent, after: Duration, port: u16, extra: Vec<Raw<'static>>| {
        let from = Endpoint::from(([192, 0, 2, 1], port));
        agent.check(start + after, from, &request("ours:theirs", PASSWORD, extra), &mut Vec::new());
        agent.nominated().map(|endpoint| endpoint.address.port())
    };
    assert_eq!(check(&mut agent, Duration::ZERO, 5, vec![Raw(ATTR_USE_CANDIDATE, &[])]), Some(5));
    assert_eq!(check(&mut agent, Duration::from_secs(2), 9, vec![]), Some(5), "it may check another path");
    assert_eq!(check(&mut agent, Duration::from_secs(4), 5, vec![]), Some(5));
    assert_eq!(check(&mut agent, Duration::from_secs(6), 9, vec![]), Some(5));
    assert_eq!(check(&mut agent, Duration::from_secs(8), 9, vec![]), Some(9));
}

/// A peer whose media flows to port 5, and its agent.
struct Flowing {
    agent: LiteAgent,
    now: Instant,
    /// What was sent, and where to.
    sent: Vec<(Endpoint, Vec<u8>)>,
}

const HOME: &str = "192.0.2.1:5";
const AWAY: &str = "198.51.100.66:7";

impl Flowing {
    #[expect(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
    fn begin() -> Self {
        let mut flowing = Self { agent: agent(), now: Instant::now(), sent: Vec::new() };
        flowing.check(HOME, &nomination());
        flowing.agent.guard(flowing.now, at(HOME), &mut flowing.sent);
        assert_eq!(flowing.agent.nominated(), Some(at(HOME)));
        flowing
    }

    fn check(&mut self, from: &str, datagram: &[u8]) -> Checked {
        self.agent.check(self.now, at(from), datagram, &mut self.sent)
    }

    fn media(&mut self, from: &str) {
        self.agent.media(self.now, at(from), &mut self.sent);
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.agent.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.agent.handle_timeout(self.now, &mut self.sent);
        }
        self.now = end;
    }

    /// What the peer answers to our latest request to `to`, sealed with `password`.
    fn answer(&self, to: &str, password: &str) -> Vec<u8> {
        let requests =
            self.sent.iter().filter(|(endpoint, raw)| *endpoint == at(to) && parsed(raw).typ == BINDING_REQUEST);
        let (_, raw) = { requests }.next_back().expect("it was asked");
        let mut message = Message::new();
        let id = TransactionId(parsed(raw).transaction_id.0);
        message.build(&[Box::new(id), Box::new(BINDING_SUCCESS)]).expect("builds");
        sealed_by_hand(message, password)
    }

    fn is_at(&self, address: &str) -> bool {
        self.agent.nominated() == Some(at(address))
    }
}

fn nomination() -> Vec<u8> {
    request("ours:theirs", PASSWORD, vec![Raw(ATTR_USE_CANDIDATE, &[])])
}

#[test]
fn media_that_flows_moves_as_soon_as_the_peer_answers_from_where_it_went() {
    let mut flowing = Flowing::begin();
    assert_eq!(flowing.check(AWAY, &nomination()), Checked::Answered);
    assert!(flowing.is_at(HOME), "a nomination may be a recording");
    let asked = flowing.sent.iter().find(|(_, raw)| parsed(raw).typ == BINDING_REQUEST).expect("it is asked").clone();
    assert_eq!(asked.0, at(AWAY));
    let mut asked = parsed(&asked.1);
    assert_eq!(asked.get(ATTR_USERNAME).expect("has one"), b"theirs:ours");
    PROVIDER.with(|provider| {
        MessageIntegrity::check(&mut asked, b"a password of theirs", provider.crypto()).expect("the peer can tell us");
    });
    let answer = flowing.answer(AWAY, "a password of theirs");
    for (from, answer) in [(AWAY, flowing.answer(AWAY, PASSWORD)), (HOME, answer.clone())] {
        assert_eq!(flowing.check(from, &answer), Checked::Ignored);
        assert!(flowing.is_at(HOME), "forged, or from elsewhere");
    }
    assert_eq!(flowing.check(AWAY, &answer), Checked::Proved);
    assert!(flowing.is_at(AWAY));
    assert_eq!(flowing.check(AWAY, &answer), Checked::Ignored, "it was for one move");
    assert_eq!(flowing.agent.poll_timeout(), None);
}

/// Whoever listens on the line can send a nomination again from anywhere.
#[test]
fn a_recorded_nomination_draws_no_media_to_another_address() {
    let mut flowing = Flowing::begin();
    let recorded = nomination();
    assert_eq!(flowing.check(HOME, &recorded), Checked::Answered);
    flowing.sent.clear();
    assert_eq!(flowing.check(AWAY, &recorded), Checked::Replayed);
    assert!(flowing.sent.is_empty() && !flowing.agent.knows(at(AWAY)), "it isn't even answered");
    assert_eq!(flowing.check(HOME, &recorded), Checked::Answered, "the peer may send it again");

    // A recording from so long ago that its transaction is forgotten, again and again.
    for _ in 0..REMEMBERED {
        flowing.check(HOME, &nomination());
    }
    flowing.sent.clear();
    for _ in 0..60 {
        flowing.check(AWAY, &recorded);
        flowing.wait(500);
        flowing.check(HOME, &request("ours:theirs", PASSWORD, vec![]));
        flowing.wait(500);
        assert!(flowing.is_at(HOME));
    }
    let octets: usize = flowing.sent.iter().filter(|(to, _)| *to == at(AWAY)).map(|(_, raw)| raw.len()).sum();
    assert!(octets < 60 * recorded.len() * 4, "{octets} octets for {}", 60 * recorded.len());
    // Nor while the peer is silent, as in a break of its line.
    flowing.wait(5_000);
    flowing.check(AWAY, &recorded);
    flowing.wait(5_000);
    assert!(flowing.is_at(HOME));
}

#[test]
fn a_peer_that_answers_no_checks_is_followed_when_its_media_comes_from_elsewhere_only() {
    let mut flowing = Flowing::begin();
    flowing.check(AWAY, &nomination());
    flowing.wait(1_100);
    flowing.media(HOME);
    flowing.media(AWAY);
    assert!(flowing.is_at(HOME), "it is still there");
    flowing.wait(1_100);
    flowing.media(AWAY);
    assert!(flowing.is_at(HOME), "this begins the move");
    flowing.check(AWAY, &nomination());
    flowing.wait(1_100);
    flowing.media(AWAY);
    assert!(flowing.is_at(AWAY));
}

#[test]
fn media_from_another_address_moves_it_without_a_check_once_the_old_one_is_silent() {
    let mut flowing = Flowing::begin();
    let asked = |flowing: &Flowing| flowing.sent.iter().filter(|(to, _)| *to == at(AWAY)).count();
    flowing.media(AWAY);
    flowing.wait(200);
    assert_eq!(asked(&flowing), 0, "it may use both for a while");
    flowing.wait(60);
    assert_eq!(asked(&flowing), 1, "one packet is enough");
    assert!(flowing.is_at(HOME), "it has to be proved");
    let answer = flowing.answer(AWAY, "a password of theirs");
    assert_eq!(flowing.check(AWAY, &answer), Checked::Proved);
    assert!(flowing.is_at(AWAY));
    assert_eq!(flowing.agent.poll_timeout(), None);
}

#[test]
fn a_late_packet_from_an_old_address_moves_nothing_while_the_new_one_is_heard() {
    let mut flowing = Flowing::begin();
    flowing.media(AWAY);
    for _ in 0..20 {
        flowing.wait(100);
        flowing.media(HOME);
        flowing.media(AWAY);
        flowing.media(HOME);
    }
    flowing.wait(1_000);
    assert!(flowing.sent.iter().all(|(to, _)| *to == at(HOME)));
    assert_eq!(flowing.agent.poll_timeout(), None);
}

#[test]
fn the_latest_nomination_counts_even_if_it_is_for_where_media_goes_already() {
    let mut flowing = Flowing::begin();
    flowing.check(AWAY, &nomination());
    let answer = flowing.answer(AWAY, "a password of theirs");
    flowing.check(HOME, &nomination());
    assert_eq!(flowing.check(AWAY, &answer), Checked::Ignored);
    assert!(flowing.is_at(HOME));
}

/// Whoever has a link of its own could nominate somebody else's address before the handshake's last word.
#[test]
fn media_begins_where_the_handshake_ended_until_the_nominated_address_has_proved_itself() {
    let mut flowing = Flowing::begin();
    for answers in [false, true] {
        flowing.agent = agent();
        flowing.sent.clear();
        flowing.check(HOME, &request("ours:theirs", PASSWORD, vec![]));
        flowing.check(AWAY, &nomination());
        assert!(flowing.is_at(AWAY));
        flowing.agent.guard(flowing.now, at(HOME), &mut flowing.sent);
        assert!(flowing.is_at(HOME));
        let answer = flowing.answer(AWAY, "a password of theirs");
        if answers {
            assert_eq!(flowing.check(AWAY, &answer), Checked::Proved);
        }
        flowing.wait(5_000);
        assert_eq!(flowing.is_at(AWAY), answers);
    }
}

#[test]
fn a_stream_that_is_closed_is_forgotten_and_the_next_one_has_to_be_proved() {
    let mut flowing = Flowing::begin();
    let stream = Endpoint::tcp(at(AWAY).address, crate::transport::StreamId(9));
    flowing.agent.check(flowing.now, stream, &nomination(), &mut flowing.sent);
    assert!(!flowing.agent.knows(at(AWAY)), "UDP from the same port is another thing");
    flowing.agent.move_to(flowing.now, stream);
    flowing.agent.forget(stream);
    assert_eq!(flowing.agent.nominated(), None);
    assert!(!flowing.agent.knows(stream));
    flowing.check(HOME, &request("ours:theirs", PASSWORD, vec![]));
    assert_eq!(flowing.agent.nominated(), None);
    let answer = flowing.answer(HOME, "a password of theirs");
    assert_eq!(flowing.check(HOME, &answer), Checked::Proved);
    assert!(flowing.is_at(HOME));
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
