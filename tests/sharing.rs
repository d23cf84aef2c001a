//! One line of a school, shared by its classrooms: who gets what as the budget falls and comes back.

#[expect(unreachable_pub, dead_code, reason = "the modules of one test have no outside, and other tests use the rest")]
mod sim;

use std::time::Duration;

use mingshi::adapt::Reason;
use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::SlotKind;
use mingshi::sfu::output::Paused;
use mingshi::sfu::{Allotment, LineKey};
use mingshi::units::Bitrate;
use sim::{Lesson, Quality, Room, Track, millis, secs};

const LINE: LineKey = LineKey(9);

/// A line whose budget the story sets.
struct School {
    lesson: Lesson,
    rooms: Vec<Room>,
    budget: u64,
}

impl School {
    /// So many classrooms of a school join a lesson in the midst of it.
    fn new(rooms: usize, budget: u64) -> Self {
        let mut lesson = Lesson::new(11);
        lesson.studio(vec![
            Track::studio_camera(Codec::Vp8),
            Track::studio_slides(Codec::Vp8),
            Track::voice(Codec::Opus),
        ]);
        lesson.run(secs(4));
        let mut school = Self { lesson, rooms: Vec::new(), budget };
        school.allot();
        (0..rooms).for_each(|_| school.join());
        school
    }

    fn join(&mut self) {
        let room = self.lesson.join(Quality::GOOD);
        self.lesson.rooms[room].line = LINE;
        self.rooms.push(room);
    }

    fn allot(&mut self) {
        let budget = Bitrate::from_bps(self.budget * 1_000);
        let allotment = Allotment { budget, estimate: budget, ..Allotment::default() };
        self.lesson.router.allot(LINE, allotment, self.lesson.now);
    }

    /// Lets time pass with this budget, told every 100 ms as workers do.
    fn run(&mut self, budget: u64, duration: Duration) {
        self.budget = budget;
        for _ in 0..duration.as_millis() / 100 {
            self.allot();
            self.lesson.run(millis(100));
        }
    }

    /// Slides and camera, which must be the same in every room.
    fn pictures(&self) -> (Option<u8>, Option<u8>) {
        let of = |&room: &Room| {
            let layer = |kind| self.lesson.slot(room, kind, 0).layer;
            (layer(SlotKind::Slides), layer(SlotKind::Camera))
        };
        let all: Vec<_> = self.rooms.iter().map(of).collect();
        assert!(all.iter().all(|one| *one == all[0]), "equal rooms get the same: {all:?}");
        all[0]
    }

    fn voices_never_broke_off(&self) {
        for &room in &self.rooms {
            let voice = self.lesson.voice(room);
            assert_eq!((voice.holes, voice.gaps()), (0, 0));
            assert!(self.lesson.longest_freeze(room, SlotKind::Voice, voice.played[0].at) < millis(60));
        }
    }
}

#[test]
fn what_a_falling_budget_takes_comes_back_with_it() {
    let mut school = School::new(3, 20_000);
    school.run(20_000, secs(3));
    assert_eq!(school.pictures(), (Some(1), Some(2)));
    school.run(2_800, secs(2));
    assert_eq!(school.pictures(), (Some(0), Some(1)));
    school.run(150, secs(2));
    assert_eq!(school.pictures(), (None, None));
    let paused = |kind| school.lesson.slot(school.rooms[0], kind, 0).paused;
    assert_eq!((paused(SlotKind::Slides), paused(SlotKind::Camera)), (Some(Paused::NoRoom), Some(Paused::NoRoom)));
    school.run(20_000, millis(800));
    assert_eq!(school.pictures(), (None, None), "more has to last");
    school.run(20_000, secs(6));
    assert_eq!(school.pictures(), (Some(1), Some(2)));
    school.voices_never_broke_off();
    assert!(school.lesson.rooms[0].decisions.iter().any(|(_, decision)| decision.reason == Reason::NoRoom));
}

#[test]
fn a_wavering_budget_makes_no_picture_come_and_go() {
    let mut school = School::new(3, 2_800);
    school.run(2_800, secs(3));
    // Now and then there is room for the camera's middle encoding, and soon after there isn't.
    let before = school.lesson.rooms[0].decisions.len();
    for _ in 0..20 {
        school.run(2_800, millis(1_500));
        school.run(1_700, millis(1_500));
    }
    let switches = school.lesson.rooms[0].decisions.len() - before;
    assert!(switches <= 16, "{switches} switches in a minute, of forty that the budget would give reason for");
    school.voices_never_broke_off();
}

#[test]
fn a_newcomer_takes_its_part_at_once() {
    let mut school = School::new(1, 2_800);
    school.run(2_800, secs(3));
    assert_eq!(school.pictures(), (Some(1), Some(1)));
    school.join();
    school.run(2_800, secs(2));
    assert_eq!(school.pictures(), (Some(0), Some(1)));
    school.voices_never_broke_off();
}
