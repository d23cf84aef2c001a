//! Disk, clock, kernel, and the media program.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::Deserialize;

use super::Finding;
use crate::api;
use crate::config::Config;
use crate::recording::{Disk, find_media_program};
use crate::server::{self, DataFolder, LockError};

/// What there is to say of the data folder.
pub(super) struct Folder {
    pub(super) finding: Finding,
    pub(super) is_running: bool,
}

/// Whether the data folder can be used.
pub(super) fn data_folder(config: &Config) -> Folder {
    const SUBJECT: &str = "data folder";
    let path = config.server.data.display();
    if !config.server.data.exists() {
        let said = format!("{path} will be made at the first start");
        return Folder {
            finding: Finding::ok(SUBJECT, said, format!("{path} 将在首次启动时创建")), is_running: false
        };
    }
    match DataFolder::take(&config.server.data) {
        Ok(_) => Folder {
            finding: Finding::ok(SUBJECT, format!("{path} can be used"), format!("{path} 可用")),
            is_running: false,
        },
        Err(LockError::InUse { holder, .. }) => {
            let said = format!("{path} is in use by the running server ({holder})");
            let said_zh = format!("{path} 正由运行中的服务器使用（{}）", holder.in_chinese());
            Folder { finding: Finding::ok(SUBJECT, said, said_zh), is_running: true }
        }
        Err(error) => Folder {
            finding: Finding::error(SUBJECT, error.to_string(), format!("无法使用：{error}")),
            is_running: false,
        },
    }
}

/// With less, not even the database can be written to before long.
const DISK_FULL: u64 = 500_000_000;

/// Whether there is room on the disk of the data folder. A gigabyte holds about two hours of a lesson.
pub(super) fn disk(config: &Config) -> Finding {
    const SUBJECT: &str = "disk";
    let free = match Disk::of(&config.server.data) {
        Ok(disk) => disk.free,
        Err(error) => {
            return Finding::warning(SUBJECT, format!("can't be asked: {error}"), format!("无法查询：{error}"));
        }
    };
    let (gigabytes, recording) = (free as f64 / 1e9, &config.recording);
    let (said, said_zh) = (format!("{gigabytes:.1} GB free"), format!("剩余 {gigabytes:.1} GB"));
    if free < DISK_FULL {
        return Finding::error(SUBJECT, said, said_zh);
    }
    if recording.enabled && free < recording.stop_free {
        let said = format!("{said}: too little for recordings (recording.stop_free_gb); lessons go on without");
        return Finding::warning(
            SUBJECT,
            said,
            format!("{said_zh}，不足以录像（recording.stop_free_gb），上课不受影响"),
        );
    }
    let level = if free < recording.warn_free { Finding::warning } else { Finding::ok };
    level(SUBJECT, said, said_zh)
}

/// When this version was made: no machine's clock is right that stands before it.
const RELEASED_UNIX_SECONDS: i64 = 1_790_000_000;

/// Whether the machine's clock can be right: tokens and certificates depend on it.
pub(super) fn clock(data: &Path) -> Finding {
    const SUBJECT: &str = "clock";
    let now = server::clock().now();
    if now.unix_timestamp() < RELEASED_UNIX_SECONDS {
        return Finding::error(
            SUBJECT,
            format!("{now} is in the past: set the clock"),
            format!("{now} 早于本版本的发布时间，请校准时钟"),
        );
    }
    let files =
        fs::read_dir(data).into_iter().flatten().filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok());
    let latest = files.max().and_then(|modified| modified.duration_since(SystemTime::UNIX_EPOCH).ok());
    match latest {
        Some(latest) if latest.as_secs() as i64 > now.unix_timestamp() + 60 => Finding::error(
            SUBJECT,
            format!("{now} is before the last change in the data folder: the clock went back"),
            format!("{now} 早于数据目录的最后修改时间：时钟被调慢"),
        ),
        _ => Finding::ok(SUBJECT, format!("{now}"), format!("{now}")),
    }
}

/// What the media sockets ask for.
const BUFFER: u64 = 8 << 20;

/// Whether the kernel lets sockets have buffers for a burst of a whole school.
pub(super) fn kernel_buffers() -> Vec<Finding> {
    ["rmem_max", "wmem_max"].into_iter().map(kernel_buffer).collect()
}

fn kernel_buffer(name: &str) -> Finding {
    const SUBJECT: &str = "kernel buffers";
    let granted =
        fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok().and_then(|text| text.trim().parse::<u64>().ok());
    match granted {
        Some(granted) if granted >= BUFFER => {
            Finding::ok(SUBJECT, format!("net.core.{name} = {granted}"), format!("net.core.{name} = {granted}"))
        }
        Some(granted) => Finding::warning(
            SUBJECT,
            format!(
                "net.core.{name} = {granted} may lose packets of many classrooms; as root: sysctl -w net.core.{name}={BUFFER}"
            ),
            format!(
                "net.core.{name} = {granted} 偏小，课堂多时可能丢包；以 root 执行 sysctl -w net.core.{name}={BUFFER}"
            ),
        ),
        None => Finding::warning(
            SUBJECT,
            format!("net.core.{name} can't be read here"),
            format!("无法读取 net.core.{name}"),
        ),
    }
}

/// Besides connections: database, certificates, media sockets, logs.
const OTHER_FILES: usize = 256;

/// Whether the process may open as many files as it may have connections.
pub(super) fn file_descriptors(connections: usize) -> Finding {
    const SUBJECT: &str = "open files";
    let needed = connections + OTHER_FILES;
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match soft_limit(&limits) {
        Some(limit) if limit < needed => Finding::warning(
            SUBJECT,
            format!(
                "the limit of {limit} is below server.max_connections + {OTHER_FILES} = {needed}; raise it with LimitNOFILE= or ulimit -n"
            ),
            format!("上限 {limit} 低于所需的 {needed}；请用 LimitNOFILE= 或 ulimit -n 调高"),
        ),
        Some(limit) => Finding::ok(SUBJECT, format!("up to {limit}"), format!("上限 {limit}")),
        None => Finding::ok(SUBJECT, "unlimited", "无上限"),
    }
}

fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Whether the pages are in this binary.
pub(super) fn web_client() -> Finding {
    if api::has_web_client() {
        Finding::ok("web client", "is built in", "已内置")
    } else {
        Finding::error(
            "web client",
            "was not built before the server: run make web, then build again",
            "编译时缺少网页端：先执行 make web 再重新编译",
        )
    }
}

/// What `mingshi-media check --json` says.
#[derive(Debug, Deserialize)]
struct MediaFindings {
    ok: bool,
    gstreamer: Option<String>,
    missing: Vec<Missing>,
}

#[derive(Debug, Deserialize)]
struct Missing {
    name: String,
    package: String,
    detail: String,
    detail_zh: String,
}

/// Whether the media program is there, and has what it needs. Lessons go on without it, and what is received of them is kept;
/// recordings and the demonstration need it.
pub(super) async fn media_program() -> Vec<Finding> {
    const SUBJECT: &str = "GStreamer";
    let warning = |said: String| vec![Finding::warning(SUBJECT, said.clone(), format!("媒体程序无法检测：{said}"))];
    let program = match find_media_program() {
        Ok(program) => program,
        Err(error) => return warning(error.to_string()),
    };
    let output = tokio::process::Command::new(&program).args(["check", "--json"]).kill_on_drop(true).output().await;
    let findings = match output.map(|output| serde_json::from_slice::<MediaFindings>(&output.stdout)) {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => return warning(format!("{} check: {error}", program.display())),
        Err(error) => return warning(format!("{}: {error}", program.display())),
    };
    if findings.ok {
        let version = findings.gstreamer.unwrap_or_default();
        return vec![Finding::ok(SUBJECT, version.clone(), version)];
    }
    let finding = |missing: Missing| {
        let Missing { name, package, detail, detail_zh } = missing;
        Finding::error(
            SUBJECT,
            format!("{name}: {detail} (apt install {package})"),
            format!("{name}：{detail_zh}（apt install {package}）"),
        )
    };
    findings.missing.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read_as_the_kernel_writes_it() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit("Max open files            unlimited            unlimited            files"), None);
    }
}
