//! A school: classrooms behind one line that carries so much and no more.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mingshi::adapt::{Pacer, SentHistory};
use mingshi::sfu::{Forward, LineKey};

use super::bottleneck::{Bottleneck, Download, Owner, Packet, Shape};
use super::chance::Chance;
use super::lesson::Room;

/// IPv4 and UDP headers.
pub const IP_AND_UDP: usize = 28;

/// What is under way to a classroom of a school.
#[derive(Debug)]
pub struct Downlink {
    pub history: SentHistory,
    pub pacer: Pacer<Forward>,
    /// Octets of padding that are due.
    pub padding: f64,
}

impl Downlink {
    pub fn new(now: Instant) -> Self {
        Self { history: SentHistory::new(), pacer: Pacer::new(now), padding: 0.0 }
    }
}

/// One school.
pub struct School {
    pub key: LineKey,
    pub line: Bottleneck,
    pub download: Option<Download>,
    began: Instant,
    under_way: HashMap<u64, (Room, Vec<u8>)>,
    sent: u64,
    /// How long a packet that came then would have waited, milliseconds; ten times a second.
    pub waits: Vec<(Duration, f64)>,
    pub octets: u64,
}

impl School {
    pub fn new(number: usize, shape: Shape, chance: Chance, now: Instant) -> Self {
        Self {
            key: LineKey(1_000 + number as u64),
            line: Bottleneck::new(shape, chance),
            download: None,
            began: now,
            under_way: HashMap::new(),
            sent: 0,
            waits: Vec::new(),
            octets: 0,
        }
    }

    pub fn send(&mut self, room: Room, plain: Vec<u8>, datagram: usize) {
        self.sent += 1;
        let octets = (datagram + IP_AND_UDP) as u32;
        let packet = Packet { owner: Owner::Member(room), number: self.sent, octets };
        if self.line.send(packet) {
            self.under_way.insert(self.sent, (room, plain));
        }
    }

    /// A millisecond passes. What arrived, for whom.
    pub fn step(&mut self, now: Instant) -> Vec<(Room, Vec<u8>)> {
        let since = now.saturating_duration_since(self.began);
        let micros = since.as_micros() as u64;
        if let Some(download) = &mut self.download {
            download.step(&mut self.line, micros);
        }
        self.line.step(micros);
        if since.as_millis().is_multiple_of(100) {
            self.waits.push((since, self.line.waits()));
        }
        let mut here = Vec::new();
        for (at, packet) in self.line.arrived(micros) {
            match packet.owner {
                Owner::Member(_) => {
                    self.octets += u64::from(packet.octets);
                    here.extend(self.under_way.remove(&packet.number));
                }
                Owner::Download => {
                    if let Some(download) = &mut self.download {
                        download.arrived(at, self.line.shape.delay * 1_000);
                    }
                }
            }
        }
        here
    }

    /// The 95th percentile of what packets waited from `from` to `to`, milliseconds.
    pub fn waited(&self, from: Duration, to: Duration) -> f64 {
        let mut waits: Vec<f64> =
            self.waits.iter().filter(|(at, _)| (from..to).contains(at)).map(|&(_, waits)| waits).collect();
        waits.sort_by(f64::total_cmp);
        waits.get(waits.len() * 95 / 100).copied().unwrap_or(0.0)
    }
}
