//! Who is told of the operator's TURN servers, and for how long.

use reqwest::Method;
use serde_json::{Value, json};
use time::Duration;

use crate::support::{Answer, Site, path, word};

const SECRET: &str = "shared with the TURN server";
const SERVERS: [&str; 2] = ["turn:turn.example.cn:3478?transport=udp", "turns:turn.example.cn:443?transport=tcp"];

async fn site() -> (Site, String) {
    let servers = SERVERS.map(str::to_owned).to_vec();
    let turn = mingshi::auth::Turn::new(servers, SECRET.into()).expect("they are TURN addresses");
    let site = Site::configured(|config| config.turn = Some(turn)).await;
    let operator = site.operator().await;
    (site, operator)
}

fn endpoint(way: &str, lesson: &Value, rest: &str) -> String {
    format!("/{way}/{}{rest}", word(lesson, "id"))
}

fn links(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("link").iter().map(|link| link.to_str().expect("headers are text")).collect()
}

/// What follows `name="` up to the next quote.
fn field<'a>(link: &'a str, name: &str) -> &'a str {
    let start = format!("{name}=\"");
    link.split(&start).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("no {name} in {link}"))
}

async fn options(site: &Site, path: &str, token: &str) -> Answer {
    let answer = site.send(site.ask(Method::OPTIONS, path, token)).await;
    assert_eq!((answer.status.as_u16(), answer.header("accept-post")), (200, "application/sdp"));
    answer
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).expect("a JWT has three parts");
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&claims).expect("claims are JSON")
}

#[tokio::test]
async fn who_is_admitted_gets_credentials_that_end_with_the_token() {
    let (site, operator) = site().await;
    let lesson = site.lesson(&operator, true).await;
    for (role, way, rest) in [
        ("studio", "whip", ""),
        ("studio", "whip", "/camera"),
        ("classroom", "whep", ""),
        ("classroom", "whep", "/camera"),
    ] {
        let token = site.token(&operator, &lesson, role).await;
        let claims = claims(&token);
        let holder = claims["sub"].as_str().expect("a participant");
        let path = endpoint(way, &lesson, rest);
        for answer in [options(&site, &path, &token).await, site.offer(&path, &token).await] {
            let links = links(&answer);
            assert_eq!(links.len(), SERVERS.len(), "{way}{rest}: {links:?}");
            for (link, server) in links.iter().zip(SERVERS) {
                assert!(link.starts_with(&format!("<{server}>; rel=\"ice-server\"; ")), "{link}");
                assert_eq!(field(link, "username"), format!("{}:{holder}", claims["exp"]));
                assert_eq!(field(link, "credential").len(), 28, "an HMAC-SHA1 in base64");
                assert_eq!(field(link, "credential-type"), "password");
                assert!(!link.contains(SECRET));
            }
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        site.later(Duration::minutes(12));
        let answer = site.post("/api/v1/token", &token, json!({})).await;
        assert_eq!(links(&answer).len(), SERVERS.len(), "told with the token: nobody has to ask");
        let renewed = word(&answer.expect(200), "token");
        let before = field(links(&options(&site, &path, &token).await)[0], "username").to_owned();
        let after = field(links(&options(&site, &path, &renewed).await)[0], "username").to_owned();
        assert!(after > before, "a renewed token has credentials of its own: {before}, {after}");
    }
}

#[tokio::test]
async fn who_comes_by_code_is_told_with_the_token_and_need_not_ask() {
    let (site, operator) = site().await;
    let lesson = site.lesson(&operator, true).await;
    let answer = site.post("/api/v1/join", "", json!({ "code": word(&lesson, "join_code") })).await;
    let told = links(&answer).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let token = word(&answer.expect(200), "token");
    let expected = format!("{}:{}", claims(&token)["exp"], claims(&token)["sub"].as_str().expect("a participant"));
    assert_eq!(told.len(), SERVERS.len());
    assert!(told.iter().all(|link| field(link, "username") == expected), "{told:?}");
    let wrong = site.post("/api/v1/join", "", json!({ "code": "000000" })).await;
    assert_eq!((wrong.status.is_client_error(), links(&wrong).len()), (true, 0));
}

#[tokio::test]
async fn nobody_else_is_told_of_turn_servers() {
    let (site, operator) = site().await;
    let lesson = site.lesson(&operator, true).await;
    let other = site.lesson(&operator, true).await;
    let planned = site.lesson(&operator, false).await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let classroom = site.token(&operator, &lesson, "classroom").await;
    let elsewhere = site.token(&operator, &other, "classroom").await;
    let early = site.token(&operator, &planned, "classroom").await;
    let (whip, whep) = (endpoint("whip", &lesson, "/camera"), endpoint("whep", &lesson, ""));
    let told = async |path: &str, token: &str| {
        let (asked, offered) = (options(&site, path, token).await, site.offer(path, token).await);
        assert!(offered.status.is_client_error() || offered.status.is_server_error(), "{path}: {}", offered.status);
        links(&asked).len() + links(&offered).len()
    };
    assert_eq!(told(&whep, "").await, 0, "without a token");
    assert_eq!(told(&whep, "no.token.atall").await, 0);
    assert_eq!(told(&whep, &elsewhere).await, 0, "of another lesson");
    assert_eq!(told(&endpoint("whip", &lesson, ""), &classroom).await, 0, "it is no studio");
    assert_eq!(told(&whep, &operator).await, 0, "an operator takes part in no lesson");
    assert_eq!(told(&endpoint("whep", &planned, ""), &early).await, 0, "the lesson has not begun");
    assert_eq!(told("/whep/nonsense", &classroom).await, 0);
    assert_eq!(told(&endpoint("whip", &lesson, "/%20"), &studio).await, 0, "no source is called that");

    site.post(&path(&other, "/end"), &operator, json!({})).await.expect(200);
    assert_eq!(told(&endpoint("whep", &other, ""), &elsewhere).await, 0, "the lesson has ended");
    site.running.state.drain();
    assert_eq!(told(&whep, &classroom).await, 0, "the server stops");
    site.later(Duration::hours(1));
    assert_eq!(told(&whip, &studio).await, 0, "the token has expired");
}
