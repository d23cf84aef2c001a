//! The log: lines for people, or lines of JSON for machines.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::Log;

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output: a service's log.
    Standard,
    /// Standard error: where standard output is for results.
    Error,
}

/// Start the log. A second start in one process changes nothing.
pub fn start_log(log: &Log, output: Output) {
    let filter = log.filter.parse::<EnvFilter>().unwrap_or_default();
    let (writer, colours) = match output {
        Output::Standard => (BoxMakeWriter::new(std::io::stdout), std::io::stdout().is_terminal()),
        Output::Error => (BoxMakeWriter::new(stderr), stderr().is_terminal()),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colours);
    let started = if log.json { lines.json().try_init() } else { lines.try_init() };
    if let Err(error) = started {
        tracing::debug!(%error, "the log was started before");
    }
}
