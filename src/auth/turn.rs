//! Credentials for a TURN server of the operator's, which end with a token and need no database at either end
//! (draft-uberti-behave-turn-rest-00, `use-auth-secret` of coturn).

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::claims::Claims;

/// A text that is no address of a TURN server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a TURN address such as turn:turn.example.cn:3478?transport=udp (RFC 7065)")]
pub struct NotATurnUrl(String);

/// The TURN servers that clients are told, and the secret that is shared with them.
#[derive(Clone, PartialEq)]
pub struct Turn {
    urls: Vec<String>,
    secret: String,
}

/// The secret stands in no log.
impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl Turn {
    /// With addresses as RFC 7065 has them.
    ///
    /// # Errors
    /// [`NotATurnUrl`] names the first address that isn't one.
    pub fn new(urls: Vec<String>, secret: String) -> Result<Self, NotATurnUrl> {
        let plain = |rest: &str| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_~:?=[]".contains(&b))
        };
        let is_turn =
            |url: &String| url.strip_prefix("turn:").or_else(|| url.strip_prefix("turns:")).is_some_and(plain);
        match urls.iter().find(|url| !is_turn(url)) {
            Some(other) => Err(NotATurnUrl(other.clone())),
            None => Ok(Self { urls, secret }),
        }
    }

    /// One `Link` header per server (RFC 9725 §4.6): its address, and credentials that end with this token.
    ///
    /// What was allocated with them stays until it isn't refreshed any more.
    #[must_use]
    pub fn links(&self, holder: &Claims) -> Vec<String> {
        let username = format!("{}:{}", holder.exp, holder.sub);
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
    use crate::auth::Publish;
    use crate::id::ParticipantId;
    use crate::lesson::Role;

    fn holder() -> Claims {
        Claims {
            iss: "mingshi".into(),
            iat: 1_700_000_000,
            exp: 1_700_000_900,
            sub: ParticipantId::from_u64(7),
            role: Role::Classroom,
            lesson: None,
            publish: Publish::default(),
            subscribe: true,
            name: None,
            school: None,
            key: None,
            download: false,
        }
    }

    /// The figures are those of `openssl dgst -sha1 -hmac`, which is what coturn computes.
    #[test]
    fn credentials_are_what_a_turn_server_computes_from_the_same_secret() {
        let turn = Turn::new(vec!["turn:192.0.2.1:3478?transport=tcp".into()], "north".into()).expect("a url");
        let holder = holder();
        let expected = "tz387Jk+yW76ZzEG1m7zglXcXps=";
        assert_eq!(
            turn.links(&holder),
            [format!(
                "<turn:192.0.2.1:3478?transport=tcp>; rel=\"ice-server\"; username=\"1700000900:0000000000007\"; \
                 credential=\"{expected}\"; credential-type=\"password\""
            )]
        );
    }

    #[test]
    fn the_secret_stands_in_no_log() {
        let turn = Turn::new(vec!["turn:192.0.2.1".into()], "north".into()).expect("a url");
        assert!(!format!("{turn:?}").contains("north"));
    }

    #[test]
    fn what_is_no_turn_address_is_refused() {
        for url in ["", "stun:192.0.2.1", "turn:", "https://turn.example.cn", "turn:a>; rel=\"x\"", "turn:a b"] {
            assert!(Turn::new(vec![url.into()], "s".into()).is_err(), "{url:?}");
        }
        let urls = ["turn:turn.example.cn", "turns:turn.example.cn:443?transport=tcp", "turn:[2001:db8::1]:3478"];
        assert!(Turn::new(urls.map(str::to_owned).to_vec(), "s".into()).is_ok());
    }
}
