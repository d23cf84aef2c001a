//! `files/manifest.json`: what the media process says that it made, read and checked.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use aws_lc_rs::digest;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use tokio::io::AsyncReadExt;

use super::storage::inside;
use crate::lesson::{
    Contents, Recording, RecordingAudio, RecordingFile, RecordingGap, RecordingSlide, RecordingState, RecordingVideo,
    Words,
};

const NAME: &str = "manifest.json";
/// A lesson of a whole day with a slide every second has less.
const LARGEST: u64 = 16 * 1024 * 1024;
const VERSION: u32 = 1;

/// Why files can't be taken for a recording's.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It can't be read.
    #[error("{NAME} can't be read: {0}")]
    Read(#[from] io::Error),
    /// It isn't what it should be.
    #[error("{NAME} makes no sense: {0}")]
    Senseless(String),
    /// A file isn't what it says.
    #[error("{name} is not as {NAME} says: {fact}")]
    File {
        /// Which.
        name: String,
        /// How it differs.
        fact: String,
    },
}

#[derive(Debug, Deserialize)]
struct Written {
    version: u32,
    lesson: String,
    zero_unix_ms: i64,
    duration_ms: u64,
    repaired: bool,
    complete: bool,
    files: Vec<File>,
    poster: Option<String>,
    #[serde(default)]
    slides: Vec<RecordingSlide>,
    #[serde(default)]
    gaps: Vec<RecordingGap>,
    #[serde(default)]
    missing: Vec<Words>,
}

#[derive(Debug, Deserialize)]
struct File {
    name: String,
    track: String,
    variant: String,
    whole: bool,
    video: Option<RecordingVideo>,
    audio: Option<RecordingAudio>,
    bytes: u64,
    sha256: String,
    duration_ms: u64,
}

/// What a media process made of a lesson.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The instant of its zero.
    pub zero: OffsetDateTime,
    /// How long it is.
    pub duration: Duration,
    /// Whether something had to be repaired.
    pub repaired: bool,
    /// Whether all its files are there, those that are made afterwards too.
    pub complete: bool,
    /// The file that shows it.
    pub poster: Option<String>,
    /// What it is made of, pictures included.
    pub contents: Contents,
}

impl Manifest {
    /// Read what stands in a folder of files, and check that they are there: all of them by their checksums, since nothing that
    /// they were made of is kept for their sake afterwards.
    ///
    /// # Errors
    /// [`ManifestError`] says which of them isn't as it should be.
    pub async fn read(folder: &Path, lesson: &str) -> Result<Self, ManifestError> {
        let mut text = Vec::new();
        let file = tokio::fs::File::open(folder.join(NAME)).await?;
        file.take(LARGEST).read_to_end(&mut text).await?;
        let senseless = |fact: String| ManifestError::Senseless(fact);
        let written: Written = serde_json::from_slice(&text).map_err(|error| senseless(error.to_string()))?;
        if written.version != VERSION || written.lesson != lesson {
            return Err(senseless(format!("version {} of lesson {}", written.version, written.lesson)));
        }
        let zero = OffsetDateTime::from_unix_timestamp_nanos(i128::from(written.zero_unix_ms) * 1_000_000);
        let mut files = Vec::new();
        for file in written.files {
            files.push(checked(folder, file).await?);
        }
        let mut pictures: Vec<&String> = written.slides.iter().filter_map(|slide| slide.picture.as_ref()).collect();
        pictures.extend(&written.poster);
        pictures.sort_unstable();
        pictures.dedup();
        for name in pictures {
            files.push(picture(folder, name).await?);
        }
        Ok(Self {
            zero: zero.map_err(|error| senseless(error.to_string()))?,
            duration: Duration::milliseconds(i64::try_from(written.duration_ms).unwrap_or(i64::MAX)),
            repaired: written.repaired,
            complete: written.complete,
            poster: written.poster,
            contents: Contents { files, slides: written.slides, gaps: written.gaps, lacks: written.missing },
        })
    }

    /// What a recording becomes by it.
    #[must_use]
    pub fn applied(&self, before: &Recording, now: OffsetDateTime) -> Recording {
        Recording {
            state: if self.repaired { RecordingState::Repaired } else { RecordingState::Ready },
            reason: None,
            zero: Some(self.zero),
            duration: self.duration,
            octets: self.contents.files.iter().map(|file| file.octets).fold(0, u64::saturating_add),
            complete: self.complete,
            poster: self.poster.clone(),
            ready_at: Some(before.ready_at.unwrap_or(now)),
            ..before.clone()
        }
    }
}

async fn checked(folder: &Path, file: File) -> Result<RecordingFile, ManifestError> {
    let File { name, track, variant, whole, video, audio, bytes, sha256, duration_ms } = file;
    let (octets, sum) = summed(folder, &name).await?;
    if octets != bytes || !sum.eq_ignore_ascii_case(&sha256) {
        let fact = format!("it has {octets} octets with SHA-256 {sum}, not {bytes} with {sha256}");
        return Err(ManifestError::File { name, fact });
    }
    let (track, variant) = (Some(track), Some(variant));
    Ok(RecordingFile { name, track, variant, whole, video, audio, octets, sha256: sum, duration_ms })
}

async fn picture(folder: &Path, name: &str) -> Result<RecordingFile, ManifestError> {
    let (octets, sha256) = summed(folder, name).await?;
    let (track, variant, video, audio) = (None, None, None, None);
    let (whole, name) = (true, name.into());
    Ok(RecordingFile { name, track, variant, whole, video, audio, octets, sha256, duration_ms: 0 })
}

async fn summed(folder: &Path, name: &str) -> Result<(u64, String), ManifestError> {
    let failed = |fact: String| ManifestError::File { name: name.into(), fact };
    let path =
        inside(folder, name).filter(|_| !name.contains('/')).ok_or_else(|| failed("no name of a file".into()))?;
    let task = tokio::task::spawn_blocking(move || sum(&path)).await;
    task.map_err(io::Error::other)?.map_err(|error| failed(error.to_string()))
}

fn sum(path: &Path) -> io::Result<(u64, String)> {
    let mut file = std::fs::File::open(path)?;
    let mut sum = Sum::default();
    let mut piece = vec![0; 1024 * 1024];
    loop {
        match io::Read::read(&mut file, &mut piece)? {
            0 => return Ok(sum.finish()),
            read => sum.add(&piece[..read]),
        }
    }
}

/// Counts octets and sums them up, as SHA-256.
pub(super) struct Sum {
    octets: u64,
    context: digest::Context,
}

impl Default for Sum {
    fn default() -> Self {
        Self { octets: 0, context: digest::Context::new(&digest::SHA256) }
    }
}

impl Sum {
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.octets += piece.len() as u64;
        self.context.update(piece);
    }

    pub(super) fn finish(self) -> (u64, String) {
        let mut text = String::with_capacity(64);
        for octet in self.context.finish().as_ref() {
            // Writing to a text never fails.
            let _ = write!(text, "{octet:02x}");
        }
        (self.octets, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LESSON: &str = "0000000000001";
    /// Of the three octets `abc` (FIPS 180-2, appendix B.1).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    async fn read(change: impl FnOnce(&mut serde_json::Value)) -> Result<Manifest, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("camera.mp4"), "abc").expect("written");
        std::fs::write(folder.path().join("poster.jpg"), "jpeg").expect("written");
        let mut manifest = json!({
            "version": 1, "lesson": LESSON, "zero_unix_ms": 1_795_000_000_125_i64, "duration_ms": 2_700_000,
            "repaired": true, "complete": false,
            "files": [{
                "name": "camera.mp4", "track": "camera", "variant": "original", "whole": false, "bytes": 3, "sha256": ABC,
                "video": { "codec": "h264", "width": 1280, "height": 720 }, "audio": { "codec": "opus" },
                "duration_ms": 2_700_000,
            }],
            "poster": "poster.jpg", "slides": [{ "at_ms": 3, "picture": "poster.jpg" }],
            "gaps": [{ "from_ms": 1, "to_ms": 2, "track": null, "why": "server_down" }],
            "missing": [{ "zh": "缺", "en": "lacks" }],
        });
        change(&mut manifest);
        std::fs::write(folder.path().join(NAME), manifest.to_string()).expect("written");
        Manifest::read(folder.path(), LESSON).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_manifest_that_tells_the_truth_makes_a_recording() {
        let manifest = read(|_| {}).await.expect("it is true");
        assert_eq!(manifest.contents.files.len(), 2, "one film, one picture");
        assert!(!manifest.contents.files[0].whole);
        let now = OffsetDateTime::UNIX_EPOCH;
        let recording = manifest.applied(&Recording::new(crate::id::LessonId::from_u64(1), now), now);
        assert_eq!((recording.state, recording.octets, recording.complete), (RecordingState::Repaired, 7, false));
        assert_eq!(recording.zero.map(|zero| zero.unix_timestamp_nanos()), Some(1_795_000_000_125_000_000));
    }

    #[tokio::test]
    async fn a_manifest_that_does_not_is_refused_in_words() {
        type Change = fn(&mut serde_json::Value);
        let changes: [(Change, &str); 6] = [
            (|m| m["files"][0]["bytes"] = json!(4), "camera.mp4 is not as manifest.json says: it has 3 octets"),
            (|m| m["files"][0]["sha256"] = json!("00"), "camera.mp4 is not as"),
            (|m| m["files"][0]["name"] = json!("../camera.mp4"), "no name of a file"),
            (|m| m["poster"] = json!("none.jpg"), "none.jpg is not as"),
            (|m| m["version"] = json!(2), "makes no sense: version 2"),
            (|m| m["lesson"] = json!("0000000000002"), "makes no sense: version 1 of lesson 0000000000002"),
        ];
        for (change, said) in changes {
            let told = read(change).await.expect_err(said);
            assert!(told.contains(said), "{told}");
        }
    }
}
