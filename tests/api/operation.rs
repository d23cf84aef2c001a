//! What the engineer who runs it relies on: health, metrics, pages, certificates, limits, one server per folder.

use axum::body::Body;
use mingshi::api;
use mingshi::config::Config;
use mingshi::server::{self, DataFolder, LockError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use crate::support::{Answer, Site};

#[tokio::test]
async fn the_site_answers_without_a_port() {
    let site = Site::start().await;
    let request = axum::http::Request::get("/healthz").body(Body::empty()).expect("a request");
    let response = api::app(site.running.state.clone()).oneshot(request).await.expect("never fails");
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn health_readiness_and_metrics_are_for_whom_they_are() {
    let site = Site::start().await;
    assert_eq!(site.get("/healthz", "").await.expect(200)["status"], "ok");
    assert_eq!(site.get("/readyz", "").await.expect(200)["status"], "ok");
    let metrics = site.get("/metrics", "").await;
    assert!(metrics.text.contains("# TYPE mingshi_http_requests_total counter"), "{}", metrics.text);
    assert!(metrics.text.contains("mingshi_http_request_duration_seconds_bucket"), "{}", metrics.text);
    let forwarded = |token: &str| {
        let request = site.ask(reqwest::Method::GET, "/metrics", token).header("x-forwarded-for", "192.0.2.1");
        site.send(request)
    };
    forwarded("").await.problem(401, "token_missing");
    assert_eq!(forwarded(&site.operator().await).await.status, 200);
}

#[tokio::test]
async fn the_openapi_document_describes_calls_and_messages() {
    let site = Site::start().await;
    let document = site.get("/api/openapi.json", "").await.expect(200);
    for path in ["/api/v1/join", "/whip/{lesson}", "/whep/{lesson}/c/{connection}", "/api/v1/lessons/{lesson}/events"] {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
    for schema in ["Lesson", "ServerMessage", "ClientMessage", "SlotState", "Problem", "Welcome"] {
        assert!(document["components"]["schemas"].get(schema).is_some(), "{schema}");
    }
    let text = document.to_string();
    for reference in text.match_indices("#/components/schemas/").map(|(at, prefix)| &text[at + prefix.len()..]) {
        let name = reference.split('"').next().unwrap_or_default();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is referred to and isn't there");
    }
}

#[tokio::test]
async fn pages_carry_what_keeps_them_safe_and_missing_files_stay_missing() {
    let site = Site::start().await;
    for path in ["/", "/studio", "/c/123456"] {
        let page = site.get(path, "").await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(policy.contains(&format!("ws://{}", site.address())), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("access-control-allow-origin"), "");
    }
    site.get("/assets/none.js", "").await.problem(404, "not_found");
    site.post("/", "", serde_json::json!({})).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_browser_that_trusts_our_authority_reaches_us_over_tls() {
    let site = Site::configured(|config| config.server.https = "127.0.0.1:0".parse().ok()).await;
    let ca = site.get("/ca.crt", "").await;
    assert_eq!(ca.header("content-type"), "application/x-x509-ca-cert");
    let ca = reqwest::Certificate::from_pem(ca.text.as_bytes()).expect("a certificate");
    let port = site.running.https.expect("HTTPS is on").port();
    let trusting = reqwest::Client::builder().tls_certs_only([ca]).build().expect("a client");
    for host in ["127.0.0.1", "localhost"] {
        let response = trusting.get(format!("https://{host}:{port}/healthz")).send().await.expect("a handshake");
        assert_eq!(Answer::read(response).await.expect(200)["status"], "ok");
    }
    assert!(site.http.get(format!("https://127.0.0.1:{port}/healthz")).send().await.is_err(), "nobody else trusts it");

    // What is no TLS is let go, and the next handshake works.
    let mut stranger = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    let mut heard = Vec::new();
    let _ = stranger.read_to_end(&mut heard).await;
    assert!(trusting.get(format!("https://localhost:{port}/healthz")).send().await.is_ok());
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away_until_another_ends() {
    let site = Site::configured(|config| config.server.max_connections = 2).await;
    let connect = async || {
        let mut stream = tokio::net::TcpStream::connect(site.address()).await.expect("a connection");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        let mut first = [0; 15];
        let read = stream.read(&mut first).await.unwrap_or(0);
        (stream, first[..read].to_vec())
    };
    let (first, heard) = connect().await;
    assert_eq!(heard, b"HTTP/1.1 200 OK");
    let (_second, _) = connect().await;
    assert_eq!(connect().await.1, b"", "turned away");
    drop(first);
    while connect().await.1.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_takes_all_the_connections_that_an_address_may_have_takes_none_of_the_others() {
    let site = Site::configured(|config| config.server.max_connections_per_address = 2).await;
    let connect = async |from: [u8; 4]| {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("loopback has many addresses");
        let mut stream = socket.connect(site.address()).await.expect("a connection");
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut first = [0; 15];
        let read = stream.read(&mut first).await.unwrap_or(0);
        (stream, read > 0)
    };
    let held = [connect([127, 0, 0, 66]).await, connect([127, 0, 0, 66]).await];
    assert!(held.iter().all(|(_, answered)| *answered));
    assert!(!connect([127, 0, 0, 66]).await.1, "it has all that it may have");
    assert!(connect([127, 0, 0, 67]).await.1, "its neighbour isn't touched");
    drop(held);
    while !connect([127, 0, 0, 66]).await.1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn two_servers_never_share_a_data_folder_or_a_port() {
    let site = Site::start().await;
    let data = site.data().join("data");
    match DataFolder::take(&data) {
        Err(LockError::InUse { holder, .. }) => {
            assert_eq!(holder.pid, std::process::id().to_string());
            assert_eq!(holder.addresses, format!("http://{}", site.address()));
        }
        other => panic!("expected to be refused, got {other:?}"),
    }
    let other = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.server.data = other.path().join("data");
    config.server.http = Some(site.address());
    config.server.https = None;
    config.media.workers = Some(1);
    config.media.udp_port = 0;
    let refused = server::start(&config).await.expect_err("the port is taken").to_string();
    let fact = format!("server.http: can't listen on {}: another program uses this port", site.address());
    assert!(refused.starts_with(&fact), "{refused}");
    assert!(refused.contains("或换一个端口") && refused.contains("MINGSHI_SERVER_HTTP=127.0.0.1:"), "{refused}");
}
