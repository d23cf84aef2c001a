//! Lines of schools, and what their classrooms get.

use proptest::prelude::*;

use super::*;
use crate::adapt::{Content, Ladder, Rung};

const K: u64 = 1_000;
const VOICE_WITH_REDUNDANCY: u64 = 98;

fn kbps(rate: u64) -> Bitrate {
    Bitrate::from_bps(rate * K)
}

fn means(rate: u64) -> Means {
    Means { now: kbps(rate), lasting: kbps(rate) }
}

fn limits(rate: u64) -> Limits {
    Limits { line: Some(means(rate)), estimate: Some(kbps(rate)), redundancy: 1, ..Limits::default() }
}

/// Encodings of these rates and sizes; on the line they take a little more.
fn ladder(rungs: &[(u64, u32)]) -> Ladder {
    let rung = |(&(rate, pixels), layer): (&(u64, u32), u8)| {
        let bitrate = kbps(rate);
        Rung { layer, pixels, bitrate, wire: bitrate.scaled(1.06) + kbps(6), peak: bitrate, flows: true }
    };
    Ladder::new(rungs.iter().zip(0..).map(rung).collect())
}

/// What a studio publishes.
struct Studio {
    voice: Ladder,
    slides: Ladder,
    camera: Ladder,
    stage: Ladder,
}

const SLIDES: u32 = 1_920 * 1_080;
const CAMERA: [(u64, u32); 3] = [(150, 320 * 180), (400, 640 * 360), (1_200, 1_280 * 720)];

fn studio(slides: &[(u64, u32)]) -> Studio {
    let bitrate = kbps(32);
    let voice = Rung { layer: 0, pixels: 0, bitrate, wire: kbps(66), peak: bitrate, flows: true };
    Studio {
        voice: Ladder::new(vec![voice]),
        slides: ladder(slides),
        camera: ladder(&CAMERA),
        stage: ladder(&CAMERA[..2]),
    }
}

fn h264() -> Studio {
    studio(&[(300, SLIDES), (1_500, SLIDES)])
}

impl Studio {
    /// What so many classrooms want of it: four demands of each.
    fn demands(&self, rooms: usize) -> Vec<Demand<'_>> {
        let of = |member| {
            let parts = [
                (Content::Voice, &self.voice),
                (Content::Slides, &self.slides),
                (Content::Camera, &self.camera),
                (Content::Stage, &self.stage),
            ];
            parts.into_iter().enumerate().map(move |(publication, (content, ladder))| Demand {
                member,
                content,
                publication,
                ladder,
                cap: None,
                shown: None,
                has: None,
                because: None,
            })
        };
        (0..rooms).flat_map(of).collect()
    }

    /// What the first classroom gets when there is no stage: slides and camera.
    fn pictures(&self, rooms: usize, limits: &Limits) -> (Option<u8>, Option<u8>) {
        let demands = self.demands(rooms).into_iter().filter(|demand| demand.content != Content::Stage);
        let shares = allocate(demands, limits);
        for room in shares.allocations.chunks(3) {
            assert_eq!(room, &shares.allocations[..3], "rooms side by side get the same");
            assert_eq!(room[0].layer, Some(0), "the voice is always there");
        }
        (shares.allocations[1].layer, shares.allocations[2].layer)
    }
}

#[test]
fn what_is_expected_of_the_lines_that_are_sold() {
    let av1 = studio(&[(150, SLIDES)]);
    // The budgets are the shares of config/tiers.toml.
    for (studio, budget, rooms, expected) in [
        (h264(), 2_800, 1, (Some(1), Some(1))),
        (h264(), 2_800, 2, (Some(0), Some(1))),
        (h264(), 2_800, 3, (Some(0), Some(1))),
        (h264(), 8_000, 3, (Some(1), Some(1))),
        (av1, 8_000, 3, (Some(0), Some(2))),
        (h264(), 24_000, 6, (Some(1), Some(2))),
        (h264(), 200, 1, (None, None)),
        (h264(), 100, 3, (None, None)),
    ] {
        assert_eq!(studio.pictures(rooms, &limits(budget)), expected, "{rooms} rooms on {budget} kbit/s");
    }
    let lossy = Limits { loss: 0.05, ..limits(2_800) };
    assert_eq!(h264().pictures(3, &lossy), (Some(0), Some(1)), "what is sent again fits too");
    assert_eq!(h264().pictures(9, &Limits::default()), (Some(1), Some(2)), "nobody knows of a limit");
}

#[test]
fn a_narrowing_line_gives_up_first_what_matters_least() {
    let studio = h264();
    let mut seen = vec![];
    for budget in (50..6_000).rev().step_by(10) {
        let got = studio.pictures(1, &limits(budget));
        if seen.last() != Some(&got) {
            seen.push(got);
        }
    }
    let steps = [(1, 2), (1, 1), (0, 1), (0, 0)].map(|(slides, camera)| (Some(slides), Some(camera)));
    assert_eq!(seen[..4], steps);
    assert_eq!(seen[4], (Some(0), None));
    assert_eq!(seen.last(), Some(&(None, None)));
}

#[test]
fn a_narrow_last_metre_keeps_only_its_own_classroom_back() {
    let studio = h264();
    let mut limits = limits(24_000);
    limits.members.insert(1, means(700));
    let shares = allocate(studio.demands(3), &limits);
    let camera = |room: usize| shares.allocations[room * 4 + 2];
    assert_eq!((camera(0).layer, camera(2).layer), (Some(2), Some(2)));
    assert_eq!((camera(1).layer, camera(1).reason), (Some(0), Reason::Own));
}

#[test]
fn the_reason_says_whether_the_line_or_its_share_ends() {
    let studio = h264();
    let reason = |limits: &Limits| allocate(studio.demands(1), limits).allocations[2].reason;
    assert_eq!(reason(&limits(2_300)), Reason::NoRoom);
    assert_eq!(reason(&Limits { estimate: Some(kbps(9_000)), ..limits(2_300) }), Reason::Tier);
    assert_eq!(reason(&limits(9_000)), Reason::Best);
}

#[test]
fn a_step_up_waits_until_the_room_has_lasted_and_whoever_is_new_does_not() {
    let studio = h264();
    let young = Limits { line: Some(Means { now: kbps(5_000), lasting: kbps(800) }), ..limits(5_000) };
    let mut demands = studio.demands(1);
    assert_eq!(allocate(demands.clone(), &young).allocations[2].layer, Some(2), "nothing was decided yet");
    (demands[2].has, demands[2].because) = (Some(1), Some(Reason::NoRoom));
    let camera = allocate(demands.clone(), &young).allocations[2];
    assert_eq!((camera.layer, camera.reason), (Some(1), Reason::Waiting));
    assert_eq!(allocate(demands, &limits(5_000)).allocations[2].layer, Some(2));
}

#[test]
fn the_next_step_fits_where_it_is_said_to() {
    let studio = h264();
    let shares = allocate(studio.demands(3), &limits(2_800));
    let next = shares.demand.next.expect("there is more to want").bps() / K;
    let after = allocate(studio.demands(3), &limits(next + 1));
    assert!(after.demand.allocated > shares.demand.allocated);
    assert_eq!(allocate(studio.demands(3), &limits(90_000)).demand.next, None);
}

fn arbitrary_ladder() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((20u64..4_000, prop::sample::select(vec![57_600u32, 230_400, 921_600])), 1..=3).prop_map(
        |mut rungs| {
            rungs.sort_unstable();
            rungs
        },
    )
}

proptest! {
    #[test]
    fn nothing_but_voice_is_given_beyond_the_budget_and_equals_get_the_same(
        slides in arbitrary_ladder(),
        rooms in 1usize..6,
        budget in 0u64..20_000,
        loss in 0.0f32..0.2,
        shown in prop::option::of(0u32..2_000_000),
    ) {
        let studio = studio(&slides);
        let limits = Limits { loss, ..limits(budget) };
        let mut demands = studio.demands(rooms);
        demands.iter_mut().for_each(|demand| demand.shown = shown);
        let shares = allocate(demands.clone(), &limits);
        let sum: Bitrate = shares.allocations.iter().map(|allocation| allocation.rate).sum();
        prop_assert_eq!(sum, shares.demand.allocated);
        let voices = kbps(VOICE_WITH_REDUNDANCY * rooms as u64);
        prop_assert!(sum <= kbps(budget).max(voices), "{} of {}", sum, budget);
        for room in shares.allocations.chunks(4) {
            prop_assert_eq!(room, &shares.allocations[..4]);
            prop_assert_eq!(room[0].layer, Some(0));
        }
        prop_assert_eq!(&allocate(demands.clone(), &limits), &shares, "the same comes out again");
        for same in [shares.from, shares.until.map_or(kbps(90_000), |until| until.less(Bitrate::from_bps(1)))] {
            let others = Limits { line: Some(Means { now: same, lasting: same }), ..limits.clone() };
            let layers = |shares: &Shares| shares.allocations.iter().map(|one| one.layer).collect::<Vec<_>>();
            prop_assert_eq!(layers(&allocate(demands.clone(), &others)), layers(&shares), "with {}", same);
        }
    }

    #[test]
    fn more_room_never_costs_a_step_that_comes_earlier(rooms in 1usize..4, budget in 0u64..12_000, more in 0u64..6_000) {
        let studio = h264();
        let climbed = |budget| {
            let shares = allocate(studio.demands(rooms), &limits(budget));
            let [slides, camera, stage] = [1, 2, 3].map(|at| shares.allocations[at].layer);
            let (slides, camera) = (slides.map_or(0, |layer| layer + 1), camera.map_or(0, |layer| layer + 1));
            // In the order of the steps.
            [slides >= 1, camera >= 1, camera >= 2, slides >= 2, camera >= 3, stage >= Some(0), stage >= Some(1)]
        };
        prop_assert!(climbed(budget) <= climbed(budget + more));
    }
}
