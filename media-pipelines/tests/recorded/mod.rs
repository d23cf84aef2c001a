//! Folders as the recorder's DVR leaves them, made by ffmpeg of pictures with a time code and a voice with bursts, and
//! players that say what they see and hear.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mingshi_media::clock::UnixTime;
use mingshi_media::demo::picture::Picture;
use mingshi_media::demo::time_code;
use mingshi_media::record::timeline::{Gap, GapReason, MediaKind, RenditionLine, SlideChange, Timeline, TrackLine};

/// The instant at which every lesson here begins: a whole second of Unix time.
pub(crate) const ZERO: u64 = 1_795_512_345_000;
/// Pictures a second.
pub(crate) const RATE: u64 = 15;
/// Seconds in a segment.
pub(crate) const SEGMENT: u64 = 2;
pub(crate) const WIDTH: usize = 320;
pub(crate) const HEIGHT: usize = 180;

/// What an encoder made: the beginning, and segments of [`SEGMENT`] seconds.
pub(crate) struct Encoded {
    init: Vec<u8>,
    segments: Vec<Vec<u8>>,
}

/// Pictures that carry the moment they were made.
pub(crate) fn pictures(seconds: u64, encoder: &[&str]) -> Encoded {
    let input = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "320x180", "-framerate", "15", "-i", "-"];
    encode(&input, encoder, |mut pipe| {
        for index in 0..seconds * RATE {
            let mut picture = Picture::black(WIDTH, HEIGHT);
            picture.fill((index as usize * 4) % 256, 20, 64, 64, 180);
            time_code::write(&mut picture, UnixTime::from_nanos((ZERO + index * 1_000 / RATE) * 1_000_000));
            pipe.write_all(&picture.into_planes()).expect("ffmpeg reads");
        }
    })
}

pub(crate) fn h264(seconds: u64) -> Encoded {
    h264_of_size(seconds, "320x180")
}

/// H.264 whose keyframes carry their parameter sets, as it comes from a browser.
pub(crate) fn h264_of_size(seconds: u64, size: &str) -> Encoded {
    let scale = ["-s", size, "-sws_flags", "neighbor"];
    let rate = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-bf", "0", "-g", "30", "-sc_threshold", "0"];
    pictures(seconds, &[&scale[..], &rate, &["-bsf:v", "dump_extra=freq=keyframe"]].concat())
}

pub(crate) fn av1(seconds: u64) -> Encoded {
    let graph = "pred-struct=1:lookahead=0";
    pictures(seconds, &["-c:v", "libsvtav1", "-preset", "10", "-crf", "30", "-g", "30", "-svtav1-params", graph])
}

/// A voice that says nothing but the bursts of whole seconds.
pub(crate) fn voice(seconds: u64) -> Encoded {
    let encoder = ["-c:a", "libopus", "-b:a", "64k", "-application", "lowdelay", "-strict", "experimental"];
    encode(&["-f", "f32le", "-ar", "48000", "-ac", "1", "-i", "-"], &encoder, |mut pipe| {
        for second in 0..seconds {
            let mut samples = vec![0_f32; 48_000];
            samples[..time_code::BURST].copy_from_slice(&time_code::burst(ZERO / 1_000 + second, 0.5));
            let octets: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            pipe.write_all(&octets).expect("ffmpeg reads");
        }
    })
}

fn encode(input: &[&str], encoder: &[&str], feed: impl FnOnce(std::process::ChildStdin)) -> Encoded {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(input)
        .args(encoder)
        .args(["-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"])
        .args(["-hls_fmp4_init_filename", "init.mp4", "-hls_segment_filename", "%06d.m4s", "index.m3u8"])
        .current_dir(folder.path())
        .env("SVT_LOG", "1")
        .stdin(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed");
    feed(ffmpeg.stdin.take().expect("a pipe"));
    assert!(ffmpeg.wait().expect("ffmpeg ends").success());
    let read = |name: &str| fs::read(folder.path().join(name));
    let segments = (0..).map_while(|number| read(&format!("{number:06}.m4s")).ok()).collect();
    Encoded { init: read("init.mp4").expect("a beginning"), segments }
}

/// A lesson's folder in the making.
pub(crate) struct Lesson {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) timeline: Timeline,
}

/// Segments that were recorded, and by how many of them they come later than they were encoded for.
pub(crate) type Part<'a> = (&'a Encoded, Range<usize>, u64);

impl Lesson {
    pub(crate) fn new() -> Self {
        let timeline = Timeline {
            version: 1,
            lesson: "lesson".into(),
            zero_unix_ms: ZERO as i64,
            live: false,
            duration_ms: 0,
            tracks: Vec::new(),
            gaps: Vec::new(),
            slides: Vec::new(),
        };
        Self { folder: tempfile::tempdir().expect("a folder"), timeline }
    }

    /// What is left of the lesson stays in `place`.
    pub(crate) fn keep(self, place: &Path) {
        // Nothing is there the first time.
        let _ = fs::remove_dir_all(place);
        fs::create_dir_all(place.parent().expect("not the root")).expect("a folder");
        let status = Command::new("mv").arg(self.folder.keep()).arg(place).status().expect("mv is installed");
        assert!(status.success());
    }

    pub(crate) fn dvr(&self) -> PathBuf {
        self.folder.path().join("dvr")
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    pub(crate) fn track(&mut self, name: &str, parts: &[Part<'_>]) -> &mut Self {
        let audio = name == "voice";
        let rendition = if audio { "audio" } else { "high" };
        let folder = self.dvr().join(name).join(rendition);
        fs::create_dir_all(&folder).expect("a folder");
        let mut playlist = String::from("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:12\n");
        let mut number = 0;
        for (index, (encoded, range, later)) in parts.iter().enumerate() {
            let init = format!("init-{}.mp4", index + 1);
            fs::write(folder.join(&init), &encoded.init).expect("it is written");
            playlist.push_str(&format!("#EXT-X-MAP:URI=\"{init}\"\n"));
            for segment in &encoded.segments[range.clone()] {
                number += 1;
                let moved = moved(segment, later * SEGMENT * timescale(&encoded.init));
                fs::write(folder.join(format!("{number:06}.m4s")), moved).expect("it is written");
                playlist.push_str(&format!("#EXTINF:2.000,\n{number:06}.m4s\n"));
                let end_ms = (range.end as u64 + later) * SEGMENT * 1_000;
                self.timeline.duration_ms = self.timeline.duration_ms.max(end_ms);
            }
        }
        fs::write(folder.join("index.m3u8"), playlist).expect("it is written");
        let rendition = RenditionLine {
            name: rendition.into(),
            codec: "unknown".into(),
            width: None,
            height: None,
            bits_per_second: 0,
            end_ms: 0,
        };
        let kind = if audio { MediaKind::Audio } else { MediaKind::Video };
        self.timeline.tracks.push(TrackLine { name: name.into(), kind, renditions: vec![rendition] });
        self
    }

    pub(crate) fn slide(&mut self, at_ms: u64) -> &mut Self {
        let number = self.timeline.slides.len() + 1;
        let picture = format!("slides/{number:06}.jpg");
        fs::create_dir_all(self.dvr().join("slides")).expect("a folder");
        fs::write(self.dvr().join(&picture), [0xff, 0xd8, number as u8]).expect("it is written");
        self.timeline.slides.push(SlideChange { at_ms, picture: Some(picture) });
        self
    }

    pub(crate) fn gap(&mut self, from_ms: u64, to_ms: u64, track: &str) -> &mut Self {
        let why = GapReason::StudioAway;
        self.timeline.gaps.push(Gap { from_ms, to_ms, track: Some(track.into()), why });
        self
    }

    pub(crate) fn ended(&self) -> &Self {
        fs::create_dir_all(self.dvr()).expect("a folder");
        let text = serde_json::to_vec(&self.timeline).expect("JSON");
        fs::write(self.dvr().join("timeline.json"), text).expect("it is written");
        self
    }
}

/// Ticks a second in the first track of a beginning: what follows the two times in its version 0 `mdhd`.
fn timescale(init: &[u8]) -> u64 {
    let at = find(init, b"mdhd").expect("a track") + 4 + 4 + 8;
    u64::from(u32::from_be_bytes(init[at..at + 4].try_into().expect("four octets")))
}

/// A segment that comes `ticks` later than it was encoded for.
fn moved(segment: &[u8], ticks: u64) -> Vec<u8> {
    let mut segment = segment.to_vec();
    let mut from = 0;
    while let Some(found) = find(&segment[from..], b"tfdt") {
        let at = from + found + 8;
        let time = u64::from_be_bytes(segment[at..at + 8].try_into().expect("eight octets"));
        segment[at..at + 8].copy_from_slice(&(time + ticks).to_be_bytes());
        from = at;
    }
    segment
}

fn find(octets: &[u8], word: &[u8]) -> Option<usize> {
    octets.windows(word.len()).position(|window| window == word)
}

/// What ffprobe says of a file.
pub(crate) fn probe(file: &Path) -> serde_json::Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters"])
        .arg(file)
        .output()
        .expect("ffprobe is installed");
    assert!(output.stderr.is_empty(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The time code of the picture that a player shows after it has jumped to `seconds`, in milliseconds of the lesson.
pub(crate) fn seen_at(file: &Path, seconds: f64) -> Option<i64> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-ss", &seconds.to_string(), "-i"])
        .arg(file)
        .args(["-frames:v", "1", "-s", "320x180", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .output()
        .expect("ffmpeg is installed");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = Picture::from_planes(WIDTH, HEIGHT, output.stdout)?;
    let zero = time_code::carried(UnixTime::from_nanos(ZERO * 1_000_000));
    Some(i64::from(time_code::read(&picture)?) - i64::from(zero))
}

/// When the bursts in a file's voice begin, in milliseconds of the lesson.
pub(crate) fn bursts(file: &Path) -> Vec<f64> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-vn", "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", "48000", "-f", "f32le", "-"])
        .output()
        .expect("ffmpeg is installed");
    let samples: Vec<f32> = output
        .stdout
        .chunks_exact(4)
        .map(|sample| f32::from_le_bytes([sample[0], sample[1], sample[2], sample[3]]))
        .collect();
    let mut onsets = Vec::new();
    let mut quiet_until = 0;
    for (index, sample) in samples.iter().enumerate() {
        if index >= quiet_until && sample.abs() > 0.1 {
            onsets.push(index as f64 / 48.0);
            quiet_until = index + 24_000;
        }
    }
    onsets
}

/// A second and a half of megabits each second, as a camera of 720 lines sends them.
pub(crate) fn large(seconds: u64) -> Encoded {
    let source = format!("testsrc2=s=1280x720:r=30:d={seconds}");
    let rate =
        ["-b:v", "1500k", "-minrate", "1500k", "-maxrate", "1500k", "-bufsize", "1500k", "-x264-params", "nal-hrd=cbr"];
    let encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "60", "-sc_threshold", "0"];
    encode(&["-f", "lavfi", "-i", &source], &[&encoder[..], &rate].concat(), drop)
}
