//! A voice on lines that lose packets at random.

use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::End;

use super::sim::classroom::BROWSER;
use super::sim::{Lesson, Quality, Room, Track, millis, secs};

/// The share of the voice that never came to rooms that all lose 5 % of 4,500 packets.
fn voice_missed(seed: u64, sent: Codec, generations: u8, able: &[Codec]) -> f64 {
    let mut lesson = Lesson::new(seed);
    lesson.studio(vec![Track::voice(sent)]);
    let rooms: Vec<Room> = (0..5).map(|_| lesson.join_as(None, able, Quality::GOOD.losing(0.05))).collect();
    lesson.rooms.iter_mut().for_each(|room| room.redundancy = generations);
    lesson.run(secs(90));
    let missed: u64 = rooms.iter().map(|&room| lesson.voice(room).holes).sum();
    missed as f64 / (rooms.len() as f64 * 4_500.0)
}

#[test]
fn a_lost_voice_is_heard_from_the_packets_behind_it_whatever_the_studio_sends() {
    for (seed, sent) in [(70, Codec::Opus), (71, Codec::Red)] {
        let [none, one, two] = [0, 1, 2].map(|generations| voice_missed(seed, sent, generations, BROWSER));
        assert!((0.04..0.06).contains(&none), "{none} without redundancy");
        assert!((0.001..0.005).contains(&one), "{one} with one packet again");
        assert!(two < 0.000_5, "{two} with two");
    }
}

#[test]
fn what_a_studio_loses_on_its_way_is_taken_from_its_own_redundancy() {
    for able in [BROWSER, &[Codec::Opus]] {
        let mut lesson = Lesson::new(72);
        let lossy = Quality::GOOD.losing(0.05).jittering(30).duplicating(0.05);
        lesson.publish(End::Studio, vec![Track::voice(Codec::Red)], lossy);
        let room = lesson.join_as(None, able, Quality::GOOD);
        lesson.run(secs(60));
        let voice = lesson.voice(room);
        assert!(voice.holes < 20, "{} of 3,000 are missing, and 150 were lost", voice.holes);
        assert!(voice.played.len() > 2_970, "{}", voice.played.len());
    }
}

#[test]
fn redundancy_stays_within_its_source_and_its_silence() {
    let mut lesson = Lesson::new(73);
    let first = lesson.studio(vec![Track::voice(Codec::Opus)]);
    let room = lesson.join(Quality::GOOD.losing(0.05).jittering(40));
    for turn in 0..8 {
        // A microphone that is muted for a moment, a browser that begins its stream anew, and another studio.
        lesson.run(millis(900));
        lesson.publishers[first].tracks[0].encodings[0].on = false;
        lesson.run(millis(100 + 100 * turn));
        lesson.publishers[first].tracks[0].encodings[0].on = true;
        lesson.run(millis(500));
        lesson.restart(first, 0, 0);
        lesson.run(millis(500));
        let next = lesson.studio(vec![Track::voice(if turn % 2 == 0 { Codec::Red } else { Codec::Opus })]);
        lesson.run(millis(500));
        lesson.unpublish(next);
    }
    // The stamps of what came again were compared with those of the packets that it came in.
    let voice = lesson.voice(room);
    assert!(voice.said_again > 600 && voice.regained > 10, "{} {}", voice.said_again, voice.regained);
}
