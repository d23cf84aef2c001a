//! A server on free ports of this machine's loopback, its media side faked and its time of day movable.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mingshi::api::{Clock, Media};
use mingshi::config::Config;
use mingshi::id::{ConnectionId, LessonId, ParticipantId};
use mingshi::journal::space::Limits;
use mingshi::journal::{self, Journal};
use mingshi::server::{self, DataFolder, MediaSide, Running};
use mingshi::worker::mailbox::{Connect, Connected, LineNominal, Patch, Patched, Refused, Report, SlotKind};
use mingshi::worker::{clock, tap};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::mpsc;

pub(crate) const OFFER: &str = "v=0\r\n";

/// What the media side was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    Connect {
        purpose: String,
        participant: ParticipantId,
        school: Option<String>,
        nominal: LineNominal,
        address: String,
    },
    Patch {
        if_match: Option<String>,
        fragment: String,
    },
    Disconnect {
        participant: Option<ParticipantId>,
        connection: ConnectionId,
    },
    Adopt(SocketAddr, Vec<u8>),
    EndLesson(LessonId),
    Stage(Vec<ParticipantId>),
    Show {
        slot: SlotKind,
        index: u8,
        pixels: Option<u32>,
    },
    Cap {
        slot: SlotKind,
        index: u8,
        cap: Option<u8>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct FakeMedia {
    asked: Mutex<Vec<Asked>>,
    refusal: Mutex<Option<Refused>>,
    restart: Mutex<bool>,
    last_connection: Mutex<Option<ConnectionId>>,
}

impl FakeMedia {
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics while noting").clone()
    }

    /// The connection that was accepted last.
    pub(crate) fn last_connection(&self) -> Option<ConnectionId> {
        *self.last_connection.lock().expect("no test panics while noting")
    }

    /// Refuse the next request for this reason.
    pub(crate) fn refuse(&self, why: Refused) {
        *self.refusal.lock().expect("no test panics while noting") = Some(why);
    }

    /// Take the next patch for an ICE restart.
    pub(crate) fn restart_next(&self) {
        *self.restart.lock().expect("no test panics while noting") = true;
    }

    fn note(&self, asked: Asked) -> Result<(), Refused> {
        self.asked.lock().expect("no test panics while noting").push(asked);
        self.refusal.lock().expect("no test panics while noting").take().map_or(Ok(()), Err)
    }
}

impl Media for FakeMedia {
    fn connect(&self, request: Connect) -> BoxFuture<'_, Result<Connected, Refused>> {
        let Connect { participant, school, nominal, address, purpose, .. } = request;
        let (purpose, address) = (format!("{purpose:?}"), address.to_string());
        let noted = self.note(Asked::Connect { purpose, participant, school, nominal, address });
        let connection = ConnectionId::random_on(0);
        *self.last_connection.lock().expect("no test panics while noting") = Some(connection);
        std::future::ready(noted.map(|()| Connected {
            connection,
            answer: "v=0\r\na=answer\r\n".into(),
            etag: "ice1".into(),
        }))
        .boxed()
    }

    fn patch(&self, _: LessonId, _: ConnectionId, patch: Patch) -> BoxFuture<'_, Result<Patched, Refused>> {
        let noted = self.note(Asked::Patch { if_match: patch.if_match, fragment: patch.fragment });
        let restart = std::mem::take(&mut *self.restart.lock().expect("no test panics while noting"));
        let patched = if restart {
            Patched::Restarted { fragment: "a=ice-ufrag:new\r\n".into(), etag: "ice2".into() }
        } else {
            Patched::Trickled
        };
        std::future::ready(noted.map(|()| patched)).boxed()
    }

    fn disconnect(
        &self,
        _: LessonId,
        participant: Option<ParticipantId>,
        connection: ConnectionId,
    ) -> BoxFuture<'_, Result<(), Refused>> {
        std::future::ready(self.note(Asked::Disconnect { participant, connection })).boxed()
    }

    fn adopt(&self, _: TcpStream, remote: SocketAddr, first: Vec<u8>) -> Result<(), Refused> {
        self.note(Asked::Adopt(remote, first))
    }

    fn end_lesson(&self, lesson: LessonId) -> BoxFuture<'_, ()> {
        let _ = self.note(Asked::EndLesson(lesson));
        std::future::ready(()).boxed()
    }

    fn set_stage(&self, _: LessonId, participants: Vec<ParticipantId>) -> BoxFuture<'_, ()> {
        let _ = self.note(Asked::Stage(participants));
        std::future::ready(()).boxed()
    }

    fn cap_layer(
        &self,
        _: LessonId,
        _: ParticipantId,
        slot: SlotKind,
        index: u8,
        cap: Option<u8>,
    ) -> BoxFuture<'_, ()> {
        let _ = self.note(Asked::Cap { slot, index, cap });
        std::future::ready(()).boxed()
    }

    fn show(&self, _: LessonId, _: ParticipantId, slot: SlotKind, index: u8, pixels: Option<u32>) -> BoxFuture<'_, ()> {
        let _ = self.note(Asked::Show { slot, index, pixels });
        std::future::ready(()).boxed()
    }

    fn answers(&self) -> BoxFuture<'_, bool> {
        std::future::ready(true).boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("an answer's body comes whole") }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("headers are text")).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text))
    }

    /// The body of an answer that has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// The problem of this status and code, complete in both languages.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status.as_u16(), self.header("content-type")),
            (status, "application/problem+json"),
            "{}",
            self.text
        );
        let document = self.json();
        assert_eq!(document["code"], code, "{document}");
        assert_eq!(document["status"], status);
        assert_eq!(document["type"], format!("urn:mingshi:problem:{code}"));
        for field in ["title", "detail", "title_zh", "detail_zh"] {
            assert!(document[field].as_str().is_some_and(|text| !text.is_empty()), "{field} is missing in {document}");
        }
        self
    }
}

/// A server under test.
pub(crate) struct Site {
    pub(crate) media: Arc<FakeMedia>,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) running: Running,
    pub(crate) http: reqwest::Client,
    later: Arc<AtomicI64>,
    jumped: Arc<AtomicI64>,
    folder: Arc<tempfile::TempDir>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::configured(|_| {}).await
    }

    pub(crate) async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::in_folder(Arc::new(tempfile::tempdir().expect("a folder")), change, false).await
    }

    /// As [`start`](Self::start), and lessons are written down.
    pub(crate) async fn recorded() -> Self {
        Self::in_folder(Arc::new(tempfile::tempdir().expect("a folder")), |_| {}, true).await
    }

    async fn in_folder(folder: Arc<tempfile::TempDir>, change: impl FnOnce(&mut Config), recorded: bool) -> Self {
        let mut config = Config::default();
        config.server.data = folder.path().join("data");
        config.server.http = "127.0.0.1:0".parse().ok();
        config.server.https = None;
        change(&mut config);
        let media = Arc::new(FakeMedia::default());
        let (sender, reports) = mpsc::channel(64);
        let later = Arc::new(AtomicI64::new(0));
        let wall = server::clock();
        let moved = later.clone();
        let time_of_day = move || wall.now() + time::Duration::seconds(moved.load(Ordering::Relaxed));
        let passed = later.clone();
        let instant = move || {
            mingshi::worker::clock::now() + std::time::Duration::from_secs(passed.load(Ordering::Relaxed) as u64)
        };
        let jumped = Arc::new(AtomicI64::new(0));
        let jump = jumped.clone();
        let clock = Clock::new(move || time_of_day() + time::Duration::seconds(jump.load(Ordering::Relaxed)), instant);
        let data = DataFolder::take(&config.server.data).expect("a folder of our own");
        let journal = recorded.then(|| journal(&config));
        let side = MediaSide { media: media.clone(), reports, program: None, journal };
        let running = server::start_with(&config, data, side, clock).await.expect("free ports");
        Self { media, reports: sender, running, http: reqwest::Client::new(), later, jumped, folder }
    }

    /// Stop, and start again on the same data.
    pub(crate) async fn restart(self) -> Self {
        let recorded = self.running.journal.is_some();
        self.running.stop().await;
        Self::in_folder(self.folder, |_| {}, recorded).await
    }

    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.http.expect("HTTP is on")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Let time pass.
    pub(crate) fn later(&self, by: time::Duration) {
        self.later.fetch_add(by.whole_seconds(), Ordering::Relaxed);
    }

    /// Have the machine's clock set, ahead or back.
    pub(crate) fn set_clock(&self, by: time::Duration) {
        self.jumped.store(by.whole_seconds(), Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.running.state.clock.now()
    }

    pub(crate) fn ask(&self, method: Method, path: &str, token: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.url(path));
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::read(request.send().await.expect("the server answers")).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(self.ask(Method::GET, path, token)).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send(self.ask(Method::POST, path, token).json(&body)).await
    }

    /// An offer to a WHIP or WHEP endpoint.
    pub(crate) async fn offer(&self, path: &str, token: &str) -> Answer {
        self.send(self.ask(Method::POST, path, token).header("content-type", "application/sdp").body(OFFER)).await
    }

    /// An operator's token, by the key of the first start.
    pub(crate) async fn operator(&self) -> String {
        let key = self.running.first_key.as_ref().expect("a first start").to_string();
        word(&self.post("/api/v1/operator", "", json!({ "key": key })).await.expect(200), "token")
    }

    /// A new lesson, on air or not.
    pub(crate) async fn lesson(&self, operator: &str, live: bool) -> Value {
        let lesson = self.post("/api/v1/lessons", operator, json!({ "title": "五年级英语" })).await.expect(201);
        if live { self.post(&path(&lesson, "/start"), operator, json!({})).await.expect(200) } else { lesson }
    }

    /// A token of the lesson.
    pub(crate) async fn token(&self, operator: &str, lesson: &Value, role: &str) -> String {
        let body = json!({ "role": role, "name": "王老师" });
        word(&self.post(&path(lesson, "/tokens"), operator, body).await.expect(201), "token")
    }
}

/// A path below a lesson's.
pub(crate) fn path(lesson: &Value, rest: &str) -> String {
    format!("/api/v1/lessons/{}{rest}", word(lesson, "id"))
}

#[track_caller]
pub(crate) fn word(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {value}")).to_owned()
}

pub(crate) fn id<T: std::str::FromStr>(value: &Value, field: &str) -> T {
    word(value, field).parse().ok().expect("ids are written as they are read")
}

/// A journal of lessons without media.
fn journal(config: &Config) -> Journal {
    let settings = journal::Settings {
        recordings: config.server.data.join("recordings"),
        keyframe_every: config.recording.keyframe,
        limits: Limits { warn: 0, stop: 0 },
    };
    let (_, tapped) = tap::way();
    Journal::start(settings, clock::server_clock(), tapped, |_, _, _| {}).expect("a folder")
}

impl Site {
    /// A studio's token for this participant, as if handed out now.
    pub(crate) fn token_of(&self, lesson: &Value, participant: ParticipantId) -> String {
        let claims = mingshi::api::member(
            id(lesson, "id"),
            participant,
            mingshi::lesson::Role::Studio,
            mingshi::auth::Publish::Any,
            None,
            None,
        );
        self.running.state.tokens.issue(claims, self.now()).token
    }

    /// A token that was handed out before its lesson ended.
    pub(crate) fn token_of_the_past(&self, lesson: &Value) -> String {
        self.token_of(lesson, ParticipantId::random())
    }
}
