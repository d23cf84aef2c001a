//! What comes as text.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use mingshi::api::ClientMessage;
use mingshi::auth::{Lifetimes, OperatorKey, Tokens, client_address};
use mingshi::config::Config;
use mingshi::lesson::JoinCode;
use mingshi::transport::sdp::{Candidate, Local, Offer, Role, SendStream, negotiate, parse_fragment, write_fragment};
use time::Duration;
use time::macros::datetime;

fn local(candidates: &[Candidate]) -> Local<'_> {
    Local { ufrag: "00ours", password: "ours0ours0ours0ours0ours", fingerprint: "AB:CD", cname: "server", candidates }
}

/// An offer is met whole or refused, and nothing of it adds lines to the answer.
pub(crate) fn sdp_offer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(offer) = Offer::parse(text) else { return };
    let candidates = [Candidate::udp(([192, 0, 2, 1], 5_000).into()), Candidate::tcp(([192, 0, 2, 1], 443).into())];
    let stream = |_, _: &_| Some(SendStream { ssrc: 7, rtx_ssrc: 8, stream: "s".into(), track: "t".into() });
    for role in [Role::Publisher, Role::Subscriber] {
        let Ok(agreed) = negotiate(&offer, role, &local(&candidates), stream) else { continue };
        let lines = |start: &str| agreed.answer.lines().filter(|line| line.starts_with(start)).count();
        let asked = text.lines().filter(|line| line.starts_with("m=")).count();
        assert_eq!(lines("m="), asked, "an answer has the offer's m-lines");
        assert!(agreed.media.len() <= lines("m="));
        assert!(agreed.answer.split_inclusive("\r\n").all(|line| line.ends_with("\r\n") && line.as_bytes()[1] == b'='));
        let pieces = agreed.answer.replace("\r\n", "");
        assert!(!pieces.contains(['\r', '\n']), "a line in a line");
    }
}

/// What is read of a fragment can be written in one.
pub(crate) fn sdp_fragment(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if parse_fragment(text).is_ok() {
        let written = write_fragment(&local(&[]), &["0".into()], true);
        assert!(parse_fragment(&written).is_ok(), "we write what we can't read");
    }
}

/// No text is a token of ours but those that we issue.
pub(crate) fn token(data: &[u8]) {
    static TOKENS: OnceLock<Tokens> = OnceLock::new();
    let lifetimes = Lifetimes { lesson: Duration::minutes(15), operator: Duration::hours(12) };
    let tokens = TOKENS.get_or_init(|| Tokens::new(&rand::random(), lifetimes));
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(tokens.read(text, datetime!(2026-11-24 08:00 UTC)).is_err(), "a token out of nowhere");
    assert!(tokens.read_expired(text).is_err(), "a token out of nowhere");
}

/// A message of a page.
pub(crate) fn page_message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = serde_json::from_str::<ClientMessage>(text);
}

/// A code that is read is written with six digits, and read again.
pub(crate) fn join_code(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(code) = text.parse::<JoinCode>() {
        let written = code.to_string();
        assert!(written.len() == 6 && written.bytes().all(|digit| digit.is_ascii_digit()), "{written:?}");
        assert_eq!(written.parse().ok(), Some(code));
    }
}

/// A key that is read is written and read again.
pub(crate) fn operator_key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = text.parse::<OperatorKey>() {
        let again: OperatorKey = key.to_string().parse().expect("a key that we wrote");
        assert!(again.is_of(&key.hash()), "another key");
    }
}

/// What a client writes of its own address is never believed without a trusted proxy.
pub(crate) fn forwarded_for(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let peer = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    assert_eq!(client_address(peer, Some(text), &[]), peer);
    let proxies = ["203.0.113.0/24".parse().expect("a network")];
    let _ = client_address(peer, Some(text), &proxies);
}

/// A configuration is valid or says what is wrong in a line of its own.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Config::parse(text, []) {
        assert!(!error.to_string().is_empty());
    }
}
