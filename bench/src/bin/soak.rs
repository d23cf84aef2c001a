//! Whether the server holds more and more: `soak joins COUNT` or `soak lesson RECEIVERS SECONDS`.
//!
//! It starts the `mingshi` beside it on loopback, looks at the process and its metrics before, meanwhile and after, and
//! prints a table in Markdown. Exit code 1: memory grew by more than 5 % after the warm-up, or something was left behind.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mingshi::worker::clock;
use mingshi_bench::load::measure::{Measured, machine};
use mingshi_bench::load::person::{Heard, Person};
use mingshi_bench::load::server::{Lesson, Server, program};

/// Who comes and goes at a time.
const AT_ONCE: u64 = 8;
/// Of so many rows a table is made.
const ROWS: u64 = 20;
/// Resident memory may move so far from what it was after the warm-up.
const TOLERANCE: f64 = 0.05;
/// By then connections without a goodbye have expired, and what was freed has been given back.
const SETTLE: Duration = Duration::from_secs(40);
/// What limits remember is looked through every five seconds, idle connections of clients are closed.
const UPKEEP: Duration = Duration::from_secs(12);

/// What the table shows; the verdict looks at everything.
const SHOWN: [&str; 7] = [
    "connections",
    "worker_entries endpoints",
    "worker_entries subscriptions",
    "websockets",
    "tasks",
    "lesson_entries remembered_people",
    "rate_limit_entries participants",
];
/// Gauges are told every two seconds.
const METRICS_LAG: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // All clients have one address.
    let settings = [("MINGSHI_AUTH_REQUESTS_PER_ADDRESS_PER_MINUTE", "100000".to_owned())];
    let server = Server::start(&program()?, &settings).await?;
    let lesson = server.lesson().await?;
    let flat = match words[..] {
        ["joins", count] => joins(&server, &lesson, count.parse()?).await?,
        ["lesson", receivers, seconds] => {
            hold(&server, &lesson, receivers.parse()?, Duration::from_secs(seconds.parse()?)).await?
        }
        _ => bail!("soak joins COUNT | soak lesson RECEIVERS SECONDS"),
    };
    println(&format!("\nServer's warnings: {}", std::fs::read_to_string(server.log())?.lines().count()));
    Ok(if flat { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Classrooms come with the join code, connect, hear voice, and leave; every fourth vanishes without a word.
async fn joins(server: &Server, lesson: &Lesson, count: u64) -> anyhow::Result<bool> {
    let began = clock::now();
    let nobody = Measured::of(server).await?;
    let teacher = Person::teacher(server, lesson, began).await?;
    println(&format!("## {count} joins and leaves\n\n{}\n", machine()));
    println("| joins | seconds | resident (kB) | descriptors | threads | alive |\n|---|---|---|---|---|---|");
    tokio::time::sleep(METRICS_LAG).await;
    let empty = look(server, 0, began).await?;
    let step = (count / ROWS).max(AT_ONCE);
    let mut done = 0;
    let mut warm = None;
    while done < count {
        let until = (done + step).min(count);
        let visits = (0..AT_ONCE).map(|nth| visits(server, lesson, began, done + nth, until));
        futures_util::future::try_join_all(visits).await?;
        done = until;
        let measured = look(server, done, began).await?;
        // A fifth of all joins fills caches, pools and tables, the arenas of the allocator's threads among them, to the size
        // that they keep.
        if done * 5 >= count {
            warm.get_or_insert(measured);
        }
    }
    tokio::time::sleep(SETTLE).await;
    let settled = look(server, done, began).await?;
    let warm = warm.context("somebody came")?;
    Ok(verdict(&warm, &settled, &empty) & ended(server, lesson, teacher, &nobody).await?)
}

/// The lesson ends, and nothing at all is kept of it.
async fn ended(server: &Server, lesson: &Lesson, teacher: Person, nobody: &Measured) -> anyhow::Result<bool> {
    teacher.leave(server).await?;
    server.end(lesson).await?;
    tokio::time::sleep(UPKEEP).await;
    let left = Measured::of(server).await?.left_behind(nobody);
    println(&format!("\nAfter the lesson's end, left behind: {}", listed(&left)));
    Ok(left.is_empty())
}

fn listed(left: &[String]) -> String {
    if left.is_empty() { "nothing".to_owned() } else { left.join(", ") }
}

async fn visits(server: &Server, lesson: &Lesson, began: Instant, first: u64, until: u64) -> anyhow::Result<()> {
    for number in (first..until).step_by(AT_ONCE as usize) {
        let mut classroom = Person::classroom(server, lesson, began).await?;
        classroom.watch(server, lesson).await?;
        classroom.hears().await?;
        if number % 4 != 3 {
            classroom.leave(server).await?;
        }
    }
    Ok(())
}

/// A lesson goes on with the same receivers.
async fn hold(server: &Server, lesson: &Lesson, receivers: u64, length: Duration) -> anyhow::Result<bool> {
    let began = clock::now();
    let nobody = Measured::of(server).await?;
    let teacher = Person::teacher(server, lesson, began).await?;
    println(&format!("## A lesson of {} s with {receivers} light receivers\n\n{}\n", length.as_secs(), machine()));
    println("| receivers | seconds | resident (kB) | descriptors | threads | alive |\n|---|---|---|---|---|---|");
    tokio::time::sleep(METRICS_LAG).await;
    let empty = look(server, 0, began).await?;
    let mut classrooms = Vec::new();
    for _ in 0..receivers {
        let mut classroom = Person::classroom(server, lesson, began).await?;
        classroom.watch(server, lesson).await?;
        classroom.hears().await?;
        classrooms.push(classroom);
    }
    look(server, receivers, began).await?;
    // Caches of the encodings fill in the first twentieth.
    let (step, mut looks) = (length / ROWS as u32, Vec::new());
    classrooms.iter().for_each(Person::count_anew);
    for _ in 0..ROWS {
        tokio::time::sleep(step).await;
        looks.push(look(server, receivers, began).await?);
    }
    let heard = Heard::over(classrooms.iter().map(Person::heard));
    for classroom in classrooms {
        classroom.leave(server).await?;
    }
    tokio::time::sleep(SETTLE).await;
    let settled = look(server, 0, began).await?;
    println(&format!(
        "\nVoice packets received: {}, missing {}, out of order or twice {}; longest delay {:.0} ms, longest gap {:.0} ms; packets of pictures: {}",
        heard.voice,
        heard.missing,
        heard.disordered,
        heard.longest_delay.as_secs_f64() * 1e3,
        heard.longest_gap.as_secs_f64() * 1e3,
        heard.pictures
    ));
    let (Some(warm), Some(last)) = (looks.first(), looks.last()) else { bail!("nothing was measured") };
    let kept = verdict(warm, last, last) & verdict(warm, &Measured { resident: warm.resident, ..settled }, &empty);
    Ok(kept & ended(server, lesson, teacher, &nobody).await?)
}

async fn look(server: &Server, number: u64, began: Instant) -> anyhow::Result<Measured> {
    let measured = Measured::of(server).await?;
    let Measured { resident, descriptors, threads, alive } = &measured;
    let alive: Vec<String> = SHOWN
        .iter()
        .filter_map(|name| alive.get(*name).map(|value| format!("{} {value}", name.replace('_', " "))))
        .collect();
    let seconds = (clock::now() - began).as_secs();
    println(&format!("| {number} | {seconds} | {resident} | {descriptors} | {threads} | {} |", alive.join(", ")));
    Ok(measured)
}

/// Memory is what it was when warm, and of everything there is no more than before anybody came.
fn verdict(warm: &Measured, last: &Measured, before: &Measured) -> bool {
    let grown = last.resident as f64 / warm.resident as f64 - 1.0;
    // The metrics' own connection is open when it asks.
    let descriptors = last.descriptors as i64 - before.descriptors as i64;
    let left = last.left_behind(before);
    println(&format!(
        "\nResident memory {:+.1} % since warm, descriptors {descriptors:+}, left behind: {}",
        grown * 100.0,
        listed(&left)
    ));
    grown <= TOLERANCE && descriptors <= AT_ONCE as i64 && left.is_empty()
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn println(line: &str) {
    println!("{line}");
}
