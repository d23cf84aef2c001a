//! Who gets in, and how far.

use mingshi::api::member;
use mingshi::auth::{Lifetimes, OperatorKey, Publish, Tokens};
use mingshi::id::{LessonId, ParticipantId};
use mingshi::lesson::Role;
use reqwest::Method;
use serde_json::json;
use time::Duration;

use crate::support::{Site, id, path, word};

#[tokio::test]
async fn nothing_is_open_without_a_token() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let whip = format!("/whip/{}/camera", word(&lesson, "id"));
    for (method, path) in [
        (Method::POST, "/api/v1/lessons".to_owned()),
        (Method::GET, "/api/v1/lessons".to_owned()),
        (Method::GET, path(&lesson, "")),
        (Method::POST, path(&lesson, "/start")),
        (Method::POST, path(&lesson, "/tokens")),
        (Method::PUT, path(&lesson, "/stage")),
        (Method::POST, "/api/v1/token".to_owned()),
        (Method::POST, whip.clone()),
        (Method::POST, whip.replace("whip", "whep")),
    ] {
        let request = || site.ask(method.clone(), &path, "").header("content-type", "application/json").body("{}");
        let answer = site.send(request()).await.problem(401, "token_missing");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path}");
        site.send(request().bearer_auth("a.b.c")).await.problem(401, "token_invalid");
        site.send(request().header("authorization", "Basic eDp5")).await.problem(401, "token_invalid");
    }
}

#[tokio::test]
async fn a_token_opens_its_own_lesson_in_its_own_role_only() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let (own, other) = (site.lesson(&operator, true).await, site.lesson(&operator, true).await);
    let studio = site.token(&operator, &own, "studio").await;
    let classroom = site.token(&operator, &own, "classroom").await;

    assert_eq!(site.get(&path(&own, ""), &studio).await.expect(200)["join_code"], own["join_code"]);
    let seen = site.get(&path(&own, ""), &classroom).await.expect(200);
    assert!(seen.get("join_code").is_none(), "a classroom doesn't hand the code on: {seen}");

    site.get(&path(&other, ""), &studio).await.problem(403, "token_of_another_lesson");
    site.post(&path(&other, "/end"), &studio, json!({})).await.problem(403, "token_of_another_lesson");
    site.offer(&format!("/whep/{}", word(&other, "id")), &classroom).await.problem(403, "token_of_another_lesson");

    site.get("/api/v1/lessons", &studio).await.problem(403, "role_not_allowed");
    site.post("/api/v1/lessons", &studio, json!({ "title": "x" })).await.problem(403, "role_not_allowed");
    for rest in ["/start", "/end"] {
        site.post(&path(&own, rest), &classroom, json!({})).await.problem(403, "role_not_allowed");
    }
    let role = |role| json!({ "role": role });
    site.post(&path(&own, "/tokens"), &classroom, role("classroom")).await.problem(403, "role_not_allowed");
    site.post(&path(&own, "/tokens"), &studio, role("studio")).await.problem(403, "role_not_allowed");
    site.post(&path(&own, "/tokens"), &operator, role("operator")).await.problem(403, "role_not_allowed");
    site.post(&path(&own, "/tokens"), &studio, role("classroom")).await.expect(201);
}

#[tokio::test]
async fn an_expired_a_forged_and_another_servers_token_open_nothing() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let studio = site.token(&operator, &lesson, "studio").await;

    let lifetimes = Lifetimes { lesson: Duration::minutes(15), operator: Duration::hours(12) };
    let lesson_id: LessonId = id(&lesson, "id");
    let claims = member(lesson_id, ParticipantId::random(), Role::Studio, Publish::Any, None, None);
    let forged = Tokens::new(&[0; 32], lifetimes).issue(claims, site.now()).token;
    site.get(&path(&lesson, ""), &forged).await.problem(401, "token_invalid");

    site.later(Duration::minutes(16));
    site.get(&path(&lesson, ""), &studio).await.problem(401, "token_expired");
    site.post("/api/v1/token", &studio, json!({})).await.problem(401, "token_expired");
    site.later(Duration::hours(12));
    site.get("/api/v1/lessons", &operator).await.problem(401, "token_expired");
}

#[tokio::test]
async fn a_token_is_renewed_while_it_is_good_and_keeps_its_participant() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let body = json!({ "role": "classroom", "name": " 舒城三小 ", "school": "舒城三小", "publish": [] });
    let first = site.post(&path(&lesson, "/tokens"), &operator, body).await.expect(201);
    assert_eq!(word(&first, "url"), site.url(&format!("/#/c/{}?token={}", word(&lesson, "id"), word(&first, "token"))));
    site.later(Duration::minutes(14));
    let second = site.post("/api/v1/token", &word(&first, "token"), json!({})).await.expect(200);
    assert_eq!(second["participant"], first["participant"]);
    site.later(Duration::minutes(14));
    site.get(&path(&lesson, ""), &word(&second, "token")).await.expect(200);

    site.post(&path(&lesson, "/end"), &operator, json!({})).await.expect(200);
    site.post("/api/v1/token", &word(&second, "token"), json!({})).await.problem(409, "lesson_ended");
}

#[tokio::test]
async fn a_longer_token_is_an_operators_to_give() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let long = |minutes: u32| json!({ "role": "studio", "publish": ["camera"], "minutes": minutes });
    let handed = site.post(&path(&lesson, "/tokens"), &operator, long(600)).await.expect(201);
    site.later(Duration::hours(9));
    site.get(&path(&lesson, ""), &word(&handed, "token")).await.expect(200);
    site.post(&path(&lesson, "/tokens"), &operator, long(1441)).await.problem(422, "unprocessable");
    site.post(&path(&lesson, "/tokens"), &operator, long(0)).await.problem(422, "unprocessable");
}

#[tokio::test]
async fn a_retired_operator_link_takes_its_tokens_along() {
    let site = Site::start().await;
    let operator = site.operator().await;
    site.get("/api/v1/lessons", &operator).await.expect(200);
    let next = OperatorKey::random();
    site.running.state.store.replace_operator_key(next.hash(), site.now()).await.expect("kept");
    site.get("/api/v1/lessons", &operator).await.problem(401, "token_invalid");
    let old = site.running.first_key.as_ref().expect("a first start").to_string();
    site.post("/api/v1/operator", "", json!({ "key": old })).await.problem(401, "key_invalid");
    site.post("/api/v1/operator", "", json!({ "key": next.to_string() })).await.expect(200);
}

#[tokio::test]
async fn six_digits_let_a_classroom_in() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, false).await;
    let code = word(&lesson, "join_code");
    let joined = site.post("/api/v1/join", "", json!({ "code": code, "name": "舒城三小" })).await.expect(200);
    assert_eq!(joined["lesson"]["id"], lesson["id"]);
    assert!(joined["lesson"].get("join_code").is_none());
    site.get(&path(&lesson, ""), &word(&joined, "token")).await.expect(200);

    let again = json!({ "code": format!("{} {}", &code[..3], &code[3..]), "participant": joined["participant"] });
    let again = site.post("/api/v1/join", "", again).await.expect(200);
    assert_eq!(again["participant"], joined["participant"], "a device stays who it was");

    site.post("/api/v1/join", "", json!({ "code": "12345" })).await.problem(400, "bad_code");
    site.post(&path(&lesson, "/end"), &operator, json!({})).await.expect(200);
    site.post("/api/v1/join", "", json!({ "code": code })).await.problem(404, "code_not_found");
}

#[tokio::test]
async fn guessing_is_limited_per_address_and_a_school_at_the_bell_is_not() {
    let site = Site::configured(|config| {
        config.auth.join_attempts_per_minute = 3;
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let from =
        |address: &str, body| site.ask(Method::POST, "/api/v1/join", "").header("x-forwarded-for", address).json(&body);
    let right = json!({ "code": word(&lesson, "join_code") });
    let together = (0..100).map(|_| site.send(from("192.0.2.1", right.clone())));
    for joined in futures_util::future::join_all(together).await {
        joined.expect(200);
    }
    let taken = word(&lesson, "join_code");
    let wrong = json!({ "code": if taken == "000000" { "000001" } else { "000000" } });
    for _ in 0..3 {
        site.send(from("192.0.2.1", wrong.clone())).await.problem(404, "code_not_found");
    }
    let limited = site.send(from("192.0.2.1", right.clone())).await.problem(429, "too_many_tries");
    let wait: u64 = limited.header("retry-after").parse().expect("whole seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    let key = json!({ "key": OperatorKey::random().to_string() });
    let key = site.ask(Method::POST, "/api/v1/operator", "").header("x-forwarded-for", "192.0.2.1").json(&key);
    site.send(key).await.problem(429, "too_many_tries");
    site.send(from("192.0.2.2", right)).await.expect(200);
}

#[tokio::test]
async fn who_asks_too_often_waits_and_the_rest_of_its_school_does_not() {
    let site = Site::configured(|config| {
        config.auth.requests_per_participant_per_minute = 6;
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let whep = format!("/whep/{}", word(&lesson, "id"));
    let offer = |token: &str| {
        let request = site.ask(Method::POST, &whep, token).header("x-forwarded-for", "192.0.2.1");
        site.send(request.header("content-type", "application/sdp").body("v=0"))
    };
    let flooder = site.token(&operator, &lesson, "classroom").await;
    for _ in 0..6 {
        offer(&flooder).await;
    }
    let limited = offer(&flooder).await.problem(429, "too_many_requests");
    let wait: u64 = limited.header("retry-after").parse().expect("whole seconds");
    assert!((1..=10).contains(&wait), "{wait}");
    assert!(limited.json()["detail_zh"].as_str().is_some_and(|text| text.contains("请求过于频繁")));
    site.post("/api/v1/token", &flooder, json!({})).await.problem(429, "too_many_requests");
    // A hundred classrooms of the same school at the bell, all at once: a code, an offer and a renewal each.
    let code = json!({ "code": word(&lesson, "join_code") });
    let classrooms = (0..100).map(async |_| {
        let join = site.ask(Method::POST, "/api/v1/join", "").header("x-forwarded-for", "192.0.2.1").json(&code);
        let token = word(&site.send(join).await.expect(200), "token");
        assert!(offer(&token).await.status.is_success());
        site.post("/api/v1/token", &token, json!({})).await.expect(200);
    });
    futures_util::future::join_all(classrooms).await;
}

#[tokio::test]
async fn an_address_that_asks_too_often_waits_and_its_neighbours_do_not() {
    let site = Site::configured(|config| {
        config.auth.requests_per_address_per_minute = 5;
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let from = |address: &str| {
        let request = site.ask(Method::POST, "/api/v1/join", "").header("x-forwarded-for", address);
        site.send(request.json(&json!({ "code": "not a code" })))
    };
    for _ in 0..5 {
        from("2001:db8::1").await.problem(400, "bad_code");
    }
    let limited = from("2001:db8::2").await.problem(429, "too_many_requests");
    assert!(!limited.header("retry-after").is_empty());
    from("2001:db8:0:1::1").await.problem(400, "bad_code");
}

#[tokio::test]
async fn nobody_becomes_the_studio_or_a_classroom_on_stage_by_naming_it() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let studio = site.token(&operator, &lesson, "studio").await;
    site.offer(&format!("/whip/{}", word(&lesson, "id")), &studio)
        .await
        .status
        .is_success()
        .then_some(())
        .expect("on air");
    let studio_id = match &site.media.asked()[0] {
        crate::support::Asked::Connect { participant, .. } => participant.to_string(),
        other => panic!("expected an offer, got {other:?}"),
    };
    let code = word(&lesson, "join_code");
    let join = |participant: String| json!({ "code": code, "participant": participant });
    let joined = site.post("/api/v1/join", "", join(studio_id.clone())).await.expect(200);
    assert_ne!(word(&joined, "participant"), studio_id);

    let (on_stage, token) = (word(&joined, "participant"), word(&joined, "token"));
    site.offer(&format!("/whep/{}", word(&lesson, "id")), &token).await;
    let stage = site.ask(Method::PUT, &path(&lesson, "/stage"), &studio).json(&json!({ "participants": [on_stage] }));
    site.send(stage).await.expect(200);
    let thief = site.post("/api/v1/join", "", join(on_stage.clone())).await.expect(200);
    assert_ne!(word(&thief, "participant"), on_stage);
    site.later(Duration::hours(1));
    let own = site.post("/api/v1/join", &token, join(on_stage.clone())).await.expect(200);
    assert_eq!(word(&own, "participant"), on_stage, "its old token proves it");
}
