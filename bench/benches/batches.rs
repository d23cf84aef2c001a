//! How many packets of recorded browsers leave in one segmented send, with and without evening out their lengths.
//!
//! Each receive round of the recording is one batch, as on a worker: into the cache, evened out, written for one receiver.
//! A worker with many receivers is longer in each round, and finds more packets in the next: the last columns say what that does.

use std::path::Path as File;

use mingshi::adapt::Urgency;
use mingshi::rtp::packet_cache::{Incoming, PacketCache};
use mingshi::rtp::sequence::Extender;
use mingshi::rtp::vp8::Offsets;
use mingshi::sfu::{Forward, Source};
use mingshi::transport::srtp::{Profile, Sealer};
use mingshi::worker::egress::{Egress, PlayoutDelay, Receiver, Sent};
use mingshi::worker::socket::Path;
use mingshi_bench::trace::{Arrival, read};

/// The arrivals as a worker finds them that is busy for at least so long in every round.
fn taken_together(arrivals: &[Arrival], busy: u64) -> Vec<Arrival> {
    let (mut began, mut round) = (0, 0);
    let regrouped = arrivals.iter().map(|&arrival| {
        if arrival.round > round && arrival.micros >= began + busy {
            (began, round) = (arrival.micros, arrival.round);
        }
        Arrival { round, ..arrival }
    });
    regrouped.collect()
}

/// What one encoding's batches come to at one receiver.
fn batched(arrivals: &[Arrival], evened: bool) -> Sent {
    let mut cache = PacketCache::new(1_024, 512 * 1024);
    let mut egress = Egress::new(64);
    let sealer = Sealer::new(Profile::AeadAes128Gcm, &[7; 16], &[7; 12]).expect("key and salt fit the profile");
    let (mut extender, mut transport_sequence) = (Extender::default(), 0);
    let payload = [7; 1_500];
    for round in arrivals.chunk_by(|one, next| one.round == next.round) {
        let mut batch = Vec::new();
        for arrival in round {
            let sequence = extender.extend(arrival.sequence);
            let payload = &payload[..usize::from(arrival.length)];
            let (timestamp, marker) = (arrival.timestamp, arrival.marker);
            let incoming = Incoming { sequence, timestamp, marker, payload, ..Incoming::default() };
            if cache.insert(&incoming).is_ok() {
                batch.push(sequence);
            }
        }
        if evened {
            cache.even_out(&batch);
        }
        for sequence in batch {
            let entry = cache.get(sequence).expect("it came just now");
            let path = Path { remote: ([192, 0, 2, 1], 9).into(), local: None };
            let mut receiver = Receiver {
                sealer: &sealer,
                path,
                transport_cc: Some(3),
                transport_sequence: &mut transport_sequence,
                playout_delay: PlayoutDelay::default(),
            };
            egress.write(&forward(sequence, entry.timestamp), &cache, entry, &mut receiver, |_, _, _| Ok(()));
        }
        // A worker turns to the next receiver.
        egress.flush(|_, _, _| Ok(()));
    }
    egress.counts()
}

fn forward(sequence: u64, timestamp: u32) -> Forward {
    Forward {
        connection: 0,
        source: Source { publication: 0, serial: 0, layer: 0, generation: 0 },
        packet: sequence,
        ssrc: 1,
        payload_type: 96,
        sequence,
        timestamp,
        pictures: Offsets::default(),
        skip: 0,
        redundancy: None,
        original: None,
        urgency: Urgency::Camera,
    }
}

fn per_send(sent: &Sent) -> f64 {
    sent.datagrams as f64 / sent.sends.max(1) as f64
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
fn main() {
    println!(
        "| recording | encoding | kbit/s | packets | packets a round | segments a send | evened out | padding | 2 ms rounds | 5 ms | 10 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for name in ["camera-h264", "camera-vp8", "slides-h264"] {
        let file = File::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/{name}.csv"));
        let text = std::fs::read_to_string(&file).expect("the recording is in the repository");
        let arrivals = read(&text).expect("the recording is well formed");
        let layers = arrivals.iter().map(|arrival| arrival.layer).max().map_or(0, |last| last + 1);
        for layer in 0..layers {
            let own: Vec<Arrival> = arrivals.iter().filter(|arrival| arrival.layer == layer).copied().collect();
            let seconds = own.last().map_or(1.0, |last| last.micros as f64 / 1e6);
            let rounds = own.chunk_by(|one, next| one.round == next.round).count();
            let (plain, evened) = (batched(&own, false), batched(&own, true));
            let busy = [2_000, 5_000, 10_000].map(|micros| per_send(&batched(&taken_together(&own, micros), true)));
            println!(
                "| {name} | {layer} | {:.0} | {} | {:.2} | {:.2} | {:.2} | {:.2} % | {:.2} | {:.2} | {:.2} |",
                plain.octets as f64 * 8.0 / 1e3 / seconds,
                own.len(),
                own.len() as f64 / rounds.max(1) as f64,
                per_send(&plain),
                per_send(&evened),
                100.0 * evened.padding as f64 / plain.octets as f64,
                busy[0],
                busy[1],
                busy[2],
            );
        }
    }
}
