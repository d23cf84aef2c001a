//! The price of writing one received packet down: on the media thread (the tap), and on the journal's thread (record, checksum,
//! write to a file), beside what the same packet costs to forward to one subscriber in the same run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mingshi::id::{ConnectionId, LessonId, ParticipantId, PublicationId, SourceName};
use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::{End, MediaKind};
use mingshi::sfu::{Inbound, PublicationSpec};
use mingshi::transport::srtp::Profile;
use mingshi::worker::clock;
use mingshi::worker::socket::Path;
use mingshi::worker::tap::{Entry, Tap, Tapped, way};
use mingshi_bench::allocations::Counting;
use mingshi_bench::lesson::{Lesson, PAYLOAD};
use mingshi_bench::price::price;
use mingshi_journal::{Codec as Kept, PacketHead, Writer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Packets of one turn of a worker's loop.
const TURN: usize = 64;
/// A journal's segments are removed after so many turns, so that the disk doesn't fill up.
const TURNS_OF_A_JOURNAL: u64 = 2_000;

fn camera() -> PublicationSpec {
    PublicationSpec {
        id: PublicationId::from_u64(1),
        lesson: LessonId::from_u64(1),
        participant: ParticipantId::from_u64(1),
        connection: ConnectionId::random_on(0),
        end: End::Studio,
        source: SourceName::camera(),
        kind: MediaKind::Video,
        rids: Vec::new(),
        since: clock::now(),
    }
}

/// One turn on the media thread. The batch is taken by whoever reads, and given back, as the journal does.
fn tap(tap: &mut Tap, tapped: &Tapped, sequence: &mut u64, now: &mut Instant) {
    let payload = [7; PAYLOAD];
    for _ in 0..TURN {
        *sequence += 1;
        let inbound = Inbound {
            codec: Codec::Vp8,
            sequence: *sequence,
            timestamp: *sequence as u32 * 900,
            marker: false,
            payload: &payload,
        };
        tap.packet(0, 0, &inbound, 1);
    }
    tap.hand_over(*now);
    *now += Duration::from_millis(10);
    tap.hand_over(*now);
    while let Ok(batch) = tapped.next(Duration::ZERO) {
        let packets = batch.entries.iter().filter(|entry| matches!(entry, Entry::Packet(_))).count();
        black_box(packets);
        tapped.give_back(batch);
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
fn main() {
    let subscribers = 100;
    let nowhere = |number: usize| Path { remote: ([192, 0, 2, 1], 1_024 + number as u16).into(), local: None };
    let mut lesson = Lesson::new(subscribers, 5, Profile::AeadAes128Gcm, nowhere);
    let (forwarded, _) = price(lesson.packets(), || {
        lesson.picture(|_, contents, _| {
            black_box(contents);
            Ok(())
        });
    });

    let (to_journal, tapped) = way();
    let mut own = Tap::new(to_journal);
    own.began(0, &camera());
    let (mut sequence, mut now) = (0, clock::now());
    let (tapping, allocations) = price(TURN, || tap(&mut own, &tapped, &mut sequence, &mut now));

    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let (mut turns, mut writer) = (0u64, Writer::open(folder.path(), 1).expect("room"));
    let payload = [7; PAYLOAD];
    let (writing, _) = price(TURN, || {
        turns += 1;
        if turns.is_multiple_of(TURNS_OF_A_JOURNAL) {
            for entry in std::fs::read_dir(folder.path()).expect("it was made above") {
                std::fs::remove_file(entry.expect("an entry").path()).expect("it is ours");
            }
            writer = Writer::open(folder.path(), 1).expect("room");
        }
        for number in 0..TURN as u64 {
            let sequence = turns * TURN as u64 + number;
            let head = PacketHead {
                source: 1,
                layer: 0,
                codec: Kept::Vp8,
                marker: false,
                sequence,
                timestamp: sequence as u32,
                arrival: 1,
            };
            writer.append_packet(&head, &payload).expect("short");
        }
        writer.flush().expect("room");
    });
    println!(
        "| forwarded to one of {subscribers} | tapped on the media thread | allocations | written by the journal's thread |"
    );
    println!("|---|---|---|---|");
    println!("| {forwarded:.0} ns | {tapping:.0} ns | {allocations:.4} | {writing:.0} ns |");
}
