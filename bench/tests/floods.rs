//! A lesson goes on in every kind of flood, and nothing is kept of those who have left.

use std::time::Duration;

use mingshi::worker::clock;
use mingshi_bench::load::flood::{Aim, Flood, Size, Tally, settings};
use mingshi_bench::load::measure::{Measured, resident};
use mingshi_bench::load::person::{Heard, Person};
use mingshi_bench::load::server::{Server, program};

/// Memory may grow so far under a small flood (kB).
const GROWTH: u64 = 96 * 1024;
/// Gauges are told every two seconds, what limits remember is looked through every five.
const LOOK: Duration = Duration::from_millis(500);
/// Who leaves without a word is noticed after 20 s.
const FORGOTTEN: Duration = Duration::from_secs(60);

fn times(tally: &Tally, what: &str) -> u64 {
    tally.get(what).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_goes_on_in_every_flood_and_who_comes_meanwhile_gets_in() {
    let size = Size { count: 1_200, rate: 4_000, lasts: Duration::from_millis(1_500) };
    let (settings, https) = settings().expect("a free port");
    let server = Server::start(&program().expect("the server is built"), &settings).await.expect("a server");
    let lesson = server.lesson().await.expect("a lesson");
    let aim = Aim::at(&server, &lesson, https).await.expect("a token");
    let began = clock::now();
    let _teacher = Person::teacher(&server, &lesson, began).await.expect("a teacher");
    let mut classrooms = Vec::new();
    for _ in 0..2 {
        let classroom = Person::classroom(&server, &lesson, began).await.expect("a classroom");
        classroom.hears().await.expect("the teacher is heard");
        classrooms.push(classroom);
    }
    let memory = resident(server.pid()).expect("it runs");
    for flood in Flood::ALL {
        classrooms.iter().for_each(Person::count_anew);
        let newcomer = async {
            let newcomer = Person::classroom(&server, &lesson, began).await?;
            newcomer.hears().await?;
            newcomer.leave(&server).await
        };
        let (tally, newcomer) = tokio::join!(flood.pour(&aim, size), newcomer);
        let tally = tally.unwrap_or_else(|error| panic!("{flood:?}: {error:#}"));
        newcomer.unwrap_or_else(|error| panic!("{flood:?}: a newcomer: {error:#}"));
        let heard = Heard::over(classrooms.iter().map(Person::heard));
        // Fifty packets a second to two classrooms; how many there were tells that they came all through the flood.
        assert!(heard.voice > 75 && heard.missing * 50 <= heard.voice, "{flood:?}: {heard:?}");
        let grown = resident(server.pid()).expect("it runs").saturating_sub(memory);
        assert!(grown < GROWTH, "{flood:?}: {grown} kB more");
        let met = match flood {
            Flood::Silent | Flood::SlowHttp | Flood::SlowTls => times(&tally, "still open at the end") <= 1_024,
            Flood::SlowIce => times(&tally, "still open at the end") <= 512,
            Flood::Abandoned => (1..=2 * 400).contains(&times(&tally, "offer 201")),
            Flood::Stun | Flood::ForgedChecks | Flood::Hellos => times(&tally, "answers") == 0,
            // So many datagrams of one association are read at all, and each is answered with a cookie.
            Flood::CheckedHellos => times(&tally, "answers") <= 256 && times(&tally, "octets of answers") < 16_384,
            // A hundred and twenty, and two for each second since.
            Flood::Tokens => {
                times(&tally, "200") <= 140 && times(&tally, "429 with Retry-After") > 0 && times(&tally, "401") > 0
            }
            // Thirty, and what was on its way when the last of them failed.
            Flood::Codes => times(&tally, "404") <= 100 && times(&tally, "429 with Retry-After") > 0,
        };
        assert!(met, "{flood:?}: {tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_those_who_left_whatever_way() {
    let server = Server::start(&program().expect("the server is built"), &[]).await.expect("a server");
    let lesson = server.lesson().await.expect("a lesson");
    let nobody = Measured::of(&server).await.expect("it runs");
    let began = clock::now();
    let teacher = Person::teacher(&server, &lesson, began).await.expect("a teacher");
    tokio::time::sleep(LOOK * 6).await;
    let before = Measured::of(&server).await.expect("it runs");
    let mut classrooms = Vec::new();
    for _ in 0..9 {
        let mut classroom = Person::classroom(&server, &lesson, began).await.expect("a classroom");
        classroom.watch(&server, &lesson).await.expect("its page");
        classroom.hears().await.expect("the teacher is heard");
        classrooms.push(classroom);
    }
    tokio::time::sleep(LOOK * 6).await;
    let meanwhile = Measured::of(&server).await.expect("it runs").left_behind(&before);
    for kept in ["connections", "fragments", "endpoints", "subscribers", "subscriptions"] {
        assert!(
            meanwhile.iter().any(|text| text.contains(&format!("worker_entries {kept} "))),
            "{kept}: {meanwhile:?}"
        );
    }
    for kept in ["websockets ", "lesson_pages ", "participants ", "lesson_entries told_people "] {
        assert!(meanwhile.iter().any(|text| text.starts_with(kept)), "{kept}: {meanwhile:?}");
    }
    // A third says goodbye, a third cuts its websocket and then says goodbye, a third vanishes.
    for (number, mut classroom) in classrooms.into_iter().enumerate() {
        match number % 3 {
            0 => classroom.leave(&server).await.expect("it is known"),
            1 => {
                classroom.cut_websocket();
                classroom.leave(&server).await.expect("it is known");
            }
            _ => drop(classroom),
        }
    }
    until_nothing_is_left_of(&server, &before).await;
    teacher.leave(&server).await.expect("it is known");
    server.end(&lesson).await.expect("it ends");
    until_nothing_is_left_of(&server, &nobody).await;
}

async fn until_nothing_is_left_of(server: &Server, before: &Measured) {
    let deadline = clock::now() + FORGOTTEN;
    loop {
        let left = Measured::of(server).await.expect("it runs").left_behind(before);
        if left.is_empty() {
            return;
        }
        assert!(clock::now() < deadline, "left behind: {left:?}");
        tokio::time::sleep(LOOK).await;
    }
}
