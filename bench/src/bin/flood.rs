//! Whether a lesson goes on in a flood: `flood [SECONDS [CONNECTIONS [DATAGRAMS-PER-SECOND]]]`, 20, 10000 and 50000 if left out.
//!
//! It starts the `mingshi` beside it on loopback, with a teacher and classrooms, and pours one kind of flood after the other
//! from another address of loopback, meanwhile a further classroom comes. It prints a table in Markdown. Exit code 1: a
//! voice packet was late or missing, the newcomer didn't get in, memory grew beyond its bound, or something was left behind.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use mingshi::worker::clock;
use mingshi_bench::load::flood::{Aim, Flood, Size, Tally, settings};
use mingshi_bench::load::measure::{Measured, machine, resident};
use mingshi_bench::load::person::{Heard, Person};
use mingshi_bench::load::server::{Lesson, Server, program};

const CLASSROOMS: usize = 8;
/// Between two floods; a limit per minute has refilled far enough for what comes next.
const PAUSE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);
/// By then connections that never came up are given up, and who guessed most has waited for all its tries.
const SETTLE: Duration = Duration::from_secs(300);
/// A listener notices more.
const LATE: Duration = Duration::from_millis(500);
/// Resident memory may grow so far in a flood (kB).
const GROWTH: u64 = 256 * 1024;

struct Outcome {
    tally: Tally,
    peak: u64,
    after: u64,
    heard: Heard,
    newcomer: anyhow::Result<Duration>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<u32> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let argument = |at: usize, otherwise: u32| arguments.get(at).copied().unwrap_or(otherwise);
    let size = Size {
        lasts: Duration::from_secs(argument(0, 20).into()),
        count: argument(1, 10_000) as usize,
        rate: argument(2, 50_000),
    };
    let (settings, https) = settings()?;
    let server = Server::start(&program()?, &settings).await?;
    let lesson = server.lesson().await?;
    let aim = Aim::at(&server, &lesson, https).await?;
    let began = clock::now();
    let teacher = Person::teacher(&server, &lesson, began).await?;
    let mut classrooms = Vec::new();
    for _ in 0..CLASSROOMS {
        let mut classroom = Person::classroom(&server, &lesson, began).await?;
        classroom.watch(&server, &lesson).await?;
        classroom.hears().await?;
        classrooms.push(classroom);
    }
    tokio::time::sleep(PAUSE).await;
    let before = Measured::of(&server).await?;
    println(&format!(
        "{}; a teacher and {CLASSROOMS} classrooms; each flood {} s, {} connections or offers, {} datagrams a second.\n\n\
         | flood | what came of it | memory before, highest, after (MB) | voice heard | missing | longest delay | longest gap | a newcomer hears after |\n\
         |---|---|---|---|---|---|---|---|",
        machine(),
        size.lasts.as_secs(),
        size.count,
        size.rate
    ));
    let mut untouched = true;
    let mut memory = resident(server.pid())?;
    row("none", memory, &watch(&server, &lesson, &classrooms, began, calm(size)).await?, &mut untouched);
    for flood in Flood::ALL {
        tokio::time::sleep(PAUSE).await;
        memory = resident(server.pid())?;
        let outcome = watch(&server, &lesson, &classrooms, began, flood.pour(&aim, size)).await?;
        row(flood.title(), memory, &outcome, &mut untouched);
    }
    tokio::time::sleep(SETTLE).await;
    let settled = Measured::of(&server).await?;
    let left = settled.left_behind(&before);
    let list = if left.is_empty() { "nothing".to_owned() } else { left.join(", ") };
    println(&format!(
        "\nFive minutes later: {} kB resident ({} before), left behind: {list}",
        settled.resident, before.resident
    ));
    drop((classrooms, teacher));
    Ok(if untouched && left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn calm(size: Size) -> anyhow::Result<Tally> {
    tokio::time::sleep(size.lasts).await;
    Ok(Tally::new())
}

/// Listens while the flood is poured; amid it one more classroom comes.
async fn watch(
    server: &Server,
    lesson: &Lesson,
    classrooms: &[Person],
    began: Instant,
    flood: impl Future<Output = anyhow::Result<Tally>>,
) -> anyhow::Result<Outcome> {
    classrooms.iter().for_each(Person::count_anew);
    let mut peak = 0;
    let arrival = async {
        tokio::time::sleep(LOOK * 10).await;
        let came = clock::now();
        let newcomer = Person::classroom(server, lesson, began).await?;
        newcomer.hears().await?;
        let after = clock::now() - came;
        newcomer.leave(server).await?;
        anyhow::Ok(after)
    };
    let looks = async {
        loop {
            peak = peak.max(resident(server.pid()).unwrap_or_default());
            tokio::time::sleep(LOOK).await;
        }
    };
    let both = async { tokio::join!(flood, arrival) };
    let (tally, newcomer) = tokio::select! {
        done = both => done,
        () = looks => unreachable!("it looks until the flood is over"),
    };
    let heard = Heard::over(classrooms.iter().map(Person::heard));
    Ok(Outcome { tally: tally?, peak, after: resident(server.pid())?, heard, newcomer })
}

fn row(title: &str, before: u64, outcome: &Outcome, untouched: &mut bool) {
    let Outcome { tally, peak, after, heard, newcomer } = outcome;
    let tally: Vec<String> = tally.iter().map(|(what, times)| format!("{what} {times}")).collect();
    let millis = |span: Duration| format!("{:.0} ms", span.as_secs_f64() * 1e3);
    let mb = |kb: u64| format!("{:.1}", kb as f64 / 1024.0);
    println(&format!(
        "| {title} | {} | {}, {}, {} | {} | {} | {} | {} | {} |",
        tally.join(", "),
        mb(before),
        mb(*peak),
        mb(*after),
        heard.voice,
        heard.missing,
        millis(heard.longest_delay),
        millis(heard.longest_gap),
        newcomer.as_ref().map_or_else(|error| format!("never: {error:#}"), |after| millis(*after)),
    ));
    *untouched &= heard.missing == 0
        && heard.longest_delay < LATE
        && heard.longest_gap < LATE
        && newcomer.is_ok()
        && peak.saturating_sub(before) < GROWTH;
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn println(line: &str) {
    println!("{line}");
}
