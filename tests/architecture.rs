//! The dependency direction and the other rules of ARCHITECTURE.md that a reader of the text can check.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the server, lowest first, with the modules of this crate that it may import.
/// An entry with two segments allows only that part of the module.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("units", &[]),
    ("rtp", &["units"]),
    ("adapt", &["units"]),
    ("sfu", &["adapt", "id", "rtp", "units"]),
    ("transport", &["rtp", "units"]),
    ("worker", &["adapt", "id", "rtp", "sfu", "transport", "units"]),
    ("lesson", &["id", "units", "worker::mailbox"]),
    ("store", &["id", "lesson", "units"]),
    ("auth", &["id", "lesson", "store"]),
    ("telemetry", &["config", "units"]),
    ("config", &["adapt", "auth", "id", "units"]),
    ("journal", &["id", "lesson", "rtp", "units", "worker::clock", "worker::tap"]),
    ("recording", &["config", "id", "lesson", "store"]),
    ("api", &["auth", "config", "id", "lesson", "recording", "store", "telemetry", "units", "worker::mailbox"]),
    ("cli", &["api", "auth", "config", "id", "lesson", "recording", "server", "store", "telemetry"]),
    (
        "server",
        &[
            "api",
            "auth",
            "config",
            "id",
            "journal",
            "lesson",
            "recording",
            "store",
            "telemetry",
            "transport",
            "units",
            "worker",
        ],
    ),
];

/// Modules that decide and never act: told the time, and strangers to sockets, tasks, files and databases.
const PURE: &[&str] = &["id", "units", "rtp", "adapt", "sfu", "transport", "lesson"];
const ACTS: &[&str] =
    &["tokio::", "std::fs", "std::thread", "UdpSocket", "TcpStream", "mio::", "sqlx::", "axum::", "reqwest::"];

/// The only readers of the system's clocks. Tasks may use tokio's, which tests can pause.
const CLOCKS: &[&str] = &["src/worker/clock.rs", "src/api/clock.rs"];

const LINES_AT_MOST: usize = 600;

#[test]
fn imports_follow_the_architecture() {
    let mut violations = Vec::new();
    for (module, allowed) in MAY_IMPORT {
        for source in module_sources(module) {
            for import in imports(&source.code) {
                let head = import.split("::").next().unwrap_or(&import);
                let known = MAY_IMPORT.iter().any(|(name, _)| *name == head);
                if known && head != *module && !allowed.iter().any(|path| is_inside(&import, path)) {
                    violations.push(format!("{}: must not import crate::{import}", source.path));
                }
            }
        }
    }
    assert_none(&violations);
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let known: BTreeSet<_> = MAY_IMPORT.iter().map(|(name, _)| (*name).to_owned()).collect();
    let entries = fs::read_dir(root().join("src")).expect("the crate has sources");
    let strangers: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .filter(|name| name != "main" && name != "lib" && !known.contains(name))
        .collect();
    assert_none(&strangers);
}

#[test]
fn pure_modules_touch_no_socket_task_file_or_database() {
    let sources = PURE.iter().flat_map(|module| module_sources(module));
    assert_none(&mentions(sources, ACTS, |_| false));
}

#[test]
fn only_transport_knows_the_rtc_crates() {
    let sources = rust_sources("src");
    assert_none(&mentions(sources, &["rtc_"], |path| path.starts_with("src/transport/")));
}

#[test]
fn only_the_clock_asks_the_system_what_time_it_is() {
    let is_clock = |path: &str| CLOCKS.contains(&path);
    let mut violations = mentions(rust_sources("src"), &["SystemTime::now", "now_utc", "Utc::now"], is_clock);
    let sources = rust_sources("src").filter(|source| !source.code.contains("tokio::time::"));
    violations.extend(mentions(sources, &["Instant::now", ".elapsed()"], is_clock));
    assert_none(&violations);
}

#[test]
fn nothing_that_serves_has_unsafe_code() {
    let sources = rust_sources("src").chain(rust_sources("media-pipelines/src")).chain(rust_sources("bench"));
    assert_none(&mentions(sources, &["allow(unsafe_code", "expect(unsafe_code"], |path| {
        // A counting allocator can't be had without it.
        path == "bench/src/allocations.rs"
    }));
}

#[test]
fn only_the_media_process_touches_gstreamer() {
    assert_none(&mentions(rust_sources("src"), &["gstreamer::", "gstreamer_"], |_| false));
}

#[test]
fn the_web_client_keeps_its_layers() {
    let inside = |folder: &'static str| move |path: &str| path.starts_with(folder);
    let pages = || text_files("web-client/src", &["ts", "vue"]).filter(|source| !source.path.ends_with(".test.ts"));
    let mut violations = mentions(pages(), &["fetch(", "new WebSocket("], inside("web-client/src/api/"));
    let devices = &["new RTCPeerConnection(", "getUserMedia(", "getDisplayMedia("];
    violations.extend(mentions(pages(), devices, inside("web-client/src/media/")));
    let machine = pages().filter(|source| source.path.starts_with("web-client/src/lesson/"));
    violations.extend(mentions(machine, &["from 'vue", "document.", "window.", "setTimeout("], |_| false));
    assert_none(&violations);
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    assert_none(&mentions(sources_of_all_kinds(), &marks, |_| false));
}

#[test]
fn nothing_names_the_machine_it_was_made_on() {
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home/", "runner")];
    assert_none(&mentions(sources_of_all_kinds(), &paths, |_| false));
    let locks = text_files(".", &["json"]).filter(|source| source.path.ends_with("package-lock.json"));
    assert_none(&mentions(locks, &["\"resolved\": \"http"], |_| false));
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let mut violations = Vec::new();
    for source in sources_of_all_kinds() {
        let lines = source.text.lines().count();
        // What is generated is nobody's to read.
        if lines > LINES_AT_MOST && source.path != "web-client/src/api/schema.ts" {
            violations.push(format!("{}: {lines} lines; would two roles live better apart?", source.path));
        }
    }
    assert_none(&violations);
}

#[test]
fn imports_are_found_however_they_are_written() {
    let code = "use crate::rtp::packet::Packet;\nuse crate::{id::LessonId, sfu::{input, output}};\nlet x = crate::units::Bitrate::ZERO;";
    let found: Vec<_> = imports(code).into_iter().collect();
    assert_eq!(found, ["id::LessonId", "rtp::packet::Packet", "sfu", "units::Bitrate::ZERO"]);
    assert!(is_inside("worker::mailbox::Workers", "worker::mailbox"));
    assert!(!is_inside("worker::pool", "worker::mailbox"));
    assert!(!is_inside("worker", "worker::mailbox"));
}

/// One file: its path from the root, its text, and its text without comments and tests.
struct Source {
    path: String,
    text: String,
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// The lines of code that contain one of `words`, in the files that aren't `excepted`.
fn mentions(sources: impl Iterator<Item = Source>, words: &[&str], excepted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.filter(|source| !excepted(&source.path)) {
        for line in source.code.lines() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{}: {word} in `{}`", source.path, line.trim()));
            }
        }
    }
    found
}

/// Whether the import `path` lies in the module `allowed`.
fn is_inside(path: &str, allowed: &str) -> bool {
    path == allowed || path.strip_prefix(allowed).is_some_and(|rest| rest.starts_with("::"))
}

/// The paths that `code` names after `crate::`; of a nested group only its head.
fn imports(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => paths.extend(heads_of_group(group)),
            None => paths.extend(leading_path(after)),
        }
    }
    paths
}

fn heads_of_group(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = vec![String::new()];
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(String::new()),
            _ if depth == 0 => heads.last_mut().expect("never empty").push(character),
            _ => {}
        }
    }
    heads.iter().filter_map(|head| leading_path(head.trim())).collect()
}

fn leading_path(text: &str) -> Option<String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let path = text[..end].trim_end_matches(':');
    (!path.is_empty()).then(|| path.to_owned())
}

fn module_sources(module: &str) -> impl Iterator<Item = Source> + use<> {
    let single = root().join(format!("src/{module}.rs"));
    let single = single.is_file().then(|| read(&single));
    rust_sources(&format!("src/{module}")).chain(single.flatten())
}

fn rust_sources(folder: &str) -> impl Iterator<Item = Source> + use<> {
    text_files(folder, &["rs"])
}

fn sources_of_all_kinds() -> impl Iterator<Item = Source> {
    text_files(".", &["rs", "ts", "vue", "css", "mjs", "py", "sh", "md", "toml", "sql", "html", "yml"])
}

fn text_files(folder: &str, endings: &'static [&'static str]) -> impl Iterator<Item = Source> + use<> {
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let of_this_kind = |path: &PathBuf| path.extension().is_some_and(|ending| endings.iter().any(|e| ending == *e));
    found.into_iter().filter(of_this_kind).filter_map(|path| read(&path))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    const NOT_OURS: &[&str] = &["target", "node_modules", "dist", "data", "output", ".git", ".tools"];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_file() {
            found.push(path);
        } else if !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            walk(&path, found);
        }
    }
}

fn read(path: &Path) -> Option<Source> {
    let text = fs::read_to_string(path).ok()?;
    let relative = path.strip_prefix(root()).ok()?.to_string_lossy();
    // What is only compiled for tests stands at the end, or in a file of its own.
    let is_shipped = !relative.ends_with("/tests.rs");
    let shipped = text.split("\n#[cfg(test)]\nmod tests {").next().filter(|_| is_shipped).unwrap_or_default();
    let code = shipped.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    Some(Source { path: relative.trim_start_matches("./").to_owned(), text, code })
}
