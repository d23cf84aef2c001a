//! Ports and certificates.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use time::{Duration, OffsetDateTime};

use super::Finding;
use crate::config::Config;
use crate::server::certificate_files;

/// Whether every port that the server will listen on can be had.
pub(super) fn ports(config: &Config) -> Vec<Finding> {
    let tcp = [("server.http", config.server.http), ("server.https", config.server.https)];
    let mut findings: Vec<Finding> = tcp
        .into_iter()
        .filter_map(|(option, address)| refused(option, address?, |address| TcpListener::bind(address).map(drop)))
        .collect();
    let ip = config.media.bind_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let workers = config.media.workers.unwrap_or_else(cores) as u16;
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
    fn a_port_in_use_is_named_with_its_option() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut config = Config::default();
        config.server.http = taken.local_addr().ok();
        config.server.https = None;
        let findings = ports(&config);
        assert!(findings.iter().any(|finding| finding.detail.starts_with("server.http: 127.0.0.1:")), "{findings:?}");
    }
}
