//! One port for pages and media: the first octets of a connection tell which it is for.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Asked, Site};

/// A STUN binding request that names our fragment (RFC 8489 §5, §14.3), behind its length (RFC 4571 §2).
fn framed_request(username: &str) -> (Vec<u8>, Vec<u8>) {
    let mut attribute = vec![0, 6, 0, username.len() as u8];
    attribute.extend(username.as_bytes());
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    let mut request = vec![0, 1, 0, attribute.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    request.extend([7; 12]);
    request.extend(attribute);
    let framed = [&(request.len() as u16).to_be_bytes()[..], &request].concat();
    (request, framed)
}

async fn adopted(site: &Site) -> Vec<(SocketAddr, Vec<u8>)> {
    let found = |asked: Asked| match asked {
        Asked::Adopt(remote, first) => Some((remote, first)),
        _ => None,
    };
    site.media.asked().into_iter().filter_map(found).collect()
}

/// Waits until the server has closed the connection.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(std::time::Duration::from_secs(8), stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "it is still open");
}

#[tokio::test]
async fn a_stream_that_begins_with_a_check_is_handed_to_media_on_every_port() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let alone = free.local_addr().expect("it is bound");
    drop(free);
    let site = Site::configured(|config| {
        config.server.https = "127.0.0.1:0".parse().ok();
        config.media.bind_address = Some(alone.ip());
        config.media.tcp_port = Some(alone.port());
    })
    .await;
    let https = site.running.https.expect("HTTPS is on");
    let mut expected = Vec::new();
    for address in [site.address(), https, alone] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let (request, framed) = framed_request("00abcdefgh:remote");
        // In pieces, as a line may deliver it.
        for piece in framed.chunks(7) {
            stream.write_all(piece).await.expect("it is open");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        expected.push((stream.local_addr().expect("it is bound"), request));
        closed(stream).await;
    }
    assert_eq!(adopted(&site).await, expected);
    // The same ports serve pages as before; the one for media alone serves none.
    assert_eq!(site.get("/healthz", "").await.expect(200)["status"], "ok");
    let trusting = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().expect("a client");
    assert_eq!(trusting.get(format!("https://{https}/healthz")).send().await.expect("TLS").status(), 200);
    assert!(reqwest::get(format!("http://{alone}/healthz")).await.is_err());
}

#[tokio::test]
async fn what_is_neither_a_check_nor_a_page_is_closed_without_a_word() {
    let site = Site::start().await;
    let (_, whole) = framed_request("00abcdefgh:remote");
    let mut without_name = framed_request("nobody").1;
    without_name[2 + 20 + 1] = 0x24;
    let half = &whole[..whole.len() / 2];
    let beginnings: [&[u8]; 5] = [&[0, 0], &[4, 200, 0, 1], &[3, 0], half, &without_name];
    let mut streams = Vec::new();
    for beginning in beginnings {
        let mut stream = TcpStream::connect(site.address()).await.expect("it listens");
        stream.write_all(beginning).await.expect("it is open");
        streams.push(stream);
    }
    for stream in streams {
        closed(stream).await;
    }
    assert_eq!(adopted(&site).await, []);
}
