//! The lesson websocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mingshi::id::{ConnectionId, ParticipantId, PublicationId, SourceName};
use mingshi::worker::mailbox::{
    Closed, End, LayerReport, LineReport, MediaKind, PublicationReport, Report, SlotKind, SlotState,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::{Asked, Site, id, path, word};

/// Longer than anything here takes, shorter than anyone waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// One page.
pub(crate) struct Page(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Page {
    pub(crate) async fn open(site: &Site, lesson: &Value, token: &str) -> Self {
        let url = site.url(&path(lesson, "/events")).replacen("http", "ws", 1);
        let mut request = url.into_client_request().expect("an address");
        let protocols = format!("mingshi.v1, bearer.{token}");
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().expect("a header"));
        let (websocket, response) = tokio_tungstenite::connect_async(request).await.expect("an upgrade");
        assert_eq!(response.headers()["sec-websocket-protocol"], "mingshi.v1");
        Self(websocket)
    }

    pub(crate) async fn frame(&mut self) -> Message {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something is heard in time");
            match frame.expect("the websocket is open").expect("the websocket works") {
                Message::Ping(_) | Message::Pong(_) => {}
                frame => return frame,
            }
        }
    }

    pub(crate) async fn hear(&mut self) -> Value {
        match self.frame().await {
            Message::Text(text) => serde_json::from_str(&text).expect("messages are JSON"),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The next message, which has to be of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let message = self.hear().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("the websocket is open");
    }

    /// Nothing more is on its way: the answer to a ping comes next.
    pub(crate) async fn expect_nothing(&mut self) {
        self.say(json!({ "type": "ping" })).await;
        self.expect("pong").await;
    }

    pub(crate) async fn closed(&mut self) -> u16 {
        match self.frame().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("expected a close, got {other:?}"),
        }
    }
}

async fn lesson_with_studio() -> (Site, String, Value, Page, Value) {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let token = site.token(&operator, &lesson, "studio").await;
    let mut studio = Page::open(&site, &lesson, &token).await;
    let welcome = studio.expect("welcome").await;
    (site, operator, lesson, studio, welcome)
}

fn camera(participant: ParticipantId, end: End) -> PublicationReport {
    PublicationReport {
        id: PublicationId::from_u64(7),
        participant,
        connection: ConnectionId::from_u64(64),
        end,
        source: SourceName::camera(),
        kind: MediaKind::Video,
        codec: Some("h264"),
        layers: vec![LayerReport { rid: Some("q".into()), bitrate: 150_000, size: Some((320, 180)) }],
        silent: false,
    }
}

#[tokio::test]
async fn a_page_is_welcomed_with_all_there_is_and_told_what_changes() {
    let (site, operator, lesson, mut studio, welcome) = lesson_with_studio().await;
    assert_eq!(welcome["lesson"]["join_code"], lesson["join_code"]);
    assert_eq!(welcome["participants"][0]["id"], welcome["participant"]);
    assert_eq!((&welcome["publications"], &welcome["slots"]), (&json!([]), &json!([])));
    assert!(welcome["server_time"].is_string());

    let token = site.token(&operator, &lesson, "classroom").await;
    let mut classroom = Page::open(&site, &lesson, &token).await;
    let greeted = classroom.expect("welcome").await;
    assert!(greeted["lesson"].get("join_code").is_none());
    assert_eq!(greeted["participants"].as_array().map(Vec::len), Some(2), "the studio and itself");
    let came = studio.expect("participant").await["participant"].clone();
    assert_eq!(
        (&came["id"], &came["role"], &came["connected"]),
        (&greeted["participant"], &json!("classroom"), &json!(false))
    );

    let (lesson_id, sender) = (id(&lesson, "id"), id(&welcome, "participant"));
    let publication = camera(sender, End::Studio);
    site.reports.send(Report::Publication { lesson: lesson_id, publication }).await.expect("the directory runs");
    for page in [&mut studio, &mut classroom] {
        let publication = page.expect("publication").await["publication"].clone();
        assert_eq!((&publication["source"], &publication["codec"]), (&json!("camera"), &json!("h264")));
        assert_eq!(publication["layers"], json!([{ "rid": "q", "width": 320, "height": 180, "bitrate": 150_000 }]));
        assert_eq!(page.expect("participant").await["participant"]["publishing"], json!(["camera"]));
    }
    let mut late = Page::open(&site, &lesson, &token).await;
    assert_eq!(late.expect("welcome").await["publications"][0]["source"], "camera");

    let why = Closed::Replaced;
    let ended = Report::PublicationEnded { lesson: lesson_id, publication: PublicationId::from_u64(7), why };
    site.reports.send(ended).await.expect("the directory runs");
    assert_eq!(classroom.expect("publication_ended").await["reason"], "replaced");
}

#[tokio::test]
async fn slots_and_lines_are_told_to_whom_they_concern() {
    let (site, operator, lesson, mut studio, _) = lesson_with_studio().await;
    let token = site.token(&operator, &lesson, "classroom").await;
    let mut classroom = Page::open(&site, &lesson, &token).await;
    let participant: ParticipantId = id(&classroom.expect("welcome").await, "participant");
    studio.expect("participant").await;
    let (lesson_id, connection) = (id(&lesson, "id"), ConnectionId::from_u64(64));
    site.reports.send(Report::Up { lesson: lesson_id, participant, connection }).await.expect("the directory runs");
    assert_eq!(studio.expect("participant").await["participant"]["connected"], true);
    classroom.expect("participant").await;

    let slot =
        SlotState { slot: SlotKind::Slides, index: 0, mid: "1".into(), publication: None, layer: None, paused: None };
    let slots = Report::Slots { lesson: lesson_id, participant, connection, slots: vec![slot] };
    site.reports.send(slots).await.expect("the directory runs");
    let told = classroom.expect("slots").await;
    assert_eq!(told["connection"], connection.to_string());
    assert_eq!(
        (&told["slots"][0]["slot"], &told["slots"][0]["mid"], &told["slots"][0]["paused"]),
        (&json!("slides"), &json!("1"), &json!(null))
    );
    studio.expect_nothing().await;

    let line = LineReport {
        up: false,
        loss: 0.25,
        round_trip: None,
        jitter: Duration::from_millis(3),
        bitrate: 800_000,
        ..LineReport::default()
    };
    site.reports
        .send(Report::Line { lesson: lesson_id, participant, connection, line })
        .await
        .expect("the directory runs");
    for page in [&mut studio, &mut classroom] {
        let lines = page.expect("line").await["lines"].clone();
        assert_eq!(
            (&lines[0]["direction"], &lines[0]["loss"], &lines[0]["round_trip_ms"]),
            (&json!("down"), &json!(0.25), &json!(null))
        );
    }
}

#[tokio::test]
async fn hands_caps_pings_and_nonsense_are_answered() {
    let (site, operator, lesson, mut studio, _) = lesson_with_studio().await;
    let token = site.token(&operator, &lesson, "classroom").await;
    let mut classroom = Page::open(&site, &lesson, &token).await;
    classroom.expect("welcome").await;
    studio.expect("participant").await;

    classroom.say(json!({ "type": "hand", "raised": true })).await;
    assert_eq!(studio.expect("participant").await["participant"]["hand_raised"], true);
    classroom.expect("participant").await;
    classroom.say(json!({ "type": "layer_cap", "slot": "camera", "index": 0, "max_spatial": 1 })).await;
    classroom.say(json!({ "type": "layer_cap", "slot": "stage", "index": 2, "max_spatial": null })).await;
    classroom.expect_nothing().await;
    let caps = [(SlotKind::Camera, 0, Some(1)), (SlotKind::Stage, 2, None)].map(|(slot, index, cap)| Asked::Cap {
        slot,
        index,
        cap,
    });
    assert_eq!(site.media.asked(), caps);

    for nonsense in
        ["{", "[]", "{\"type\":\"dance\"}", "{\"type\":\"layer_cap\",\"slot\":\"roof\",\"index\":0,\"max_spatial\":1}"]
    {
        classroom.0.send(Message::text(nonsense)).await.expect("the websocket is open");
        assert_eq!(classroom.expect("problem").await["problem"]["code"], "bad_json", "{nonsense}");
    }
    classroom.0.send(Message::binary(vec![0, 159])).await.expect("the websocket is open");
    classroom.expect("problem").await;
    studio.say(json!({ "type": "hand", "raised": true })).await;
    studio.expect("problem").await;

    drop(classroom);
    assert_eq!(studio.expect("participant_left").await["type"], "participant_left");
}

#[tokio::test]
async fn who_is_behind_is_told_to_the_studio_and_the_same_again_not_too_often() {
    let (site, operator, lesson, mut studio, _) = lesson_with_studio().await;
    let token = site.token(&operator, &lesson, "classroom").await;
    let mut classroom = Page::open(&site, &lesson, &token).await;
    classroom.expect("welcome").await;
    assert_eq!(studio.expect("participant").await["participant"]["behind"], Value::Null);

    classroom.say(json!({ "type": "behind", "behind_ms": 20_400, "mode": "catching_up" })).await;
    let behind = studio.expect("participant").await["participant"]["behind"].clone();
    assert_eq!(behind, json!({ "behind_ms": 20_000, "mode": "catching_up" }));
    classroom.expect("participant").await;
    // Sooner than pages do: let go. Another mode is news.
    classroom.say(json!({ "type": "behind", "behind_ms": 18_000, "mode": "catching_up" })).await;
    classroom.say(json!({ "type": "behind", "behind_ms": 17_000, "mode": "paused" })).await;
    let behind = studio.expect("participant").await["participant"]["behind"].clone();
    assert_eq!(behind, json!({ "behind_ms": 17_000, "mode": "paused" }));
    classroom.say(json!({ "type": "behind", "behind_ms": null, "mode": null })).await;
    assert_eq!(studio.expect("participant").await["participant"]["behind"], Value::Null);

    studio.say(json!({ "type": "behind", "behind_ms": 1000, "mode": null })).await;
    studio.expect("problem").await;
}

#[tokio::test]
async fn the_end_of_a_lesson_is_told_and_then_the_page_is_closed() {
    let (site, operator, lesson, mut studio, _) = lesson_with_studio().await;
    site.post(&path(&lesson, "/end"), &operator, json!({})).await.expect(200);
    assert_eq!(studio.expect("lesson").await["lesson"]["state"], "ended");
    assert_eq!(studio.closed().await, 4010);

    let token = site.token_of_the_past(&lesson);
    let mut late = Page::open(&site, &lesson, &token).await;
    assert_eq!(late.expect("lesson").await["lesson"]["state"], "ended", "who comes late is told the same");
    assert_eq!(late.closed().await, 4010);
}

#[tokio::test]
async fn going_on_air_is_told_to_those_who_wait() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, false).await;
    let token = site.token(&operator, &lesson, "classroom").await;
    let mut classroom = Page::open(&site, &lesson, &token).await;
    assert_eq!(classroom.expect("welcome").await["lesson"]["state"], "scheduled");
    site.post(&path(&lesson, "/start"), &operator, json!({})).await.expect(200);
    let told = classroom.expect("lesson").await["lesson"].clone();
    assert_eq!((&told["state"], told.get("join_code")), (&json!("live"), None));
}

#[tokio::test]
async fn who_may_not_come_in_is_told_by_the_close_code() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let (lesson, other) = (site.lesson(&operator, true).await, site.lesson(&operator, true).await);
    let foreign = site.token(&operator, &other, "classroom").await;
    assert_eq!(Page::open(&site, &lesson, "nonsense").await.closed().await, 4001);
    assert_eq!(Page::open(&site, &lesson, &foreign).await.closed().await, 4001);
    let nowhere = json!({ "id": "0000000000000" });
    assert_eq!(Page::open(&site, &nowhere, &operator).await.closed().await, 4004);
    site.later(time::Duration::minutes(16));
    assert_eq!(Page::open(&site, &other, &foreign).await.closed().await, 4001);

    let plain = site.get(&path(&lesson, "/events"), &operator).await.problem(426, "upgrade_required");
    assert_eq!(plain.header("upgrade"), "websocket");
}

#[tokio::test]
async fn an_operator_watches_without_being_there() {
    let (site, operator, lesson, mut studio, _) = lesson_with_studio().await;
    let mut watching = Page::open(&site, &lesson, &operator).await;
    let welcome = watching.expect("welcome").await;
    assert_eq!(welcome["participants"].as_array().map(Vec::len), Some(1));
    assert_eq!(welcome["lesson"]["join_code"], lesson["join_code"]);
    studio.expect_nothing().await;
}

#[tokio::test]
async fn a_page_gets_its_next_token_before_the_old_one_runs_out() {
    let (site, operator, lesson, ..) = lesson_with_studio().await;
    let token = site.token(&operator, &lesson, "classroom").await;
    site.later(time::Duration::minutes(11));
    let mut classroom = Page::open(&site, &lesson, &token).await;
    let participant = classroom.expect("welcome").await["participant"].clone();
    // Its token is past two thirds of its life.
    let mut message = classroom.hear().await;
    while message["type"] != "token" {
        message = classroom.hear().await;
    }
    let renewed = site.post("/api/v1/token", &word(&message, "token"), json!({})).await.expect(200);
    assert_eq!(renewed["participant"], participant);
}

#[tokio::test]
async fn a_page_that_does_not_read_is_sent_away_and_the_others_go_on() {
    let (site, operator, lesson, mut studio, welcome) = lesson_with_studio().await;
    let token = site.token(&operator, &lesson, "classroom").await;
    let slow = Page::open(&site, &lesson, &token).await;
    studio.expect("participant").await;
    let (lesson_id, sender): (_, ParticipantId) = (id(&lesson, "id"), id(&welcome, "participant"));
    // Large enough that neither the socket buffers nor the queue can hold them all.
    let mut publication = camera(sender, End::Studio);
    publication.layers = vec![LayerReport { rid: Some("r".repeat(60_000)), bitrate: 1, size: None }];
    for round in 0..600 {
        publication.silent = round % 2 == 1;
        let report = Report::Publication { lesson: lesson_id, publication: publication.clone() };
        site.reports.send(report).await.expect("the directory runs");
        studio.expect("publication").await;
        if round == 0 {
            studio.expect("participant").await;
        }
    }
    // Its queue overflowed: it is out, though it never said a word.
    assert_eq!(site.running.state.directory.pages(), 1);
    drop(slow);
}

#[tokio::test]
async fn a_restarting_server_says_so() {
    let (site, _, lesson, mut studio, welcome) = lesson_with_studio().await;
    let listening = tokio::spawn(async move {
        let code = studio.closed().await;
        (code, studio)
    });
    let site = site.restart().await;
    assert_eq!(listening.await.expect("heard").0, 1012);
    let token = site.token_of(&lesson, id(&welcome, "participant"));
    let mut again = Page::open(&site, &lesson, &token).await;
    assert_eq!(again.expect("welcome").await["participant"], welcome["participant"]);
}
