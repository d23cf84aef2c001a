//! What is sent over schools' lines besides lessons: whose turn it is.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::id::{ConnectionId, client_network};
use crate::lesson::{Pace, Turn};
use crate::units::Bitrate;
use crate::worker::mailbox::Report;

/// Lines that are remembered; beyond it those that nobody uses are forgotten.
const REMEMBERED: usize = 4_096;
/// Connections that are remembered. Should ends of them have gone untold, all are forgotten: lines then carry what was sold,
/// until connections come anew.
const CONNECTIONS: usize = 65_536;

/// A line: its school's, or its address's where no school is known.
#[must_use]
pub(super) fn line(school: Option<&str>, address: IpAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    match school {
        Some(school) => school.hash(&mut hasher),
        None => client_network(address).hash(&mut hasher),
    }
    hasher.finish()
}

#[derive(Debug, Default)]
struct Known {
    lines: HashMap<u64, Pace>,
    connections: HashMap<ConnectionId, u64>,
}

/// The lines over which anything was sent lately.
// A few hash map operations at a time, never across an await.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<Known>);

impl Lines {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lessons may use of a line, as it is known now.
    pub(super) fn know(&self, line: u64, nominal: Bitrate, now: Instant) {
        let mut known = self.known();
        if known.lines.len() >= REMEMBERED {
            known.lines.retain(|_, pace| !pace.is_idle(now));
        }
        known.lines.entry(line).or_insert_with(|| Pace::new(None, now)).set_nominal(Some(nominal));
    }

    /// A lesson's connection comes over this line.
    pub(super) fn connected(&self, connection: ConnectionId, line: u64) {
        let mut known = self.known();
        if known.connections.len() >= CONNECTIONS {
            known.connections.clear();
        }
        known.connections.insert(connection, line);
    }

    /// Take in what a worker reported of a connection.
    pub(super) fn report(&self, report: &Report, now: Instant) {
        match report {
            Report::Line { connection, line: report, .. } => {
                let mut known = self.known();
                let line = known.connections.get(connection).copied();
                if let Some(pace) = line.and_then(|line| known.lines.get_mut(&line)) {
                    pace.report(*connection, report, now);
                }
            }
            Report::Down { connection, .. } => {
                let mut known = self.known();
                let line = known.connections.remove(connection);
                if let Some(pace) = line.and_then(|line| known.lines.get_mut(&line)) {
                    pace.gone(*connection);
                }
            }
            _ => {}
        }
    }

    /// When a piece of `octets` may leave over this line; over one that was forgotten since, as over one that carries `usual`.
    pub(super) fn turn(&self, line: u64, octets: usize, usual: Bitrate, now: Instant) -> Turn {
        self.known().lines.entry(line).or_insert_with(|| Pace::new(Some(usual), now)).turn(octets, now)
    }
}
