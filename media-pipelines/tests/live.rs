//! A recording while its lesson is live, and one whose journal is damaged.

#[path = "studio/mod.rs"]
#[expect(dead_code, reason = "this file needs a part of it")]
mod studio;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mingshi_journal::{Codec, Kind, Writer};
use mingshi_media::clock::instant;
use mingshi_media::record::events::Event;
use mingshi_media::record::folder::DvrFolder;
use mingshi_media::record::recorder::{self, Ended, Job};
use mingshi_media::record::timeline::GapReason;
use studio::{Layer, Line, Studio, moments};

const CAMERA: Layer = Layer { codec: Codec::H264, width: 320, height: 180, kbits: 150 };

fn lesson(seconds: i64) -> Studio {
    let mut studio = Studio::default();
    studio.opens(0);
    studio.publishes(1, "camera", Kind::Voice, 1, 0);
    studio.publishes(2, "camera", Kind::Video, 1, 0);
    studio.speaks(1, 0, seconds * 1_000);
    studio.shows(2, 0, CAMERA, 0, seconds * 1_000, Line::Repaired(25));
    studio
}

/// Up to where a live playlist's segments and parts reach, in seconds.
fn reach(playlist: &Path) -> f64 {
    let text = fs::read_to_string(playlist).unwrap_or_default();
    let (mut whole, mut parts) = (0.0, 0.0);
    for line in text.lines() {
        let number = |text: &str| text.split(',').next().and_then(|text| text.parse::<f64>().ok()).expect("seconds");
        if let Some(part) = line.strip_prefix("#EXT-X-PART:DURATION=") {
            parts += number(part);
        } else if let Some(duration) = line.strip_prefix("#EXTINF:") {
            whole += number(duration);
            parts = 0.0;
        }
    }
    whole + parts
}

#[test]
fn what_happened_two_seconds_ago_can_be_played_while_the_lesson_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let records = lesson(9).records();
    let stop = Arc::new(AtomicBool::new(false));
    let job = Job { folder: folder.path().to_owned(), finish: false, cores: 1.0 };
    let stopped = Arc::clone(&stop);
    let recording = thread::spawn(move || recorder::record(&job, &stopped, &mut Vec::<Event>::new()));
    let mut writer = Writer::open(&folder.path().join("journal"), 0).expect("a folder");
    let (begin, mut behind) = (instant(), Vec::new());
    for (at_ms, record) in records {
        let due = begin + Duration::from_millis(at_ms as u64);
        let wait = due.saturating_duration_since(instant());
        if wait > Duration::from_millis(100) {
            writer.flush().expect("a disk");
            thread::sleep(wait);
            if at_ms > 4_000 {
                let tracks = ["voice/audio", "camera/high"];
                let reaches = tracks.map(|track| reach(&folder.path().join("dvr").join(track).join("index.m3u8")));
                behind.extend(reaches.map(|reach| at_ms as f64 / 1_000.0 - reach));
            }
        }
        writer.append(&record).expect("a record");
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(recording.join().expect("no panic").expect("a recording"), Ended::Stopped);
    let worst = behind.iter().copied().fold(0.0, f64::max);
    assert!(behind.len() > 20 && worst < 2.0, "{worst} s behind, {} looks", behind.len());
}

#[test]
fn a_damaged_journal_is_recorded_but_for_what_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut studio = lesson(20);
    studio.closes(20_100);
    studio.goes(1, 20_050);
    studio.writes(folder.path());
    let segment = folder.path().join("journal/00000001.journal");
    let mut octets = fs::read(&segment).expect("a segment");
    let middle = octets.len() / 2;
    octets[middle..middle + 3_000].fill(0x5a);
    fs::write(&segment, octets).expect("written");
    let job = Job { folder: folder.path().to_owned(), finish: true, cores: 1.0 };
    let mut events = Vec::<Event>::new();
    let ended = recorder::record(&job, &AtomicBool::new(false), &mut events).expect("a recording");
    assert_eq!(ended, Ended::Whole);
    assert!(events.iter().any(|event| matches!(event, Event::Problem(problem) if problem.zh.contains("损坏"))));
    let dvr = DvrFolder::open(&folder.path().join("dvr")).expect("a folder");
    assert!(dvr.timeline.gaps.iter().any(|gap| gap.why == GapReason::Damaged), "{:?}", dvr.timeline.gaps);
    let camera = dvr.tracks.iter().find(|track| track.name == "camera").expect("pictures");
    let segments = camera.renditions[0].segments.iter();
    let pictures: usize = segments.map(|segment| segment.samples().expect("a segment").len()).sum();
    let all = moments(0, 20_000).len();
    assert!(pictures < all && pictures > all - 70, "{pictures} of {all}");
    assert_eq!(dvr.timeline.duration_ms / 1_000, 20);
}
