//! HTTP requests, many at a time, and how they were answered.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mingshi::worker::clock;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use serde_json::json;
use tokio::net::UdpSocket;

use super::super::client::{CHROMIUM, Client, Kind, Way};
use super::super::server::word;
use super::{Aim, HOSTILE, Tally, count, wait_until};

const AT_ONCE: usize = 64;

/// Joins with the right code, again and again as somebody else, and offers a connection that never comes up.
pub(super) async fn abandon(aim: &Aim<'_>, offers: usize, end: Instant) -> anyhow::Result<Tally> {
    let local = UdpSocket::bind((HOSTILE, 0)).await?.local_addr()?;
    let offer = Client::new(clock::now(), local, Way::Subscribe, &[Kind::Voice, Kind::Video], &CHROMIUM)
        .offer(clock::now(), false);
    let one = async |_| -> anyhow::Result<String> {
        let join = aim.client.post(format!("{}/api/v1/join", aim.server.base));
        let joined = join.json(&json!({ "code": aim.lesson.code })).send().await?;
        if !joined.status().is_success() {
            return Ok(format!("join {}", said(&joined)));
        }
        let token = word(&joined.json().await?, "token")?;
        let whep = aim.client.post(format!("{}/whep/{}", aim.server.base, aim.lesson.id)).bearer_auth(token);
        let answer = whep.header(CONTENT_TYPE, "application/sdp").body(offer.clone()).send().await?;
        Ok(format!("offer {}", said(&answer)))
    };
    let tally = many(one, Some(offers), end).await;
    wait_until(end).await;
    Ok(tally)
}

/// Asks for a new token with one that is good and with one that isn't.
pub(super) async fn renew(aim: &Aim<'_>, end: Instant) -> anyhow::Result<Tally> {
    let forged = format!("{}x", aim.token);
    let one = async |number: u64| {
        let token = if number.is_multiple_of(2) { &aim.token } else { &forged };
        let request = aim.client.post(format!("{}/api/v1/token", aim.server.base)).bearer_auth(token).json(&json!({}));
        sent(request).await
    };
    Ok(many(one, None, end).await)
}

/// Tries codes at random.
pub(super) async fn guess(aim: &Aim<'_>, end: Instant) -> anyhow::Result<Tally> {
    let one = async |_| {
        let code = format!("{:06}", rand::random_range(0..1_000_000));
        let request = aim.client.post(format!("{}/api/v1/join", aim.server.base)).json(&json!({ "code": code }));
        sent(request).await
    };
    Ok(many(one, None, end).await)
}

async fn sent(request: RequestBuilder) -> anyhow::Result<String> {
    Ok(said(&request.send().await?))
}

/// The status, and whether it comes with a time to wait.
fn said(answer: &Response) -> String {
    let waits = if answer.headers().contains_key(RETRY_AFTER) { " with Retry-After" } else { "" };
    format!("{}{waits}", answer.status().as_u16())
}

/// Does `one` many times, some at once, until `end` or until it is done so often.
async fn many(one: impl AsyncFn(u64) -> anyhow::Result<String>, most: Option<usize>, end: Instant) -> Tally {
    let (mut tally, mut begun) = (Tally::new(), 0);
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < AT_ONCE && clock::now() < end && most.is_none_or(|most| begun < most as u64) {
            under_way.push(tokio::time::timeout(Duration::from_secs(10), one(begun)));
            begun += 1;
        }
        match under_way.next().await {
            Some(Ok(Ok(outcome))) => count(&mut tally, outcome, 1),
            Some(Ok(Err(_))) => count(&mut tally, "no answer", 1),
            Some(Err(_)) => count(&mut tally, "no answer within 10 s", 1),
            None => return tally,
        }
    }
}
