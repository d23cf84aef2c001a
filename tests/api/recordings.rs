//! Recordings and what goes on of lessons, over HTTP: who may have what, in which pieces, for how long.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use mingshi::auth::{Opens, Ticket};
use mingshi::id::{ConnectionId, LessonId, ParticipantId};
use mingshi::lesson::{
    Contents, Recording, RecordingAudio, RecordingFile, RecordingGap, RecordingSlide, RecordingState, RecordingVideo,
    Words,
};
use mingshi::units::Bitrate;
use mingshi::worker::mailbox::{LineReport, Report};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Answer, Site, id, path, word};

const RECORDINGS: &str = "/api/v1/recordings";

fn of(lesson: &Value, rest: &str) -> String {
    format!("{RECORDINGS}/{}{rest}", word(lesson, "id"))
}

impl Site {
    fn recording_folder(&self, lesson: &Value) -> PathBuf {
        self.data().join("data").join("recordings").join(word(lesson, "id"))
    }

    /// A recording as the media process leaves it: one film of these octets, one picture.
    async fn with_recording(&self, lesson: &Value, film: &[u8]) -> Recording {
        let files = self.recording_folder(lesson).join("files");
        std::fs::create_dir_all(&files).expect("made");
        std::fs::write(files.join("camera.mp4"), film).expect("written");
        std::fs::write(files.join("slide-0001.jpg"), b"jpeg").expect("written");
        std::fs::write(files.join("secret.txt"), b"not of the recording").expect("written");
        let now = self.now();
        let store = &self.running.state.store;
        let mut recording = Recording::new(id(lesson, "id"), now);
        store.insert_recording(&recording).await.expect("kept");
        recording.state = RecordingState::Ready;
        (recording.zero, recording.ready_at, recording.complete) = (Some(now), Some(now), true);
        (recording.octets, recording.duration) = (film.len() as u64, time::Duration::minutes(45));
        recording.poster = Some("slide-0001.jpg".into());
        let picture = RecordingFile {
            name: "slide-0001.jpg".into(),
            track: None,
            variant: None,
            whole: true,
            video: None,
            audio: None,
            octets: 4,
            sha256: "p1".into(),
            duration_ms: 0,
        };
        let camera = RecordingFile {
            name: "camera.mp4".into(),
            track: Some("camera".into()),
            variant: Some("original".into()),
            whole: true,
            video: Some(RecordingVideo { codec: "h264".into(), width: 1280, height: 720 }),
            audio: Some(RecordingAudio { codec: "opus".into() }),
            octets: film.len() as u64,
            sha256: "f1".into(),
            duration_ms: 2_700_000,
        };
        let contents = Contents {
            files: vec![camera, picture],
            slides: vec![RecordingSlide { at_ms: 5_000, picture: Some("slide-0001.jpg".into()) }],
            gaps: vec![RecordingGap { from_ms: 1, to_ms: 2, track: None, why: "studio_away".into() }],
            lacks: vec![Words::new("缺少语音", "the voice is missing")],
        };
        store.catalogue(&recording, &contents).await.expect("kept");
        recording
    }

    /// A link to a lesson's recording, as its token.
    async fn viewer(&self, by: &str, lesson: &Value, download: bool) -> String {
        let link = json!({ "download": download, "hours": 24 });
        let link = self.post(&of(lesson, "/links"), by, link).await.expect(201);
        let url = word(&link, "url");
        assert!(url.contains(&format!("/#/replay/{}?token=", word(lesson, "id"))), "{url}");
        word(&link, "token")
    }

    async fn fetch(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers
            .iter()
            .fold(self.ask(Method::GET, path, ""), |request, (name, value)| request.header(*name, *value));
        self.send(request).await
    }
}

fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + (at % 26) as u8).collect()
}

#[tokio::test]
async fn a_recording_is_found_read_played_and_saved() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    site.with_recording(&lesson, &octets(1000)).await;
    let found = site.get(&format!("{RECORDINGS}?q=英语&state=ready"), &operator).await.expect(200);
    assert_eq!(found["recordings"][0]["lesson"], lesson["id"]);
    assert_eq!((&found["next"], found["recordings"].as_array().map(Vec::len)), (&Value::Null, Some(1)));
    assert_eq!(site.get(&format!("{RECORDINGS}?q=数学"), &operator).await.expect(200)["recordings"], json!([]));

    let details = site.get(&of(&lesson, ""), &operator).await.expect(200);
    assert_eq!((&details["state"], &details["duration_ms"]), (&json!("ready"), &json!(2_700_000)));
    assert_eq!(details["missing"], json!([{ "zh": "缺少语音", "en": "the voice is missing" }]));
    assert_eq!(details["gaps"][0]["why"], "studio_away");
    let file = &details["files"][0];
    assert_eq!(
        (&file["track"], &file["video"]["width"], details["files"].as_array().map(Vec::len)),
        (&json!("camera"), &json!(1280), Some(1))
    );
    for url in [&file["url"], &details["main"]] {
        let played = site.fetch(url.as_str().expect("signed"), &[]).await;
        assert_eq!((played.status.as_u16(), played.text.len()), (200, 1000));
        assert_eq!((played.header("content-type"), played.header("accept-ranges")), ("video/mp4", "bytes"));
        assert_eq!((played.header("cache-control"), played.header("etag")), ("private, max-age=3600", "\"f1\""));
        assert_eq!(played.header("access-control-allow-origin"), "", "for our own pages");
    }
    for picture in [&details["slides"][0]["picture"], &details["poster"]] {
        let picture = site.fetch(picture.as_str().expect("signed"), &[]).await;
        assert_eq!((picture.text.as_str(), picture.header("content-type")), ("jpeg", "image/jpeg"));
    }
    let saved = site.fetch(file["download_url"].as_str().expect("an operator may"), &[]).await;
    assert!(saved.header("content-disposition").starts_with("attachment; filename=\""), "{saved:?}");
}

#[tokio::test]
async fn files_come_in_ranges() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let film = octets(300_000);
    site.with_recording(&lesson, &film).await;
    let details = site.get(&of(&lesson, ""), &operator).await.expect(200);
    let url = word(&details["files"][0], "url");
    for (range, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=299990-", 299_990, 300_000),
        ("bytes=-5", 299_995, 300_000),
        ("bytes=100000-250000", 100_000, 250_001),
    ] {
        let part = site.fetch(&url, &[("range", range)]).await;
        assert_eq!((part.status.as_u16(), part.text.as_bytes()), (206, &film[from..to]), "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/300000", to - 1));
        assert_eq!(part.header("content-length"), (to - from).to_string());
    }
    let beyond = site.fetch(&url, &[("range", "bytes=300000-")]).await.problem(416, "range_beyond");
    assert_eq!(beyond.header("content-range"), "bytes */300000");
    assert_eq!(site.fetch(&url, &[("range", "bytes=0-9"), ("if-range", "\"f1\"")]).await.status, 206);
    assert_eq!(site.fetch(&url, &[("range", "bytes=0-9"), ("if-range", "\"f0\"")]).await.status, 200);
    assert_eq!(site.fetch(&url, &[("if-none-match", "\"f1\"")]).await.status, 304);
    let head = site.send(site.ask(Method::HEAD, &url, "").header("range", "bytes=0-9")).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.text.as_str()), (206, "10", ""));
    let (one, other) = tokio::join!(site.fetch(&url, &[]), site.fetch(&url, &[("range", "bytes=7-")]));
    assert_eq!((one.text.as_bytes(), other.text.as_bytes()), (&film[..], &film[7..]), "two at once");
}

#[tokio::test]
async fn a_ticket_opens_what_it_was_given_for_and_nothing_else() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let [lesson, other] = [site.lesson(&operator, true).await, site.lesson(&operator, true).await];
    for lesson in [&lesson, &other] {
        site.with_recording(lesson, &octets(100)).await;
    }
    let details = site.get(&of(&lesson, ""), &operator).await.expect(200);
    let url = word(&details["files"][0], "url");
    let ticket = url.split_once("ticket=").expect("signed").1.to_owned();
    let at =
        |lesson: &Value, file: &str, ticket: &str| format!("/recordings/{}/{file}?ticket={ticket}", word(lesson, "id"));
    assert_eq!(site.fetch(&at(&lesson, "camera.mp4", &ticket), &[]).await.status, 200);
    site.fetch(&at(&other, "camera.mp4", &ticket), &[]).await.problem(403, "ticket_invalid");
    site.fetch(&at(&lesson, "camera.mp4", ""), &[]).await.problem(403, "ticket_invalid");
    site.fetch(&format!("/recordings/{}/camera.mp4", word(&lesson, "id")), &[]).await.problem(403, "ticket_invalid");
    let mut altered = ticket.clone();
    altered.replace_range(3..4, if &altered[3..4] == "A" { "B" } else { "A" });
    site.fetch(&at(&lesson, "camera.mp4", &altered), &[]).await.problem(403, "ticket_invalid");
    let dvr = Ticket {
        opens: Opens::Dvr,
        viewer: ParticipantId::random(),
        line: None,
        expires_at: site.now() + time::Duration::hours(1),
    };
    let dvr = site.running.state.tickets.issue(id(&lesson, "id"), &dvr);
    site.fetch(&at(&lesson, "camera.mp4", &dvr), &[]).await.problem(403, "ticket_invalid");
    let piece = format!("/lessons/{}/dvr/{ticket}/timeline.json", word(&lesson, "id"));
    site.fetch(&piece, &[]).await.problem(403, "ticket_invalid");
    for file in ["secret.txt", "manifest.json", "..%2Fcamera.mp4", "%2e%2e", "none.mp4"] {
        site.fetch(&at(&lesson, file, &ticket), &[]).await.problem(404, "not_found");
    }
    site.later(time::Duration::hours(13));
    site.fetch(&at(&lesson, "camera.mp4", &ticket), &[]).await.problem(403, "ticket_expired");
}

#[tokio::test]
async fn everybody_sees_what_is_theirs() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let [lesson, other] = [site.lesson(&operator, true).await, site.lesson(&operator, true).await];
    for lesson in [&lesson, &other] {
        site.with_recording(lesson, &octets(100)).await;
    }
    let studio = site.token(&operator, &lesson, "studio").await;
    let classroom = site.token(&operator, &lesson, "classroom").await;
    let viewer = site.viewer(&studio, &lesson, false).await;
    let keeper = site.viewer(&operator, &lesson, true).await;
    for (token, may_download, sees_views) in [
        (&operator, true, true),
        (&studio, true, true),
        (&classroom, false, false),
        (&viewer, false, false),
        (&keeper, true, false),
    ] {
        let details = site.get(&of(&lesson, ""), token).await.expect(200);
        assert_eq!(details["may_download"], may_download);
        assert_eq!(details["views"].is_null(), !sees_views);
        let url = word(&details["files"][0], "url");
        assert_eq!(site.fetch(&url, &[]).await.status, 200);
        let kept = site.fetch(&format!("{url}&download=1"), &[]).await;
        assert_eq!(kept.status, if may_download { 200 } else { 403 });
    }
    for token in [&studio, &classroom, &viewer] {
        let listed = site.get(RECORDINGS, token).await.expect(200);
        assert_eq!(listed["recordings"].as_array().map(Vec::len), Some(1), "its own lesson's");
        site.get(&of(&other, ""), token).await.problem(403, "token_of_another_lesson");
        site.send(site.ask(Method::DELETE, &of(&lesson, ""), token)).await.problem(403, "role_not_allowed");
        site.get(&format!("{RECORDINGS}/overview"), token).await.problem(403, "role_not_allowed");
    }
    for token in [&classroom, &viewer] {
        site.post(&of(&lesson, "/links"), token, json!({ "hours": 1 })).await.problem(403, "role_not_allowed");
    }
    site.get(&of(&lesson, ""), "").await.problem(401, "token_missing");
    site.post(&of(&lesson, "/links"), &operator, json!({ "hours": 0 })).await.problem(422, "unprocessable");
}

#[tokio::test]
async fn a_viewer_joins_nothing_live_and_its_link_ends() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let viewer = site.viewer(&operator, &lesson, true).await;
    let lesson_id = word(&lesson, "id");
    for endpoint in [
        format!("/whep/{lesson_id}"),
        format!("/whep/{lesson_id}/camera"),
        format!("/whip/{lesson_id}"),
        format!("/whip/{lesson_id}/camera"),
    ] {
        site.offer(&endpoint, &viewer).await.problem(403, "role_not_allowed");
    }
    assert_eq!(site.media.asked(), []);
    site.post(&path(&lesson, "/end"), &viewer, json!({})).await.problem(403, "role_not_allowed");
    site.post(&path(&lesson, "/tokens"), &viewer, json!({ "role": "classroom" }))
        .await
        .problem(403, "role_not_allowed");
    site.get(&path(&lesson, "/participants"), &viewer).await.problem(403, "role_not_allowed");
    site.post("/api/v1/token", &viewer, json!({})).await.problem(403, "role_not_allowed");
    let seen = site.get(&path(&lesson, ""), &viewer).await.expect(200);
    assert_eq!(seen.get("join_code"), None, "nor is it told how to");
    site.get(&of(&lesson, ""), &viewer).await.problem(404, "recording_not_found");
    let dvr = site.get(&path(&lesson, "/dvr"), &viewer).await.expect(200);
    site.later(time::Duration::hours(25));
    site.get(&path(&lesson, "/dvr"), &viewer).await.problem(401, "token_expired");
    site.fetch(&format!("{}timeline.json", word(&dvr, "base")), &[]).await.problem(403, "ticket_expired");
}

#[tokio::test]
async fn a_lesson_that_goes_on_is_watched_in_pieces() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let classroom = site.token(&operator, &lesson, "classroom").await;
    let nothing = site.get(&path(&lesson, "/dvr"), &classroom).await.expect(200);
    assert_eq!(nothing["timeline"], Value::Null);
    let dvr = site.recording_folder(&lesson).join("dvr");
    std::fs::create_dir_all(dvr.join("camera/high")).expect("made");
    let timeline = json!({
        "version": 1, "lesson": lesson["id"], "zero_unix_ms": 5, "live": true, "duration_ms": 2000, "tracks": [{
            "name": "camera", "kind": "video", "renditions": [{
                "name": "high", "codec": "avc3.42e01f", "width": 1280, "height": 720, "bits_per_second": 900_000, "end_ms": 2000,
            }],
        }], "gaps": [], "slides": [],
    });
    std::fs::write(dvr.join("timeline.json"), timeline.to_string()).expect("written");
    let playlist = "#EXTM3U\n".repeat(500);
    std::fs::write(dvr.join("camera/high/index.m3u8"), &playlist).expect("written");
    std::fs::write(dvr.join("camera/high/000001.m4s"), octets(500)).expect("written");
    std::fs::write(site.recording_folder(&lesson).join("checkpoint.json"), "{}").expect("written");
    let told = site.get(&path(&lesson, "/dvr"), &classroom).await.expect(200);
    assert_eq!(told["timeline"], timeline);
    let base = word(&told, "base");
    let at = |path: &str| format!("{base}{path}");

    let packed = site
        .http
        .get(site.url(&at("camera/high/index.m3u8")))
        .header("accept-encoding", "gzip")
        .send()
        .await
        .expect("an answer");
    let header =
        |name: &str| packed.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(
        (header("content-encoding").as_str(), header("content-type").as_str()),
        ("gzip", "application/vnd.apple.mpegurl")
    );
    assert_eq!(header("cache-control"), "private, no-cache");
    let tag = header("etag");
    let body = packed.bytes().await.expect("a body");
    assert!(body.len() < playlist.len() / 10, "{}", body.len());
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, playlist);
    let again = [("accept-encoding", "gzip"), ("if-none-match", tag.as_str())];
    assert_eq!(site.fetch(&at("camera/high/index.m3u8"), &again).await.status, 304);
    assert_eq!(site.fetch(&at("camera/high/index.m3u8"), &[]).await.text, playlist);
    assert_eq!(site.fetch(&at("timeline.json"), &[]).await.json(), timeline);

    let part = site.fetch(&at("camera/high/000001.m4s"), &[("range", "bytes=100-199")]).await;
    assert_eq!((part.status.as_u16(), part.text.as_bytes()), (206, &octets(500)[100..200]));
    assert_eq!(part.header("content-type"), "video/iso.segment");
    std::fs::write(dvr.join("camera/high/000001.m4s"), octets(700)).expect("it grows");
    let more =
        site.fetch(&at("camera/high/000001.m4s"), &[("range", "bytes=500-"), ("if-range", part.header("etag"))]).await;
    assert_eq!((more.status.as_u16(), more.text.len()), (200, 700), "it is another one now");
    for path in [
        "../checkpoint.json",
        "..%2fcheckpoint.json",
        "%2e%2e/checkpoint.json",
        "camera/../../checkpoint.json",
        "camera",
        "camera/high",
        "none.m4s",
        "camera/high/.hidden.m4s",
        "camera/high/x.txt",
    ] {
        let answer = site.fetch(&at(path), &[]).await;
        assert!(matches!(answer.status.as_u16(), 403 | 404), "{path}: {}", answer.text);
        assert!(!answer.text.starts_with("{}"), "{path} led out");
    }
}

#[tokio::test]
async fn recordings_are_kept_and_removed_by_operators_once_they_are_finished() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    site.with_recording(&lesson, &octets(100)).await;
    let remove = || site.send(site.ask(Method::DELETE, &of(&lesson, ""), &operator));
    remove().await.problem(409, "recording_unfinished");
    site.post(&path(&lesson, "/end"), &operator, json!({})).await.expect(200);
    let keep =
        |kept: bool| site.send(site.ask(Method::PUT, &of(&lesson, "/kept"), &operator).json(&json!({ "kept": kept })));
    keep(true).await.expect(200);
    assert_eq!(site.get(&of(&lesson, ""), &operator).await.expect(200)["kept"], true);
    let url = word(&site.get(&of(&lesson, ""), &operator).await.expect(200)["files"][0], "url");
    assert_eq!(remove().await.status, 204);
    assert!(!site.recording_folder(&lesson).exists());
    site.fetch(&url, &[]).await.problem(404, "recording_not_found");
    remove().await.problem(404, "recording_not_found");
    keep(true).await.problem(404, "recording_not_found");
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let mut all = Vec::new();
    for _ in 0..3 {
        let body = json!({ "title": "英语", "teacher": "王老师", "subject": "英语", "grade": "五年级", "school": "县实验小学" });
        let lesson = site.post("/api/v1/lessons", &operator, body).await.expect(201);
        site.with_recording(&lesson, &octets(10)).await;
        all.insert(0, lesson["id"].clone());
        site.later(time::Duration::minutes(1));
    }
    let first = site
        .get(&format!("{RECORDINGS}?limit=2&school=县实验小学&grade=五年级&teacher=王老师&subject=英语"), &operator)
        .await
        .expect(200);
    let rest = site.get(&format!("{RECORDINGS}?limit=2&cursor={}", word(&first, "next")), &operator).await.expect(200);
    let ids = |list: &Value| {
        list["recordings"].as_array().expect("a list").iter().map(|r| r["lesson"].clone()).collect::<Vec<_>>()
    };
    assert_eq!([ids(&first), ids(&rest)].concat(), all);
    assert_eq!(rest["next"], Value::Null);
    site.get(&format!("{RECORDINGS}?cursor=x"), &operator).await.problem(400, "bad_request");
    site.get(&format!("{RECORDINGS}?sate=ready"), &operator).await.problem(400, "bad_request");
}

#[tokio::test]
async fn views_are_summed_for_staff() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let viewer = site.viewer(&operator, &lesson, false).await;
    let told =
        |from_ms: u64, rate: f64| json!({ "view": "a-1", "from_ms": from_ms, "to_ms": from_ms + 18_000, "rate": rate });
    site.post(&of(&lesson, "/views"), &viewer, told(0, 1.2)).await.problem(404, "recording_not_found");
    site.with_recording(&lesson, &octets(10)).await;
    for from in [0, 18_000] {
        assert_eq!(site.post(&of(&lesson, "/views"), &viewer, told(from, 1.2)).await.status, 204);
    }
    for wrong in [
        told(0, 9.0),
        json!({ "view": "a b", "from_ms": 0, "to_ms": 1, "rate": 1 }),
        json!({ "view": "a", "from_ms": 2, "to_ms": 1, "rate": 1 }),
    ] {
        site.post(&of(&lesson, "/views"), &viewer, wrong).await.problem(422, "unprocessable");
    }
    let views = &site.get(&of(&lesson, ""), &operator).await.expect(200)["views"];
    assert_eq!(views, &json!({ "views": 1, "viewers": 1, "watched_ms": 36_000 }));
}

#[tokio::test]
async fn what_a_school_receives_leaves_at_the_pace_of_its_line() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    site.with_recording(&lesson, &octets(200_000)).await;
    let body = json!({ "name": "河棚", "tier": "4M", "nominal_rate": 2_000_000, "share": 0.5 });
    site.post("/api/v1/schools", &operator, body).await.expect(201);
    let token = json!({ "role": "classroom", "school": "河棚" });
    let classroom = word(&site.post(&path(&lesson, "/tokens"), &operator, token).await.expect(201), "token");
    let url = word(&site.get(&of(&lesson, ""), &classroom).await.expect(200)["files"][0], "url");
    let both = async || {
        let began = Instant::now();
        let (one, other) = tokio::join!(site.fetch(&url, &[]), site.fetch(&url, &[]));
        assert_eq!((one.text.len(), other.text.len()), (200_000, 200_000));
        began.elapsed().as_secs_f64()
    };
    // 400,000 octets at 1 Mbit/s, of which a quarter of a second may be ahead.
    let took = both().await;
    assert!((2.6..4.5).contains(&took), "{took} s");

    // A lesson that is on the line leaves 3 of 4 Mbit/s.
    site.offer(&format!("/whep/{}", word(&lesson, "id")), &classroom).await;
    let connection = site.media.last_connection().expect("it was accepted");
    let line = LineReport {
        up: false,
        loss: 0.0,
        round_trip: None,
        jitter: Duration::ZERO,
        bitrate: 1_000_000,
        octets: 0,
        packets: 0,
        asked_again: 0,
        retransmitted: 0,
        keyframe_requests: 0,
        estimate: None,
        budget: Some(Bitrate::from_bps(4_000_000).bps()),
        tier: None,
    };
    let (lesson_id, participant): (LessonId, _) = (id(&lesson, "id"), ParticipantId::random());
    let report = Report::Line { lesson: lesson_id, participant, connection, line };
    site.reports.send(report).await.expect("the directory runs");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let took = both().await;
    assert!((0.7..1.8).contains(&took), "{took} s");

    // Nobody holds back an operator.
    let url = word(&site.get(&of(&lesson, ""), &operator).await.expect(200)["files"][0], "url");
    let began = Instant::now();
    site.fetch(&url, &[]).await;
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    let _: ConnectionId = connection;
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_slow_download() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    site.with_recording(&lesson, &octets(5_000_000)).await;
    let classroom = site.token(&operator, &lesson, "classroom").await;
    let url = word(&site.get(&of(&lesson, ""), &classroom).await.expect(200)["files"][0], "url");
    let mut slow = site.http.get(site.url(&url)).send().await.expect("it begins");
    assert!(slow.chunk().await.expect("a first piece").is_some());
    let began = Instant::now();
    site.running.stop().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    while let Ok(piece) = slow.chunk().await {
        assert!(piece.is_some(), "the client has to see that something is missing");
    }
}

#[tokio::test]
async fn the_console_is_told_how_recording_goes() {
    let site = Site::configured(|config| config.recording.warn_free = u64::MAX).await;
    let operator = site.operator().await;
    let overview = async || site.get(&format!("{RECORDINGS}/overview"), &operator).await.expect(200);
    while overview().await["free_bytes"].is_null() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let overview = overview().await;
    assert_eq!((&overview["nearly_full"], &overview["troubles"]), (&json!(true), &json!([])));
    assert_eq!(overview["hindered"], Value::Null);
}
