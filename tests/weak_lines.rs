//! Whole lessons on weak lines, on simulated time: what is measured, shared, switched and paced over a line of a school
//! that carries so much and no more, by the forwarding unit itself.
//!
//! `LINE_SEEDS` says how many chances each story is told with; 1 by default.

#[expect(unreachable_pub, dead_code, reason = "the modules of one test have no outside, and other tests use the rest")]
mod sim;

use std::time::Duration;

use mingshi::adapt::{LineTier, Tier};
use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::{End, SlotKind};
use mingshi::units::Bitrate;
use sim::bottleneck::{Download, Shape};
use sim::{Lesson, Quality, Room, Track, millis, secs};

/// A voice is out of order for longer than this nowhere.
const GAP: u128 = 200;

/// A line as config/tiers.toml has it.
fn tier(kbps: u64) -> Tier {
    let nominal = Bitrate::from_bps(kbps * 1_000);
    let share = if kbps <= 4_000 { 0.72 } else { 0.80 };
    let start = nominal.scaled(if kbps <= 4_000 { 0.6 } else { 0.5 });
    Tier {
        name: format!("{kbps}k"),
        line: LineTier { nominal: Some(nominal), share, start, floor: Bitrate::from_bps(400_000) },
        redundancy: 2,
        playout: (millis(80), secs(10)),
    }
}

/// A line of which nobody knows anything.
fn unknown() -> Tier {
    let mut tier = tier(10_000);
    (tier.line.nominal, tier.line.start) = (None, Bitrate::from_bps(10_000_000));
    tier
}

/// A lesson with the studio page's ladder, some seconds on air, and a school with so many classrooms.
struct Story {
    lesson: Lesson,
    school: usize,
    rooms: Vec<Room>,
}

impl Story {
    fn begin(seed: u64, shape: Shape, tier: Tier, rooms: usize) -> Self {
        Self::begin_with(Track::studio_slides(Codec::Vp8), seed, shape, tier, rooms)
    }

    fn begin_with(slides: Track, seed: u64, shape: Shape, tier: Tier, rooms: usize) -> Self {
        let mut lesson = Lesson::new(seed);
        let tracks = vec![Track::studio_camera(Codec::Vp8), slides, Track::voice(Codec::Opus)];
        lesson.publish(End::Studio, tracks, Quality { jitter: Duration::ZERO, ..Quality::GOOD });
        lesson.run(secs(3));
        let school = lesson.school(shape, tier);
        let rooms = (0..rooms).map(|_| lesson.join_at(school)).collect();
        Self { lesson, school, rooms }
    }

    fn run(&mut self, seconds: u64) {
        self.lesson.run(secs(seconds));
    }

    fn shape(&mut self) -> &mut Shape {
        &mut self.lesson.schools[self.school].0.line.shape
    }

    /// Places on the ladders of slides and camera, of each room.
    fn layers(&self) -> Vec<(Option<u8>, Option<u8>)> {
        let layer = |room: Room, kind| self.lesson.slot(room, kind, 0).layer;
        self.rooms.iter().map(|&room| (layer(room, SlotKind::Slides), layer(room, SlotKind::Camera))).collect()
    }

    /// All rooms have these slides, and this camera or a better one.
    fn all_have_at_least(&self, slides: Option<u8>, camera: Option<u8>, when: &str) {
        for layers in self.layers() {
            assert!(layers.0 == slides && layers.1 >= camera, "{when}: {:?}", self.layers());
        }
    }

    /// All rooms have this.
    fn all_have(&self, slides: Option<u8>, camera: Option<u8>, when: &str) {
        for layers in self.layers() {
            assert_eq!(layers, (slides, camera), "{when}: {:?}", self.layers());
        }
    }

    /// The longest time without voice in any room in the last `seconds`.
    fn voice_gap(&self, seconds: u64) -> u128 {
        let since = self.lesson.now - secs(seconds);
        let gap = |&room: &Room| {
            let played = &self.lesson.rooms[room].stream(SlotKind::Voice, 0).played;
            let lately: Vec<_> = played.iter().filter(|played| played.at >= since).collect();
            lately.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).max().unwrap_or(u128::MAX)
        };
        self.rooms.iter().map(gap).max().unwrap_or_default()
    }

    /// Upward switches of slides or camera that were taken back, in the last `seconds`, in the room where most were.
    fn taken_back(&self, seconds: u64) -> usize {
        let since = self.lesson.now - secs(seconds);
        let of_room = |&room: &Room| {
            let decisions = self.lesson.rooms[room].decisions.iter().filter(|(at, _)| *at >= since);
            decisions.filter(|(_, decision)| decision.to < decision.from).count()
        };
        self.rooms.iter().map(of_room).max().unwrap_or_default()
    }

    /// What packets waited in the last `seconds`, 95th percentile, milliseconds.
    fn waited(&self, seconds: u64) -> f64 {
        let now = self.lesson.elapsed();
        self.lesson.schools[self.school].0.waited(now - secs(seconds), now)
    }

    /// Jain's index of what the rooms got of all media.
    fn fairness(&self) -> f64 {
        let of_room = |&room: &Room| self.lesson.rooms[room].streams.iter().map(|stream| stream.octets).sum::<usize>();
        let octets: Vec<f64> = self.rooms.iter().map(|room| of_room(room) as f64).collect();
        let sum: f64 = octets.iter().sum();
        sum * sum / (octets.len() as f64 * octets.iter().map(|octets| octets * octets).sum::<f64>())
    }
}

fn seeds() -> impl Iterator<Item = u64> {
    let seeds = std::env::var("LINE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    1..=seeds
}

const LOSSY: f64 = 0.05;

/// What each classroom gets on the lines that are sold: slides, camera.
const EXPECTED: [(u64, usize, u8, u8); 5] =
    [(4_000, 1, 1, 1), (4_000, 2, 0, 1), (4_000, 3, 0, 1), (10_000, 3, 1, 1), (30_000, 6, 1, 2)];

#[test]
fn lines_that_are_sold_carry_what_is_expected_of_them_with_and_without_loss() {
    for seed in seeds() {
        for (kbps, rooms, slides, camera) in EXPECTED {
            for loss in [0.0, LOSSY] {
                let what = format!("{kbps} kbit/s, {rooms} rooms, loss {loss}, seed {seed}");
                let shape = Shape { loss, ..Shape::of(kbps * 1_000) };
                let mut story = Story::begin(seed, shape, tier(kbps), rooms);
                story.run(25);
                story.all_have_at_least(Some(slides), Some(camera), &what);
                story.run(30);
                story.all_have_at_least(Some(slides), Some(camera), &what);
                assert!(story.voice_gap(50) < GAP, "{what}: voice away for {} ms", story.voice_gap(50));
                assert!(story.taken_back(30) <= 1, "{what}: {} taken back", story.taken_back(30));
                assert!(story.waited(30) < 60.0, "{what}: {} ms", story.waited(30));
                assert!(story.fairness() > 0.95, "{what}: {}", story.fairness());
            }
        }
    }
}

#[test]
fn a_line_that_narrows_and_widens_is_followed() {
    for seed in seeds() {
        for rooms in [1, 3] {
            let mut story = Story::begin(seed, Shape::of(10_000_000), tier(10_000), rooms);
            let what = |step: &str| format!("{rooms} rooms, seed {seed}, {step}");
            story.run(25);
            for (kbps, seconds) in [(4_000, 20), (1_000, 20), (4_000, 30)] {
                story.shape().rate = kbps * 1_000;
                story.run(3);
                story.run(seconds - 3);
                let when = what(&format!("at {kbps} kbit/s"));
                assert!(story.voice_gap(seconds - 4) < GAP, "{when}: {} ms", story.voice_gap(seconds - 4));
                // At 1 Mbit/s a keyframe of the slides alone is some 100 ms of line.
                let longest = if kbps == 1_000 { 120.0 } else { 80.0 };
                assert!(story.waited(seconds - 5) < longest, "{when}: {} ms", story.waited(seconds - 5));
            }
            for (slides, _) in story.layers() {
                assert!(slides.is_some(), "{}: {:?}", what("at the end"), story.layers());
            }
            assert!(story.fairness() > 0.95, "{}", what("fairness"));
        }
    }
}

#[test]
fn after_an_outage_everything_is_there_again() {
    for seed in seeds() {
        let mut story = Story::begin(seed, Shape::of(4_000_000), tier(4_000), 3);
        story.run(25);
        let before = story.layers();
        story.shape().cut = true;
        story.run(30);
        story.shape().cut = false;
        story.run(2);
        assert!(story.voice_gap(1) < GAP, "seed {seed}: {} ms", story.voice_gap(1));
        story.run(18);
        assert_eq!(story.layers(), before, "seed {seed}");
    }
}

#[test]
fn a_download_beside_it_leaves_voice_and_slides() {
    for seed in seeds() {
        let mut story = Story::begin(seed, Shape::of(4_000_000), tier(4_000), 2);
        story.run(20);
        story.lesson.schools[story.school].0.download = Some(Download::new());
        story.run(30);
        let layers = story.layers();
        assert!(layers.iter().all(|(slides, _)| slides.is_some()), "seed {seed}: {layers:?}");
        assert!(story.voice_gap(25) < 300, "seed {seed}: {} ms", story.voice_gap(25));
        story.lesson.schools[story.school].0.download = None;
        story.run(20);
        story.all_have(Some(0), Some(1), &format!("seed {seed}, when it is over"));
    }
}

#[test]
fn a_line_that_nobody_knows_is_found_out() {
    for seed in seeds() {
        for (kbps, slides, camera) in [(2_000, Some(0), Some(1)), (20_000, Some(1), Some(2))] {
            let mut story = Story::begin(seed, Shape::of(kbps * 1_000), unknown(), 1);
            story.run(30);
            let what = format!("{kbps} kbit/s, seed {seed}");
            story.all_have(slides, camera, &what);
            assert!(story.voice_gap(25) < GAP, "{what}: {} ms", story.voice_gap(25));
        }
    }
}

#[test]
fn a_classroom_that_comes_late_or_leaves_takes_nothing_from_the_voice_of_others() {
    for seed in seeds() {
        let mut story = Story::begin(seed, Shape::of(4_000_000), tier(4_000), 1);
        story.run(20);
        let late = story.lesson.join_at(story.school);
        story.run(20);
        assert!(story.voice_gap(20) < GAP, "seed {seed}: {} ms", story.voice_gap(20));
        story.rooms.push(late);
        story.all_have(Some(0), Some(1), &format!("seed {seed}, two"));
        story.rooms.pop();
        story.lesson.leave(late);
        story.run(20);
        story.all_have(Some(1), Some(1), &format!("seed {seed}, one again"));
    }
}

#[test]
fn slides_in_one_thin_encoding_leave_room_for_the_best_camera() {
    for seed in seeds() {
        // What AV1 comes to, in a codec that these classrooms read: about 100 kbit/s.
        let thin = Track::slides(Codec::Vp8, 30);
        let mut story = Story::begin_with(thin, seed, Shape::of(10_000_000), tier(10_000), 3);
        story.run(30);
        story.all_have(Some(0), Some(2), &format!("seed {seed}"));
        assert!(story.voice_gap(25) < GAP, "seed {seed}: {} ms", story.voice_gap(25));
    }
}

#[test]
fn a_camera_that_one_page_hides_comes_back_there_and_stays_elsewhere() {
    for seed in seeds() {
        let mut story = Story::begin(seed, Shape::of(4_000_000), tier(4_000), 2);
        story.run(20);
        story.lesson.show(story.rooms[0], SlotKind::Camera, Some(0));
        story.run(10);
        let layers = story.layers();
        assert_eq!((layers[0].1, layers[1].1), (None, Some(1)), "seed {seed}: {layers:?}");
        story.lesson.show(story.rooms[0], SlotKind::Camera, None);
        story.run(10);
        story.all_have(Some(0), Some(1), &format!("seed {seed}, shown again"));
        assert!(story.voice_gap(20) < GAP, "seed {seed}: {} ms", story.voice_gap(20));
    }
}

#[test]
fn packets_that_come_late_and_out_of_order_cost_no_slides_and_no_voice() {
    for seed in seeds() {
        for (rooms, slides) in [(1, 1), (2, 0), (3, 0)] {
            // 100 ms, 30 more or less.
            let shape = Shape { delay: 70, jitter: 60, ..Shape::of(4_000_000) };
            let mut story = Story::begin(seed, shape, tier(4_000), rooms);
            story.run(30);
            let what = format!("{rooms} rooms, seed {seed}, {:?}", story.layers());
            story.all_have(Some(slides), Some(1), &what);
            assert!(story.waited(20) < 60.0, "{what}: {} ms", story.waited(20));
            assert!(story.voice_gap(25) < GAP, "{what}: {} ms", story.voice_gap(25));
            assert!(story.fairness() > 0.95, "{what}: {}", story.fairness());
        }
    }
}
