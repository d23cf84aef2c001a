//! Lines of schools on simulated time: what is believed of them, how soon, and what it costs those who share them.
//!
//! `LINE_SEEDS` says how many chances each story is told with; 3 by default.

#[expect(unreachable_pub, reason = "the modules of one test have no outside")]
#[path = "sim/bottleneck.rs"]
mod bottleneck;
#[expect(unreachable_pub, reason = "the modules of one test have no outside")]
#[path = "sim/chance.rs"]
mod chance;
#[expect(unreachable_pub, reason = "the modules of one test have no outside")]
#[path = "sim/school.rs"]
mod school;

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
    0..std::env::var("LINE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3)
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

fn trace(school: &School) {
    {
        for s in school.samples.iter().step_by(10) {
            eprintln!(
                "{:6.2} est {:6.2} alloc {:5.2} waits {:5.0} seen {:5.0} {}",
                s.at as f64 / 1e6,
                s.estimate / 1e6,
                s.allocated / 1e6,
                s.waits,
                s.seen_queue,
                s.phase.map_or(String::new(), |phase| format!("{phase:?}")) + if s.probing { " probe" } else { "" }
            );
        }
    }
}

/// When from `from` on the allocation reached `least` for good until `to`, seconds after `from`.
fn reached(school: &School, from: f64, to: f64, least: f64) -> f64 {
    let first = between(school, from, to).find(|sample| sample.allocated >= least);
    first.map_or(f64::INFINITY, |sample| sample.at as f64 / 1e6 - from)
}

fn report(name: &str, values: &[f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize];
    println!("{name:<44} median {:8.2}  p95 {:8.2}  worst {:8.2}", at(0.5), at(0.95), at(1.0));
}

#[test]
fn steps_are_followed() {
    for members in 1..=3 {
        let (mut down, mut down_queue, mut up, mut steady) = (vec![], vec![], vec![], vec![]);
        for seed in seeds() {
            let mut school = School::new(Shape::of(10_000_000), tier(Some(10.0)), members, seed);
            school.run(20);
            let top = school.samples.last().map_or(0.0, |s| s.allocated);
            steady.push(top);
            school.bottleneck.shape.rate = 4_000_000;
            school.run(20);
            let at4 = school.samples.last().map_or(0.0, |s| s.allocated);
            school.bottleneck.shape.rate = 1_000_000;
            school.run(30);
            school.bottleneck.shape.rate = 4_000_000;
            school.run(30);
            for (from, to) in [(20.0, 40.0), (40.0, 70.0)] {
                let last_long = between(&school, from, from + 8.0).filter(|s| s.waits > 60.0 && !s.probing).last();
                down.push(last_long.map_or(0.0, |s| s.at as f64 / 1e6 - from));
                down_queue.push(p95(between(&school, from + 2.0, to).map(|s| s.waits)));
            }
            if std::env::var("LINE_EACH").is_ok() {
                eprintln!("{members} members, seed {seed}: {:?}", &down_queue[down_queue.len() - 2..]);
            }
            up.push(reached(&school, 70.0, 100.0, (at4 * 0.99).min(2.64e6)));
            if traced(seed, &format!("steps{members}")) {
                trace(&school);
            }
        }
        report(&format!("{members}: rate at 10M, Mbit/s"), &steady.iter().map(|v| v / 1e6).collect::<Vec<_>>());
        report(&format!("{members}: step down, last queue > 60 ms after, s"), &down);
        report(&format!("{members}: queue p95 from 2 s after the step, ms"), &down_queue);
        report(&format!("{members}: step up, back after, s"), &up);
    }
}

/// Nothing happens for two minutes: steps that are taken back in a minute, the queue, the use.
fn steady(name: &str, shape: Shape, tier: LineTier, members: usize) -> Vec<f64> {
    let (mut back, mut queue, mut used, mut estimate) = (vec![], vec![], vec![], vec![]);
    for seed in seeds() {
        let mut school = School::new(shape, tier, members, seed);
        school.run(120);
        back.push(taken_back(&school, 20.0, 120.0));
        queue.push(p95(between(&school, 20.0, 120.0).map(|s| s.waits)));
        used.push(mean(between(&school, 20.0, 120.0).map(|s| s.allocated / 1e6)));
        estimate.push(mean(between(&school, 20.0, 120.0).map(|s| s.estimate / 1e6)));
        if traced(seed, &format!("{name} {members}")) {
            trace(&school);
        }
    }
    report(&format!("{name}, {members}: steps taken back in a minute"), &back);
    report(&format!("{name}, {members}: queue p95, ms"), &queue);
    report(&format!("{name}, {members}: allocated, Mbit/s"), &used);
    report(&format!("{name}, {members}: estimate, Mbit/s"), &estimate);
    estimate
}

fn traced(seed: u64, name: &str) -> bool {
    let wanted = |key, value: &str| std::env::var(key).is_ok_and(|wanted| wanted == value);
    wanted("LINE_SEED", &seed.to_string()) && wanted("LINE_TRACE", name)
}

#[test]
fn a_steady_line_stays_steady() {
    for members in 1..=3 {
        steady("4M", Shape::of(4_000_000), tier(Some(4.0)), members);
        steady("4M of unknown tier", Shape::of(4_000_000), tier(None), members);
        steady("3M sold as 10M", Shape::of(3_000_000), tier(Some(10.0)), members);
    }
}

#[test]
fn random_loss_is_no_congestion() {
    for members in 1..=3 {
        for rate in [4.0, 10.0] {
            let shape = Shape::of((rate * 1e6) as u64);
            let clean = steady(&format!("{rate}M clean"), shape, tier(Some(10.0)), members);
            let lossy = steady(&format!("{rate}M 5 % loss"), Shape { loss: 0.05, ..shape }, tier(Some(10.0)), members);
            let ratio: Vec<_> = clean.iter().zip(&lossy).map(|(clean, lossy)| lossy / clean).collect();
            report(&format!("{rate}M, {members}: estimate with loss / without"), &ratio);
        }
    }
}

#[test]
fn jitter_is_no_congestion() {
    for (name, reorders) in [("jitter that reorders", true), ("jitter in order", false)] {
        for members in 1..=3 {
            let shape = Shape { delay: 70, jitter: 60, reorders, ..Shape::of(4_000_000) };
            steady(name, shape, tier(Some(10.0)), members);
        }
    }
}

/// The line is as it was, `disturb` happens to it for 30 s, and then it is as it was again.
fn disturbed(name: &str, members: usize, disturb: impl Fn(&mut School), undo: impl Fn(&mut School)) -> [Vec<f64>; 3] {
    let (mut back, mut least, mut share) = (vec![], vec![], vec![]);
    for seed in seeds() {
        let mut school = School::new(Shape::of(4_000_000), tier(Some(4.0)), members, seed);
        school.run(30);
        let before = school.samples.last().map_or(0.0, |s| s.allocated);
        disturb(&mut school);
        school.run(30);
        undo(&mut school);
        school.run(30);
        back.push(reached(&school, 60.0, 90.0, before * 0.99));
        let floor = mean(between(&school, 40.0, 60.0).map(|s| f64::from(s.steps >= 1)));
        least.push(floor);
        share.push(mean(between(&school, 40.0, 60.0).map(|s| s.allocated / 1e6)));
        if traced(seed, &format!("{name} {members}")) {
            trace(&school);
        }
    }
    report(&format!("{name}, {members}: back after, s"), &back);
    report(&format!("{name}, {members}: allocated meanwhile, Mbit/s"), &share);
    report(&format!("{name}, {members}: all had slides, part of the time"), &least);
    [back, share, least]
}

#[test]
fn a_line_comes_back_to_what_it_had() {
    for members in 1..=3 {
        disturbed("1M", members, |s| s.bottleneck.shape.rate = 1_000_000, |s| s.bottleneck.shape.rate = 4_000_000);
        disturbed("300k", members, |s| s.bottleneck.shape.rate = 300_000, |s| s.bottleneck.shape.rate = 4_000_000);
        disturbed("outage", members, |s| s.bottleneck.shape.cut = true, |s| s.bottleneck.shape.cut = false);
        disturbed("30 % loss", members, |s| s.bottleneck.shape.loss = 0.3, |s| s.bottleneck.shape.loss = 0.0);
        disturbed(
            "clock set",
            members,
            |s| s.members.iter_mut().for_each(|m| m.clock += 5_000_000),
            |s| {
                s.members.iter_mut().for_each(|m| m.clock -= 9_000_000);
            },
        );
        disturbed("longer way", members, |s| s.bottleneck.shape.delay += 60, |s| s.bottleneck.shape.delay -= 60);
        disturbed("download", members, |s| s.download = Some(Download::new()), |s| s.download = None);
    }
}

#[test]
fn a_narrow_last_metre_is_its_members_only() {
    let (mut narrow, mut other, mut queue) = (vec![], vec![], vec![]);
    for seed in seeds() {
        let mut school = School::new(Shape::of(10_000_000), tier(Some(10.0)), 3, seed);
        school.members[1].last_metre =
            Some(Bottleneck::new(Shape { delay: 1, ..Shape::of(1_000_000) }, chance::Chance::new(seed)));
        school.run(60);
        let before = [school.members[0].media_arrived, school.members[1].media_arrived];
        let (mut waits, mut steps) = (vec![], vec![]);
        for _ in 0..60 {
            school.run(1);
            waits.extend(school.members[1].last_metre.as_ref().map(Bottleneck::waits));
            steps.push(school.members[0].step as f64);
        }
        narrow.push((school.members[1].media_arrived - before[1]) as f64 * 8.0 / 60e6);
        other.push(mean(steps.into_iter()));
        if std::env::var("LINE_EACH").is_ok() {
            println!("seed {seed}: {waits:?} {:?}", school.members[1].step);
        }
        queue.push(p95(waits.into_iter()));
    }
    report("narrow member: Mbit/s", &narrow);
    report("narrow member: queue p95, ms", &queue);
    report("other member: step", &other);
}
