//! What goes on, and what is told, when the server is about to stop, its clock is set, or its database is held.

use mingshi::id::{ConnectionId, ParticipantId};
use mingshi::worker::mailbox::{Closed, Report};
use serde_json::json;
use sqlx::Connection;
use time::Duration;

use crate::events::Page;
use crate::support::{Asked, Site, id, path, word};

#[tokio::test]
async fn a_server_that_drains_lets_in_only_who_is_in_the_lesson_already() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let other = site.lesson(&operator, false).await;
    let code = word(&lesson, "join_code");
    let joined = site.post("/api/v1/join", "", json!({ "code": code })).await.expect(200);
    let (token, whep) = (word(&joined, "token"), format!("/whep/{}", word(&lesson, "id")));
    assert_eq!(site.offer(&whep, &token).await.status, 201);
    let stranger = site.token(&operator, &lesson, "classroom").await;

    site.running.state.drain();
    let refused = site.get("/readyz", "").await.problem(503, "stopping");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(site.get("/healthz", "").await.status, 200);
    site.post("/api/v1/join", "", json!({ "code": code })).await.problem(503, "stopping");
    site.offer(&whep, &stranger).await.problem(503, "stopping");
    site.post("/api/v1/lessons", &operator, json!({ "title": "数学" })).await.problem(503, "stopping");
    site.post(&path(&other, "/start"), &operator, json!({})).await.problem(503, "stopping");

    let again = json!({ "code": code, "participant": joined["participant"] });
    assert_eq!(site.post("/api/v1/join", "", again).await.expect(200)["participant"], joined["participant"]);
    assert_eq!(site.offer(&whep, &token).await.status, 201, "a break of its line is mended");
    site.post(&path(&lesson, "/end"), &operator, json!({})).await.expect(200);
}

#[tokio::test]
async fn who_is_on_stage_is_there_again_after_a_restart() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let token = site.token(&operator, &lesson, "classroom").await;
    let mut page = Page::open(&site, &lesson, &token).await;
    let pupil: ParticipantId = id(&page.expect("welcome").await, "participant");
    let stage = json!({ "participants": [pupil] });
    site.send(site.ask(reqwest::Method::PUT, &path(&lesson, "/stage"), &operator).json(&stage)).await.expect(200);
    drop(page);

    let site = site.restart().await;
    assert_eq!(site.media.asked(), [Asked::Stage(vec![pupil])], "the media side is told before anybody is back");
    let mut page = Page::open(&site, &lesson, &token).await;
    let welcome = page.expect("welcome").await;
    assert_eq!(
        (&welcome["participants"][0]["id"], &welcome["participants"][0]["on_stage"]),
        (&json!(pupil), &json!(true))
    );
    let nobody = json!({ "participants": [] });
    site.send(site.ask(reqwest::Method::PUT, &path(&lesson, "/stage"), &operator).json(&nobody)).await.expect(200);
    assert_eq!(site.restart().await.media.asked(), []);
}

#[tokio::test]
async fn a_clock_that_is_set_throws_nobody_out() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let whip = format!("/whip/{}", word(&lesson, "id"));
    for hours in [1, -1, 100, 0] {
        site.set_clock(Duration::hours(hours));
        site.offer(&whip, &studio).await;
        assert_eq!(site.offer(&whip, &studio).await.status, 201, "{hours} hours off");
        let renewed = site.post("/api/v1/token", &studio, json!({})).await.expect(200);
        let fresh = word(&site.post("/api/v1/token", &word(&renewed, "token"), json!({})).await.expect(200), "token");
        site.set_clock(Duration::ZERO);
        assert_eq!(site.offer(&whip, &fresh).await.status, 201, "made {hours} hours off, used when it is right again");
    }
    site.later(Duration::minutes(16));
    site.offer(&whip, &studio).await.problem(401, "token_expired");

    site.set_clock(Duration::hours(-2));
    let ended = site.post(&path(&lesson, "/end"), &operator, json!({})).await.expect(200);
    assert_eq!(ended["ended_at"], ended["started_at"], "no lesson ends before it began");
}

#[tokio::test]
async fn while_another_process_holds_the_database_lessons_go_on_and_writers_are_told() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let database = site.data().join("data").join("mingshi.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let mut intruder = sqlx::SqliteConnection::connect_with(&options).await.expect("another process");
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut intruder).await.expect("nobody else writes now");

    let writers = (0..6).map(|_| site.post("/api/v1/lessons", &operator, json!({ "title": "数学" })));
    let writing = futures_util::future::join_all(writers);
    let going_on = async {
        let code = word(&lesson, "join_code");
        let joined = site.post("/api/v1/join", "", json!({ "code": code })).await.expect(200);
        let token = word(&joined, "token");
        let mut page = Page::open(&site, &lesson, &token).await;
        page.expect("welcome").await;
        assert_eq!(site.offer(&format!("/whep/{}", word(&lesson, "id")), &token).await.status, 201);
        let stage = json!({ "participants": [joined["participant"]] });
        let put = site.ask(reqwest::Method::PUT, &path(&lesson, "/stage"), &operator).json(&stage);
        site.send(put).await.expect(200);
        page
    };
    let (refused, _page) = tokio::join!(writing, async {
        // None of this may wait for the writers, who wait for two seconds and more.
        tokio::time::timeout(std::time::Duration::from_millis(1_500), going_on).await.expect("a lesson is not held up")
    });
    for answer in refused {
        assert!(!answer.problem(503, "database_busy").header("retry-after").is_empty());
    }
    let ready = async |status: u16| {
        while site.get("/readyz", "").await.status != status {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    ready(503).await;
    site.get("/readyz", "").await.problem(503, "database_busy");

    sqlx::query("ROLLBACK").execute(&mut intruder).await.expect("it lets go");
    ready(200).await;
    let again = site.restart().await;
    assert!(
        matches!(again.media.asked()[..], [Asked::Stage(ref stage)] if stage.len() == 1),
        "the stage was saved at last"
    );
}

#[tokio::test]
async fn a_studio_that_was_away_is_told_what_was_taken_over_meanwhile() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let token = site.token(&operator, &lesson, "studio").await;
    let mut page = Page::open(&site, &lesson, &token).await;
    let welcome = page.expect("welcome").await;
    assert_eq!(welcome["replaced"], json!([]));
    let studio: ParticipantId = id(&welcome, "participant");
    let answer = site.offer(&format!("/whip/{}", word(&lesson, "id")), &token).await;
    let connection: ConnectionId =
        answer.header("location").rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
    drop(page);

    let down = Report::Down { lesson: id(&lesson, "id"), participant: studio, connection, why: Closed::Replaced };
    site.reports.send(down).await.expect("the directory runs");
    loop {
        let mut page = Page::open(&site, &lesson, &token).await;
        let welcome = page.expect("welcome").await;
        if welcome["replaced"] != json!([]) {
            let of = |source: &str| json!({ "source": source, "connection": connection });
            assert_eq!(welcome["replaced"], json!([of("camera"), of("slides")]));
            break;
        }
    }
}
