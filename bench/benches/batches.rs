//! How many packets leave in one send, on recorded traffic of Chromium: `bench/data/chromium.csv`.
//!
//! Recorded by `bench/record-chromium.py`: the studio page with Chromium's fake camera, 1280×720 in three layers, and a
//! second fake camera as slides in two. A row is arrival (µs), stream, sequence number, media time, marker, octets of payload.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mingshi::transport::srtp::Profile;
use mingshi::worker::clock;
use mingshi::worker::socket::Path;
use mingshi_bench::lesson::Stream;

const TRACE: &str = include_str!("../data/chromium.csv");
/// A worker takes what has arrived when it wakes; until it has sent that, this much more time passes.
const WAKES: [Duration; 3] = [Duration::from_micros(100), Duration::from_micros(500), Duration::from_millis(1)];

/// One recorded packet.
#[derive(Clone, Copy)]
struct Packet {
    at: Duration,
    sequence: u64,
    timestamp: u32,
    marker: bool,
    payload: usize,
}

fn streams() -> BTreeMap<u32, Vec<Packet>> {
    let mut streams: BTreeMap<u32, Vec<Packet>> = BTreeMap::new();
    for row in TRACE.lines().skip(1) {
        let mut fields = row.split(',').map(|field| field.parse::<u64>().expect("a number in every field"));
        let mut field = || fields.next().expect("six fields");
        let (at, stream) = (Duration::from_micros(field()), field() as u32);
        let packet = Packet {
            at,
            sequence: field(),
            timestamp: field() as u32,
            marker: field() == 1,
            payload: field() as usize,
        };
        streams.entry(stream).or_default().push(packet);
    }
    streams
}

/// Packets that a worker finds together when it wakes.
fn batches(packets: &[Packet], wake: Duration) -> Vec<&[Packet]> {
    let mut batches = Vec::new();
    let mut rest = packets;
    while let Some(first) = rest.first() {
        let end = rest.iter().position(|packet| packet.at > first.at + wake).unwrap_or(rest.len());
        batches.push(&rest[..end]);
        rest = &rest[end..];
    }
    batches
}

/// Sends needed if lengths stay as the encoder made them: all but the last of a send must be equally long.
fn sends_as_encoded(batch: &[Packet]) -> usize {
    let (mut sends, mut segment, mut closed) = (0, 0, true);
    for packet in batch {
        if closed || packet.payload > segment {
            sends += 1;
            segment = packet.payload;
            closed = false;
        } else {
            closed = packet.payload < segment;
        }
    }
    sends
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
fn main() {
    let origin: Instant = clock::now();
    println!(
        "| stream | packets | packets a frame | wake | packets a batch | a send as encoded | a send evened out | padding |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (stream, packets) in streams() {
        let frames = packets.iter().filter(|packet| packet.marker).count().max(1);
        for wake in WAKES {
            let batches = batches(&packets, wake);
            let encoded: usize = batches.iter().map(|batch| sends_as_encoded(batch)).sum();
            let to = |_| Path { remote: ([192, 0, 2, 1], 9).into(), local: None };
            let mut lesson = Stream::new(Profile::AeadAes128Gcm, to, origin);
            for batch in &batches {
                let batch =
                    batch.iter().map(|packet| (packet.sequence, packet.timestamp, packet.marker, packet.payload));
                lesson.batch(batch, origin + batches[0][0].at);
            }
            let counts = lesson.counts();
            println!(
                "| {stream} | {} | {:.1} | {} µs | {:.1} | {:.1} | {:.1} | {:.2} % |",
                packets.len(),
                packets.len() as f64 / frames as f64,
                wake.as_micros(),
                packets.len() as f64 / batches.len() as f64,
                packets.len() as f64 / encoded as f64,
                counts.datagrams as f64 / counts.sends as f64,
                100.0 * counts.padding as f64 / counts.octets as f64,
            );
        }
    }
}
