//! The server as a service manager sees it (sd_notify(3)): ready, alive, stopping.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The service manager's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    /// Waits for a message with this line, and gives the whole of it.
    fn hears(&self, line: &str) -> String {
        for _ in 0..100 {
            let mut message = [0; 4096];
            let length = self.0.recv(&mut message).unwrap_or_else(|error| panic!("{line} never came: {error}"));
            let message = String::from_utf8_lossy(&message[..length]).into_owned();
            if message.lines().any(|said| said == line) {
                return message;
            }
        }
        panic!("{line} never came, but much else");
    }
}

fn free_udp_port() -> u16 {
    let probe = std::net::UdpSocket::bind("[::]:0").or_else(|_| std::net::UdpSocket::bind("0.0.0.0:0"));
    probe.and_then(|probe| probe.local_addr()).expect("a free port").port()
}

#[test]
fn a_service_manager_is_told_that_the_server_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&socket).expect("a socket"));
    manager.0.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
    let mut server = Command::new(env!("CARGO_BIN_EXE_mingshi"))
        .arg("serve")
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "200000")
        .env("MINGSHI_SERVER_DATA", folder.path().join("data"))
        .env("MINGSHI_SERVER_HTTP", "127.0.0.1:0")
        .env("MINGSHI_SERVER_HTTPS", "")
        .env("MINGSHI_SERVER_DRAIN_SECONDS", "60")
        .env("MINGSHI_MEDIA_UDP_PORT", free_udp_port().to_string())
        .env("MINGSHI_MEDIA_WORKERS", "1")
        .stdout(Stdio::null())
        .spawn()
        .expect("the server");
    manager.hears("READY=1");
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
    let told = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().expect("kill");
    assert!(told.success());
    let stopping = manager.hears("STOPPING=1");
    assert!(stopping.lines().any(|said| said == "EXTEND_TIMEOUT_USEC=90000000"), "{stopping}");
    assert!(server.wait().expect("it ends").success());
}
