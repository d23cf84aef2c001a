//! Lines of schools on simulated time: what is believed of them, how soon, and what it costs those who share them.
//!
//! `LINE_SEEDS` says how many chances each story is told with; 2 by default.

#[expect(unreachable_pub, reason = "the modules of one test have no outside")]
#[path = "sim/bottleneck.rs"]
mod bottleneck;
#[expect(unreachable_pub, reason = "the modules of one test have no outside")]
#[path = "sim/chance.rs"]
mod chance;
#[expect(unreachable_pub, reason = "the modules of one test have no outside")]
#[path = "sim/school.rs"]
mod school;

use std::ops::RangeInclusive;

use bottleneck::{Bottleneck, Download, Shape};
use mingshi::adapt::LineTier;
use mingshi::units::Bitrate;
use school::{Sample, School};

fn mbit(rate: f64) -> Bitrate {
    Bitrate::from_bps((rate * 1e6) as u64)
}

fn tier(nominal: Option<f64>) -> LineTier {
    LineTier { nominal: nominal.map(mbit), start: mbit(nominal.unwrap_or(2.0) * 0.6), ..LineTier::default() }
}

fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("LINE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2)
}

fn p95(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() * 95 / 100).copied().unwrap_or(0.0)
}

fn between(school: &School, from: f64, to: f64) -> impl Iterator<Item = &Sample> {
    let (from, to) = ((from * 1e6) as u64, (to * 1e6) as u64);
    school.samples.iter().filter(move |sample| sample.at > from && sample.at <= to)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

/// Steps up that were taken back within five seconds, in a minute.
fn taken_back(school: &School, from: f64, to: f64) -> f64 {
    let within = |at: u64| at as f64 > from * 1e6 && at as f64 <= to * 1e6;
    let back = |(index, change): (usize, &school::Change)| {
        change.after > change.before
            && within(change.at)
            && school.changes[index + 1..]
                .iter()
                .take_while(|later| later.at < change.at + 5_000_000)
                .any(|later| later.after <= change.before)
    };
    let count = school.changes.iter().enumerate().filter(|item| back(*item)).count();
    count as f64 * 60.0 / (to - from)
}

/// Prints a story where `LINE_TRACE` names it and `LINE_SEED` its chance.
fn trace(school: &School, name: &str, seed: u64) {
    let wanted = |key, value: &str| std::env::var(key).is_ok_and(|wanted| wanted == value);
    if !wanted("LINE_TRACE", name) || !wanted("LINE_SEED", &seed.to_string()) {
        return;
    }
    for s in school.samples.iter().step_by(10) {
        let (at, estimate, allocated) = (s.at as f64 / 1e6, s.estimate / 1e6, s.allocated / 1e6);
        let probing = if s.probing { "probe" } else { "" };
        let (waits, seen, phase) = (s.waits, s.seen, s.phase);
        eprintln!(
            "{at:6.2} est {estimate:6.2} alloc {allocated:5.2} waits {waits:5.0} seen {seen:5.0} {phase:?} {probing}"
        );
    }
}

/// How long after `from` the queue is down to 60 ms and stays there for half a second.
fn drained(school: &School, from: f64) -> f64 {
    let mut since = from;
    for sample in between(school, from, from + 10.0) {
        let at = sample.at as f64 / 1e6;
        if sample.waits > 60.0 {
            since = at;
        } else if at - since > 0.5 {
            return since - from;
        }
    }
    f64::INFINITY
}

/// When from `from` on the allocation reached `least` for good until `to`, seconds after `from`.
fn reached(school: &School, from: f64, to: f64, least: f64) -> f64 {
    let first = between(school, from, to).find(|sample| sample.allocated >= least);
    first.map_or(f64::INFINITY, |sample| sample.at as f64 / 1e6 - from)
}

/// Tells how `values` lie, and that nine of ten, or all but one, are within `bounds`.
fn within(name: &str, values: &[f64], bounds: RangeInclusive<f64>) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize];
    eprintln!(
        "{name:<58} p5 {:7.2}  median {:7.2}  p95 {:7.2}  worst {:7.2}  of {}",
        at(0.05),
        at(0.5),
        at(0.95),
        at(1.0),
        values.len()
    );
    // Whoever looks at one story wants to see it.
    if std::env::var("LINE_TRACE").is_ok() {
        return;
    }
    let outside = values.iter().filter(|value| !bounds.contains(value)).count();
    assert!(outside <= (values.len() / 10).max(1), "{name}: {outside} of {} outside of {bounds:?}", values.len());
}

#[test]
fn steps_are_followed() {
    for members in 1..=3 {
        let (mut down, mut queue, mut up, mut top) = (vec![], vec![], vec![], vec![]);
        for seed in seeds() {
            let mut school = School::new(Shape::of(10_000_000), tier(Some(10.0)), members, seed);
            school.run(20);
            top.push(school.samples.last().map_or(0.0, |s| s.allocated / 1e6));
            school.bottleneck.shape.rate = 4_000_000;
            school.run(20);
            let before = school.samples.last().map_or(0.0, |s| s.allocated);
            school.bottleneck.shape.rate = 1_000_000;
            school.run(30);
            school.bottleneck.shape.rate = 4_000_000;
            school.run(30);
            for (from, to) in [(20.0, 40.0), (40.0, 70.0)] {
                down.push(drained(&school, from));
                queue.push(p95(between(&school, from + 2.0, to).map(|s| s.waits)));
            }
            // A step that takes nearly all of the line may have been held by luck.
            up.push(reached(&school, 70.0, 100.0, (before * 0.99).min(2.64e6)));
            trace(&school, &format!("steps {members}"), seed);
        }
        within(&format!("{members}: allocated at 10M, Mbit/s"), &top, 2.7..=8.3);
        within(&format!("{members}: step down, queue below 60 ms after, s"), &down, 0.0..=2.0);
        within(&format!("{members}: queue p95 from 2 s after it, ms"), &queue, 0.0..=60.0);
        within(&format!("{members}: step up, back after, s"), &up, 0.0..=10.0);
    }
}

/// What nothing happening for two minutes must keep to.
struct Calm {
    /// Steps up that are taken back in a minute, at most.
    taken_back: f64,
    /// The 95th percentile of the queue at most, milliseconds.
    queue: f64,
    /// What is allocated at least, Mbit/s.
    allocated: f64,
}

/// Nothing happens for two minutes; tells the estimate.
fn calm(name: &str, shape: Shape, tier: LineTier, members: usize, bounds: &Calm) -> Vec<f64> {
    let (mut back, mut queue, mut used, mut estimate) = (vec![], vec![], vec![], vec![]);
    for seed in seeds() {
        let mut school = School::new(shape, tier, members, seed);
        school.run(120);
        back.push(taken_back(&school, 20.0, 120.0));
        queue.push(p95(between(&school, 20.0, 120.0).map(|s| s.waits)));
        used.push(mean(between(&school, 20.0, 120.0).map(|s| s.allocated / 1e6)));
        estimate.push(mean(between(&school, 20.0, 120.0).map(|s| s.estimate / 1e6)));
        trace(&school, &format!("{name} {members}"), seed);
    }
    within(&format!("{name}, {members}: steps taken back in a minute"), &back, 0.0..=bounds.taken_back);
    within(&format!("{name}, {members}: queue p95, ms"), &queue, 0.0..=bounds.queue);
    within(&format!("{name}, {members}: allocated, Mbit/s"), &used, bounds.allocated..=10.0);
    within(&format!("{name}, {members}: estimate, Mbit/s"), &estimate, 0.0..=10.0);
    estimate
}

#[test]
fn a_steady_line_stays_steady() {
    let bounds = Calm { taken_back: 2.0, queue: 60.0, allocated: 1.4 };
    for members in 1..=3 {
        calm("4M", Shape::of(4_000_000), tier(Some(4.0)), members, &bounds);
        calm("4M of unknown tier", Shape::of(4_000_000), tier(None), members, &bounds);
        calm("3M sold as 10M", Shape::of(3_000_000), tier(Some(10.0)), members, &bounds);
    }
}

#[test]
fn random_loss_is_no_congestion() {
    let bounds = Calm { taken_back: 2.0, queue: 60.0, allocated: 1.4 };
    for members in 1..=3 {
        for rate in [4.0, 10.0] {
            let shape = Shape::of((rate * 1e6) as u64);
            let clean = calm(&format!("{rate}M clean"), shape, tier(Some(10.0)), members, &bounds);
            let lossy = Shape { loss: 0.05, ..shape };
            let lossy = calm(&format!("{rate}M 5 % loss"), lossy, tier(Some(10.0)), members, &bounds);
            let ratio: Vec<_> = clean.iter().zip(&lossy).map(|(clean, lossy)| lossy / clean).collect();
            within(&format!("{rate}M, {members}: estimate with loss / without"), &ratio, 0.9..=1.1);
        }
    }
}

#[test]
fn jitter_is_no_congestion() {
    // Three who fill seven eighths of the line are taken back now and then: 130 ms pass before the end of a trial shows.
    let bounds = Calm { taken_back: 7.0, queue: 90.0, allocated: 1.4 };
    for (name, reorders) in [("jitter that reorders", true), ("jitter in order", false)] {
        for members in 1..=3 {
            let shape = Shape { delay: 70, jitter: 60, reorders, ..Shape::of(4_000_000) };
            calm(name, shape, tier(Some(10.0)), members, &bounds);
        }
    }
    for members in 1..=3 {
        let shape = Shape { delay: 70, wanders: 30, ..Shape::of(4_000_000) };
        calm("a delay that wanders", shape, tier(Some(4.0)), members, &bounds);
    }
}

#[test]
fn who_joins_over_a_delay_that_wanders_is_served_at_once() {
    for members in 1..=3 {
        let (mut first, mut least) = (vec![], vec![]);
        for seed in 0..seeds().end * 5 {
            let shape = Shape { delay: 70, wanders: 30, ..Shape::of(4_000_000) };
            let mut school = School::new(shape, tier(Some(4.0)), members, seed);
            school.run(12);
            first.push(mean(between(&school, 1.0, 12.0).map(|s| f64::from(s.least_step >= 1))));
            least.push(between(&school, 1.0, 12.0).map(|s| s.estimate / 1e6).fold(f64::MAX, f64::min));
            trace(&school, &format!("joins {members}"), seed);
        }
        within(&format!("wandering, {members}: all have slides, part of the first 12 s"), &first, 0.97..=1.0);
        within(&format!("wandering, {members}: least estimate, Mbit/s"), &least, 1.2..=10.0);
    }
}

/// What 30 s of trouble may cost.
struct Trouble {
    /// Seconds until all is as it was.
    back: f64,
    /// The part of the last 20 s in which everybody had slides, at least.
    slides: f64,
    /// What is allocated meanwhile at least, Mbit/s.
    allocated: f64,
}

/// The line is as it was, `disturb` happens to it for 30 s, and then it is as it was again.
fn disturbed(name: &str, bounds: &Trouble, disturb: impl Fn(&mut School), undo: impl Fn(&mut School)) {
    for members in 1..=3 {
        let (mut back, mut slides, mut share) = (vec![], vec![], vec![]);
        for seed in seeds() {
            let mut school = School::new(Shape::of(4_000_000), tier(Some(4.0)), members, seed);
            school.run(30);
            let before = school.samples.last().map_or(0.0, |s| s.allocated);
            disturb(&mut school);
            school.run(30);
            undo(&mut school);
            school.run(30);
            back.push(reached(&school, 60.0, 90.0, before * 0.99));
            slides.push(mean(between(&school, 40.0, 60.0).map(|s| f64::from(s.least_step >= 1))));
            share.push(mean(between(&school, 40.0, 60.0).map(|s| s.allocated / 1e6)));
            trace(&school, &format!("{name} {members}"), seed);
        }
        within(&format!("{name}, {members}: back after, s"), &back, 0.0..=bounds.back);
        within(&format!("{name}, {members}: allocated meanwhile, Mbit/s"), &share, bounds.allocated..=10.0);
        within(&format!("{name}, {members}: all had slides, part of the time"), &slides, bounds.slides..=1.0);
    }
}

#[test]
fn a_line_comes_back_to_what_it_had() {
    let rate = |rate| move |school: &mut School| school.bottleneck.shape.rate = rate;
    let narrow = Trouble { back: 10.0, slides: 0.0, allocated: 0.04 };
    disturbed("1M", &narrow, rate(1_000_000), rate(4_000_000));
    disturbed("300k", &narrow, rate(300_000), rate(4_000_000));
    let cut = |cut| move |school: &mut School| school.bottleneck.shape.cut = cut;
    disturbed("outage", &Trouble { back: 2.0, slides: 0.0, allocated: 0.0 }, cut(true), cut(false));
}

#[test]
fn what_only_looks_like_congestion_changes_nothing() {
    let unmoved = Trouble { back: 2.0, slides: 1.0, allocated: 1.4 };
    let loss = |loss| move |school: &mut School| school.bottleneck.shape.loss = loss;
    disturbed("30 % loss", &unmoved, loss(0.3), loss(0.0));
    let set = |by| move |school: &mut School| school.members.iter_mut().for_each(|member| member.clock += by);
    disturbed("clock set", &unmoved, set(5_000_000), set(-9_000_000));
    let unmoved = Trouble { back: 5.0, slides: 1.0, allocated: 1.2 };
    let delay = |delay| move |school: &mut School| school.bottleneck.shape.delay = delay;
    disturbed("longer way", &unmoved, delay(85), delay(25));
    let lost = |part| move |school: &mut School| school.return_loss = part;
    disturbed("half of the reports lost", &unmoved, lost(0.5), lost(0.0));
}

#[test]
fn a_busy_computer_is_no_congestion() {
    for stall in [150_000, 300_000] {
        let (mut budget, mut used) = (vec![], vec![]);
        for seed in seeds() {
            let mut school = School::new(Shape::of(30_000_000), tier(Some(10.0)), 2, seed);
            school.members.iter_mut().for_each(|member| member.stalls = stall);
            school.run(60);
            budget.push(between(&school, 5.0, 60.0).map(|s| s.estimate / 1e6).fold(f64::MAX, f64::min));
            used.push(mean(between(&school, 5.0, 60.0).map(|s| s.allocated / 1e6)));
            trace(&school, &format!("busy {stall}"), seed);
        }
        within(&format!("stalls of up to {} ms: least estimate, Mbit/s", stall / 1000), &budget, 3.0..=10.0);
        within(&format!("stalls of up to {} ms: allocated, Mbit/s", stall / 1000), &used, 2.7..=10.0);
    }
}

#[test]
fn a_download_leaves_voice_and_slides() {
    let bounds = Trouble { back: 10.0, slides: 0.95, allocated: 0.7 };
    disturbed("download", &bounds, |s| s.download = Some(Download::new()), |s| s.download = None);
}

#[test]
fn those_who_come_and_go_take_no_more_than_their_part() {
    let (mut queue, mut back) = (vec![], vec![]);
    for seed in seeds() {
        let mut school = School::new(Shape::of(4_000_000), tier(Some(4.0)), 1, seed);
        school.run(20);
        let first = school.join();
        school.run(20);
        let second = school.join();
        school.run(20);
        school.leave(first);
        school.leave(second);
        school.run(20);
        queue.push(p95(between(&school, 5.0, 80.0).map(|s| s.waits)));
        back.push(reached(&school, 60.0, 80.0, 2.7e6));
        trace(&school, "come and go", seed);
    }
    within("come and go: queue p95, ms", &queue, 0.0..=60.0);
    within("come and go: all for the one who stays after, s", &back, 0.0..=10.0);
}

#[test]
fn a_narrow_last_metre_is_its_members_only() {
    let (mut narrow, mut other, mut queue) = (vec![], vec![], vec![]);
    for seed in seeds() {
        let mut school = School::new(Shape::of(10_000_000), tier(Some(10.0)), 3, seed);
        let last_metre = Shape { delay: 1, ..Shape::of(1_000_000) };
        school.members[1].last_metre = Some(Bottleneck::new(last_metre, chance::Chance::new(seed)));
        school.run(60);
        let before = school.members[1].octets;
        let (mut waits, mut steps) = (vec![], vec![]);
        for _ in 0..60 {
            school.run(1);
            waits.extend(school.members[1].last_metre.as_ref().map(Bottleneck::waits));
            steps.push(school.members[0].step as f64);
        }
        narrow.push((school.members[1].octets - before) as f64 * 8.0 / 60e6);
        other.push(mean(steps.into_iter()));
        queue.push(mean(waits.into_iter()));
    }
    within("narrow member: Mbit/s", &narrow, 0.6..=1.0);
    within("narrow member: queue, mean, ms", &queue, 0.0..=60.0);
    within("other member: step", &other, 4.9..=5.0);
}
