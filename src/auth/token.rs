//! Tokens: JWT (RFC 7519) signed with HS256, their secret made by the server itself.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use time::{Duration, OffsetDateTime};

use super::Claims;
use crate::lesson::Role;

const ISSUER: &str = "mingshi";

/// Clocks of the same machine don't differ; a second covers rounding.
const LEEWAY_SECONDS: i64 = 1;

/// Why a token is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// Not ours, altered, or no token at all.
    #[error("the token is not one of this server's")]
    Invalid,
}

/// How long tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of tokens for one lesson.
    pub lesson: Duration,
    /// Of operators' tokens.
    pub operator: Duration,
}

/// A token and when it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The text to hand out.
    pub token: String,
    /// What it says.
    pub claims: Claims,
    /// Its last second.
    pub expires_at: OffsetDateTime,
}

/// Issues and reads tokens.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    lifetimes: Lifetimes,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("lifetimes", &self.lifetimes).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens signed with this secret.
    #[must_use]
    pub fn new(secret: &[u8; 32], lifetimes: Lifetimes) -> Self {
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret), lifetimes }
    }

    /// A token that says `claims`, its times counted from `now` and the usual life of its role.
    #[must_use]
    pub fn issue(&self, claims: Claims, now: OffsetDateTime) -> Issued {
        let life = match claims.role {
            Role::Operator => self.lifetimes.operator,
            Role::Studio | Role::Classroom | Role::Viewer => self.lifetimes.lesson,
        };
        self.issue_for(claims, now, life)
    }

    /// A token that says `claims` and lives for `life` from `now`.
    #[must_use]
    pub fn issue_for(&self, mut claims: Claims, now: OffsetDateTime, life: Duration) -> Issued {
        claims.iss = ISSUER.into();
        claims.iat = now.unix_timestamp();
        claims.exp = claims.iat + life.whole_seconds();
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("claims of plain texts and numbers become JSON, and HMAC takes a key of any length");
        let expires_at = OffsetDateTime::from_unix_timestamp(claims.exp).unwrap_or(now);
        Issued { token, claims, expires_at }
    }

    /// What a token says, if it is ours and still good at `now`.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(&self, token: &str, now: OffsetDateTime) -> Result<Claims, TokenError> {
        let claims = self.read_expired(token)?;
        if claims.exp + LEEWAY_SECONDS < now.unix_timestamp() { Err(TokenError::Expired) } else { Ok(claims) }
    }

    /// What a token says, if it is ours, however old: enough to end or move a connection that it began.
    ///
    /// # Errors
    /// [`TokenError::Invalid`].
    pub fn read_expired(&self, token: &str) -> Result<Claims, TokenError> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        // The time is compared by the caller, who is told it.
        validation.validate_exp = false;
        jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation).map(|data| data.claims).map_err(|error| {
            match error.kind() {
                ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Invalid,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Publish;
    use crate::id::{LessonId, ParticipantId};
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);
    const LIFETIMES: Lifetimes = Lifetimes { lesson: Duration::minutes(15), operator: Duration::hours(12) };

    fn studio() -> Claims {
        Claims {
            iss: String::new(),
            iat: 0,
            exp: 0,
            sub: ParticipantId::random(),
            role: Role::Studio,
            lesson: Some(LessonId::random()),
            publish: Publish::Any,
            subscribe: true,
            name: Some("王老师".into()),
            school: None,
            key: None,
            download: false,
        }
    }

    #[test]
    fn a_token_says_what_it_was_issued_for_until_it_expires() {
        let tokens = Tokens::new(&[7; 32], LIFETIMES);
        let issued = tokens.issue(studio(), NOW);
        assert_eq!(issued.expires_at, NOW + Duration::minutes(15));
        assert_eq!(issued.claims.renew_at(), NOW + Duration::minutes(10));
        assert_eq!(tokens.read(&issued.token, NOW + Duration::minutes(15)), Ok(issued.claims.clone()));
        let late = NOW + Duration::minutes(16);
        assert_eq!(tokens.read(&issued.token, late), Err(TokenError::Expired));
        assert_eq!(tokens.read_expired(&issued.token), Ok(issued.claims));
    }

    #[test]
    fn another_servers_altered_and_unsigned_tokens_are_refused() {
        let tokens = Tokens::new(&[7; 32], LIFETIMES);
        let foreign = Tokens::new(&[8; 32], LIFETIMES).issue(studio(), NOW).token;
        let own = tokens.issue(studio(), NOW).token;
        let body = own.split('.').nth(1).expect("a token has three parts");
        let unsigned = format!("eyJhbGciOiJub25lIn0.{body}.");
        for token in [foreign.as_str(), &own[..own.len() - 2], &unsigned, "", "a.b.c"] {
            assert_eq!(tokens.read(token, NOW), Err(TokenError::Invalid), "{token}");
        }
    }
}
