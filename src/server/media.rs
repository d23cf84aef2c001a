//! Where the media workers are started.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Error, local_addresses};
use crate::api::Media;
use crate::config;
use crate::worker::mailbox::Report;
use crate::worker::pool::{self, MAX_WORKERS, Settings};

/// How many reports may wait for the directory. What finds no room waits at its worker.
const REPORTS: usize = 4096;

/// The media side of a running server.
pub struct MediaSide {
    /// What the API asks.
    pub media: Arc<dyn Media>,
    /// What it tells unasked.
    pub reports: mpsc::Receiver<Report>,
}

impl std::fmt::Debug for MediaSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaSide")
    }
}

/// Start the workers.
pub(super) fn start(config: &config::Media) -> Result<MediaSide, Error> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let settings = Settings {
        workers: config.workers.unwrap_or(cores).min(MAX_WORKERS),
        udp_port: config.udp_port,
        bind: config.bind_address,
        public_addresses: public_addresses(config),
        max_connections_per_worker: config.max_connections_per_worker,
    };
    let (report_sender, reports) = mpsc::channel(REPORTS);
    let workers = pool::start(&settings, &report_sender)?;
    tracing::info!(workers = settings.workers, first_port = settings.udp_port, addresses = ?settings.public_addresses, "media started");
    Ok(MediaSide { media: Arc::new(workers), reports })
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
