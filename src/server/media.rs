//! Where the media workers are started.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Error, local_addresses};
use crate::api::Media;
use crate::config::{self, Config};
use crate::journal::space::Limits;
use crate::journal::{self, Journal};
use crate::units::ServerClock;
use crate::worker::clock;
use crate::worker::mailbox::{Report, Workers};
use crate::worker::pool::{self, Settings, Tapping, is_acceptable};
use crate::worker::tap::{self, Tapped};

/// How many reports may wait for the directory. What finds no room waits at its worker.
const REPORTS: usize = 4096;

/// The folder of recordings in the data folder.
const RECORDINGS: &str = "recordings";

/// The media side of a running server.
pub struct MediaSide {
    /// What the API asks.
    pub media: Arc<dyn Media>,
    /// What it tells unasked.
    pub reports: mpsc::Receiver<Report>,
    /// The media program that makes recordings; `None` = it is looked for.
    pub program: Option<PathBuf>,
    /// What writes down what comes, where lessons are recorded.
    pub journal: Option<Journal>,
}

impl std::fmt::Debug for MediaSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaSide")
    }
}

/// Start the workers.
pub(super) fn start(whole: &Config) -> Result<MediaSide, Error> {
    let config = &whole.media;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let settings = Settings {
        workers: config.workers_on(cores),
        udp_port: config.udp_port,
        bind: config.bind_address,
        public_addresses: public_addresses(config),
        tcp_candidates: tcp_candidates(whole),
        tiers: config.tiers.clone(),
        max_connections_per_worker: config.max_connections_per_worker,
        max_unfinished_per_address: config.max_unfinished_per_address,
    };
    let (report_sender, reports) = mpsc::channel(REPORTS);
    let clock = clock::server_clock();
    let (way, tapped) = tap::way();
    let tapping = whole.recording.enabled.then_some(Tapping { way });
    let workers = pool::start_tapped(&settings, &report_sender, clock, tapping)?;
    let journal = whole.recording.enabled.then(|| journal(whole, clock, tapped, workers.clone())).transpose()?;
    tracing::info!(workers = settings.workers, first_port = settings.udp_port, addresses = ?settings.public_addresses, tcp = ?settings.tcp_candidates, "media started");
    Ok(MediaSide { media: Arc::new(workers), reports, program: None, journal })
}

/// Start the journal of what the workers get.
fn journal(whole: &Config, clock: ServerClock, tapped: Tapped, workers: Workers) -> Result<Journal, Error> {
    let recording = &whole.recording;
    let settings = journal::Settings {
        recordings: whole.server.data.join(RECORDINGS),
        keyframe_every: recording.keyframe,
        limits: Limits { warn: recording.warn_free, stop: recording.stop_free },
    };
    let want_keyframe = move |connection, publication, layer| {
        // A request that finds no room is made again in two seconds.
        let _ = workers.want_keyframe(connection, publication, layer);
    };
    Journal::start(settings, clock, tapped, want_keyframe).map_err(Error::Journal)
}

/// What browsers are told: as configured, else where we listen, else every address of this machine. Loopback comes
/// last: only pages of this machine can use it, and they alone may have nothing else.
fn public_addresses(config: &config::Media) -> Vec<IpAddr> {
    if !config.public_addresses.is_empty() {
        return config.public_addresses.clone();
    }
    if let Some(address) = config.bind_address {
        return vec![address];
    }
    let mut addresses = local_addresses();
    addresses.push(IpAddr::from([127, 0, 0, 1]));
    addresses
}

/// Where browsers are told to send media over UDP, to the first media thread.
#[must_use]
pub fn udp_candidates(config: &config::Media) -> Vec<SocketAddr> {
    let all = public_addresses(config).into_iter().map(|ip| SocketAddr::new(ip, config.udp_port));
    all.filter(|address| is_acceptable(*address)).collect()
}

/// Where media over TCP is accepted, as browsers are told: at every address that a listener can be reached at, the ports
/// for pages first, since they are open wherever pages are seen.
#[must_use]
pub fn tcp_candidates(config: &Config) -> Vec<SocketAddr> {
    let addresses = public_addresses(&config.media);
    let listeners = [config.server.https, config.server.http, config.media.tcp_listening()];
    let mut candidates: Vec<SocketAddr> = Vec::new();
    for listener in listeners.into_iter().flatten().filter(|listener| listener.port() != 0) {
        let told = addresses.iter().filter(|address| leads_to(**address, listener.ip(), &config.media));
        for candidate in told.map(|&address| SocketAddr::new(address, listener.port())) {
            if is_acceptable(candidate) && !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
    }
    candidates
}

/// Whether what is sent to `address` arrives at a listener on `bound`.
fn leads_to(address: IpAddr, bound: IpAddr, config: &config::Media) -> bool {
    if bound.is_unspecified() {
        return bound.is_ipv6() || address.is_ipv4();
    }
    // An address that was configured may be a router's, which leads to ours.
    let forwarded = !config.public_addresses.is_empty() && !bound.is_loopback() && bound.is_ipv4() == address.is_ipv4();
    address == bound || forwarded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let config = Config::parse(text, []).expect("a configuration");
        tcp_candidates(&config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_candidate_is_told_for_every_way_to_a_listener() {
        let at = |addresses: &str, rest: &str| told(&format!("{rest}[media]\npublic_addresses = [{addresses}]\n"));
        let both = "\"203.0.113.9\", \"2001:db8::9\"";
        assert_eq!(at(both, ""), ["203.0.113.9:8443"], "HTTPS is on IPv4 only, HTTP on this machine only");
        let dual = "[server]\nhttp = \"\"\nhttps = \"[::]:443\"\n";
        assert_eq!(at(both, dual), ["203.0.113.9:443", "[2001:db8::9]:443"]);
        let one = "[server]\nhttp = \"\"\nhttps = \"10.0.0.5:443\"\n";
        assert_eq!(at("\"203.0.113.9\"", one), ["203.0.113.9:443"], "a router forwards it");
        assert_eq!(at("\"127.0.0.1\"", ""), ["127.0.0.1:8443", "127.0.0.1:8080"]);
        assert_eq!(at("\"10.0.0.5\"", dual), Vec::<String>::new(), "browsers take no 443 at a private address");
        let more = format!("[media]\ntcp_port = 20000\npublic_addresses = [{both}]\n");
        assert_eq!(told(&more), ["203.0.113.9:8443", "203.0.113.9:20000", "[2001:db8::9]:20000"]);
    }
}
