//! Lessons on simulated time: who sees and hears what, over lines that lose, delay and reorder.
//!
//! At every packet of every story it is checked that no index is sealed twice, that payloads and markers are as they were
//! made, and that media time and picture numbers go on without a jump.

#[path = "sim/backup.rs"]
mod backup;
#[expect(unreachable_pub, dead_code, reason = "the modules of one test have no outside, and other tests use the rest")]
mod sim;
#[path = "sim/voice.rs"]
mod voice;

use std::collections::BTreeSet;
use std::time::Duration;

use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::{End, SlotKind};
use mingshi::sfu::output::Paused;
use sim::encoder::H264;
use sim::{Lesson, Quality, Room, Track, millis, secs};

/// Layers of the camera that a classroom was shown since its `from`-th picture.
fn layers_shown(lesson: &Lesson, room: Room, from: usize) -> BTreeSet<u8> {
    lesson.camera(room).played[from..].iter().map(|played| played.stamp.layer).collect()
}

/// Nothing was lost, nothing undecodable, nothing asked for in vain.
fn assert_flawless(lesson: &Lesson, room: Room) {
    for stream in &lesson.rooms[room].streams {
        let flaws = (stream.holes, stream.plis, stream.undecodable, stream.gaps());
        assert_eq!(
            flaws,
            (0, 0, 0, 0),
            "{:?} {}: holes, requests, undecodable, gaps",
            stream.spec.kind,
            stream.spec.index
        );
    }
    lesson.keeps_step(room);
}

#[test]
fn a_studio_is_seen_and_heard_over_a_good_line() {
    for codec in [Codec::Vp8, H264] {
        let mut lesson = Lesson::new(1);
        lesson.studio(vec![Track::camera(codec, 3), Track::slides(codec, 40), Track::voice(Codec::Red)]);
        let room = lesson.join(Quality::GOOD);
        lesson.run(secs(4));
        assert!(lesson.camera(room).played.len() > 110, "{} pictures", lesson.camera(room).played.len());
        assert!(lesson.stream(room, SlotKind::Slides, 0).played.len() > 17);
        assert!(lesson.voice(room).played.len() > 190);
        assert_eq!(lesson.slot(room, SlotKind::Camera, 0).layer, Some(2));
        assert_flawless(&lesson, room);
    }
}

#[test]
fn a_second_studio_takes_over_without_a_jump() {
    let mut lesson = Lesson::new(2);
    let old = lesson.studio(vec![Track::camera(Codec::Vp8, 3), Track::voice(Codec::Opus)]);
    let room = lesson.join(Quality::GOOD);
    lesson.run(secs(3));
    let new = lesson.studio(vec![Track::camera(Codec::Vp8, 2), Track::voice(Codec::Red)]);
    lesson.run(millis(40));
    lesson.unpublish(old);
    let (replaced, pictures, sounds) = (lesson.now, lesson.camera(room).played.len(), lesson.voice(room).played.len());
    lesson.run(secs(3));
    assert!(lesson.longest_freeze(room, SlotKind::Camera, replaced) < millis(300));
    let of_new = |number: u16| lesson.publishers[new].tracks.iter().any(|track| track.number == number);
    assert!(lesson.camera(room).played[pictures + 2..].iter().all(|played| of_new(played.stamp.track)));
    assert!(lesson.voice(room).played[sounds + 2..].iter().all(|played| of_new(played.stamp.track)));
    assert!(lesson.camera(room).played.len() > pictures + 80);
    assert_flawless(&lesson, room);
}

/// So many classrooms join over ten seconds; returns how often the publisher was asked for a keyframe.
fn join_late(joiners: usize) -> usize {
    let mut lesson = Lesson::new(3);
    // More than what is replayed: everybody waits for a keyframe.
    let studio = lesson.studio(vec![Track::slides(Codec::Vp8, 100)]);
    lesson.run(secs(1));
    let before = lesson.publishers[studio].asked.len();
    let mut moments: Vec<u64> = (0..joiners).map(|_| lesson.below(10_000)).collect();
    moments.sort_unstable();
    for (joined, moment) in moments.iter().enumerate() {
        lesson.run(millis(moment - joined.checked_sub(1).map_or(0, |before| moments[before])));
        lesson.join(Quality::GOOD);
    }
    lesson.run(secs(2));
    for room in 0..joiners {
        let waited = lesson.waited(room, SlotKind::Slides).expect("everybody gets a picture");
        assert!(waited <= secs(1), "{waited:?}");
        assert_eq!(lesson.stream(room, SlotKind::Slides, 0).undecodable, 0);
    }
    let asked = &lesson.publishers[studio].asked;
    assert!(asked.windows(2).all(|pair| pair[1].0 - pair[0].0 >= millis(500)), "asked too often");
    asked.len() - before
}

#[test]
fn late_joiners_get_a_picture_within_a_second_and_share_requests() {
    let (few, many) = (join_late(20), join_late(100));
    assert!((1..=21).contains(&few) && (1..=21).contains(&many), "{few} and {many} requests in ten seconds");
}

#[test]
fn a_small_group_of_pictures_is_replayed_at_once_and_nobody_is_asked() {
    let mut lesson = Lesson::new(4);
    let studio = lesson.studio(vec![Track::slides(Codec::Vp8, 20), Track::voice(Codec::Red)]);
    lesson.join(Quality::GOOD);
    lesson.run(millis(300));
    let asked = lesson.publishers[studio].asked.len();
    for _ in 0..100 {
        lesson.join(Quality::GOOD);
        let pause = lesson.below(40);
        lesson.run(millis(pause));
    }
    lesson.run(secs(1));
    for room in 1..101 {
        let waited = lesson.waited(room, SlotKind::Slides).expect("everybody gets a picture");
        assert!(waited <= millis(100), "{waited:?}");
        assert_flawless(&lesson, room);
    }
    assert_eq!(lesson.publishers[studio].asked.len(), asked);
}

#[test]
fn a_cap_lowers_and_lifts_the_layer_at_keyframes() {
    for codec in [Codec::Vp8, H264] {
        let mut lesson = Lesson::new(5);
        lesson.studio(vec![Track::camera(codec, 3)]);
        let room = lesson.join(Quality::GOOD);
        lesson.run(secs(2));
        for (cap, layer) in [(Some(0), 0), (Some(1), 1), (None, 2), (Some(0), 0), (None, 2)] {
            lesson.cap(room, SlotKind::Camera, cap);
            lesson.run(millis(700));
            let from = lesson.camera(room).played.len();
            lesson.run(secs(1));
            assert_eq!(layers_shown(&lesson, room, from), BTreeSet::from([layer]), "capped to {cap:?}");
        }
        assert!(lesson.longest_freeze(room, SlotKind::Camera, lesson.rooms[room].joined) < millis(150));
        assert_flawless(&lesson, room);
    }
}

#[test]
fn a_layer_that_falls_silent_is_replaced_and_comes_back() {
    let mut lesson = Lesson::new(6);
    let studio = lesson.studio(vec![Track::camera(Codec::Vp8, 3)]);
    let room = lesson.join(Quality::GOOD);
    lesson.run(secs(2));
    lesson.publishers[studio].tracks[0].encodings[2].on = false;
    lesson.run(secs(4));
    let from = lesson.camera(room).played.len();
    lesson.run(secs(1));
    assert_eq!(layers_shown(&lesson, room, from), BTreeSet::from([1]));
    lesson.publishers[studio].tracks[0].encodings[2].on = true;
    lesson.run(secs(1));
    let from = lesson.camera(room).played.len();
    lesson.run(secs(1));
    assert_eq!(layers_shown(&lesson, room, from), BTreeSet::from([2]));
    assert_flawless(&lesson, room);
}

#[test]
fn five_percent_loss_is_repaired_and_voice_is_not_asked_for() {
    let mut lesson = Lesson::new(7);
    let lossy = Quality::GOOD.losing(0.05);
    let studio = lesson.publish(End::Studio, vec![Track::camera(Codec::Vp8, 2), Track::voice(Codec::Red)], lossy);
    let rooms: Vec<Room> = (0..5).map(|_| lesson.join(lossy)).collect();
    lesson.run(secs(10));
    for &room in &rooms {
        let camera = lesson.camera(room);
        assert!(camera.played.len() > 285, "{} pictures of 300", camera.played.len());
        assert!(
            camera.repaired > 20 && camera.holes <= 2 && camera.plis <= 2,
            "{} {} {}",
            camera.repaired,
            camera.holes,
            camera.plis
        );
        let voice = lesson.voice(room);
        assert!(voice.repaired == 0 && voice.regained > 10, "{} regained", voice.regained);
    }
    let asked = lesson.publishers[studio].asked.len();
    assert!(asked <= 12, "{asked} keyframes asked for in ten seconds");
}

#[test]
fn reordered_and_doubled_packets_come_out_in_order() {
    let mut lesson = Lesson::new(8);
    let wild = Quality::GOOD.jittering(30).duplicating(0.1);
    lesson.publish(End::Studio, vec![Track::camera(H264, 3), Track::slides(Codec::Vp8, 30)], wild);
    let rooms: Vec<Room> = (0..3).map(|_| lesson.join(wild)).collect();
    lesson.run(secs(1));
    for (step, &room) in rooms.iter().cycle().take(12).enumerate() {
        lesson.cap(room, SlotKind::Camera, Some((step % 3) as u8));
        lesson.run(millis(400));
    }
    for room in rooms {
        let camera = lesson.camera(room);
        assert!(camera.played.len() > 150 && camera.undecodable <= 3, "{} {}", camera.played.len(), camera.undecodable);
        assert_eq!((camera.holes, camera.plis), (0, 0));
        assert_eq!(lesson.stream(room, SlotKind::Slides, 0).holes, 0);
    }
}

#[test]
fn numbers_and_media_time_wrap_amid_switches_and_retransmissions() {
    for seed in 0..4 {
        let mut lesson = Lesson::new(900 + seed);
        // 16 bits wrap after two seconds or so, 32 bits of media time after three.
        let camera = Track::camera(Codec::Vp8, 3).beginning(65_300, u32::MAX - 3 * 90_000);
        lesson.publish(End::Studio, vec![camera], Quality::GOOD.losing(0.03).jittering(8));
        let room = lesson.join(Quality::GOOD.losing(0.05).jittering(8));
        lesson.run(millis(500));
        for step in 0..12 {
            lesson.cap(room, SlotKind::Camera, Some(step % 3));
            lesson.run(millis(500));
        }
        lesson.run(secs(1));
        let camera = lesson.camera(room);
        assert!(camera.played.len() > 190, "{} pictures", camera.played.len());
        assert!(camera.repaired > 5 && camera.holes <= 2, "{} {}", camera.repaired, camera.holes);
    }
}

#[test]
fn outgoing_numbers_wrap_without_a_repeated_index() {
    let mut lesson = Lesson::new(10);
    lesson.studio(vec![Track::camera(Codec::Vp8, 3), Track::slides(Codec::Vp8, 200)]);
    let room = lesson.join(Quality::GOOD.losing(0.02));
    // The highest first number there can be.
    for stream in &mut lesson.rooms[room].streams {
        stream.spec.first_sequence = (0x7fff, 0x7fff);
        *stream = sim::stream::Stream::new(stream.spec.clone());
    }
    lesson.publishers[0].tracks[0].encodings[2].packets_of_a_frame(40);
    lesson.run(secs(30));
    let camera = lesson.camera(room);
    assert!(camera.played.len() > 850 && camera.holes == 0, "{} {}", camera.played.len(), camera.holes);
}

#[test]
fn a_publisher_that_begins_its_stream_anew_goes_on() {
    for codec in [Codec::Vp8, H264] {
        let mut lesson = Lesson::new(11);
        let studio = lesson.studio(vec![Track::camera(codec, 2), Track::voice(Codec::Opus)]);
        let room = lesson.join(Quality::GOOD);
        lesson.run(secs(3));
        for layer in 0..2 {
            lesson.restart(studio, 0, layer);
        }
        lesson.restart(studio, 1, 0);
        let restarted = lesson.now;
        lesson.run(secs(3));
        assert!(lesson.longest_freeze(room, SlotKind::Camera, restarted) < millis(300));
        assert_eq!(layers_shown(&lesson, room, 100), BTreeSet::from([1]));
        assert_flawless(&lesson, room);
    }
}

#[test]
fn a_publisher_that_changes_its_codec_goes_on() {
    for (before, after) in [(Codec::Vp8, H264), (H264, Codec::Vp8)] {
        let mut lesson = Lesson::new(20);
        let studio = lesson.studio(vec![Track::camera(before, 3), Track::voice(Codec::Red)]);
        let rooms = [lesson.join(Quality::GOOD), lesson.join(Quality::GOOD)];
        lesson.run(secs(2));
        for codec in [after, before] {
            lesson.change_codec(studio, 0, codec, true);
            let changed = lesson.now;
            lesson.run(secs(2));
            let late = lesson.join(Quality::GOOD);
            lesson.run(secs(1));
            assert!(lesson.waited(late, SlotKind::Camera).is_some_and(|waited| waited < millis(700)));
            for room in rooms {
                assert!(lesson.longest_freeze(room, SlotKind::Camera, changed) < millis(150));
                assert_eq!(lesson.slot(room, SlotKind::Camera, 0).layer, Some(2));
                assert_flawless(&lesson, room);
            }
        }
    }
}

#[test]
fn another_codec_is_shown_from_a_keyframe_on_and_one_is_asked_for() {
    let mut lesson = Lesson::new(21);
    let studio = lesson.studio(vec![Track::camera(Codec::Vp8, 1), Track::voice(Codec::Opus)]);
    let room = lesson.join(Quality::GOOD);
    lesson.run(secs(2));
    lesson.change_codec(studio, 0, H264, false);
    let changed = lesson.now;
    lesson.run(secs(2));
    assert!(lesson.longest_freeze(room, SlotKind::Camera, changed) < millis(700), "it was asked for and came");
    assert_flawless(&lesson, room);

    lesson.publishers[studio].deaf = true;
    lesson.change_codec(studio, 0, Codec::Vp8, false);
    lesson.run(secs(1));
    let shown = lesson.camera(room).played.len();
    lesson.run(secs(1));
    assert_eq!(lesson.slot(room, SlotKind::Camera, 0).paused, Some(Paused::WaitingForKeyframe), "and says why");
    assert_eq!(lesson.camera(room).played.len(), shown, "nothing is sent that nobody can decode");
    lesson.publishers[studio].deaf = false;
    lesson.run(secs(1));
    assert_eq!(lesson.slot(room, SlotKind::Camera, 0).paused, None);
    assert!(lesson.camera(room).played.len() > shown + 10);
    let camera = lesson.camera(room);
    assert_eq!((camera.holes, camera.undecodable, camera.gaps()), (0, 0, 0));
}

#[test]
fn codecs_that_arrive_mixed_up_are_told_apart() {
    let mut lesson = Lesson::new(22);
    let wild = Quality::GOOD.jittering(30).duplicating(0.1).losing(0.02);
    let studio = lesson.publish(End::Studio, vec![Track::camera(Codec::Vp8, 3)], wild);
    let rooms: Vec<Room> = (0..3).map(|_| lesson.join(wild)).collect();
    lesson.run(secs(2));
    for codec in [H264, Codec::Vp8].into_iter().cycle().take(8) {
        lesson.change_codec(studio, 0, codec, true);
        let changed = lesson.now;
        lesson.run(secs(1));
        for &room in &rooms {
            let freeze = lesson.longest_freeze(room, SlotKind::Camera, changed);
            assert!(freeze < millis(600), "room {room}: {freeze:?}");
        }
    }
    for room in rooms {
        let camera = lesson.camera(room);
        assert!(camera.played.len() > 250 && camera.undecodable <= 5, "{} {}", camera.played.len(), camera.undecodable);
    }
}

#[test]
fn a_codec_that_changes_with_every_picture_troubles_nobody() {
    let mut lesson = Lesson::new(24);
    let studio = lesson.studio(vec![Track::camera(Codec::Vp8, 1), Track::voice(Codec::Opus)]);
    let room = lesson.join(Quality::GOOD);
    lesson.run(secs(2));
    let told = lesson.told;
    for codec in [H264, Codec::Vp8].into_iter().cycle().take(60) {
        lesson.change_codec(studio, 0, codec, true);
        lesson.run(millis(33));
    }
    assert!(lesson.told <= told + 10, "pages were told {} times in two seconds", lesson.told - told);
    lesson.run(secs(1));
    let calm = lesson.now;
    lesson.run(secs(1));
    assert!(lesson.longest_freeze(room, SlotKind::Camera, calm) < millis(150));
    let voice = lesson.voice(room);
    assert!(voice.played.len() > 285 && voice.holes == 0, "{} {}", voice.played.len(), voice.holes);
}

#[test]
fn who_cannot_decode_the_new_codec_is_told_and_is_there_again_with_the_old_one() {
    let mut lesson = Lesson::new(23);
    let studio = lesson.studio(vec![Track::camera(Codec::Vp8, 2), Track::voice(Codec::Opus)]);
    let old = lesson.join_as(None, &[Codec::Opus, Codec::Vp8], Quality::GOOD);
    let new = lesson.join(Quality::GOOD);
    lesson.run(secs(2));
    lesson.change_codec(studio, 0, H264, true);
    lesson.run(secs(1));
    assert_eq!(lesson.slot(old, SlotKind::Camera, 0).paused, Some(Paused::UnsupportedCodec));
    let (shown, heard) = (lesson.camera(old).played.len(), lesson.voice(old).played.len());
    lesson.run(secs(1));
    assert_eq!(lesson.camera(old).played.len(), shown);
    assert!(lesson.voice(old).played.len() > heard + 40);
    lesson.change_codec(studio, 0, Codec::Vp8, true);
    let back = lesson.now;
    lesson.run(secs(2));
    assert!(lesson.longest_freeze(old, SlotKind::Camera, back) < millis(300));
    assert_eq!(lesson.slot(old, SlotKind::Camera, 0).paused, None);
    assert_flawless(&lesson, old);
    assert_flawless(&lesson, new);
}

#[test]
fn a_codec_that_one_cannot_decode_pauses_that_slot_only() {
    let mut lesson = Lesson::new(12);
    let tracks = vec![Track::camera(H264, 1), Track::slides(Codec::Vp8, 20), Track::voice(Codec::Opus)];
    lesson.studio(tracks);
    let old = lesson.join_as(None, &[Codec::Opus, Codec::Vp8], Quality::GOOD);
    let new = lesson.join(Quality::GOOD);
    lesson.run(secs(2));
    assert_eq!(lesson.slot(old, SlotKind::Camera, 0).paused, Some(Paused::UnsupportedCodec));
    assert!(lesson.camera(old).played.is_empty());
    assert!(!lesson.stream(old, SlotKind::Slides, 0).played.is_empty() && !lesson.voice(old).played.is_empty());
    assert_eq!(lesson.slot(new, SlotKind::Camera, 0).paused, None);
    assert_flawless(&lesson, new);
    assert_flawless(&lesson, old);
}

#[test]
fn redundancy_is_left_out_for_who_cannot_read_it() {
    let mut lesson = Lesson::new(13);
    lesson.studio(vec![Track::voice(Codec::Red)]);
    let plain = lesson.join_as(None, &[Codec::Opus], Quality::GOOD);
    let redundant = lesson.join(Quality::GOOD);
    lesson.run(secs(2));
    assert!(lesson.voice(plain).played.len() > 90 && lesson.voice(redundant).played.len() > 90);
    assert!(
        lesson.voice(plain).octets * 3 < lesson.voice(redundant).octets * 2,
        "only one copy of each packet is sent"
    );
    assert_flawless(&lesson, plain);
}

#[test]
fn a_child_is_seen_from_the_stage_only_and_never_by_itself() {
    let mut lesson = Lesson::new(14);
    lesson.studio(vec![Track::camera(Codec::Vp8, 1), Track::voice(Codec::Opus)]);
    let tracks = vec![Track::camera(Codec::Vp8, 1), Track::voice(Codec::Opus)];
    let child = lesson.publish(End::Classroom, tracks, Quality::GOOD);
    let own = lesson.join_as(Some(child), sim::classroom::BROWSER, Quality::GOOD);
    let other = lesson.join(Quality::GOOD);
    let numbers: Vec<u16> = lesson.publishers[child].tracks.iter().map(|track| track.number).collect();
    let seen = |lesson: &Lesson, room: Room| -> usize {
        let played = lesson.rooms[room].streams.iter().flat_map(|stream| &stream.played);
        played.filter(|played| numbers.contains(&played.stamp.track)).count()
    };
    lesson.run(secs(2));
    assert_eq!((seen(&lesson, own), seen(&lesson, other)), (0, 0), "nobody is on stage");
    lesson.set_stage(&[child]);
    lesson.run(secs(2));
    let shown = seen(&lesson, other);
    assert!(shown > 100, "{shown} pictures and sounds from the stage");
    assert_eq!(lesson.slot(other, SlotKind::Stage, 0).paused, None);
    lesson.set_stage(&[]);
    lesson.run(millis(100));
    let after = seen(&lesson, other);
    lesson.run(secs(1));
    assert_eq!((seen(&lesson, own), seen(&lesson, other)), (0, after), "who left the stage is not seen");
    assert_flawless(&lesson, other);
}

#[test]
fn a_silent_source_is_said_to_be_silent_and_goes_on_where_it_stopped() {
    let mut lesson = Lesson::new(15);
    let studio = lesson.studio(vec![Track::camera(Codec::Vp8, 1), Track::voice(Codec::Opus)]);
    let room = lesson.join(Quality::GOOD);
    lesson.run(secs(2));
    for _ in 0..2 {
        lesson.publishers[studio].tracks.iter_mut().for_each(|track| track.encodings[0].on = false);
        lesson.run(secs(4));
        assert_eq!(lesson.slot(room, SlotKind::Voice, 0).paused, Some(Paused::SourceSilent));
        assert_eq!(lesson.slot(room, SlotKind::Camera, 0).paused, Some(Paused::SourceSilent));
        let (woke, asked) = (lesson.now, lesson.publishers[studio].asked.len());
        lesson.publishers[studio].tracks.iter_mut().for_each(|track| track.encodings[0].on = true);
        lesson.run(secs(1));
        assert!(lesson.longest_freeze(room, SlotKind::Voice, woke) < millis(80));
        assert!(lesson.longest_freeze(room, SlotKind::Camera, woke) < millis(100));
        assert_eq!(lesson.publishers[studio].asked.len(), asked, "nobody lost its reference");
    }
    assert_flawless(&lesson, room);
}

#[test]
fn who_leaves_or_is_capped_amid_its_replay_troubles_nobody() {
    let mut lesson = Lesson::new(16);
    let studio = lesson.studio(vec![Track::camera(Codec::Vp8, 3)]);
    lesson.run(millis(250));
    for step in 0..40 {
        let leaving = lesson.join(Quality::GOOD);
        lesson.run(millis(1 + step % 25));
        // The next one gets its key at the router.
        lesson.leave(leaving);
        let staying = lesson.join(Quality::GOOD);
        lesson.run(millis(1 + step % 7));
        lesson.cap(staying, SlotKind::Camera, Some((step % 3) as u8));
        lesson.publishers[studio].tracks[0].encodings[usize::from(step % 2 == 0)].keyframe_wanted = true;
        lesson.run(millis(30));
        lesson.cap(staying, SlotKind::Camera, None);
    }
    lesson.run(secs(2));
    for room in (1..80).step_by(2) {
        assert_eq!(lesson.slot(room, SlotKind::Camera, 0).layer, Some(2), "room {room}");
        assert!(lesson.longest_freeze(room, SlotKind::Camera, lesson.rooms[room].joined) < millis(700));
        assert_flawless(&lesson, room);
    }
}

#[test]
fn nobody_is_asked_for_what_nobody_waits_for() {
    let mut lesson = Lesson::new(17);
    let studio = lesson.studio(vec![Track::slides(Codec::Vp8, 100)]);
    lesson.run(secs(1));
    lesson.publishers[studio].deaf = true;
    let room = lesson.join(Quality::GOOD);
    lesson.run(secs(3));
    let asked = lesson.publishers[studio].asked.len();
    assert!((5..=7).contains(&asked), "asked {asked} times in three seconds, for want of an answer");
    assert_eq!(lesson.slot(room, SlotKind::Slides, 0).paused, Some(Paused::WaitingForKeyframe));
    lesson.leave(room);
    lesson.run(secs(5));
    assert!(lesson.publishers[studio].asked.len() <= asked + 1);
}

/// Everything that can happen, in any order; what must always hold is checked at every packet.
fn let_anything_happen(seed: u64) {
    let mut lesson = Lesson::new(seed);
    let quality = || Quality::GOOD.losing(0.02).jittering(5).duplicating(0.02);
    let studio = lesson.publish(End::Studio, vec![Track::camera(Codec::Vp8, 3), Track::voice(Codec::Red)], quality());
    let mut guests = Vec::new();
    for _ in 0..60 {
        match lesson.below(10) {
            0 | 1 => drop(lesson.join(quality())),
            2 if !lesson.rooms.is_empty() => {
                let room = lesson.below(lesson.rooms.len() as u64) as usize;
                lesson.leave(room);
            }
            3 | 4 if !lesson.rooms.is_empty() => {
                let (room, cap) = (lesson.below(lesson.rooms.len() as u64) as usize, lesson.below(4) as u8);
                lesson.cap(room, SlotKind::Camera, (cap < 3).then_some(cap));
            }
            5 => {
                let (track, layer) = [(0, 0), (0, 1), (0, 2), (1, 0)][lesson.below(4) as usize];
                lesson.restart(studio, track, layer);
            }
            6 => {
                let codec = [Codec::Vp8, H264][lesson.below(2) as usize];
                let tracks = vec![Track::camera(codec, 2), Track::voice(Codec::Opus)];
                guests.push(lesson.publish(End::Classroom, tracks, quality()));
                lesson.set_stage(&guests[guests.len().saturating_sub(2)..]);
            }
            7 => {
                let (codec, with_keyframe) = ([Codec::Vp8, H264][lesson.below(2) as usize], lesson.below(3) > 0);
                lesson.change_codec(studio, 0, codec, with_keyframe);
            }
            8 if !guests.is_empty() => {
                let guest = guests.remove(lesson.below(guests.len() as u64) as usize);
                lesson.unpublish(guest);
            }
            _ => {
                let layer = lesson.below(3) as usize;
                let encoding = &mut lesson.publishers[studio].tracks[0].encodings[layer];
                encoding.on = !encoding.on;
            }
        }
        let pause = lesson.below(200);
        lesson.run(millis(pause));
    }
    lesson.publishers[studio].tracks[0].encodings.iter_mut().for_each(|encoding| encoding.on = true);
    lesson.run(secs(2));
    let calm = lesson.now;
    lesson.run(secs(2));
    for room in (0..lesson.rooms.len()).filter(|&room| !lesson.rooms[room].left) {
        let freeze = lesson.longest_freeze(room, SlotKind::Camera, calm);
        assert!(freeze < Duration::from_millis(900), "seed {seed}, room {room}: {freeze:?}");
        assert!(lesson.longest_freeze(room, SlotKind::Voice, calm) < millis(300));
    }
}

#[test]
fn whatever_happens_everybody_is_served_again() {
    (0..6).for_each(let_anything_happen);
}
