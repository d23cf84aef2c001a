//! Credentials for a TURN server of the operator's, which live a few hours and need no database at either end
//! (draft-uberti-behave-turn-rest-00, `use-auth-secret` of coturn).

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::{Duration, OffsetDateTime};

use crate::id::ParticipantId;

/// A text that is no address of a TURN server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a TURN address such as turn:turn.example.cn:3478?transport=udp (RFC 7065)")]
pub struct NotATurnUrl(String);

/// The TURN servers that clients are told, and the secret that is shared with them.
#[derive(Clone, PartialEq)]
pub struct Turn {
    urls: Vec<String>,
    secret: String,
    life: Duration,
}

/// The secret stands in no log.
impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("urls", &self.urls).field("life", &self.life).finish_non_exhaustive()
    }
}

impl Turn {
    /// With addresses as RFC 7065 has them, and credentials that are good for `life`.
    ///
    /// # Errors
    /// [`NotATurnUrl`] names the first address that isn't one.
    pub fn new(urls: Vec<String>, secret: String, life: Duration) -> Result<Self, NotATurnUrl> {
        let plain = |rest: &str| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_~:?=[]".contains(&b))
        };
        let is_turn =
            |url: &String| url.strip_prefix("turn:").or_else(|| url.strip_prefix("turns:")).is_some_and(plain);
        match urls.iter().find(|url| !is_turn(url)) {
            Some(other) => Err(NotATurnUrl(other.clone())),
            None => Ok(Self { urls, secret, life }),
        }
    }

    /// One `Link` header per server (RFC 9725 §4.6): its address and credentials of this participant's, good from now on.
    #[must_use]
    pub fn links(&self, participant: ParticipantId, now: OffsetDateTime) -> Vec<String> {
        let username = format!("{}:{participant}", (now + self.life).unix_timestamp());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.secret.as_bytes());
        let credential = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
        let link = |url: &String| {
            format!(
                "<{url}>; rel=\"ice-server\"; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\""
            )
        };
        self.urls.iter().map(link).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const LIFE: Duration = Duration::hours(6);

    #[test]
    fn credentials_are_what_coturn_computes_from_the_same_secret() {
        let turn = Turn::new(vec!["turn:192.0.2.1:3478?transport=tcp".into()], "north".into(), LIFE).expect("a url");
        let participant = ParticipantId::from_u64(7);
        let links = turn.links(participant, datetime!(2026-11-24 08:00 UTC));
        let expires = datetime!(2026-11-24 14:00 UTC).unix_timestamp();
        let username = format!("{expires}:{participant}");
        assert_eq!(links.len(), 1);
        assert!(links[0].starts_with("<turn:192.0.2.1:3478?transport=tcp>; rel=\"ice-server\"; "), "{links:?}");
        assert!(links[0].contains(&format!("username=\"{username}\"")), "{links:?}");
        let credential = links[0].split("credential=\"").nth(1).and_then(|rest| rest.split('"').next());
        let decoded = STANDARD.decode(credential.expect("has one")).expect("base64");
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"north");
        assert!(hmac::verify(&key, username.as_bytes(), &decoded).is_ok());
        assert!(!format!("{turn:?}").contains("north"), "the secret stands in no log");
    }

    #[test]
    fn what_is_no_turn_address_is_refused() {
        for url in ["", "stun:192.0.2.1", "turn:", "https://turn.example.cn", "turn:a>; rel=\"x\"", "turn:a b"] {
            assert!(Turn::new(vec![url.into()], "s".into(), LIFE).is_err(), "{url:?}");
        }
        let urls = ["turn:turn.example.cn", "turns:turn.example.cn:443?transport=tcp", "turn:[2001:db8::1]:3478"];
        assert!(Turn::new(urls.map(str::to_owned).to_vec(), "s".into(), LIFE).is_ok());
    }
}
