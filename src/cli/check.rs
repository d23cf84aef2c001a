//! `mingshi check`: what is wrong on this machine, in words.

mod machine;
mod network;

use std::process::ExitCode;

use serde::Serialize;

use super::print;
use crate::config::Config;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// As it should be.
    Ok,
    /// The server runs, but not as well as it could.
    Warning,
    /// The server doesn't run, or not for everybody.
    Error,
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    subject: &'static str,
    level: Level,
    detail: String,
    detail_zh: String,
}

impl Finding {
    fn new(subject: &'static str, level: Level, detail: impl Into<String>, detail_zh: impl Into<String>) -> Self {
        Self { subject, level, detail: detail.into(), detail_zh: detail_zh.into() }
    }

    fn ok(subject: &'static str, detail: impl Into<String>, detail_zh: impl Into<String>) -> Self {
        Self::new(subject, Level::Ok, detail, detail_zh)
    }

    fn warning(subject: &'static str, detail: impl Into<String>, detail_zh: impl Into<String>) -> Self {
        Self::new(subject, Level::Warning, detail, detail_zh)
    }

    fn error(subject: &'static str, detail: impl Into<String>, detail_zh: impl Into<String>) -> Self {
        Self::new(subject, Level::Error, detail, detail_zh)
    }
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    findings: Vec<Finding>,
}

/// Look at everything that a server needs. With a configuration that can't be used, the rest is looked at as if it
/// were the default.
pub(super) async fn run(config: anyhow::Result<Config>, json: bool) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    let config = match config {
        Ok(config) => {
            findings.push(Finding::ok("configuration", "can be used", "可用"));
            config
        }
        Err(error) => {
            findings.push(Finding::error("configuration", format!("{error:#}"), format!("无法使用：{error:#}")));
            Config::default()
        }
    };
    let folder = machine::data_folder(&config);
    let is_running = folder.is_running;
    findings.push(folder.finding);
    findings.push(machine::disk(&config));
    if is_running {
        findings.push(Finding::ok("ports", "not tried: the server is running", "服务器正在运行，未检测端口"));
    } else {
        findings.extend(network::ports(&config));
    }
    findings.extend(network::media(&config));
    findings.push(network::certificate(&config, super::server::clock().now()));
    findings.push(machine::clock(&config.server.data));
    findings.extend(machine::kernel_buffers());
    findings.push(machine::file_descriptors(config.server.max_connections));
    findings.push(machine::web_client());
    findings.extend(machine::media_program().await);
    let ok = findings.iter().all(|finding| finding.level != Level::Error);
    let report = Report { ok, findings };
    print(&if json { serde_json::to_string(&report)? } else { in_words(&report) })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_words(report: &Report) -> String {
    let line = |finding: &Finding| {
        let mark = match finding.level {
            Level::Ok => "✓",
            Level::Warning => "!",
            Level::Error => "✗",
        };
        format!("{mark} {:<16} {}\n  {:<16} {}", finding.subject, finding.detail_zh, "", finding.detail)
    };
    let mut lines: Vec<String> = report.findings.iter().map(line).collect();
    lines.push(
        if report.ok {
            "可以启动。 The server can start."
        } else {
            "请先解决标 ✗ 的项目。 What is marked ✗ has to be solved first."
        }
        .to_owned(),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_and_both_languages_are_shown() {
        let findings = vec![
            Finding::ok("disk", "10 GB free", "剩余 10 GB"),
            Finding::error("ports", "8080 is taken", "8080 已被占用"),
        ];
        let words = in_words(&Report { ok: false, findings });
        for part in ["✓ disk", "✗ ports", "8080 已被占用", "8080 is taken", "请先解决"] {
            assert!(words.contains(part), "{part} is missing in {words}");
        }
    }
}
