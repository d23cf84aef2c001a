//! What a player makes of a DVR folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use mingshi_media::demo::picture::Picture;
use mingshi_media::demo::time_code;
use mingshi_media::record::folder::{DvrFolder, RecordedRendition};

use crate::studio::BEGIN_MS;

/// A rendition's initialisation segment with the media segments that need it, as one file.
pub(crate) fn joined(rendition: &RecordedRendition, init: usize) -> Vec<u8> {
    let mut file = fs::read(&rendition.inits[init].path).expect("an initialisation segment");
    for segment in rendition.segments.iter().filter(|segment| segment.init == init) {
        file.extend(fs::read(&segment.path).expect("a segment"));
    }
    file
}

pub(crate) fn rendition<'a>(folder: &'a DvrFolder, track: &str, name: &str) -> &'a RecordedRendition {
    let track = folder.tracks.iter().find(|one| one.name == track).expect("the track");
    track.renditions.iter().find(|one| one.name == name).expect("the rendition")
}

/// Decode what ffmpeg makes of the rendition and pair every picture's time with the moment that it carries, both in
/// milliseconds of the lesson. Pictures of one init have one size.
pub(crate) fn watched(rendition: &RecordedRendition, scratch: &Path) -> Vec<(i64, i64)> {
    let mut seen = Vec::new();
    for init in 0..rendition.inits.len() {
        let file = scratch.join("joined.mp4");
        fs::write(&file, joined(rendition, init)).expect("written");
        let raw = run(
            "ffmpeg",
            &file,
            &[
                "-f",
                "rawvideo",
                "-pix_fmt",
                "yuv420p",
                "-vf",
                "scale=320:180",
                "-enc_time_base",
                "1:90000",
                "-fps_mode",
                "passthrough",
                "-",
            ],
        );
        let of_init = rendition.segments.iter().filter(|segment| segment.init == init);
        let times: Vec<_> =
            of_init.flat_map(|segment| segment.samples().expect("a segment")).map(|one| one.decode_time).collect();
        let pictures: Vec<_> = raw.chunks_exact(320 * 180 * 3 / 2).collect();
        assert_eq!(pictures.len(), times.len(), "every sample is a picture");
        for (time, planes) in times.iter().zip(pictures) {
            let picture = Picture::from_planes(320, 180, planes.to_vec()).expect("tightly packed");
            let carried = time_code::read(&picture).expect("a legible time code");
            let begin = BEGIN_MS % (1 << 28);
            seen.push((*time as i64 / 90, (i64::from(carried) - begin).rem_euclid(1 << 28)));
        }
    }
    seen
}

/// When a tone begins, in milliseconds of the lesson.
pub(crate) fn heard(rendition: &RecordedRendition, scratch: &Path) -> Vec<i64> {
    let file = scratch.join("joined.mp4");
    fs::write(&file, joined(rendition, 0)).expect("written");
    let raw = run("ffmpeg", &file, &["-f", "f32le", "-ac", "1", "-ar", "48000", "-"]);
    let samples: Vec<_> = raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let (mut tones, mut quiet_until) = (Vec::new(), 0);
    for (index, sample) in samples.iter().enumerate() {
        if index >= quiet_until && sample.abs() > 0.1 {
            tones.push(index as i64 / 48);
            quiet_until = index + 24_000;
        }
    }
    tones
}

fn run(program: &str, file: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(["-hide_banner", "-v", "error", "-copyts", "-i"])
        .arg(file)
        .args(arguments)
        .output()
        .expect("scripts/setup.sh test installs it");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    output.stdout
}
