//! The last stretch of the path: what the router decided on leaves, or waits for its turn at the pacer.

use std::io;
use std::time::{Duration, Instant};

use crate::adapt::{Kind, Offered, Pacer, Place, Probe, SentHistory, Urgency};
use crate::rtp::packet_cache::{Entry, PacketCache};
use crate::sfu::Forward;

use super::connection::Connection;
use super::egress::{Egress, PlayoutDelay, Receiver};
use super::meters::Meters;
use super::socket::Path;
use super::worker::Worker;

/// What a datagram takes of a line beside itself: IPv4 and UDP headers.
const IP_AND_UDP: usize = 28;
/// The longest padding that one packet can carry (RFC 3550 §5.1).
const PADDING: u8 = 255;
/// Padding packets of one connection that leave at once: a trial that needs more is made up for later.
const PADDINGS_AT_ONCE: usize = 64;

/// The way down to a subscriber.
#[derive(Debug)]
pub(super) struct Downlink {
    /// What was sent, until feedback tells what became of it.
    pub(super) history: SentHistory,
    /// What waits.
    pub(super) pacer: Pacer<Forward>,
    /// Octets of padding that are due.
    padding: f64,
}

impl Downlink {
    /// Nothing was sent yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { history: SentHistory::new(), pacer: Pacer::new(now), padding: 0.0 }
    }
}

impl Connection {
    /// What this connection needs to be written to, and its way down. `None` for a publisher, and where nothing can leave.
    fn outlet(&mut self) -> Option<(Receiver<'_>, &mut Downlink)> {
        let path = self.path()?;
        let Self { peer, transport_cc, transport_sequence, playout_delay, downlink, .. } = self;
        let (sealer, transport_cc, playout_delay) = (peer.sealer()?, *transport_cc, *playout_delay);
        let receiver = Receiver { sealer, path, transport_cc, transport_sequence, playout_delay };
        Some((receiver, downlink.as_deref_mut()?))
    }
}

/// Where it stands in its stream.
const fn place_of(forward: &Forward) -> Place {
    Place { ssrc: forward.ssrc, index: forward.sequence }
}

/// What one packet takes on the wire, nearly: what it is padded and sealed with differs by a few octets, and earlier packets
/// that go with it are about as long.
fn octets_of(forward: &Forward, entry: &Entry) -> u16 {
    let again = forward.redundancy.map_or(0, |redundancy| usize::from(redundancy.generations) * entry.payload_len());
    (entry.template_len() + again + IP_AND_UDP + 16) as u16
}

impl Worker {
    /// Decides where pending packets go and sends them.
    pub(super) fn forward(&mut self) {
        self.send_what_waited();
        let Self { router, connections, egress, links, meters, now, waiting, .. } = self;
        let mut send = |path: &Path, contents: &[u8], segment: usize| links.send(*now, path, contents, segment);
        let mut overflowed = Vec::new();
        while router.flush() {
            for run in router.forwards().chunk_by(|one, next| one.connection == next.connection) {
                let Some(key) = run.first().map(|first| first.connection as usize) else { continue };
                let Some(connection) = connections.get_mut(key) else { continue };
                for forward in run {
                    let Some((cache, entry)) = router.packet(forward) else {
                        meters.drop("gone_from_cache", 1);
                        continue;
                    };
                    let Some(downlink) = connection.downlink.as_deref_mut() else { break };
                    match downlink.pacer.offer(
                        *forward,
                        place_of(forward),
                        octets_of(forward, entry),
                        forward.urgency,
                        *now,
                    ) {
                        Offered::Send => write(egress, forward, cache, entry, connection, meters, *now, &mut send),
                        Offered::Waits => {
                            waiting.insert(key);
                        }
                        Offered::Refused => meters.drop("pacer_again", 1),
                        Offered::Dropped => {
                            let dropped = downlink.pacer.clear(forward.urgency).chain([*forward]);
                            overflowed.extend(dropped.map(|one| (key, one.ssrc)));
                        }
                    }
                }
            }
            router.sent();
        }
        egress.flush(&mut send);
        if !overflowed.is_empty() {
            self.meters.drop("pacer_full", overflowed.len() as u64);
            overflowed.dedup();
            self.begin_anew(&overflowed);
        }
    }

    /// Sends what has waited at the pacers for long enough.
    fn send_what_waited(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let Self { router, connections, egress, links, meters, now, waiting, .. } = self;
        let mut send = |path: &Path, contents: &[u8], segment: usize| links.send(*now, path, contents, segment);
        waiting.retain(|&key| {
            let Some(connection) = connections.get_mut(key) else { return false };
            while let Some(forward) = connection.downlink.as_deref_mut().and_then(|down| down.pacer.release(*now)) {
                match router.packet(&forward) {
                    Some((cache, entry)) => {
                        write(egress, &forward, cache, entry, connection, meters, *now, &mut send);
                    }
                    None => meters.drop("gone_from_cache", 1),
                }
            }
            connection.downlink.as_deref().is_some_and(|downlink| !downlink.pacer.is_empty())
        });
        egress.flush(&mut send);
    }

    /// Streams of which packets were dropped here can't be decoded without a keyframe.
    fn begin_anew(&mut self, streams: &[(usize, u32)]) {
        for &(key, ssrc) in streams {
            if let Some(subscriber) = self.connections.get(key).and_then(Connection::subscriber) {
                self.router.let_go(subscriber, ssrc);
            }
        }
    }

    /// Sends the padding that a trial of a line takes, `elapsed` after it was last sent.
    pub(super) fn send_probe(&mut self, probe: &Probe, elapsed: Duration) {
        let Self { router, connections, egress, links, now, .. } = self;
        let mut send = |path: &Path, contents: &[u8], segment: usize| links.send(*now, path, contents, segment);
        let Some(connection) = connections.get_mut(probe.member) else { return };
        let Some(subscriber) = connection.subscriber() else { return };
        // Without their numbers nobody could tell what became of them.
        if connection.transport_cc.is_none() {
            return;
        }
        let Some((mut receiver, downlink)) = connection.outlet() else { return };
        downlink.padding += probe.padding.bps() as f64 / 8.0 * elapsed.as_secs_f64();
        for _ in 0..PADDINGS_AT_ONCE {
            if downlink.padding < f64::from(PADDING) {
                break;
            }
            let Some(padding) = router.padding(subscriber) else { break };
            let number = *receiver.transport_sequence;
            let Some(length) = egress.write_padding(&padding, PADDING, &mut receiver, &mut send) else { break };
            let octets = (length + IP_AND_UDP) as u16;
            downlink.padding -= f64::from(octets);
            downlink.history.sent(number, *now, octets, Kind::Probe(probe.cluster));
        }
        downlink.padding = downlink.padding.min(f64::from(PADDING) * PADDINGS_AT_ONCE as f64);
        egress.flush(&mut send);
    }
}

/// Writes one packet to its receiver, and takes note of it.
#[expect(
    clippy::too_many_arguments,
    reason = "the worker's parts are borrowed one by one, so that the router can be read meanwhile"
)]
fn write(
    egress: &mut Egress,
    forward: &Forward,
    cache: &PacketCache,
    entry: &Entry,
    connection: &mut Connection,
    meters: &mut Meters,
    now: Instant,
    mut send: impl FnMut(&Path, &[u8], usize) -> io::Result<()>,
) {
    let Some(path) = connection.path() else { return };
    let Connection { peer, transport_cc, transport_sequence, playout_delay, downlink, repeats, line, .. } = connection;
    let (Some(sealer), Some(downlink)) = (peer.sealer(), downlink.as_deref_mut()) else { return };
    let mut voice = repeats.as_mut().and_then(|repeats| repeats.voice(forward.ssrc));
    // What may leave again as it is carries no number that counts once.
    let transport_cc = transport_cc.filter(|_| voice.is_none());
    let playout_delay = match forward.urgency {
        Urgency::Voice => PlayoutDelay::default(),
        // Whoever has just come is better off with a first picture that is early than with even ones.
        _ if downlink.pacer.begins(now) => playout_delay.at_once(),
        _ => *playout_delay,
    };
    let number = *transport_sequence;
    let mut receiver = Receiver { sealer, path, transport_cc, transport_sequence, playout_delay };
    let Some(octets) = egress.write(forward, cache, entry, &mut receiver, &mut send) else { return };
    if transport_cc.is_some() {
        downlink.history.sent(number, now, (octets + IP_AND_UDP) as u16, Kind::Media);
    }
    let again = forward.original.is_some();
    meters.retransmitted += u64::from(again);
    line.retransmitted(u32::from(again));
    line.carried(octets as u64, 1);
    if let Some(voice) = &mut voice {
        voice.keep(forward.sequence, egress.written(octets), now);
        // A stream (RFC 6544) loses nothing.
        let lossy = repeats.as_ref().filter(|_| path.remote.stream.is_none());
        if let Some(datagram) = lossy.and_then(|all| all.behind(forward.ssrc, forward.sequence)) {
            egress.repeat(datagram, path, &mut send);
            line.carried(datagram.len() as u64, 1);
            downlink.pacer.spent((datagram.len() + IP_AND_UDP) as u16, now);
        }
    }
}
