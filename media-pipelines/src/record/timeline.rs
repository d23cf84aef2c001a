//! What a live recording holds, as `dvr/timeline.json` tells it: tracks, holes and slide changes on one time line.
//!
//! All times are milliseconds since `zero_unix_ms`, the same zero as that of the media, so that whoever plays two tracks
//! lines them up by time alone.

use serde::{Deserialize, Serialize};

/// The version of the format that is written.
pub const VERSION: u32 = 1;

/// The recording so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// [`VERSION`].
    pub version: u32,
    /// The lesson's id.
    pub lesson: String,
    /// The instant at which media time is zero, in milliseconds since 1970 on the server's clock.
    pub zero_unix_ms: i64,
    /// Whether more may follow.
    pub live: bool,
    /// How long the lesson is so far.
    pub duration_ms: u64,
    /// What there is to play.
    pub tracks: Vec<TrackLine>,
    /// What there is not, and why.
    pub gaps: Vec<Gap>,
    /// When another slide was shown.
    pub slides: Vec<SlideChange>,
}

/// One source's sound or pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackLine {
    /// `voice`, or the name of the source.
    pub name: String,
    /// What it is.
    pub kind: MediaKind,
    /// The same content at different rates, the best first.
    pub renditions: Vec<RenditionLine>,
}

/// Sound or pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// One encoding of a track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenditionLine {
    /// `high`, `low` or `audio`.
    pub name: String,
    /// As in RFC 6381: `avc3.42e01f`, `av01.0.05M.08`, `opus`.
    pub codec: String,
    /// Of pictures, in pixels.
    pub width: Option<u32>,
    /// Of pictures, in pixels.
    pub height: Option<u32>,
    /// On average.
    pub bits_per_second: u64,
    /// Where it ends so far.
    pub end_ms: u64,
}

/// A time of which something is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its beginning.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
    /// What is missing; everything if there is no name.
    pub track: Option<String>,
    /// Why.
    pub why: GapReason,
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The studio wasn't there, or sent nothing.
    StudioAway,
    /// The server wasn't running.
    ServerDown,
    /// The server couldn't keep it: its disk or its queue was full.
    NotKept,
    /// It arrived incomplete, or the journal is damaged there.
    Damaged,
}

/// Another slide from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlideChange {
    /// When.
    pub at_ms: u64,
    /// Its picture, as a path inside the folder of the time line; none if it couldn't be drawn.
    pub picture: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_line_is_written_with_the_names_its_readers_know() {
        let timeline = Timeline {
            version: VERSION,
            lesson: "a".into(),
            zero_unix_ms: 5,
            live: true,
            duration_ms: 7,
            tracks: vec![TrackLine { name: "voice".into(), kind: MediaKind::Audio, renditions: Vec::new() }],
            gaps: vec![Gap { from_ms: 1, to_ms: 2, track: None, why: GapReason::ServerDown }],
            slides: vec![SlideChange { at_ms: 3, picture: None }],
        };
        let written = serde_json::to_string(&timeline).expect("it has no maps");
        assert_eq!(
            written,
            r#"{"version":1,"lesson":"a","zero_unix_ms":5,"live":true,"duration_ms":7,"tracks":[{"name":"voice","kind":"audio","renditions":[]}],"gaps":[{"from_ms":1,"to_ms":2,"track":null,"why":"server_down"}],"slides":[{"at_ms":3,"picture":null}]}"#
        );
        assert_eq!(serde_json::from_str::<Timeline>(&written).expect("it reads back"), timeline);
    }
}
