//! Whether a lesson can be explained afterwards: what pages measure, the metrics, the log, and what is made of them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mingshi::config::Config;
use mingshi::id::{ConnectionId, LessonId, ParticipantId, PublicationId, SourceName};
use mingshi::server;
use mingshi::worker::mailbox::{Closed, End, LineReport, MediaKind, PublicationReport, Report, SlotKind, SlotState};
use serde_json::{Value, json};

use crate::events::Page;
use crate::support::{Site, id, path, word};

/// A lesson with one classroom that is connected and receives the teacher's voice.
struct Class {
    site: Site,
    operator: String,
    lesson: Value,
    page: Page,
    participant: ParticipantId,
    connection: ConnectionId,
}

impl Class {
    async fn begin(site: Site) -> Self {
        let operator = site.operator().await;
        let lesson = site.lesson(&operator, true).await;
        let token = site.token(&operator, &lesson, "classroom").await;
        let mut page = Page::open(&site, &lesson, &token).await;
        let participant = id(&page.expect("welcome").await, "participant");
        let answer = site.offer(&format!("/whep/{}", word(&lesson, "id")), &token).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let connection = answer.header("location").rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
        let mut class = Self { site, operator, lesson, page, participant, connection };
        let lesson = class.id();
        class.report(Report::Up { lesson, participant, connection }).await;
        class.page.expect("participant").await;
        let slot = SlotState {
            slot: SlotKind::Voice,
            index: 0,
            mid: "0".into(),
            publication: Some(PublicationId::from_u64(7)),
            layer: Some(0),
            paused: None,
        };
        class.report(Report::Slots { lesson, participant, connection, slots: vec![slot] }).await;
        class.page.expect("slots").await;
        class
    }

    fn id(&self) -> LessonId {
        id(&self.lesson, "id")
    }

    async fn report(&self, report: Report) {
        self.site.reports.send(report).await.expect("the directory listens");
    }

    async fn lose(&self, loss: f32) {
        let line = LineReport {
            loss,
            round_trip: Some(Duration::from_millis(80)),
            octets: 250_000,
            packets: 300,
            asked_again: 4,
            keyframe_requests: 9,
            ..LineReport::default()
        };
        let (lesson, participant, connection) = (self.id(), self.participant, self.connection);
        self.report(Report::Line { lesson, participant, connection, line }).await;
    }

    async fn metrics(&self) -> String {
        self.site.get("/metrics", "").await.text
    }
}

fn stats(concealed: u32) -> Value {
    json!({ "type": "stats", "stats": {
        "over_ms": 5000, "path": { "transport": "udp", "round_trip_ms": 80, "available_outgoing": null }, "sent": [],
        "slots": [{ "slot": "voice", "index": 0, "codec": "opus", "received": 250, "lost": 0, "jitter_buffer_ms": 60,
            "frames_decoded": 0, "frames_dropped": 0, "freezes": 0, "frozen_ms": 1500, "width": null, "height": null,
            "samples": 240_000, "concealed": concealed }] } })
}

#[tokio::test]
async fn what_a_page_measures_is_seen_by_the_studio_the_operator_and_prometheus() {
    let site = Site::configured(|config| config.metrics.per_connection = true).await;
    let mut class = Class::begin(site).await;
    class.page.say(stats(0)).await;
    assert_eq!(class.page.expect("participant").await["participant"]["line"], "good");
    class.lose(0.25).await;

    let listed = class.site.get(&path(&class.lesson, "/participants"), &class.operator).await.expect(200);
    let whole = listed.to_string();
    let [classroom] = listed["participants"].as_array().expect("a list").as_slice() else { panic!("{whole}") };
    assert_eq!(classroom["participant"]["line"], "good");
    assert_eq!(classroom["stats"]["slots"][0]["received"], 250);
    let token = class.site.token(&class.operator, &class.lesson, "classroom").await;
    class.site.get(&path(&class.lesson, "/participants"), &token).await.problem(403, "role_not_allowed");

    let lesson = class.id();
    let metrics = class.metrics().await;
    for line in [
        format!("mingshi_lesson_classrooms{{lesson=\"{lesson}\",line=\"good\"}} 1"),
        format!("mingshi_lesson_voice_concealed_ratio{{lesson=\"{lesson}\",of=\"most\"}} 0"),
        format!("mingshi_lesson_frozen_seconds_total{{lesson=\"{lesson}\"}} 1.5"),
        format!("mingshi_lesson_bytes_total{{lesson=\"{lesson}\",direction=\"down\"}} 250000"),
        format!("mingshi_lesson_loss_ratio{{lesson=\"{lesson}\",direction=\"down\",of=\"most\"}} 0.25"),
        format!("connection=\"{}\",direction=\"down\"}} 300", class.connection),
        format!("connection=\"{}\",slot=\"voice\",index=\"0\"}} 0", class.connection),
        "# TYPE mingshi_voice_concealed_ratio histogram".into(),
    ] {
        assert!(metrics.contains(&line), "{line} is missing in\n{metrics}");
    }

    let (participant, connection) = (class.participant, class.connection);
    class.report(Report::Down { lesson, participant, connection, why: Closed::Expired }).await;
    class.page.expect("slots").await;
    let told = class.page.expect("participant").await;
    assert_eq!(told["participant"]["line"], Value::Null, "what was measured of a connection ends with it");
    let metrics = class.metrics().await;
    assert!(!metrics.contains(&class.connection.to_string()), "a connection's series end with it:\n{metrics}");
    assert!(metrics.contains(&format!("mingshi_lesson_bytes_total{{lesson=\"{lesson}\",direction=\"down\"}} 250000")));
    class.site.post(&path(&class.lesson, "/end"), &class.operator, json!({})).await.expect(200);
    assert!(!class.metrics().await.contains(&lesson.to_string()), "a lesson's series end with it");
}

#[tokio::test]
async fn connections_have_series_of_their_own_only_where_wanted() {
    let class = Class::begin(Site::start().await).await;
    class.lose(0.0).await;
    assert!(class.metrics().await.contains(&format!("mingshi_lesson_participants{{lesson=\"{}\"}} 1", class.id())));
    assert!(!class.metrics().await.contains(&class.connection.to_string()));
    let class = Class::begin(Site::configured(|config| config.metrics.lessons = 0).await).await;
    assert!(!class.metrics().await.contains(&class.id().to_string()));
}

#[tokio::test]
async fn measurements_that_come_too_often_or_make_no_sense_change_nothing() {
    let mut class = Class::begin(Site::start().await).await;
    class.page.say(stats(0)).await;
    class.page.expect("participant").await;
    class.page.say(stats(200_000)).await;
    class.page.expect_nothing().await;
    let slot = stats(0)["stats"]["slots"][0].clone();
    let mut wrong = stats(0);
    wrong["stats"]["slots"][0]["received"] = json!(-1);
    class.page.say(wrong).await;
    assert_eq!(class.page.expect("problem").await["problem"]["code"], "bad_json");
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    let mut endless = stats(0);
    endless["stats"]["slots"] = json!(vec![slot; 17]);
    class.page.say(endless).await;
    assert_eq!(class.page.expect("problem").await["problem"]["code"], "bad_json");
    let text = class.metrics().await;
    assert!(text.contains("mingshi_page_stats_refused_total{reason=\"too_often\"}"), "{text}");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics while noting").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_tells_why_a_classroom_was_silent() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let mut class = Class::begin(Site::start().await).await;
    let (lesson, participant, connection) = (class.id(), class.participant, class.connection);
    let teacher = PublicationReport {
        id: PublicationId::from_u64(7),
        participant: ParticipantId::from_u64(1),
        connection: ConnectionId::from_u64(64),
        end: End::Studio,
        source: SourceName::camera(),
        kind: MediaKind::Voice,
        codec: Some("opus"),
        layers: Vec::new(),
        silent: false,
    };
    for silent in [false, true, false] {
        let publication = PublicationReport { silent, ..teacher.clone() };
        class.report(Report::Publication { lesson, publication }).await;
    }
    class.report(Report::PublicationEnded { lesson, publication: teacher.id, why: Closed::Replaced }).await;
    class.lose(0.25).await;
    class.report(Report::Down { lesson, participant, connection, why: Closed::Expired }).await;
    while class.page.hear().await["participant"]["connected"] != json!(false) {}
    let token = class.site.token(&class.operator, &class.lesson, "classroom").await;
    let answer = class.site.offer(&format!("/whep/{}", word(&class.lesson, "id")), &token).await;
    let second = answer.header("location").rsplit('/').next().expect("a connection").to_owned();
    class.site.post(&path(&class.lesson, "/end"), &class.operator, json!({})).await.expect(200);

    let text = String::from_utf8(lines.0.lock().expect("no test panics while noting").clone()).expect("lines are text");
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
    let of_lesson: Vec<&Value> =
        told.iter().map(|line| &line["fields"]).filter(|fields| fields["lesson"] == lesson.to_string()).collect();
    let find = |message: &str| {
        of_lesson
            .iter()
            .find(|fields| fields["message"] == message)
            .unwrap_or_else(|| panic!("no {message:?} in\n{text}"))
    };
    for message in [
        "lesson created",
        "lesson moved on",
        "page opened",
        "participant came",
        "connection accepted",
        "publication begins",
        "publication silent",
        "publication wakes",
    ] {
        find(message);
    }
    assert_eq!(find("slot flows")["slot"], "voice");
    assert_eq!(find("publication ended")["why"], "replaced");
    assert_eq!(find("many keyframe requests")["requests"], 9);
    let ended = find("connection ended");
    assert_eq!((&ended["why"], &ended["loss"]), (&json!("expired"), &json!(0.25)));
    assert_eq!(ended["connection"], connection.to_string());
    assert_eq!(ended["participant"], participant.to_string());
    let with_lesson = of_lesson.iter().find(|fields| fields["why"] == "lesson_ended").expect("the second one's end");
    assert_eq!((&with_lesson["message"], &with_lesson["connection"]), (&json!("connection ended"), &json!(second)));
    assert_eq!(find("participant left")["participant"], participant.to_string());
    assert!(!text.contains(&class.operator) && !text.contains(&word(&class.lesson, "join_code")), "{text}");
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("mingshi_") || word.starts_with("process_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_metric_that_dashboard_and_rules_ask_for_exists() {
    // Media threads of its own, for what they count; the recorder is one for the whole process.
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.server.data = folder.path().join("data");
    config.server.http = "127.0.0.1:0".parse().ok();
    config.server.https = "127.0.0.1:0".parse().ok();
    (config.media.workers, config.media.udp_port) = (Some(1), 0);
    let running = server::start(&config).await.expect("free ports");

    let mut class = Class::begin(Site::configured(|config| config.metrics.per_connection = true).await).await;
    class.page.say(stats(24_000)).await;
    class.page.expect("participant").await;
    class.lose(0.1).await;
    let read = |file: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file)).expect("it is there")
    };
    let dashboard: Value = serde_json::from_str(&read("grafana/mingshi.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let asked = panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let mut asked: Vec<String> = asked.map(|target| word(&target, "expr")).collect();
    let rules = read("prometheus/alerts.yml") + &read("prometheus/recording.yml");
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ").map(str::to_owned));
    asked.extend(expressions);
    assert!(asked.len() > 30, "{asked:?}");
    let recorded: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    let wanted: BTreeSet<String> = asked.iter().flat_map(|expression| names(expression)).collect();

    let mut missing = wanted.clone();
    for _ in 0..100 {
        let known = names(&class.metrics().await);
        missing.retain(|name| !known.contains(name));
        if missing.is_empty() {
            break;
        }
        // Media threads hand their counts over once a second, certificates and database are looked at by themselves.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(missing.is_empty(), "asked for and not there: {missing:?}");
    for expression in asked.iter().filter(|expression| expression.contains("instance:")) {
        assert!(recorded.iter().any(|name| expression.contains(name)), "{expression} is not recorded");
    }
    running.stop().await;
}
