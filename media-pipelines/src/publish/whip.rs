//! The HTTP side of publishing: WHIP (RFC 9725).

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde::Deserialize;

/// A server that has not accepted a TCP connection by then is taken for dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// And one that has not answered by then.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why signalling failed, in words for whoever started the publisher.
#[derive(Debug, thiserror::Error)]
pub enum WhipError {
    /// The certificate authority file can't be used.
    #[error("the certificate authority {path} can't be used: {reason}")]
    Authority {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// The HTTP client can't be made.
    #[error("the HTTP client can't start: {0}")]
    Client(#[source] reqwest::Error),
    /// Nobody answers.
    #[error("the server can't be reached: {}", innermost(.0))]
    Unreachable(#[source] reqwest::Error),
    /// 401.
    #[error("the server doesn't accept the token: {0}")]
    Token(String),
    /// 403.
    #[error("the token doesn't allow publishing here: {0}")]
    Forbidden(String),
    /// 404.
    #[error("there is no such lesson: {0}")]
    NoLesson(String),
    /// 409.
    #[error("the lesson doesn't take publishers now: {0}")]
    Conflict(String),
    /// Any other status than 201.
    #[error("the server answered {status}: {reason}")]
    Refused {
        /// What it said.
        status: StatusCode,
        /// In which words.
        reason: String,
    },
    /// A 201 without a usable `Location`.
    #[error("the server accepted without a valid Location header")]
    NoLocation,
}

/// An accepted publication.
#[derive(Debug, Clone)]
pub struct Session {
    /// Where to end it.
    pub resource: Url,
    /// The answer, SDP.
    pub answer: String,
}

/// The WHIP endpoint of a lesson.
#[derive(Debug)]
pub struct Whip {
    client: Client,
    endpoint: Url,
    token: Mutex<String>,
}

/// What a problem document (RFC 9457) says.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Renewed {
    token: String,
}

impl Whip {
    /// An endpoint at `endpoint`; `authority` is a PEM file with the certificate authority of a server that made its own.
    ///
    /// # Errors
    /// [`WhipError::Authority`] or [`WhipError::Client`].
    pub fn new(endpoint: Url, token: String, authority: Option<&Path>) -> Result<Self, WhipError> {
        let mut builder = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).no_proxy();
        if let Some(path) = authority {
            let refuse = |reason: &dyn std::fmt::Display| WhipError::Authority {
                path: path.display().to_string(),
                reason: reason.to_string(),
            };
            let pem = std::fs::read(path).map_err(|error| refuse(&error))?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| refuse(&error))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(WhipError::Client)?;
        Ok(Self { client, endpoint, token: Mutex::new(token) })
    }

    /// The server's host and port.
    #[must_use]
    pub fn server(&self) -> (String, u16) {
        let host = self.endpoint.host_str().unwrap_or_default().trim_matches(['[', ']']);
        (host.to_owned(), self.endpoint.port_or_known_default().unwrap_or(443))
    }

    /// Offer to publish (RFC 9725 §4.2).
    ///
    /// # Errors
    /// [`WhipError`] says why the server doesn't take it.
    pub async fn publish(&self, offer: String) -> Result<Session, WhipError> {
        let request = self.client.post(self.endpoint.clone()).bearer_auth(self.token());
        let request = request.header(CONTENT_TYPE, "application/sdp").body(offer);
        let response = request.send().await.map_err(WhipError::Unreachable)?;
        if response.status() != StatusCode::CREATED {
            return Err(refusal(response).await);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let resource = location.and_then(|location| response.url().join(location).ok()).ok_or(WhipError::NoLocation)?;
        let answer = response.text().await.map_err(WhipError::Unreachable)?;
        Ok(Session { resource, answer })
    }

    /// End a publication (RFC 9725 §4.2, DELETE).
    ///
    /// # Errors
    /// [`WhipError`] says why the server doesn't; 404 means that it has already.
    pub async fn end(&self, session: &Session) -> Result<(), WhipError> {
        let request = self.client.delete(session.resource.clone()).bearer_auth(self.token());
        let response = request.timeout(CONNECT_TIMEOUT).send().await.map_err(WhipError::Unreachable)?;
        if response.status().is_success() { Ok(()) } else { Err(refusal(response).await) }
    }

    /// Exchange the token for one that lasts longer, as docs/signalling.md has it.
    ///
    /// # Errors
    /// [`WhipError`] says why the server doesn't; the old token is kept.
    pub async fn renew_token(&self) -> Result<(), WhipError> {
        let address = self.endpoint.join("/api/v1/token").map_err(|_| WhipError::NoLocation)?;
        let response =
            self.client.post(address).bearer_auth(self.token()).send().await.map_err(WhipError::Unreachable)?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let Renewed { token } = response.json().await.map_err(WhipError::Unreachable)?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    fn token(&self) -> String {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn refusal(response: Response) -> WhipError {
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    let reason = match serde_json::from_str::<Problem>(&body) {
        Ok(Problem { title, detail }) => detail.or(title).unwrap_or_else(|| status.to_string()),
        Err(_) => status.to_string(),
    };
    match status {
        StatusCode::UNAUTHORIZED => WhipError::Token(reason),
        StatusCode::FORBIDDEN => WhipError::Forbidden(reason),
        StatusCode::NOT_FOUND => WhipError::NoLesson(reason),
        StatusCode::CONFLICT => WhipError::Conflict(reason),
        _ => WhipError::Refused { status, reason },
    }
}

/// What really happened, below the layers that each say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that gives the same answer to everything.
    async fn server(answer: &'static str) -> Whip {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}/whip/lesson", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Whip::new(endpoint.parse().expect("an address"), "token".to_owned(), None).expect("a client")
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_server_s_words() {
        let whip = server(
            "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\nConnection: close\r\n\r\n\
             {\"title\":\"Token expired\",\"detail\":\"the token ran out at 10:15\",\"code\":\"token_expired\"}",
        )
        .await;
        let error = whip.publish("v=0".to_owned()).await.expect_err("refused");
        assert_eq!(error.to_string(), "the server doesn't accept the token: the token ran out at 10:15");
    }

    #[tokio::test]
    async fn a_missing_lesson_and_one_that_has_ended_are_told_apart_even_without_a_problem_document() {
        let missing = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        assert!(matches!(missing.publish(String::new()).await, Err(WhipError::NoLesson(_))));
        let ended = server("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        assert!(matches!(ended.publish(String::new()).await, Err(WhipError::Conflict(_))));
    }

    #[tokio::test]
    async fn the_session_s_address_is_resolved_against_the_endpoint() {
        let whip = server(
            "HTTP/1.1 201 Created\r\nLocation: /whip/lesson/c/7\r\nContent-Length: 3\r\nConnection: close\r\n\r\nv=0",
        )
        .await;
        let session = whip.publish(String::new()).await.expect("accepted");
        assert_eq!((session.resource.path(), session.answer.as_str()), ("/whip/lesson/c/7", "v=0"));
        assert_eq!(session.resource.port(), whip.endpoint.port());
    }

    #[tokio::test]
    async fn a_renewed_token_replaces_the_old_one_and_a_failed_renewal_keeps_it() {
        let whip =
            server("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"token\":\"longer\",\"expires_at\":\"later\"}").await;
        whip.renew_token().await.expect("renewed");
        assert_eq!(whip.token(), "longer");
        let whip = server("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n").await;
        assert!(whip.renew_token().await.is_err());
        assert_eq!(whip.token(), "token");
    }
}
