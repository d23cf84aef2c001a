//! The life of a lesson, and what malformed requests get.

use mingshi::worker::mailbox::Refused;
use reqwest::Method;
use serde_json::json;

use crate::support::{Asked, Site, id, path, word};

#[tokio::test]
async fn a_lesson_is_created_started_and_ended() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let body = json!({ "title": "五年级英语", "teacher": "王老师", "starts_at": "2026-11-24T10:00:00+08:00" });
    let created = site.post("/api/v1/lessons", &operator, body).await;
    assert_eq!(created.header("location"), path(&created.json(), ""));
    let lesson = created.expect(201);
    assert_eq!((&lesson["state"], &lesson["teacher"]), (&json!("scheduled"), &json!("王老师")));
    assert_eq!(lesson["starts_at"], "2026-11-24T02:00:00Z");

    let studio = site.token(&operator, &lesson, "studio").await;
    let live = site.post(&path(&lesson, "/start"), &studio, json!({})).await.expect(200);
    assert_eq!(live["state"], "live");
    let again = site.post(&path(&lesson, "/start"), &studio, json!({})).await.expect(200);
    assert_eq!(again["started_at"], live["started_at"], "pressing twice changes nothing");
    let ended = site.post(&path(&lesson, "/end"), &studio, json!({})).await.expect(200);
    assert_eq!(ended["state"], "ended");
    assert!(ended.get("join_code").is_none(), "the code is another lesson's to have");
    assert_eq!(site.media.asked(), [Asked::EndLesson(id(&lesson, "id"))]);
    for rest in ["/start", "/end"] {
        site.post(&path(&lesson, rest), &operator, json!({})).await.problem(409, "lesson_ended");
    }
    site.post(&path(&lesson, "/tokens"), &operator, json!({ "role": "studio" })).await.problem(409, "lesson_ended");
}

#[tokio::test]
async fn lessons_are_listed_by_state_and_time() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let live = site.lesson(&operator, true).await;
    let autumn = json!({ "title": "秋天", "starts_at": "2020-10-01T00:00:00Z" });
    let autumn = site.post("/api/v1/lessons", &operator, autumn).await.expect(201);
    let ids = async |query: &str| {
        let listed = site.get(&format!("/api/v1/lessons{query}"), &operator).await.expect(200);
        listed["lessons"].as_array().expect("a list").iter().map(|lesson| lesson["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [live["id"].clone(), autumn["id"].clone()]);
    assert_eq!(ids("?state=live").await, [live["id"].clone()]);
    assert_eq!(ids("?to=2021-01-01T00:00:00Z").await, [autumn["id"].clone()]);
    assert_eq!(ids("?from=2021-01-01T00:00:00Z&state=scheduled").await, [json!(null); 0]);
    site.get("/api/v1/lessons?state=over", &operator).await.problem(400, "bad_request");
    site.get("/api/v1/lessons?sate=live", &operator).await.problem(400, "bad_request");
}

#[tokio::test]
async fn a_restart_keeps_lessons_as_they_were_and_tokens_good() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let site = site.restart().await;
    assert!(site.running.first_key.is_none(), "the operator link was made once");
    assert_eq!(site.get(&path(&lesson, ""), &studio).await.expect(200)["state"], "live");
    site.offer(&format!("/whip/{}", word(&lesson, "id")), &studio).await;
    assert_eq!(site.media.asked().len(), 1, "the studio goes on where it was");
}

#[tokio::test]
async fn the_stage_holds_classrooms_that_are_there() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let classroom = site.token(&operator, &lesson, "classroom").await;
    let put =
        async |token: &str, body| site.send(site.ask(Method::PUT, &path(&lesson, "/stage"), token).json(&body)).await;
    put(&classroom, json!({ "participants": [] })).await.problem(403, "role_not_allowed");
    put(&operator, json!({ "participants": ["0000000000000"] })).await.problem(422, "participant_unknown");
    put(&operator, json!({ "participants": ["nobody"] })).await.problem(422, "unprocessable");

    site.offer(&format!("/whep/{}", word(&lesson, "id")), &classroom).await;
    let Some(Asked::Connect { participant, .. }) = site.media.asked().pop() else { panic!("no offer came through") };
    let on_stage = put(&operator, json!({ "participants": [participant] })).await.expect(200);
    assert_eq!(on_stage, json!({ "participants": [participant] }));
    assert_eq!(site.media.asked().pop(), Some(Asked::Stage(vec![participant])));
}

#[tokio::test]
async fn malformed_requests_are_told_what_is_wrong() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let raw = |content_type: &str, body: &str| {
        let request = site.ask(Method::POST, "/api/v1/lessons", &operator).header("content-type", content_type);
        site.send(request.body(body.to_owned()))
    };
    raw("application/json", "{\"title\":").await.problem(400, "bad_json");
    raw("application/json", "").await.problem(400, "bad_json");
    raw("text/plain", "{}").await.problem(415, "wrong_content_type");
    raw("application/json", "{}").await.problem(422, "unprocessable");
    raw("application/json", "{\"title\":\"x\",\"tittle\":\"y\"}").await.problem(422, "unprocessable");
    raw("application/json", "{\"title\":\" \"}").await.problem(422, "unprocessable");
    raw("application/json", "{\"title\":\"x\",\"starts_at\":\"tomorrow\"}").await.problem(422, "unprocessable");
    raw("application/json", &format!("{{\"title\":\"{}\"}}", "x".repeat(70_000))).await.problem(413, "too_large");

    site.get("/api/v1/lessons/0000000000000", &operator).await.problem(404, "lesson_not_found");
    site.get("/api/v1/lessons/none", &operator).await.problem(404, "lesson_not_found");
    for nothing in ["/api/v1/nothing", "/api", "/whip", "/whep/", "/api/v1/lessons/0/1/2"] {
        site.get(nothing, &operator).await.problem(404, "not_found");
    }
    let refused =
        site.send(site.ask(Method::DELETE, "/api/v1/lessons", &operator)).await.problem(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), "POST,GET,HEAD");
}

#[tokio::test]
async fn what_the_media_side_refuses_is_passed_on_with_its_reason() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let whip = format!("/whip/{}", word(&lesson, "id"));
    for (why, status, code) in [
        (Refused::BadOffer("no m-line".into()), 400, "bad_offer"),
        (Refused::Unsatisfiable("no H.264".into()), 422, "offer_unsatisfiable"),
        (Refused::Busy, 503, "busy"),
        (Refused::Stopping, 503, "stopping"),
    ] {
        site.media.refuse(why);
        let answer = site.offer(&whip, &studio).await.problem(status, code);
        assert_eq!(answer.header("retry-after").is_empty(), status != 503, "{code}");
    }
    site.media.refuse(Refused::Unsatisfiable("no H.264".into()));
    assert!(site.offer(&whip, &studio).await.text.contains("no H.264"));
}
