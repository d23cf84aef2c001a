//! Lessons on simulated time: what must hold on every packet is checked by the receivers in `sim/receiver.rs`.
//! What these tests broke: a replay once sent the packets that were still pending a second time, under the same nonce.

mod sim;

use std::time::Duration;

use mingshi::id::ParticipantId;
use mingshi::rtp::codec::{Codec, H264Profile};
use mingshi::sfu::input::{End, SlotKind, SlotSpec};
use mingshi::sfu::output::Paused;

use sim::publisher::{Encoder, Publisher};
use sim::receiver::slot;
use sim::{Dice, Line, Scene};

const VOICE: u32 = 1;
const SLIDES: u32 = 2;
const CAMERA: u32 = 3;
const STAGE: u32 = 4;
const H264: Codec = Codec::H264(H264Profile::ConstrainedBaseline);
const SECOND: Duration = Duration::from_secs(1);

fn classroom() -> Vec<SlotSpec> {
    let video = [Codec::Vp8, H264, Codec::Av1];
    vec![
        slot(SlotKind::Voice, 0, VOICE, &[Codec::Opus, Codec::Red]),
        slot(SlotKind::Slides, 0, SLIDES, &video),
        slot(SlotKind::Camera, 0, CAMERA, &video),
        slot(SlotKind::Stage, 0, STAGE, &video),
    ]
}

fn layers() -> Vec<Encoder> {
    vec![Encoder::new(70_000, 5, 1), Encoder::new(131_060, u32::MAX - 90_000, 2), Encoder::new(99_990, 1 << 31, 4)]
}

fn camera(
    participant: u64,
) -> impl FnOnce(&mut mingshi::sfu::Router, mingshi::id::LessonId, std::time::Instant) -> Publisher {
    Publisher::new(participant, End::Studio, "camera", Codec::Vp8, layers())
}

/// The outgoing media time keeps step with the server's clock over all changes.
fn in_step(scene: &Scene, place: usize, ssrc: u32, tolerance: Duration) {
    let decoded = scene.receivers[place].decoded(ssrc);
    let (first_at, _, _, first) = decoded[0];
    for &(at, _, _, timestamp) in decoded {
        let media = f64::from(timestamp.wrapping_sub(first)) / 90_000.0;
        let wall = at.saturating_duration_since(first_at).as_secs_f64();
        assert!((media - wall).abs() <= tolerance.as_secs_f64(), "media {media} s, clock {wall} s");
    }
}

#[test]
fn a_classroom_sees_the_best_layer_from_the_start() {
    let mut scene = Scene::new(1, Line::default());
    scene.publish(camera(1));
    scene.join(9, classroom());
    scene.run(5 * SECOND);
    let decoded = scene.receivers[0].decoded(CAMERA);
    assert!(decoded.len() >= 120, "{} of 125 frames", decoded.len());
    let joined = scene.receivers[0].joined;
    assert!(decoded.iter().all(|&(at, _, layer, _)| layer == 2 || at < joined + SECOND / 4), "it climbs at once");
    in_step(&scene, 0, CAMERA, Duration::from_millis(15));
}

#[test]
fn late_joiners_see_a_picture_within_a_second_and_cost_no_requests_of_their_own() {
    let mut scene = Scene::new(2, Line::default());
    let teacher = scene.publish(camera(1));
    scene.run(20 * SECOND);
    let before = scene.publishers[teacher].keyframes;
    let mut dice = Dice::new(7);
    for participant in 0..100 {
        scene.run(Duration::from_millis(dice.roll(100)));
        scene.join(100 + participant, classroom());
    }
    let span = scene.elapsed() - 20 * SECOND;
    scene.run(3 * SECOND);
    for receiver in &scene.receivers {
        let first = receiver.first_picture(CAMERA).expect("everybody sees");
        assert!(first <= SECOND, "first picture after {first:?}");
    }
    let asked = scene.publishers[teacher].keyframes - before;
    assert!(asked as u128 <= span.as_millis() / 500 + 2, "{asked} keyframes for 100 joiners in {span:?}");
}

#[test]
fn still_slides_are_shown_to_a_late_joiner_without_any_request() {
    let mut scene = Scene::new(3, Line::default());
    let slides = vec![Encoder::new(70_000, 5, 1)];
    let slides = scene.publish(Publisher::new(1, End::Studio, "slides", H264, slides));
    scene.join(8, classroom());
    scene.run(2 * SECOND);
    let requests = scene.keyframe_requests.len();
    let keyframes = scene.publishers[slides].keyframes;
    let late = scene.join(9, classroom());
    scene.run(SECOND);
    let first = scene.receivers[late].first_picture(SLIDES).expect("it sees");
    assert!(first <= Duration::from_millis(150), "{first:?}");
    assert_eq!((scene.keyframe_requests.len(), scene.publishers[slides].keyframes), (requests, keyframes));
    let (shown, live) = (scene.receivers[late].decoded(SLIDES), scene.receivers[0].decoded(SLIDES));
    assert_eq!(shown.last().map(|last| last.1), live.last().map(|last| last.1), "it has caught up");
}

#[test]
fn layers_change_up_and_down_on_keyframes_without_a_gap() {
    let mut scene = Scene::new(4, Line::default());
    scene.publish(camera(1));
    scene.join(9, classroom());
    scene.run(3 * SECOND);
    for cap in [Some(0), Some(1), None, Some(0), None] {
        scene.router.cap_layer(scene.lesson, ParticipantId::from_u64(9), (SlotKind::Camera, 0), cap);
        scene.run(3 * SECOND);
        let (_, _, layer, _) = *scene.receivers[0].decoded(CAMERA).last().expect("it sees");
        assert_eq!(layer, cap.unwrap_or(2));
    }
    let gap = scene.receivers[0].longest_gap(CAMERA, scene.receivers[0].joined);
    assert!(gap <= Duration::from_millis(120), "{gap:?}");
    in_step(&scene, 0, CAMERA, Duration::from_millis(15));
}

#[test]
fn a_layer_that_the_publisher_stops_gives_way_to_the_next() {
    let mut scene = Scene::new(5, Line::default());
    let teacher = scene.publish(camera(1));
    scene.join(9, classroom());
    scene.run(3 * SECOND);
    scene.publishers[teacher].encoders[2].on = false;
    scene.run(6 * SECOND);
    assert_eq!(scene.receivers[0].decoded(CAMERA).last().map(|last| last.2), Some(1));
    scene.publishers[teacher].encoders[2].on = true;
    scene.run(3 * SECOND);
    assert_eq!(scene.receivers[0].decoded(CAMERA).last().map(|last| last.2), Some(2));
}

#[test]
fn one_studio_follows_another_in_the_same_slot() {
    let mut scene = Scene::new(6, Line::default());
    let first = scene.publish(camera(1));
    scene.join(9, classroom());
    scene.run(3 * SECOND);
    let old = scene.publishers.remove(first);
    scene.router.remove_publication(old.key, scene.now);
    scene.run(SECOND);
    assert_eq!(scene.receivers[0].slots[2].paused, Some(Paused::NoSource));
    let one_layer = vec![Encoder::new(65_530, 77, 3)];
    scene.publish(Publisher::new(2, End::Studio, "camera", H264, one_layer));
    let changed = scene.now;
    scene.run(3 * SECOND);
    assert!(scene.receivers[0].longest_gap(CAMERA, changed) <= Duration::from_millis(120));
    in_step(&scene, 0, CAMERA, Duration::from_millis(25));
}

#[test]
fn five_percent_loss_is_repaired_without_keyframes() {
    let mut scene = Scene::new(7, Line { loss_percent: 5, ..Line::default() });
    let teacher = scene.publish(camera(1));
    scene.publish(Publisher::new(1, End::Studio, "camera", Codec::Opus, vec![Encoder::new(70_000, 0, 1)]));
    scene.join(9, classroom());
    scene.run(30 * SECOND);
    let receiver = &scene.receivers[0];
    let decoded = receiver.decoded(CAMERA).len();
    assert!(decoded >= 735, "{decoded} of 750 frames");
    assert!(scene.publishers[teacher].keyframes <= 3 + 2, "{} keyframes", scene.publishers[teacher].keyframes);
    let voice = receiver.tracks[&VOICE].voice;
    assert!((1_380..=1_470).contains(&voice), "{voice} of 1,500 voice packets: what is lost is not repeated");
}

#[test]
fn reordering_and_duplicates_change_nothing() {
    let mut scene = Scene::new(8, Line { jitter_ms: 25, duplicate_percent: 10, loss_percent: 1 });
    scene.publish(camera(1));
    scene.join(9, classroom());
    scene.run(20 * SECOND);
    let decoded = scene.receivers[0].decoded(CAMERA).len();
    assert!(decoded >= 490, "{decoded} of 500 frames");
}

#[test]
fn numbers_wrap_under_loss_and_changes() {
    let mut scene = Scene::new(9, Line { loss_percent: 3, jitter_ms: 10, duplicate_percent: 2 });
    // Incoming numbers and media time wrap early, outgoing numbers after 32,784 packets.
    let encoders = vec![Encoder::new(131_000, u32::MAX - 200_000, 12), Encoder::new(65_536, u32::MAX - 900_000, 40)];
    scene.publish(Publisher::new(1, End::Studio, "camera", Codec::Vp8, encoders));
    scene.join(9, classroom());
    for round in 0..12 {
        let cap = if round % 3 == 2 { Some(0) } else { None };
        scene.router.cap_layer(scene.lesson, ParticipantId::from_u64(9), (SlotKind::Camera, 0), cap);
        scene.run(5 * SECOND);
    }
    let decoded = scene.receivers[0].decoded(CAMERA).len();
    assert!(decoded >= 1_400, "{decoded} of 1,500 frames");
    assert!(scene.elapsed() >= 60 * SECOND);
}

#[test]
fn a_publisher_that_begins_its_stream_anew_is_followed() {
    let mut scene = Scene::new(10, Line { loss_percent: 2, ..Line::default() });
    let teacher = scene.publish(camera(1));
    scene.join(9, classroom());
    scene.run(3 * SECOND);
    // The same numbers as before: nothing of the old stream may be taken for the new one.
    scene.publishers[teacher].restart(&mut scene.router, 2, Encoder::new(99_990, 4, 4));
    let restarted = scene.now;
    scene.run(4 * SECOND);
    assert!(scene.receivers[0].longest_gap(CAMERA, restarted) <= Duration::from_millis(700));
    assert_eq!(scene.receivers[0].decoded(CAMERA).last().map(|last| last.2), Some(2));
}

#[test]
fn what_a_browser_cannot_decode_pauses_alone() {
    let mut scene = Scene::new(11, Line::default());
    scene.publish(camera(1));
    scene.publish(Publisher::new(1, End::Studio, "slides", H264, vec![Encoder::new(70_000, 5, 2)]));
    let firefox =
        vec![slot(SlotKind::Slides, 0, SLIDES, &[Codec::Vp8]), slot(SlotKind::Camera, 0, CAMERA, &[Codec::Vp8])];
    scene.join(9, firefox);
    scene.run(2 * SECOND);
    assert_eq!(scene.receivers[0].slots[0].paused, Some(Paused::UnsupportedCodec));
    assert!(scene.receivers[0].decoded(SLIDES).is_empty());
    assert!(scene.receivers[0].decoded(CAMERA).len() > 40);
}

#[test]
fn redundancy_is_passed_to_who_reads_it_and_stripped_for_others() {
    let mut scene = Scene::new(12, Line::default());
    scene.publish(Publisher::new(1, End::Studio, "camera", Codec::Red, vec![Encoder::new(70_000, 0, 1)]));
    scene.join(8, vec![slot(SlotKind::Voice, 0, VOICE, &[Codec::Opus, Codec::Red])]);
    scene.join(9, vec![slot(SlotKind::Voice, 0, VOICE, &[Codec::Opus])]);
    scene.run(2 * SECOND);
    for receiver in &scene.receivers {
        assert!(receiver.tracks[&VOICE].voice >= 95);
        assert_eq!(receiver.slots[0].paused, None);
    }
}

#[test]
fn a_child_is_seen_from_the_stage_only() {
    let mut scene = Scene::new(13, Line::default());
    scene.publish(camera(1));
    scene.publish(Publisher::new(5, End::Classroom, "camera", Codec::Vp8, vec![Encoder::new(70_000, 5, 1)]));
    let (itself, other) = (scene.join(5, classroom()), scene.join(9, classroom()));
    scene.run(2 * SECOND);
    assert!(scene.receivers[other].decoded(STAGE).is_empty());
    scene.router.set_stage(scene.lesson, vec![ParticipantId::from_u64(5)], scene.now);
    scene.run(2 * SECOND);
    assert!(scene.receivers[other].decoded(STAGE).len() > 40);
    assert!(scene.receivers[itself].decoded(STAGE).is_empty());
    scene.router.set_stage(scene.lesson, Vec::new(), scene.now);
    scene.run(SECOND / 10);
    let seen = scene.receivers[other].decoded(STAGE).len();
    scene.run(SECOND);
    assert_eq!(scene.receivers[other].decoded(STAGE).len(), seen);
}

#[test]
fn a_source_that_falls_silent_says_so_and_wakes() {
    let mut scene = Scene::new(14, Line::default());
    let teacher = scene.publish(Publisher::new(1, End::Studio, "camera", Codec::Vp8, vec![Encoder::new(70_000, 5, 2)]));
    scene.join(9, classroom());
    scene.run(2 * SECOND);
    scene.publishers[teacher].encoders[0].on = false;
    scene.run(4 * SECOND);
    assert_eq!(scene.receivers[0].slots[2].paused, Some(Paused::SourceSilent));
    let requests = scene.keyframe_requests.len();
    scene.publishers[teacher].encoders[0].on = true;
    let woken = scene.now;
    scene.run(2 * SECOND);
    assert_eq!(scene.receivers[0].slots[2].paused, None);
    assert!(scene.receivers[0].longest_gap(CAMERA, woken) <= Duration::from_millis(120));
    assert_eq!(scene.keyframe_requests.len(), requests, "it goes on where it stopped");
}

#[test]
fn a_receiver_may_leave_at_any_instant() {
    let mut scene = Scene::new(15, Line::default());
    scene.publish(camera(1));
    let mut dice = Dice::new(3);
    for participant in 0..50 {
        let place = scene.join(100 + participant, classroom());
        scene.run(Duration::from_millis(dice.roll(30)));
        scene.leave(place);
    }
    scene.join(9, classroom());
    scene.run(3 * SECOND);
    assert!(scene.receivers[50].decoded(CAMERA).len() >= 50);
}
