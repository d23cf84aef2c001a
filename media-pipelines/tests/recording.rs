//! Lessons from their journals to what can be played.

#[path = "studio/mod.rs"]
mod studio;
#[path = "studio/watching.rs"]
mod watching;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use mingshi_journal::{Codec, Kind, Writer};
use mingshi_media::record::events::Event;
use mingshi_media::record::files::manifest::Manifest;
use mingshi_media::record::folder::DvrFolder;
use mingshi_media::record::recorder::{self, Ended, Job};
use mingshi_media::record::timeline::GapReason;
use studio::{BEGIN_MS, Layer, Line, Studio, moments};

const H264_LARGE: Layer = Layer { codec: Codec::H264, width: 640, height: 360, kbits: 700 };
const H264_SMALL: Layer = Layer { codec: Codec::H264, width: 320, height: 180, kbits: 150 };
const AV1: Layer = Layer { codec: Codec::Av1, width: 320, height: 180, kbits: 150 };
const VP8: Layer = Layer { codec: Codec::Vp8, width: 640, height: 360, kbits: 500 };

/// A picture may be this far from its moment, in milliseconds.
const NEAR_MS: i64 = 60;

fn record(folder: &Path) -> (DvrFolder, Vec<Event>) {
    let job = Job { folder: folder.to_owned(), finish: true, cores: 1.0 };
    let mut events = Vec::new();
    let ended = recorder::record(&job, &AtomicBool::new(false), &mut events).expect("a recording");
    assert_eq!(ended, Ended::Whole);
    (DvrFolder::open(&folder.join("dvr")).expect("a folder that reads back"), events)
}

fn assert_pictures_at_their_moments(seen: &[(i64, i64)], expected: &[i64]) {
    for (time, carried) in seen {
        assert!((time - carried).abs() <= NEAR_MS, "the picture of {carried} ms is shown at {time} ms");
    }
    let carried: Vec<_> = seen.iter().map(|(_, carried)| *carried).collect();
    let missing: Vec<_> = expected.iter().filter(|moment| !carried.contains(moment)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    let twice: Vec<_> = carried.windows(2).filter(|pair| pair[0] >= pair[1]).collect();
    assert!(twice.is_empty() && carried.len() == expected.len(), "doubled: {twice:?}");
}

fn problems(events: &[Event]) -> Vec<&str> {
    let mut told = Vec::new();
    for event in events {
        if let Event::Problem(problem) = event {
            told.push(problem.en.as_str());
        }
    }
    told
}

#[test]
fn a_lesson_with_two_layers_over_a_lossy_line_is_recorded_whole_and_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut studio = Studio::default();
    studio.opens(0);
    studio.publishes(1, "camera", Kind::Voice, 1, 1_000);
    studio.publishes(2, "camera", Kind::Video, 2, 1_000);
    studio.speaks(1, 1_000, 21_000);
    studio.shows(2, 0, H264_SMALL, 1_000, 21_000, Line::Repaired(10));
    studio.shows(2, 1, H264_LARGE, 1_000, 21_000, Line::Repaired(10));
    studio.closes(21_200);
    studio.writes(folder.path());
    let (dvr, events) = record(folder.path());
    assert_eq!(problems(&events), [""; 0]);
    assert_eq!((dvr.timeline.zero_unix_ms, dvr.timeline.live), (BEGIN_MS, false));
    assert_eq!(dvr.timeline.gaps, []);
    let high = watching::rendition(&dvr, "camera", "high");
    let mut seen = watching::watched(high, folder.path());
    // The small layer's keyframe may have come first.
    seen.dedup_by_key(|(_, carried)| *carried);
    assert_pictures_at_their_moments(&seen, &moments(1_000, 21_000));
    let low = watching::rendition(&dvr, "camera", "low");
    let seen = watching::watched(low, folder.path());
    assert!(seen.len() > 200 && seen.iter().all(|(time, carried)| (time - carried).abs() <= NEAR_MS));
    let tones = watching::heard(watching::rendition(&dvr, "voice", "audio"), folder.path());
    assert_eq!(tones.len(), 20);
    for (second, tone) in (1..).zip(tones) {
        // Up to the first reports' end of effect, what the line takes is in it.
        let near = if second < 7 { NEAR_MS } else { 30 };
        assert!((tone - second * 1_000).abs() <= near, "the tone of {second} s is heard at {tone} ms");
    }
    let master = fs::read_to_string(folder.path().join("dvr/camera.m3u8")).expect("a playlist");
    assert!(master.contains("RESOLUTION=640x360") && master.contains("camera/low/index.m3u8"), "{master}");
}

#[test]
fn a_picture_that_is_lost_for_good_takes_those_up_to_the_next_keyframe_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut studio = Studio::default();
    studio.opens(0);
    studio.publishes(2, "camera", Kind::Video, 1, 0);
    studio.shows(2, 0, H264_LARGE, 0, 12_000, Line::Loses(80));
    studio.closes(12_200);
    studio.writes(folder.path());
    let (dvr, _) = record(folder.path());
    let seen = watching::watched(watching::rendition(&dvr, "camera", "high"), folder.path());
    let carried: Vec<_> = seen.iter().map(|(_, carried)| *carried).collect();
    let all = moments(0, 12_000);
    let missing: Vec<_> = all.iter().filter(|moment| !carried.contains(moment)).copied().collect();
    assert!(!missing.is_empty() && missing.len() < 60, "{missing:?}");
    assert!(missing.last().is_some_and(|last| last % 4_000 > 3_900), "up to a keyframe: {missing:?}");
    assert!(missing.windows(2).all(|pair| pair[1] - pair[0] <= 67), "one hole");
    let gap = dvr.timeline.gaps.first().expect("a gap");
    assert_eq!((gap.track.as_deref(), gap.why), (Some("camera"), GapReason::Damaged));
}

#[test]
fn a_studio_that_comes_back_after_a_restart_with_another_codec_goes_on_in_the_same_track() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut studio = Studio::default();
    studio.opens(0);
    studio.publishes(1, "camera", Kind::Voice, 1, 0);
    studio.publishes(2, "camera", Kind::Video, 1, 0);
    studio.speaks(1, 0, 6_000);
    studio.shows(2, 0, H264_LARGE, 0, 6_000, Line::Good);
    // The server is killed, comes back, and so does the studio.
    studio.opens(14_000);
    studio.publishes(1, "camera", Kind::Video, 1, 16_000);
    studio.publishes(2, "camera", Kind::Voice, 1, 16_000);
    studio.shows(1, 0, AV1, 16_000, 24_000, Line::Good);
    studio.speaks(2, 16_000, 24_000);
    studio.goes(1, 24_100);
    studio.goes(2, 24_100);
    studio.publishes(9, "camera", Kind::Video, 1, 30_000);
    studio.shows(9, 0, H264_SMALL, 30_000, 34_000, Line::Good);
    studio.closes(34_100);
    studio.writes(folder.path());
    let (dvr, _) = record(folder.path());
    let names: Vec<_> = dvr.tracks.iter().map(|track| track.name.as_str()).collect();
    assert_eq!(names, ["voice", "camera"]);
    let high = watching::rendition(&dvr, "camera", "high");
    let seen = watching::watched(high, folder.path());
    let expected = [moments(0, 6_000), moments(16_000, 24_000), moments(30_000, 34_000)].concat();
    assert_pictures_at_their_moments(&seen, &expected);
    assert_eq!(high.inits.len(), 3, "H.264, AV1, and H.264 again");
    let tones = watching::heard(watching::rendition(&dvr, "voice", "audio"), folder.path());
    let seconds: Vec<_> = tones.iter().map(|tone| (tone + 500) / 1_000).collect();
    assert_eq!(seconds, (0..6).chain(16..24).collect::<Vec<_>>(), "silence where nothing was said");
    let gaps: Vec<_> = dvr.timeline.gaps.iter().map(|gap| (gap.track.as_deref(), gap.why)).collect();
    assert!(gaps.contains(&(None, GapReason::ServerDown)), "{gaps:?}");
    assert!(gaps.contains(&(Some("camera"), GapReason::StudioAway)), "{gaps:?}");
}

#[test]
fn vp8_becomes_h264_with_every_picture_at_its_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut studio = Studio::default();
    studio.opens(0);
    studio.publishes(2, "camera", Kind::Video, 1, 0);
    studio.shows(2, 0, VP8, 0, 10_000, Line::Good);
    studio.closes(10_100);
    studio.writes(folder.path());
    let (dvr, events) = record(folder.path());
    assert_eq!(problems(&events), [""; 0]);
    let high = watching::rendition(&dvr, "camera", "high");
    assert!(high.codec.starts_with("avc3."), "{}", high.codec);
    assert_pictures_at_their_moments(&watching::watched(high, folder.path()), &moments(0, 10_000));
}

#[test]
fn without_time_to_encode_a_problem_says_so_and_the_voice_is_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut studio = Studio::default();
    studio.opens(0);
    studio.publishes(1, "camera", Kind::Voice, 1, 0);
    studio.publishes(2, "camera", Kind::Video, 1, 0);
    studio.speaks(1, 0, 3_000);
    studio.shows(2, 0, VP8, 0, 3_000, Line::Good);
    studio.writes(folder.path());
    let job = Job { folder: folder.path().to_owned(), finish: true, cores: 0.0 };
    let mut events = Vec::new();
    recorder::record(&job, &AtomicBool::new(false), &mut events).expect("a recording");
    let told = problems(&events);
    assert!(matches!(told[..], [problem] if problem.contains("transcode_cores")), "{told:?}");
    let dvr = DvrFolder::open(&folder.path().join("dvr")).expect("a folder");
    assert_eq!(dvr.tracks.len(), 1);
}

#[test]
fn slides_are_dated_when_they_change_and_kept_as_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut studio = Studio::default();
    studio.opens(0);
    studio.publishes(2, "slides", Kind::Video, 1, 0);
    studio.shows(2, 0, H264_LARGE, 0, 5_000, Line::Good);
    studio.writes(folder.path());
    let (dvr, _) = record(folder.path());
    let first = dvr.timeline.slides.first().expect("the first slide");
    assert!(first.at_ms <= 60, "{first:?}");
    let picture =
        fs::read(folder.path().join("dvr").join(first.picture.as_deref().expect("a picture"))).expect("a file");
    assert!(picture.starts_with(&[0xff, 0xd8, 0xff]), "a JPEG");
}

/// The recorder is killed a dozen times while the lesson goes on. What is left is, octet for octet, what a recorder
/// makes that was left alone.
#[test]
fn a_recorder_that_is_killed_at_any_instant_leaves_what_one_leaves_that_was_not() {
    let (killed, left_alone) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let lesson = || {
        let mut studio = Studio::default();
        studio.opens(0);
        studio.publishes(1, "camera", Kind::Voice, 1, 0);
        studio.publishes(2, "camera", Kind::Video, 2, 0);
        studio.speaks(1, 0, 60_000);
        studio.shows(2, 0, H264_SMALL, 0, 60_000, Line::Repaired(30));
        studio.shows(2, 1, H264_LARGE, 0, 50_000, Line::Loses(900));
        studio.closes(60_200);
        studio
    };
    lesson().writes(left_alone.path());
    record(left_alone.path());
    let records = lesson().records();
    let journal = killed.path().join("journal");
    // Eight times as fast as the lesson.
    let writing = thread::spawn(move || {
        let mut writer = Writer::open(&journal, 0).expect("a folder");
        let mut written_ms = 0;
        for (at_ms, record) in records {
            if at_ms >= written_ms + 80 {
                writer.flush().expect("a disk");
                thread::sleep(Duration::from_millis(10));
                written_ms = at_ms;
            }
            writer.append(&record).expect("a record");
        }
        writer.flush().expect("a disk");
    });
    let mut seed = 12_345_u64;
    for _ in 0..12 {
        let mut recorder = start(killed.path());
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_millis(100 + (seed >> 33) % 900));
        recorder.kill().expect("it runs");
        recorder.wait().expect("it is gone");
    }
    writing.join().expect("written");
    assert!(start(killed.path()).wait().expect("it ends").success());
    let (one, other) = (contents(&killed.path().join("dvr")), contents(&left_alone.path().join("dvr")));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (path, octets) in &one {
        assert_eq!(octets.len(), other[path].len(), "{path}");
        assert!(octets == &other[path], "{path} differs");
    }
    assert!(start(left_alone.path()).wait().expect("it ends").success());
    let (one, other) = (contents(&killed.path().join("files")), contents(&left_alone.path().join("files")));
    let names: Vec<_> = one.keys().map(String::as_str).collect();
    assert_eq!(names, ["camera-compatible.mp4", "camera.mp4", "manifest.json", "poster.jpg"]);
    for (path, octets) in &one {
        assert!(octets == &other[path], "files/{path} differs");
    }
}

#[test]
fn a_lesson_whose_codec_changed_ends_in_files_that_any_player_plays() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut studio = Studio::default();
    studio.opens(0);
    studio.publishes(1, "camera", Kind::Voice, 1, 1_000);
    studio.publishes(2, "camera", Kind::Video, 1, 1_000);
    studio.speaks(1, 1_000, 16_000);
    studio.shows(2, 0, AV1, 1_000, 8_000, Line::Good);
    studio.publishes(3, "camera", Kind::Video, 1, 8_000);
    studio.shows(3, 0, H264_LARGE, 8_000, 16_000, Line::Good);
    studio.closes(16_200);
    studio.writes(folder.path());
    assert!(start(folder.path()).wait().expect("it ends").success());
    let text = fs::read(folder.path().join("files/manifest.json")).expect("a manifest");
    let manifest: Manifest = serde_json::from_slice(&text).expect("it reads");
    assert!(manifest.complete && manifest.lesson == "lesson", "{manifest:?}");
    let told: Vec<_> = manifest.files.iter().map(|file| (file.name.as_str(), file.whole)).collect();
    let expected = [("camera.mp4", false), ("camera-av1.mp4", false), ("camera-compatible.mp4", true)];
    assert_eq!(told, expected, "{:?}", manifest.missing);
    let whole = &manifest.files[2];
    assert!(whole.duration_ms.abs_diff(16_000) <= 300, "{} ms", whole.duration_ms);
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(folder.path().join("files").join(&whole.name))
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed");
    // Pictures whose times vary fall together on the even ones that ffmpeg counts by here.
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let wrong: Vec<_> = told.lines().filter(|line| !line.contains("monotonically increasing dts")).collect();
    assert!(output.status.success() && wrong.is_empty(), "{wrong:?}");
}

#[test]
fn an_encoder_that_is_killed_with_its_recorder_loses_and_doubles_nothing() {
    let folder = tempfile::Builder::new().disable_cleanup(true).prefix("vp8kill").tempdir().expect("a folder");
    let mut studio = Studio::default();
    studio.opens(0);
    studio.publishes(2, "camera", Kind::Video, 1, 0);
    studio.shows(2, 0, VP8, 0, 30_000, Line::Good);
    studio.closes(30_100);
    let records = studio.records();
    let journal = folder.path().join("journal");
    let writing = thread::spawn(move || {
        let mut writer = Writer::open(&journal, 0).expect("a folder");
        for (index, (_, record)) in records.iter().enumerate() {
            writer.append(record).expect("a record");
            if index % 4 == 0 {
                writer.flush().expect("a disk");
                thread::sleep(Duration::from_millis(10));
            }
        }
        writer.flush().expect("a disk");
    });
    for wait in [900, 2_700, 2_300] {
        let mut recorder = start(folder.path());
        thread::sleep(Duration::from_millis(wait));
        recorder.kill().expect("it runs");
        recorder.wait().expect("it is gone");
    }
    writing.join().expect("written");
    assert!(start(folder.path()).wait().expect("it ends").success());
    let dvr = DvrFolder::open(&folder.path().join("dvr")).expect("a folder");
    let high = watching::rendition(&dvr, "camera", "high");
    assert_pictures_at_their_moments(&watching::watched(high, folder.path()), &moments(0, 30_000));
}

fn start(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mingshi-media"))
        .args(["record", "--folder"])
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("the recorder")
}

/// Every file below a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below it").to_string_lossy().into_owned();
                files.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    files
}
