//! Starts the media threads and stops them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crossbeam_channel::bounded;
use mio::{Poll, Waker};

use crate::adapt::Tiers;
use crate::transport::Identity;
use crate::transport::sdp::Candidate;
use crate::units::ServerClock;

use super::admission::Host;
use super::clock;
use super::crossing::way;
use super::mailbox::{CAPACITY, Mailbox, Report, Workers};
use super::socket::WorkerSocket;
use super::tap::{self, Tap};
use super::worker::{Setup, Worker};

/// How many media threads at most; a connection's id names one of so many.
pub const MAX_WORKERS: usize = crate::id::MAX_WORKERS;

/// What the media threads are started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many, 1 to [`MAX_WORKERS`].
    pub workers: usize,
    /// UDP port of the first; the others have the next ones. 0: any free ports.
    pub udp_port: u16,
    /// Address to bind; `None` is every address of the machine, IPv6 and IPv4.
    pub bind: Option<IpAddr>,
    /// Addresses that clients are told.
    pub public_addresses: Vec<IpAddr>,
    /// Where TCP streams for [`Workers::adopt`] are accepted, as clients are told.
    pub tcp_candidates: Vec<SocketAddr>,
    /// How lessons are brought over lines of each kind.
    pub tiers: Tiers,
    /// Connections that one thread takes.
    pub max_connections_per_worker: usize,
    /// Of them, those of one client address that have not come up.
    pub max_unfinished_per_address: usize,
}

/// Why the media threads could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port can't be had.
    #[error("UDP port {port} can't be bound")]
    Bind {
        /// The port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error(transparent)]
    Identity(#[from] crate::transport::identity::NoIdentity),
    /// The system refuses a thread or a poll.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Binds all ports, then starts all threads: either everything runs or nothing does. Reports go to `reports`.
///
/// # Errors
/// [`StartError`] says which port or what else was refused.
pub fn start(settings: &Settings, reports: &tokio::sync::mpsc::Sender<Report>) -> Result<Workers, StartError> {
    start_tapped(settings, reports, clock::server_clock(), None)
}

/// What a journal is to get of the media.
#[derive(Debug, Clone)]
pub struct Tapping {
    /// Where to.
    pub way: tap::Way,
}

/// As [`start`], with a clock that others read too, and a journal.
///
/// # Errors
/// See [`start`].
pub fn start_tapped(
    settings: &Settings,
    reports: &tokio::sync::mpsc::Sender<Report>,
    server_clock: ServerClock,
    tapping: Option<Tapping>,
) -> Result<Workers, StartError> {
    let identity = Identity::generate()?;
    let mut setups = Vec::new();
    let (mut mailboxes, mut ways) = (Vec::new(), Vec::new());
    for index in 0..settings.workers.clamp(1, MAX_WORKERS) {
        let socket = bind(settings, index)?;
        warn_of_small_buffers(&socket);
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Worker::WAKER)?);
        let (requests_in, requests) = bounded(CAPACITY);
        let (way, crossings) = way();
        mailboxes.push(Mailbox { requests: requests_in, waker: Arc::clone(&waker) });
        ways.push((way, waker));
        let port = socket.local().port();
        let udp = settings.public_addresses.iter().map(|&ip| Candidate::udp(SocketAddr::new(ip, port)));
        let tcp = settings.tcp_candidates.iter().copied().map(Candidate::tcp);
        let candidates = udp.chain(tcp).filter(|candidate| is_acceptable(candidate.address)).collect();
        let host = Host { index, identity: identity.clone(), candidates, tiers: settings.tiers.clone() };
        setups.push((host, socket, poll, requests, crossings));
    }
    let mut threads = Vec::new();
    for (host, socket, poll, requests, crossings) in setups {
        let name = format!("media-{}", host.index);
        let worker = Worker::new(Setup {
            host,
            clock: server_clock,
            socket,
            poll,
            requests,
            crossings,
            ways: ways.clone(),
            reports: reports.clone(),
            max_connections: settings.max_connections_per_worker,
            max_unfinished: settings.max_unfinished_per_address,
            tap: tapping.as_ref().map(|tapping| Tap::new(tapping.way.clone())),
        })?;
        threads.push(std::thread::Builder::new().name(name).spawn(move || worker.run())?);
    }
    Ok(Workers::new(mailboxes, threads))
}

/// Browsers refuse an answer as a whole for one candidate with a port below 1024, unless it is 80 or 443 at a public
/// address (libwebrtc, `VerifyCandidate`).
#[must_use]
pub fn is_acceptable(address: SocketAddr) -> bool {
    let is_private = match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    };
    match address.port() {
        80 | 443 => !is_private,
        port => port >= 1_024,
    }
}

fn bind(settings: &Settings, index: usize) -> Result<WorkerSocket, StartError> {
    let port = if settings.udp_port == 0 { 0 } else { settings.udp_port.saturating_add(index as u16) };
    let refused = |source| StartError::Bind { port, source };
    match settings.bind {
        Some(ip) => WorkerSocket::bind(SocketAddr::new(ip, port)).map_err(refused),
        // A machine without IPv6 still serves IPv4.
        None => WorkerSocket::bind((Ipv6Addr::UNSPECIFIED, port).into())
            .or_else(|_| WorkerSocket::bind((Ipv4Addr::UNSPECIFIED, port).into()))
            .map_err(refused),
    }
}

fn warn_of_small_buffers(socket: &WorkerSocket) {
    let (receive, send) = socket.granted();
    // The kernel counts double what was asked for.
    if receive.min(send) < 2 << 20 {
        tracing::warn!(
            receive,
            send,
            "the kernel grants small UDP buffers; set net.core.rmem_max and net.core.wmem_max to 8388608 or more \
             (内核给的 UDP 缓冲区太小)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_browsers_would_refuse_an_answer_for_is_left_out() {
        let acceptable = |text: &str| is_acceptable(text.parse().expect("an address"));
        for text in ["203.0.113.9:443", "[2001:db8::1]:80", "10.1.2.3:8443", "127.0.0.1:20000", "[fd00::1]:8443"] {
            assert!(acceptable(text), "{text}");
        }
        for text in ["10.1.2.3:443", "192.168.1.1:80", "100.64.1.1:443", "[fd00::1]:443", "203.0.113.9:444"] {
            assert!(!acceptable(text), "{text}");
        }
    }
}
