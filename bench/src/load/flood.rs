//! Who means harm: floods of datagrams, streams and requests from an address of their own on loopback, while a lesson goes on.

mod datagrams;
mod requests;
mod streams;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use mingshi::worker::clock;

use super::server::{Lesson, Server, WORKERS};

/// Where all harm comes from.
pub const HOSTILE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));

/// What was done how often, and what came of it.
pub type Tally = BTreeMap<String, u64>;

/// A way to do harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// TCP connections to the pages that say nothing.
    Silent,
    /// Offers of ever new classrooms that are answered and never come up.
    Abandoned,
    /// STUN of nobody's.
    Stun,
    /// Checks for a connection that there is, with an integrity that is wrong.
    ForgedChecks,
    /// ClientHellos from an address without a check.
    Hellos,
    /// ClientHellos of a connection's own, from an address with an authentic check.
    CheckedHellos,
    /// Requests to renew a token, every second one forged.
    Tokens,
    /// Join codes.
    Codes,
    /// HTTP headers, an octet at a time.
    SlowHttp,
    /// TLS hellos, an octet at a time.
    SlowTls,
    /// Framed checks, an octet at a time.
    SlowIce,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Connections and offers.
    pub count: usize,
    /// Datagrams a second.
    pub rate: u32,
    /// For how long.
    pub lasts: Duration,
}

/// What it is aimed at.
#[derive(Debug)]
pub struct Aim<'a> {
    server: &'a Server,
    lesson: &'a Lesson,
    http: SocketAddr,
    https: SocketAddr,
    media: Vec<SocketAddr>,
    /// A classroom's, which even who means harm may have.
    token: String,
    client: reqwest::Client,
}

impl Flood {
    /// All of them, in an order in which none is held against what comes next: an address with many offers that never came
    /// up is refused further ones, and one that guessed wrong can't join for a while.
    pub const ALL: [Self; 11] = [
        Self::Silent,
        Self::Stun,
        Self::ForgedChecks,
        Self::Hellos,
        Self::CheckedHellos,
        Self::Abandoned,
        Self::Tokens,
        Self::Codes,
        Self::SlowHttp,
        Self::SlowTls,
        Self::SlowIce,
    ];

    /// In a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Silent => "TCP connections that say nothing",
            Self::Abandoned => "offers of new classrooms, never come up",
            Self::Stun => "STUN of nobody's",
            Self::ForgedChecks => "forged checks of a known connection",
            Self::Hellos => "ClientHellos without a check",
            Self::CheckedHellos => "ClientHellos behind an authentic check",
            Self::Tokens => "renewals of tokens, half of them forged",
            Self::Codes => "guesses at the join code",
            Self::SlowHttp => "HTTP headers, octet by octet",
            Self::SlowTls => "TLS hellos, octet by octet",
            Self::SlowIce => "framed checks, octet by octet",
        }
    }

    /// Does it, until its time is over.
    ///
    /// # Errors
    /// When it can't even begin.
    pub async fn pour(self, aim: &Aim<'_>, size: Size) -> anyhow::Result<Tally> {
        let end = clock::now() + size.lasts;
        match self {
            Self::Silent => streams::hold(aim.http, size.count, &[], false, end).await,
            Self::SlowHttp => streams::hold(aim.http, size.count, b"GET / HTTP/1.1\r\nhost: x\r\nx: ", true, end).await,
            Self::SlowTls => streams::hold(aim.https, size.count, &[22, 3, 1, 2, 0, 1, 0, 1, 252], true, end).await,
            Self::SlowIce => streams::hold(aim.http, size.count, &[0, 100, 0, 1], true, end).await,
            Self::Abandoned => requests::abandon(aim, size.count, end).await,
            Self::Tokens => requests::renew(aim, end).await,
            Self::Codes => requests::guess(aim, end).await,
            Self::Stun => datagrams::strangers(aim, size.rate, end).await,
            Self::ForgedChecks => datagrams::forged_checks(aim, size.rate, end).await,
            Self::Hellos => datagrams::hellos(aim, size.rate, end, false).await,
            Self::CheckedHellos => datagrams::hellos(aim, size.rate, end, true).await,
        }
    }
}

impl<'a> Aim<'a> {
    /// At this lesson of a server that was started with [`settings`].
    ///
    /// # Errors
    /// When the server gives no token.
    pub async fn at(server: &'a Server, lesson: &'a Lesson, https: SocketAddr) -> anyhow::Result<Self> {
        let http = server.base.strip_prefix("http://").context("it is plain HTTP")?.parse()?;
        let media = (0..WORKERS).map(|worker| SocketAddr::from((Ipv4Addr::LOCALHOST, server.udp_port + worker)));
        let token = server.token(lesson, "classroom", None).await?;
        let client = reqwest::Client::builder().local_address(HOSTILE).build()?;
        Ok(Self { server, lesson, http, https, media: media.collect(), token, client })
    }
}

/// What a server is started with so that it listens for TLS too, and where.
///
/// # Errors
/// When no port is free.
pub fn settings() -> anyhow::Result<([(&'static str, String); 1], SocketAddr)> {
    let https = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(([("MINGSHI_SERVER_HTTPS", https.to_string())], https))
}

fn count(tally: &mut Tally, what: impl Into<String>, times: u64) {
    *tally.entry(what.into()).or_default() += times;
}

/// Waits until `at`, if that is to come.
async fn wait_until(at: Instant) {
    tokio::time::sleep(at.saturating_duration_since(clock::now())).await;
}
