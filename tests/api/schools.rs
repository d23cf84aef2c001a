//! The roster of schools, and what a connection is told of its school's line.

use mingshi::id::ConnectionId;
use mingshi::units::Bitrate;
use mingshi::worker::mailbox::{LineNominal, Report};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Asked, Site, id, path, word};

const SCHOOLS: &str = "/api/v1/schools";

async fn put(site: &Site, path: &str, token: &str, body: Value) -> Answer {
    site.send(site.ask(Method::PUT, path, token).json(&body)).await
}

async fn delete(site: &Site, path: &str, token: &str) -> Answer {
    site.send(site.ask(Method::DELETE, path, token)).await
}

fn of(school: &Value, rest: &str) -> String {
    format!("{SCHOOLS}/{}{rest}", word(school, "id"))
}

#[tokio::test]
async fn a_school_is_created_read_changed_listed_and_deleted() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let body = json!({ "name": "河棚镇中心小学", "county": "舒城", "tier": "4M", "measured_rate": 3_100_000 });
    let created = site.post(SCHOOLS, &operator, body).await;
    assert_eq!(created.header("location"), of(&created.json(), ""));
    let school = created.expect(201);
    assert_eq!((&school["tier"], &school["measured_rate"]), (&json!("4M"), &json!(3_100_000)));
    assert!(school["measured_at"].is_string(), "{school}");
    site.post(SCHOOLS, &operator, json!({ "name": "河棚镇中心小学" })).await.problem(409, "name_taken");

    let change = json!({ "name": "河棚镇中心小学", "tier": "10M", "nominal_rate": 8_000_000, "share": 0.5 });
    let changed = put(&site, &of(&school, ""), &operator, change).await.expect(200);
    assert_eq!((&changed["tier"], &changed["share"], &changed["county"]), (&json!("10M"), &json!(0.5), &Value::Null));
    assert_eq!(changed["measured_at"], Value::Null, "what is left out is unsaid");
    let read = site.get(&of(&school, ""), &operator).await.expect(200);
    assert_eq!((&read["tier"], &read["nominal_rate"]), (&json!("10M"), &json!(8_000_000)));
    assert_eq!(site.get(SCHOOLS, &operator).await.expect(200)["schools"], json!([read]));

    assert_eq!(delete(&site, &of(&school, ""), &operator).await.status, 204);
    for answer in [site.get(&of(&school, ""), &operator).await, delete(&site, &of(&school, ""), &operator).await] {
        answer.problem(404, "school_not_found");
    }
}

#[tokio::test]
async fn what_is_no_school_is_refused_in_both_languages() {
    let site = Site::start().await;
    let operator = site.operator().await;
    for wrong in [
        json!({ "name": " " }),
        json!({ "name": "校".repeat(81) }),
        json!({ "name": "甲", "share": 1.5 }),
        json!({ "name": "甲", "nominal_rate": 4 }),
        json!({ "name": "甲", "tiers": "4M" }),
        json!({ "name": "甲", "tier": "5G" }),
        json!({ "tier": "4M" }),
    ] {
        site.post(SCHOOLS, &operator, wrong).await.problem(422, "unprocessable");
    }
    site.get(&format!("{SCHOOLS}/nowhere"), &operator).await.problem(404, "school_not_found");
    let lesson = site.lesson(&operator, true).await;
    let studio = site.token(&operator, &lesson, "studio").await;
    site.get(SCHOOLS, &studio).await.problem(403, "role_not_allowed");
    site.post(SCHOOLS, "", json!({ "name": "甲" })).await.problem(401, "token_missing");
}

#[tokio::test]
async fn classrooms_belong_to_their_school_and_go_with_it() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let school = site.post(SCHOOLS, &operator, json!({ "name": "甲" })).await.expect(201);
    let other = site.post(SCHOOLS, &operator, json!({ "name": "乙" })).await.expect(201);
    let rooms = of(&school, "/classrooms");
    let room = site.post(&rooms, &operator, json!({ "name": "五（1）班" })).await.expect(201);
    site.post(&rooms, &operator, json!({ "name": "五（1）班" })).await.problem(409, "name_taken");
    site.post(&of(&other, "/classrooms"), &operator, json!({ "name": "五（1）班" })).await.expect(201);
    let at = |school: &Value| of(school, &format!("/classrooms/{}", word(&room, "id")));
    put(&site, &at(&other), &operator, json!({ "name": "别校" })).await.problem(404, "classroom_not_found");
    put(&site, &at(&school), &operator, json!({ "name": "五（2）班" })).await.expect(200);
    let listed = site.get(&rooms, &operator).await.expect(200);
    assert_eq!(listed["classrooms"], json!([{ "id": room["id"], "name": "五（2）班" }]));
    assert_eq!(delete(&site, &at(&school), &operator).await.status, 204);
    delete(&site, &at(&school), &operator).await.problem(404, "classroom_not_found");
    delete(&site, &of(&school, ""), &operator).await;
    site.post(&rooms, &operator, json!({ "name": "五（3）班" })).await.problem(404, "school_not_found");
    site.get(&rooms, &operator).await.problem(404, "school_not_found");
}

/// The link group and the line that the media side was last told.
fn told(site: &Site) -> (Option<String>, LineNominal) {
    match site.media.asked().pop() {
        Some(Asked::Connect { school, nominal, .. }) => (school, nominal),
        other => panic!("no offer came through: {other:?}"),
    }
}

#[tokio::test]
async fn a_connection_brings_what_is_known_of_its_schools_line() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let whep = format!("/whep/{}", word(&lesson, "id"));
    let body =
        json!({ "name": "河棚", "tier": "4M", "nominal_rate": 6_000_000, "share": 0.5, "measured_rate": 3_100_000 });
    let school = site.post(SCHOOLS, &operator, body).await.expect(201);
    let token = async |named: &str| {
        let body = json!({ "role": "classroom", "school": named });
        word(&site.post(&path(&lesson, "/tokens"), &operator, body).await.expect(201), "token")
    };
    let known = LineNominal {
        tier: Some("4M".into()),
        nominal: Some(Bitrate::from_bps(6_000_000)),
        share: Some(0.5),
        measured: Some(Bitrate::from_bps(3_100_000)),
    };
    for named in [word(&school, "id"), "河棚".to_owned()] {
        site.offer(&whep, &token(&named).await).await;
        assert_eq!(told(&site), (Some(word(&school, "id")), known.clone()), "named {named}");
    }
    let Some(Asked::Connect { participant, .. }) = site.media.asked().pop() else { panic!("no offer came through") };
    let up = Report::Up { lesson: id(&lesson, "id"), participant, connection: ConnectionId::random_on(0) };
    site.reports.send(up).await.expect("the directory runs");
    let shown = async || site.get(&path(&lesson, "/participants"), &operator).await.expect(200)["participants"].clone();
    while shown().await == json!([]) {
        tokio::task::yield_now().await;
    }
    assert_eq!(shown().await[0]["participant"]["school"], "河棚", "by name, whatever the token calls it");

    put(&site, &of(&school, ""), &operator, json!({ "name": "河棚", "tier": "10M" })).await.expect(200);
    site.offer(&whep, &token("河棚").await).await;
    assert_eq!(told(&site).1, LineNominal { tier: Some("10M".into()), ..LineNominal::default() });

    site.offer(&whep, &token("没有登记的学校").await).await;
    assert_eq!(told(&site), (Some("没有登记的学校".into()), LineNominal::default()), "staff said so");
}

#[tokio::test]
async fn who_comes_by_code_may_name_a_school_of_the_roster_and_no_other() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, true).await;
    let whep = format!("/whep/{}", word(&lesson, "id"));
    let school = site.post(SCHOOLS, &operator, json!({ "name": "河棚", "tier": "4M" })).await.expect(201);
    let join = async |school: &str| {
        let body = json!({ "code": lesson["join_code"], "name": "五（1）班", "school": school });
        word(&site.post("/api/v1/join", "", body).await.expect(200), "token")
    };
    site.offer(&whep, &join(&word(&school, "id")).await).await;
    let (group, line) = told(&site);
    assert_eq!((group, line.tier), (Some(word(&school, "id")), Some("4M".into())));
    site.offer(&whep, &join("哪里都没有").await).await;
    assert_eq!(told(&site), (None, LineNominal::default()), "grouped by address");
}

#[tokio::test]
async fn the_studios_school_becomes_that_of_a_lesson_that_has_none() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let school = site.post(SCHOOLS, &operator, json!({ "name": "县实验小学" })).await.expect(201);
    let lesson = site.lesson(&operator, true).await;
    let hand_out = async |role: &str, school: &str| {
        let body = json!({ "role": role, "school": school });
        site.post(&path(&lesson, "/tokens"), &operator, body).await.expect(201);
        site.get(&path(&lesson, ""), &operator).await.expect(200)["school"].clone()
    };
    assert_eq!(hand_out("classroom", "河棚镇中心小学").await, Value::Null, "a classroom's is its own");
    assert_eq!(hand_out("studio", &word(&school, "id")).await, json!("县实验小学"));
    assert_eq!(hand_out("studio", "城关小学").await, json!("县实验小学"), "what is known stays");
}
