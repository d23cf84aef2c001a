//! Where the media workers are started and stopped.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Error;
use crate::api::Media;
use crate::config;
use crate::worker::mailbox::{Report, Workers};

/// How many reports may wait for the directory. Reports are states: one that is dropped is made good by the next.
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
pub(super) fn start(_config: &config::Media) -> Result<MediaSide, Error> {
    // The workers are started here, as
    // `worker::pool::start(WorkerSettings { … }, report_sender)`, which gives `Workers`.
    let (_report_sender, reports) = mpsc::channel(REPORTS);
    Ok(MediaSide { media: Arc::new(Workers {}), reports })
}
