//! `manifest.json`: what a lesson's recording consists of and what is missing from it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::timeline::{Gap, GapReason, SlideChange};
use super::write;

/// The name of the manifest.
pub const NAME: &str = "manifest.json";
/// As many gaps as are told in words; all are in the list.
const GAPS_IN_WORDS: usize = 50;

/// What a recording consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: 1.
    pub version: u32,
    /// The lesson's identity.
    pub lesson: String,
    /// The instant from which all times count, in milliseconds since 1970.
    pub zero_unix_ms: i64,
    /// How long the lesson lasted.
    pub duration_ms: u64,
    /// Whether something had to be repaired: the server was down or a part is damaged.
    pub repaired: bool,
    /// Whether nothing more will be made.
    pub complete: bool,
    /// The files, those a player should prefer first.
    pub files: Vec<File>,
    /// A picture of the lesson.
    pub poster: Option<String>,
    /// When slides changed.
    pub slides: Vec<SlideChange>,
    /// Times of which something is missing.
    pub gaps: Vec<Gap>,
    /// What is missing, in words.
    pub missing: Vec<Words>,
    /// The SHA-256 of what the files were made from: a manifest of another recording is no reason to keep its files.
    #[serde(default)]
    pub made_from: String,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name in the folder of the manifest.
    pub name: String,
    /// The source whose pictures it shows, or the voice.
    pub track: String,
    /// How it was made.
    pub variant: Variant,
    /// Whether it has all that was recorded of its track; a track that changed its codec has a file for each.
    pub whole: bool,
    /// Its pictures.
    pub video: Option<Video>,
    /// Its sound.
    pub audio: Option<Audio>,
    /// Its size in octets.
    pub bytes: u64,
    /// The SHA-256 of its octets, in hexadecimal.
    pub sha256: String,
    /// How long it plays.
    pub duration_ms: u64,
}

/// How a file was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Pictures and voice as they were received.
    Original,
    /// H.264 and AAC, which every player knows.
    Compatible,
}

/// The pictures of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Video {
    /// `h264` or `av1`.
    pub codec: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// The sound of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// `opus` or `aac`.
    pub codec: String,
}

/// One sentence in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// Write the manifest.
///
/// # Errors
/// What the system says.
pub fn write(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(manifest)?;
    text.push(b'\n');
    write::write_whole(folder, NAME, &text)
}

/// The manifest that an earlier run wrote, if it can be read.
#[must_use]
pub fn read(folder: &Path) -> Option<Manifest> {
    serde_json::from_slice(&std::fs::read(folder.join(NAME)).ok()?).ok()
}

/// What gaps mean to those who watch.
#[must_use]
pub fn gaps_in_words(gaps: &[Gap]) -> Vec<Words> {
    let mut words: Vec<_> = gaps.iter().take(GAPS_IN_WORDS).map(gap_in_words).collect();
    if let Some(more) = gaps.len().checked_sub(GAPS_IN_WORDS).filter(|more| *more > 0) {
        words.push(Words { zh: format!("另有 {more} 段缺失。"), en: format!("{more} more parts are missing.") });
    }
    words
}

fn gap_in_words(gap: &Gap) -> Words {
    let (from, to) = (moment(gap.from_ms), moment(gap.to_ms));
    let (zh_what, en_what) = match gap.track.as_deref() {
        None => ("画面和声音".to_owned(), "pictures and voice".to_owned()),
        Some(track) => track_in_words(track),
    };
    let (zh_why, en_why) = match gap.why {
        GapReason::StudioAway => ("教师端不在线", "the studio was away"),
        GapReason::ServerDown => ("服务器中断", "the server was down"),
        GapReason::NotKept => ("服务器磁盘跟不上或已满", "the server's disk was full or too slow"),
        GapReason::Damaged => ("记录损坏", "the record is damaged"),
    };
    Words {
        zh: format!("{from}–{to} 缺少{zh_what}：{zh_why}。"),
        en: format!("From {from} to {to} the recording lacks {en_what}: {en_why}."),
    }
}

/// What a track is called.
#[must_use]
pub fn track_in_words(track: &str) -> (String, String) {
    match track {
        "camera" => ("摄像头画面".into(), "the camera".into()),
        "slides" => ("课件画面".into(), "the slides".into()),
        "voice" => ("声音".into(), "the voice".into()),
        other => (format!("画面“{other}”"), format!("the source {other}")),
    }
}

/// A moment of the lesson as a player shows it.
#[must_use]
pub fn moment(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours == 0 { format!("{minutes}:{seconds:02}") } else { format!("{hours}:{minutes:02}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_in_both_languages() {
        let gap = Gap { from_ms: 61_000, to_ms: 3_725_000, track: Some("slides".into()), why: GapReason::StudioAway };
        let words = gaps_in_words(&[gap]);
        assert_eq!(words[0].zh, "1:01–1:02:05 缺少课件画面：教师端不在线。");
        assert_eq!(words[0].en, "From 1:01 to 1:02:05 the recording lacks the slides: the studio was away.");
    }

    #[test]
    fn a_lesson_of_many_gaps_tells_the_first_and_counts_the_rest() {
        let gap = |at| Gap { from_ms: at, to_ms: at + 1, track: None, why: GapReason::Damaged };
        let gaps: Vec<_> = (0..60).map(gap).collect();
        let words = gaps_in_words(&gaps);
        assert_eq!(words.len(), 51);
        assert_eq!(words[50].en, "10 more parts are missing.");
    }
}
