//! WHIP (RFC 9725) and WHEP: the status codes and headers that clients rely on.

use mingshi::worker::mailbox::Refused;
use reqwest::Method;
use serde_json::{Value, json};
use time::Duration;

use crate::support::{Answer, Asked, OFFER, Site, path, word};

async fn on_air() -> (Site, String, Value) {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    (site, operator, lesson)
}

fn endpoint(way: &str, lesson: &Value, rest: &str) -> String {
    format!("/{way}/{}{rest}", word(lesson, "id"))
}

async fn patch(site: &Site, location: &str, token: &str, if_match: Option<&str>) -> Answer {
    let request = site.ask(Method::PATCH, location, token).header("content-type", "application/trickle-ice-sdpfrag");
    let request = if_match.into_iter().fold(request, |request, tag| request.header("if-match", tag));
    site.send(request.body("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n")).await
}

#[tokio::test]
async fn a_studio_publishes_trickles_restarts_and_leaves() {
    let (site, operator, lesson) = on_air().await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let answer = site.offer(&endpoint("whip", &lesson, ""), &studio).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (201, "application/sdp"));
    assert_eq!((answer.header("etag"), answer.header("accept-patch")), ("\"ice1\"", "application/trickle-ice-sdpfrag"));
    assert_eq!(answer.text, "v=0\r\na=answer\r\n");
    let location = answer.header("location").to_owned();
    assert!(location.starts_with(&endpoint("whip", &lesson, "/c/")), "an absolute path: {location}");

    let trickled = patch(&site, &location, &studio, Some("\"ice1\"")).await;
    assert_eq!((trickled.status.as_u16(), trickled.text.as_str(), trickled.header("etag")), (204, "", ""));
    site.media.restart_next();
    let restarted = patch(&site, &location, &studio, Some("*")).await;
    assert_eq!((restarted.status.as_u16(), restarted.header("etag")), (200, "\"ice2\""));
    assert_eq!(restarted.header("content-type"), "application/trickle-ice-sdpfrag");
    assert_eq!(restarted.text, "a=ice-ufrag:new\r\n");
    for (why, status, code) in [
        (Refused::MissingEtag, 428, "etag_missing"),
        (Refused::StaleEtag, 412, "etag_stale"),
        (Refused::BadFragment("no ufrag".into()), 422, "fragment_unusable"),
        (Refused::NoSuchConnection, 404, "connection_not_found"),
    ] {
        site.media.refuse(why);
        patch(&site, &location, &studio, None).await.problem(status, code);
    }
    let leave = site.ask(Method::DELETE, &location, &studio).header("if-match", "\"old\"");
    assert_eq!(site.send(leave).await.status, 200, "DELETE ignores If-Match");
    assert!(matches!(site.media.asked().pop(), Some(Asked::Disconnect { participant: None, .. })));
}

#[tokio::test]
async fn offers_of_the_wrong_kind_are_refused_before_anyone_reads_them() {
    let (site, operator, lesson) = on_air().await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let to = endpoint("whip", &lesson, "/camera");
    let offer = |content_type: &str, body: String| {
        site.send(site.ask(Method::POST, &to, &studio).header("content-type", content_type).body(body))
    };
    let wrong = offer("text/plain", OFFER.into()).await.problem(415, "wrong_content_type");
    assert_eq!(wrong.header("accept-post"), "application/sdp");
    site.send(site.ask(Method::POST, &to, &studio).body(OFFER)).await.problem(415, "wrong_content_type");
    offer("application/sdp", String::new()).await.problem(400, "bad_request");
    offer("application/sdp", "x".repeat(256 * 1024 + 1)).await.problem(413, "too_large");
    assert_eq!(site.media.asked(), []);
    assert_eq!(offer("Application/SDP; charset=utf-8", OFFER.into()).await.status, 201);

    let location = site.offer(&to, &studio).await.header("location").to_owned();
    let patch = site.ask(Method::PATCH, &location, &studio).header("content-type", "application/sdp").body(OFFER);
    let wrong = site.send(patch).await.problem(415, "wrong_content_type");
    assert_eq!(wrong.header("accept-patch"), "application/trickle-ice-sdpfrag");
    let there = site.get(&location, &studio).await;
    assert_eq!((there.status.as_u16(), there.text.as_str()), (204, ""));
    site.get(&location, "").await.problem(401, "token_missing");
    let head = site.send(site.ask(Method::HEAD, &to, "")).await;
    assert_eq!((head.status.as_u16(), head.header("content-type")), (200, "application/sdp"));
    site.send(site.ask(Method::PUT, &to, &studio)).await.problem(405, "method_not_allowed");
    site.send(site.ask(Method::PUT, &location, &studio)).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_publisher_needs_the_permission_for_its_source() {
    let (site, operator, lesson) = on_air().await;
    let token =
        async |body: Value| word(&site.post(&path(&lesson, "/tokens"), &operator, body).await.expect(201), "token");
    let obs = token(json!({ "role": "studio", "publish": ["camera"] })).await;
    assert_eq!(site.offer(&endpoint("whip", &lesson, "/camera"), &obs).await.status, 201);
    site.offer(&endpoint("whip", &lesson, "/slides"), &obs).await.problem(403, "source_not_allowed");
    site.offer(&endpoint("whip", &lesson, ""), &obs).await.problem(403, "source_not_allowed");
    site.offer(&endpoint("whip", &lesson, "/Camera!"), &obs).await.problem(404, "not_found");

    let pupils = token(json!({ "role": "classroom", "school": "舒城三小", "publish": ["pupils"] })).await;
    assert_eq!(site.offer(&endpoint("whip", &lesson, "/pupils"), &pupils).await.status, 201);
    let Some(Asked::Connect { purpose, school, address, .. }) = site.media.asked().pop() else {
        panic!("no offer came through")
    };
    assert_eq!(
        (purpose.contains("pupils"), school.as_deref(), address.as_str()),
        (true, Some("舒城三小"), "127.0.0.1")
    );
    site.offer(&endpoint("whip", &lesson, ""), &pupils).await.problem(403, "role_not_allowed");
    site.offer(&endpoint("whip", &lesson, "/pupils"), &operator).await.problem(403, "role_not_allowed");
    site.post(&path(&lesson, "/tokens"), &operator, json!({ "role": "studio", "publish": ["A B"] }))
        .await
        .problem(422, "unprocessable");
}

#[tokio::test]
async fn before_the_bell_only_the_studio_may_rehearse_and_after_it_nobody_comes() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, false).await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let classroom = site.token(&operator, &lesson, "classroom").await;
    assert_eq!(site.offer(&endpoint("whip", &lesson, ""), &studio).await.status, 201);
    site.offer(&endpoint("whip", &lesson, "/camera"), &classroom).await.problem(409, "lesson_not_live");
    let early = site.offer(&endpoint("whep", &lesson, ""), &classroom).await.problem(409, "lesson_not_live");
    assert_eq!(early.header("retry-after"), "5");

    site.post(&path(&lesson, "/start"), &studio, json!({})).await.expect(200);
    assert_eq!(site.offer(&endpoint("whep", &lesson, ""), &classroom).await.status, 201);
    assert_eq!(site.offer(&endpoint("whep", &lesson, "/camera"), &classroom).await.status, 201);

    site.post(&path(&lesson, "/end"), &studio, json!({})).await.expect(200);
    for way in ["whip", "whep"] {
        site.offer(&endpoint(way, &lesson, "/camera"), &studio).await.problem(409, "lesson_ended");
    }
}

#[tokio::test]
async fn a_connection_is_its_owners_and_the_studios() {
    let (site, operator, lesson) = on_air().await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let (own, other) =
        (site.token(&operator, &lesson, "classroom").await, site.token(&operator, &lesson, "classroom").await);
    let location = site.offer(&endpoint("whep", &lesson, ""), &own).await.header("location").to_owned();
    let delete = async |token: &str| site.send(site.ask(Method::DELETE, &location, token)).await;

    delete("").await.problem(401, "token_missing");
    delete(&other).await.problem(404, "connection_not_found");
    patch(&site, &location, &other, Some("\"ice1\"")).await.problem(404, "connection_not_found");
    let foreign = site.lesson(&operator, true).await;
    let foreign = site.token(&operator, &foreign, "studio").await;
    delete(&foreign).await.problem(403, "token_of_another_lesson");
    assert_eq!(delete(&studio).await.status, 200);

    site.later(Duration::hours(1));
    assert_eq!(delete(&own).await.status, 200, "an expired token may still end what it began");
    delete(&studio).await.problem(401, "token_expired");
    let nowhere = endpoint("whep", &lesson, "/c/none");
    site.send(site.ask(Method::DELETE, &nowhere, &own)).await.problem(404, "connection_not_found");
}

#[tokio::test]
async fn pages_of_other_origins_may_publish_and_play() {
    let (site, operator, lesson) = on_air().await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let preflight = |path: &str| {
        let request = site.ask(Method::OPTIONS, path, "").header("origin", "https://player.example");
        site.send(request.header("access-control-request-method", "POST"))
    };
    let answer = preflight(&endpoint("whip", &lesson, "/camera")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    assert_eq!(answer.header("accept-post"), "application/sdp");
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, OPTIONS, POST");
    assert!(answer.header("access-control-allow-headers").contains("Authorization"));
    let answer = preflight(&endpoint("whep", &lesson, "/c/0000000000000")).await;
    assert_eq!(answer.header("access-control-allow-methods"), "DELETE, GET, HEAD, OPTIONS, PATCH");
    let answer = preflight("/api/v1/join").await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-methods")), (204, "POST"));

    let answer = site.offer(&endpoint("whip", &lesson, ""), &studio).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    for name in ["Location", "ETag", "Link", "Retry-After"] {
        assert!(answer.header("access-control-expose-headers").contains(name), "{name}");
    }
    let refused = site.offer(&endpoint("whip", &lesson, ""), "").await.problem(401, "token_missing");
    assert_eq!(refused.header("access-control-allow-origin"), "*", "a page may read why");
}
