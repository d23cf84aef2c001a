//! Ports and certificates.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use time::{Duration, OffsetDateTime};

use super::Finding;
use crate::config::Config;
use crate::server::{certificate_files, tcp_candidates, udp_candidates};

/// Whether every port that the server will listen on can be had.
pub(super) fn ports(config: &Config) -> Vec<Finding> {
    let tcp = [
        ("server.http", config.server.http),
        ("server.https", config.server.https),
        ("media.tcp_port", config.media.tcp_listening()),
    ];
    let mut findings: Vec<Finding> = tcp
        .into_iter()
        .filter_map(|(option, address)| refused(option, address?, |address| TcpListener::bind(address).map(drop)))
        .collect();
    let ip = config.media.bind_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let workers = config.media.workers_on(cores()) as u16;
    let udp = (0..workers).filter_map(|n| config.media.udp_port.checked_add(n)).map(|port| SocketAddr::new(ip, port));
    findings.extend(
        udp.filter_map(|address| refused("media.udp_port", address, |address| UdpSocket::bind(address).map(drop))),
    );
    if findings.is_empty() {
        let last = config.media.udp_port.saturating_add(workers.saturating_sub(1));
        let first = config.media.udp_port;
        let said = format!("all can be had; the firewall has to let UDP {first}–{last} through");
        findings.push(Finding::ok("ports", said, format!("均可用；防火墙须放行 UDP {first}–{last}")));
    }
    findings
}

/// Whether browsers would use what they are told of UDP and of TCP.
pub(super) fn media(config: &Config) -> Vec<Finding> {
    const SUBJECT: &str = "media";
    let (udp, tcp) = (udp_candidates(&config.media), tcp_candidates(config));
    let listed = |candidates: &[SocketAddr]| candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let udp = match udp.as_slice() {
        [] => Finding::warning(
            SUBJECT,
            "browsers refuse UDP ports below 1024, but for 443 and 80 at a public address: set media.udp_port to 20000",
            "浏览器不接受 1024 以下的 UDP 端口（公网地址的 443、80 除外）：把 media.udp_port 设为 20000",
        ),
        some => Finding::ok(SUBJECT, format!("UDP at {}", listed(some)), format!("UDP：{}", listed(some))),
    };
    let tcp = match tcp.as_slice() {
        [] => Finding::warning(
            SUBJECT,
            "none over TCP, for schools where UDP is blocked: no port for pages is open to others, or it is 443 at a \
             private address, which browsers refuse for media: set media.tcp_port to 20000",
            "没有 TCP 通道，封锁 UDP 的学校无法听课：页面端口不对外，或是内网地址的 443（浏览器不用它传媒体）：把 media.tcp_port 设为 20000",
        ),
        some => Finding::ok(
            SUBJECT,
            format!("TCP at {}, for where UDP is blocked", listed(some)),
            format!("TCP（UDP 被封时）：{}", listed(some)),
        ),
    };
    vec![udp, tcp]
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn refused(option: &str, address: SocketAddr, bind: impl Fn(SocketAddr) -> std::io::Result<()>) -> Option<Finding> {
    let error = bind(address).err()?;
    let (fact, fact_zh) = match error.kind() {
        std::io::ErrorKind::AddrInUse => ("is used by another program".to_owned(), "已被其他程序占用".to_owned()),
        std::io::ErrorKind::AddrNotAvailable => ("is no address of this machine".to_owned(), "不是本机地址".to_owned()),
        std::io::ErrorKind::PermissionDenied => {
            ("needs the permission CAP_NET_BIND_SERVICE".to_owned(), "需要 CAP_NET_BIND_SERVICE 权限".to_owned())
        }
        _ => (format!("can't be had: {error}"), format!("无法使用：{error}")),
    };
    Some(Finding::error("ports", format!("{option}: {address} {fact}"), format!("{option}：{address} {fact_zh}")))
}

/// How long before its end people are warned.
const SOON: Duration = Duration::days(30);

/// Whether the certificate can be shown to browsers.
pub(super) fn certificate(config: &Config, now: OffsetDateTime) -> Finding {
    const SUBJECT: &str = "certificate";
    if config.server.https.is_none() {
        return Finding::warning(
            SUBJECT,
            "HTTPS is off: studios of other machines can't use their camera",
            "HTTPS 已关闭：其他电脑的主讲端无法使用摄像头",
        );
    }
    let Some(files) = &config.tls.files else {
        return Finding::ok(SUBJECT, "self-made; devices trust it with /ca.crt", "自建证书；设备安装 /ca.crt 后信任");
    };
    match certificate_files(files) {
        Err(error) => Finding::error(SUBJECT, error.to_string(), format!("无法使用：{error}")),
        Ok(None) => Finding::error(SUBJECT, "its validity can't be read", "无法读取有效期"),
        Ok(Some(validity)) if validity.not_after <= now => Finding::error(
            SUBJECT,
            format!("expired on {}", validity.not_after.date()),
            format!("已于 {} 过期", validity.not_after.date()),
        ),
        Ok(Some(validity)) if validity.not_before > now => {
            let from = validity.not_before.date();
            Finding::error(SUBJECT, format!("valid only from {from}"), format!("{from} 才生效"))
        }
        Ok(Some(validity)) => {
            let (until, left) = (validity.not_after.date(), validity.not_after - now);
            let level = if left < SOON { Finding::warning } else { Finding::ok };
            level(SUBJECT, format!("valid until {until}"), format!("有效期至 {until}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_browsers_refuse_for_media_are_told() {
        let marks = |text: &str| {
            let config = Config::parse(text, []).expect("a configuration");
            media(&config).iter().map(|finding| finding.detail.clone()).collect::<Vec<_>>()
        };
        let at = |address: &str| format!("[media]\npublic_addresses = [\"{address}\"]\n");
        assert_eq!(marks(&at("10.0.0.5")), ["UDP at 10.0.0.5:20000", "TCP at 10.0.0.5:8443, for where UDP is blocked"]);
        let low = format!("{}udp_port = 443\nworkers = 1\n[server]\nhttps = \"0.0.0.0:443\"\n", at("10.0.0.5"));
        let said = marks(&low);
        assert!(said[0].contains("media.udp_port") && said[1].contains("media.tcp_port"), "{said:?}");
        let public = low.replace("10.0.0.5", "203.0.113.9");
        assert_eq!(marks(&public), ["UDP at 203.0.113.9:443", "TCP at 203.0.113.9:443, for where UDP is blocked"]);
    }

    #[test]
    fn a_port_in_use_is_named_with_its_option() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut config = Config::default();
        config.server.http = taken.local_addr().ok();
        config.server.https = None;
        let findings = ports(&config);
        assert!(findings.iter().any(|finding| finding.detail.starts_with("server.http: 127.0.0.1:")), "{findings:?}");
    }
}
