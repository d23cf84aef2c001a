//! What a worker sends over: its UDP socket and its peers' TCP streams.

use std::io;
use std::time::Instant;

use super::socket::{Path, WorkerSocket};
use super::stream::Streams;

/// Both.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) udp: WorkerSocket,
    pub(super) tcp: Streams,
}

impl Links {
    /// Sends `contents` cut into datagrams of `segment` octets, of which the last may be shorter.
    ///
    /// # Errors
    /// What the system says; over UDP `WouldBlock` when the kernel's buffer is full.
    pub(super) fn send(&mut self, now: Instant, to: &Path, contents: &[u8], segment: usize) -> io::Result<()> {
        match to.remote.stream {
            Some(stream) => self.tcp.send(now, stream, contents, segment),
            None => self.udp.send(to, contents, segment),
        }
    }
}
