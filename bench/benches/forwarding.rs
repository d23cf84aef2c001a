//! The price of one packet to one subscriber: rewrite, seal and batch, beside the bare seal of the same octets in the same run.

use std::hint::black_box;
use std::net::UdpSocket;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use mingshi::transport::srtp::Profile;
use mingshi::worker::socket::{Path, WorkerSocket};
use mingshi_bench::allocations::Counting;
use mingshi_bench::lesson::{Lesson, PAYLOAD};
use mingshi_bench::price::price;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Packets of one picture.
const BURST: usize = 5;

/// The bare seal: one key per subscriber as in the lesson, the packets' octets in place, nothing else.
fn bare_seal(subscribers: usize) -> (f64, f64) {
    let header = mingshi::rtp::packet_cache::TEMPLATE_HEADER;
    let keys: Vec<LessSafeKey> = (0..subscribers)
        .map(|number| LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[number as u8; 16]).expect("16 octets")))
        .collect();
    let mut packets = vec![vec![7u8; header + PAYLOAD + 16]; BURST];
    let mut nonce = [0u8; 12];
    price(subscribers * BURST, || {
        for key in &keys {
            for packet in &mut packets {
                let (head, rest) = packet.split_at_mut(header);
                let (body, tag_place) = rest.split_at_mut(PAYLOAD);
                nonce[0] = nonce[0].wrapping_add(1);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*head), body).expect("short enough");
                tag_place.copy_from_slice(tag.as_ref());
            }
        }
        black_box(&packets);
    })
}

fn unsent(_: &Path, contents: &[u8], _: usize) -> std::io::Result<()> {
    black_box(contents);
    Ok(())
}

fn nowhere(number: usize) -> Path {
    Path { remote: ([192, 0, 2, 1], 1_024 + number as u16).into(), local: None }
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
fn main() {
    println!(
        "| subscribers | bare seal | rewrite + seal + batch | ratio | allocations | AES-CM-HMAC | with GSO send to loopback |"
    );
    println!("|---|---|---|---|---|---|---|");
    for subscribers in [100, 1_000, 5_000] {
        let (floor, _) = bare_seal(subscribers);
        let mut lesson = Lesson::new(subscribers, BURST, Profile::AeadAes128Gcm, nowhere);
        let (own, allocations) = price(lesson.packets(), || lesson.picture(unsent));
        let mut older = Lesson::new(subscribers, BURST, Profile::Aes128CmHmacSha1_80, nowhere);
        let (counter_mode, _) = price(older.packets(), || older.picture(unsent));
        let sent = sending(subscribers);
        println!(
            "| {subscribers} | {floor:.0} ns | {own:.0} ns | {:.2} | {allocations:.4} | {counter_mode:.0} ns | {sent} |",
            own / floor
        );
    }
}

/// The same with real sends, to sockets of our own that nobody reads.
fn sending(subscribers: usize) -> String {
    let sinks: Vec<UdpSocket> = (0..100).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port")).collect();
    let ports: Vec<_> = sinks.iter().map(|sink| sink.local_addr().expect("it is bound")).collect();
    let socket = WorkerSocket::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let to = |number: usize| Path { remote: ports[number % ports.len()].into(), local: None };
    let mut lesson = Lesson::new(subscribers, BURST, Profile::AeadAes128Gcm, to);
    let packets = lesson.packets();
    let (nanos, _) = price(packets, || lesson.picture(|path, contents, segment| socket.send(path, contents, segment)));
    format!("{nanos:.0} ns, {:.1} a send", lesson.segments_per_send())
}
