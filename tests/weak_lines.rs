//! Whole lessons on weak lines, on simulated time: what is measured, shared, switched and paced, over one line of a school
//! that carries so much and no more.

#[expect(unreachable_pub, dead_code, reason = "the modules of one test have no outside, and other tests use the rest")]
mod sim;

use std::time::Duration;

use mingshi::adapt::{LineTier, Tier};
use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::{End, SlotKind};
use mingshi::units::Bitrate;
use sim::bottleneck::Shape;
use sim::{Lesson, Quality, Room, Track, secs};

fn tier(kbps: u64, share: f32) -> Tier {
    let nominal = Bitrate::from_bps(kbps * 1_000);
    let line =
        LineTier { nominal: Some(nominal), share, start: nominal.scaled(0.6), floor: Bitrate::from_bps(400_000) };
    Tier {
        name: format!("{kbps}k"),
        line,
        redundancy: 1,
        playout: (Duration::from_millis(80), Duration::from_millis(400)),
        rhythm: Duration::from_secs(5),
    }
}

fn lesson(seed: u64) -> Lesson {
    let mut lesson = Lesson::new(seed);
    let tracks = vec![Track::studio_camera(Codec::Vp8), Track::studio_slides(Codec::Vp8), Track::voice(Codec::Red)];
    lesson.publish(End::Studio, tracks, Quality { jitter: Duration::ZERO, ..Quality::GOOD });
    lesson.run(secs(2));
    lesson
}

/// The longest time without voice from `from` seconds on.
fn voice_gap(lesson: &Lesson, room: Room, from: u64) -> u128 {
    let room = &lesson.rooms[room];
    let since = room.joined + secs(from);
    let voice: Vec<_> = room.stream(SlotKind::Voice, 0).played.iter().filter(|played| played.at >= since).collect();
    voice.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).max().unwrap_or(u128::MAX)
}

fn layers(lesson: &Lesson, room: Room) -> (Option<u8>, Option<u8>) {
    let layer = |kind| lesson.slot(room, kind, 0).layer;
    (layer(SlotKind::Slides), layer(SlotKind::Camera))
}

#[test]
fn look() {
    for (kbps, share, rooms, loss) in
        [(4_000, 0.75, 1, 0.0), (4_000, 0.75, 3, 0.0), (4_000, 0.75, 3, 0.05), (10_000, 0.8, 3, 0.0)]
    {
        let mut lesson = lesson(7);
        let shape = Shape { loss, ..Shape::of(kbps * 1_000) };
        let school = lesson.school(shape, tier(kbps, share));
        let rooms: Vec<Room> = (0..rooms).map(|_| lesson.join_at(school)).collect();
        let began = lesson.elapsed();
        for at in 0..6 {
            lesson.run(secs(5));
            let key = lesson.schools[school].0.key;
            let mut asked = std::collections::BTreeMap::new();
            for (_, track, layer) in lesson.publishers[0].asked.drain(..) {
                *asked.entry((track, layer)).or_insert(0) += 1;
            }
            let flaws: Vec<_> =
                lesson.rooms[rooms[0]].streams.iter().map(|s| (s.spec.kind, s.plis, s.holes, s.undecodable)).collect();
            println!("keyframes {asked:?} {flaws:?} {:?}", 0);
            let state = lesson.groups.state(key, &lesson.router, lesson.now).expect("a line");
            println!(
                "{kbps} {loss} {at}: {:?} queue95 {:.0} est {} budget {} alloc {} {:?}",
                rooms.iter().map(|&room| layers(&lesson, room)).collect::<Vec<_>>(),
                lesson.schools[school].0.waited(lesson.elapsed() - secs(5), lesson.elapsed()),
                state.line.estimate,
                state.budget,
                state.allocated,
                state.line.phase
            );
        }
        let _ = began;
        println!(
            "voice gap {:?} decisions {:?}",
            rooms.iter().map(|&room| voice_gap(&lesson, room, 1)).collect::<Vec<_>>(),
            lesson.rooms[rooms[0]]
                .decisions
                .iter()
                .map(|(at, d)| (
                    at.duration_since(lesson.rooms[rooms[0]].joined).as_millis(),
                    d.slot,
                    d.from,
                    d.to,
                    d.reason.name()
                ))
                .collect::<Vec<_>>()
        );
    }
}
