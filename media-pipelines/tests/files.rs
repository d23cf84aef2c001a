//! The end of a lesson: files out of a DVR's folder, looked at and listened to with ffmpeg.

mod recorded;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use mingshi_media::clock::instant;
use mingshi_media::record::files::converter::Converter;
use mingshi_media::record::files::manifest::{File, Manifest, Variant};
use mingshi_media::record::files::{Job, Report, finish};
use recorded::{Lesson, bursts, probe, seen_at};

/// A picture is on for this long.
const PICTURE_MS: i64 = 67;

fn job(lesson: &Lesson) -> Job {
    job_in(lesson.folder.path())
}

fn job_in(folder: &Path) -> Job {
    Job {
        folder: folder.to_owned(),
        lesson: "lesson".into(),
        title: "分数的初步认识".into(),
        teacher: Some("李老师".into()),
        converter: Some(Converter {
            program: env!("CARGO_BIN_EXE_mingshi-media").into(),
            cores: 2.0,
            stop: Arc::default(),
        }),
        turn: None,
    }
}

fn finished(lesson: &Lesson) -> (Manifest, Vec<Report>) {
    let mut reports = Vec::new();
    let manifest = finish(&job(lesson), &mut |report| reports.push(report)).expect("the lesson is finished");
    let written = fs::read(lesson.files().join("manifest.json")).expect("a manifest");
    assert_eq!(serde_json::from_slice::<Manifest>(&written).expect("it reads back"), manifest);
    for file in &manifest.files {
        let size = fs::metadata(lesson.files().join(&file.name)).expect("the file is there").len();
        assert_eq!(size, file.bytes, "{}", file.name);
    }
    (manifest, reports)
}

fn names(manifest: &Manifest) -> Vec<(&str, &str, &str, u64)> {
    let codec = |file: &File| match (&file.video, &file.audio) {
        (Some(video), Some(audio)) => format!("{} {}", video.codec, audio.codec),
        (Some(video), None) => video.codec.clone(),
        (None, Some(audio)) => audio.codec.clone(),
        (None, None) => String::new(),
    };
    manifest
        .files
        .iter()
        .map(|file| {
            let variant = if file.variant == Variant::Original { "original" } else { "compatible" };
            (file.name.as_str(), variant, &*codec(file).leak(), file.duration_ms)
        })
        .collect()
}

/// Jumps to ten places show the picture of that moment.
#[track_caller]
fn jumps_are_right(file: &Path, seconds: f64) {
    for place in 0..10 {
        let at = (f64::from(place) + 0.37) * seconds / 10.0;
        let seen = seen_at(file, at).unwrap_or_else(|| panic!("no legible picture at {at}"));
        let wanted = (at * 1_000.0) as i64;
        // A jump shows the first picture at or after the wanted moment.
        assert!((wanted - PICTURE_MS..=wanted + PICTURE_MS).contains(&seen), "{}: {seen} at {wanted}", file.display());
    }
}

#[track_caller]
fn bursts_are_on_whole_seconds(file: &Path, from: u64, to: u64, tolerance_ms: f64) {
    let heard = bursts(file);
    assert_eq!(heard.len() as u64, to - from, "{}: {heard:?}", file.display());
    for (second, onset) in (from..to).zip(heard) {
        let late = onset - second as f64 * 1_000.0;
        // The burst's own ramp takes a millisecond to be heard.
        assert!((-tolerance_ms..=tolerance_ms).contains(&late), "{}: {late} ms late at {second} s", file.display());
    }
}

#[track_caller]
fn lasts(value: &serde_json::Value, seconds: f64) {
    let found: f64 = value["duration"].as_str().and_then(|text| text.parse().ok()).expect("a duration");
    assert!((found - seconds).abs() < 0.068, "{found} s instead of {seconds}");
}

#[test]
fn a_lesson_becomes_one_file_for_each_source_with_the_voice_in_it() {
    let (pictures, voice) = (recorded::h264(20), recorded::voice(20));
    let mut lesson = Lesson::new();
    lesson.track("voice", &[(&voice, 0..10, 0)]).track("camera", &[(&pictures, 0..10, 0)]);
    lesson.track("slides", &[(&pictures, 0..10, 0)]).slide(0).slide(6_000).slide(12_000).ended();
    let (manifest, reports) = finished(&lesson);

    assert_eq!(
        names(&manifest),
        [
            ("camera.mp4", "original", "h264 opus", 20_000),
            ("slides.mp4", "original", "h264 opus", 20_000),
            ("camera-compatible.mp4", "compatible", "h264 aac", manifest.files[2].duration_ms),
            ("slides-compatible.mp4", "compatible", "h264 aac", manifest.files[3].duration_ms),
        ]
    );
    assert!(reports.iter().all(|report| matches!(report, Report::Files { .. })), "{reports:?}");
    assert_eq!(reports.first(), Some(&Report::Files { complete: false }), "originals can be had before variants");
    assert_eq!(reports.last(), Some(&Report::Files { complete: true }));
    assert!(manifest.complete && !manifest.repaired && manifest.missing.is_empty());
    assert_eq!(manifest.duration_ms, 20_000);
    let slides: Vec<_> = manifest.slides.iter().map(|slide| (slide.at_ms, slide.picture.as_deref())).collect();
    let expected = [(0, "slide-0001.jpg"), (6_000, "slide-0002.jpg"), (12_000, "slide-0003.jpg")];
    assert_eq!(slides, expected.map(|(at, name)| (at, Some(name))));
    for name in ["poster.jpg", "slide-0001.jpg", "slide-0003.jpg"] {
        let octets = fs::read(lesson.files().join(name)).expect("a picture");
        assert_eq!(octets[..2], [0xff, 0xd8], "{name} is a JPEG");
    }

    for file in &manifest.files {
        let path = lesson.files().join(&file.name);
        let probed = probe(&path);
        lasts(&probed["format"], 20.0);
        let tags = &probed["format"]["tags"];
        assert_eq!((tags["title"].as_str(), tags["artist"].as_str()), (Some("分数的初步认识"), Some("李老师")));
        assert_eq!(tags["date"], "2026-11-24T09:25:45Z");
        let chapters: Vec<_> = probed["chapters"].as_array().expect("chapters").iter().collect();
        let starts: Vec<_> = chapters.iter().filter_map(|chapter| chapter["start_time"].as_str()).collect();
        assert_eq!(starts, ["0.000000", "6.000000", "12.000000"], "{}", file.name);
        assert_eq!(chapters[1]["tags"]["title"], "课件 2 Slide 2");
        let video = &probed["streams"][0];
        assert_eq!((video["codec_tag_string"].as_str(), video["nb_frames"].as_str()), (Some("avc1"), Some("300")));
        jumps_are_right(&path, 20.0);
        bursts_are_on_whole_seconds(&path, 0, 20, 12.0);
    }
}

#[test]
fn a_source_that_comes_late_and_goes_keeps_the_lesson_s_time_line() {
    let (pictures, voice) = (recorded::h264(20), recorded::voice(20));
    let mut lesson = Lesson::new();
    // The camera is there from 4 s to 8 s and from 14 s on, the voice from 2 s on.
    lesson.track("camera", &[(&pictures, 2..4, 0), (&pictures, 7..10, 0)]).track("voice", &[(&voice, 1..10, 0)]);
    lesson.gap(8_000, 14_000, "camera").ended();
    let (manifest, _) = finished(&lesson);
    assert_eq!(manifest.missing[0].zh, "0:08–0:14 缺少摄像头画面：教师端不在线。");
    for file in &manifest.files {
        let path = lesson.files().join(&file.name);
        let probed = probe(&path);
        lasts(&probed["format"], 20.0);
        assert_eq!(probed["format"]["start_time"], "0.000000", "players count from here");
        // Before the first picture stands the first picture.
        assert_eq!(probed["streams"][0]["start_time"], "0.000000");
        assert_eq!(seen_at(&path, 0.0), Some(4_000));
        for (at, seen) in [(4.5, 4_533), (7.0, 7_000), (7.9, 7_933), (14.0, 14_000), (19.5, 19_533)] {
            let found = seen_at(&path, at).expect("a legible picture");
            assert!((found - seen).abs() <= PICTURE_MS, "{}: {found} at {at}", file.name);
        }
        bursts_are_on_whole_seconds(&path, 2, 20, 12.0);
    }
}

#[test]
fn a_track_that_changed_its_codec_has_an_original_for_each_and_one_whole_variant() {
    let (before, after, voice) = (recorded::av1(12), recorded::h264(20), recorded::voice(20));
    let mut lesson = Lesson::new();
    lesson.track("camera", &[(&before, 0..4, 0), (&after, 4..10, 0)]).track("voice", &[(&voice, 0..10, 0)]).ended();
    let (manifest, reports) = finished(&lesson);
    let variant = manifest.files.last().expect("files").duration_ms;
    assert_eq!(
        names(&manifest),
        [
            ("camera.mp4", "original", "h264 opus", 20_000),
            ("camera-av1.mp4", "original", "av1 opus", 20_000),
            ("camera-compatible.mp4", "compatible", "h264 aac", variant),
        ],
        "{reports:?}"
    );
    let whole: Vec<_> = manifest.files.iter().map(|file| file.whole).collect();
    assert_eq!(whole, [false, false, true]);
    assert!(manifest.missing[0].en.contains("camera-compatible.mp4"), "{:?}", manifest.missing);
    let path = lesson.files().join("camera-compatible.mp4");
    assert_eq!(probe(&path)["streams"][0]["nb_frames"], "300");
    jumps_are_right(&path, 20.0);
    bursts_are_on_whole_seconds(&path, 0, 20, 12.0);
    assert_eq!(seen_at(&lesson.files().join("camera-av1.mp4"), 3.0), Some(3_000));
}

/// A camera that is there from 4 s to 8 s in one size and from 14 s on in another, and a voice from 2 s on.
fn late_and_changing() -> Lesson {
    let (small, large, voice) = (recorded::h264(20), recorded::h264_of_size(20, "640x360"), recorded::voice(20));
    let mut lesson = Lesson::new();
    lesson.track("camera", &[(&small, 2..4, 0), (&large, 7..10, 0)]).track("voice", &[(&voice, 1..10, 0)]);
    lesson.slide(3_000).gap(8_000, 14_000, "camera").ended();
    lesson
}

#[test]
fn pictures_that_change_their_size_carry_their_parameter_sets() {
    let lesson = late_and_changing();
    let (manifest, _) = finished(&lesson);
    for file in &manifest.files {
        let path = lesson.files().join(&file.name);
        let video = file.video.as_ref().expect("pictures");
        assert_eq!((video.width, video.height), (640, 360));
        assert_eq!(probe(&path)["streams"][0]["codec_tag_string"], "avc3", "{}", file.name);
        for at in [4.5, 7.9, 14.0, 16.7, 19.9] {
            let seen = seen_at(&path, at).expect("a legible picture");
            assert!((seen - (at * 1_000.0) as i64).abs() <= PICTURE_MS, "{}: {seen} at {at}", file.name);
        }
    }
}

#[test]
fn av1_stays_av1_in_the_original() {
    let (pictures, voice) = (recorded::av1(8), recorded::voice(8));
    let mut lesson = Lesson::new();
    lesson.track("camera", &[(&pictures, 0..4, 0)]).track("voice", &[(&voice, 0..4, 0)]).ended();
    let (manifest, reports) = finished(&lesson);
    let codecs: Vec<_> = names(&manifest).iter().map(|(name, _, codecs, _)| (*name, *codecs)).collect();
    assert_eq!(codecs, [("camera.mp4", "av1 opus"), ("camera-compatible.mp4", "h264 aac")], "{reports:?}");
    assert!(manifest.poster.is_some());
    for file in &manifest.files {
        jumps_are_right(&lesson.files().join(&file.name), 8.0);
    }
}

#[test]
fn a_lesson_of_voice_alone_is_a_file_of_sound() {
    let voice = recorded::voice(10);
    let mut lesson = Lesson::new();
    lesson.track("voice", &[(&voice, 0..5, 0)]).slide(3_000).ended();
    let (manifest, _) = finished(&lesson);
    let codecs: Vec<_> = names(&manifest).iter().map(|(name, _, codecs, _)| (*name, *codecs)).collect();
    assert_eq!(codecs, [("voice.m4a", "opus"), ("voice-compatible.m4a", "aac")]);
    assert_eq!(manifest.missing[0].zh, "这节课没有收到画面，只有声音。");
    for file in &manifest.files {
        let path = lesson.files().join(&file.name);
        bursts_are_on_whole_seconds(&path, 0, 10, 12.0);
        assert_eq!(probe(&path)["chapters"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn pictures_without_a_voice_need_no_variant() {
    let pictures = recorded::h264(6);
    let mut lesson = Lesson::new();
    lesson.track("slides", &[(&pictures, 0..3, 0)]).ended();
    let (manifest, reports) = finished(&lesson);
    assert_eq!(names(&manifest), [("slides.mp4", "original", "h264", 6_000)]);
    assert_eq!(reports, [Report::Files { complete: true }]);
    assert_eq!(manifest.missing[0].en, "No voice was received in this lesson.");
    jumps_are_right(&lesson.files().join("slides.mp4"), 6.0);
}

#[test]
fn pictures_that_come_late_without_a_voice_keep_the_time_line_too() {
    let pictures = recorded::h264(8);
    let mut lesson = Lesson::new();
    lesson.track("slides", &[(&pictures, 1..4, 0)]).slide(2_000).ended();
    finished(&lesson);
    let path = lesson.files().join("slides.mp4");
    assert_eq!(probe(&path)["format"]["start_time"], "0.000000");
    for at in [2.0, 4.5, 7.5] {
        let seen = seen_at(&path, at).expect("a picture");
        assert!((seen - (at * 1_000.0) as i64).abs() <= PICTURE_MS, "{seen} at {at}");
    }
    assert_eq!(seen_at(&path, 0.0), Some(2_000), "the first picture stands in for what wasn't received");
}

#[test]
fn a_lesson_that_nothing_was_received_of_ends_in_a_manifest_that_says_so() {
    let lesson = Lesson::new();
    let (manifest, reports) = finished(&lesson);
    assert!(manifest.complete && manifest.files.is_empty() && manifest.poster.is_none());
    assert_eq!(manifest.missing[0].zh, "这节课没有收到任何画面和声音。");
    assert_eq!(reports, [Report::Files { complete: true }]);
    lesson.ended();
    assert!(finished(&lesson).0.complete, "nor does a time line without tracks");
}

#[test]
fn a_variant_that_cannot_be_made_costs_nothing_that_was_received() {
    let (pictures, voice) = (recorded::h264(4), recorded::voice(4));
    let mut lesson = Lesson::new();
    lesson.track("camera", &[(&pictures, 0..2, 0)]).track("voice", &[(&voice, 0..2, 0)]).ended();
    let broken = Converter { program: "/bin/false".into(), cores: 1.0, stop: Arc::default() };
    let mut problems = 0;
    let manifest = finish(&Job { converter: Some(broken), ..job(&lesson) }, &mut |report| {
        problems += usize::from(matches!(report, Report::Problem { .. }));
    })
    .expect("the lesson is finished");
    assert_eq!(names(&manifest), [("camera.mp4", "original", "h264 opus", 4_000)]);
    assert!(manifest.complete && manifest.poster.is_none());
    assert_eq!((problems, manifest.missing.len()), (3, 3), "keyframes, poster and variant: {:?}", manifest.missing);
    jumps_are_right(&lesson.files().join("camera.mp4"), 4.0);
}

#[test]
fn originals_are_there_while_another_lesson_s_variants_are_made() {
    let (pictures, voice) = (recorded::h264(4), recorded::voice(4));
    let mut lesson = Lesson::new();
    lesson.track("camera", &[(&pictures, 0..2, 0)]).track("voice", &[(&voice, 0..2, 0)]).ended();
    let turn = lesson.folder.path().join("transcode.lock");
    let other = fs::File::create(&turn).expect("a file");
    other.lock().expect("nobody else's");
    let mut other = Some(other);
    let mut reports = Vec::new();
    let manifest = finish(&Job { turn: Some(turn), ..job(&lesson) }, &mut |report| {
        other.take_if(|_| report == Report::Waits);
        reports.push(report);
    });
    assert!(manifest.expect("the lesson is finished").complete && other.is_none());
    assert_eq!(reports[..2], [Report::Files { complete: false }, Report::Waits], "{reports:?}");
}

#[test]
fn what_is_torn_or_damaged_is_left_out_and_said() {
    let (pictures, voice) = (recorded::h264(12), recorded::voice(12));
    let mut lesson = Lesson::new();
    lesson.track("camera", &[(&pictures, 0..6, 0)]).track("voice", &[(&voice, 0..6, 0)]).ended();
    let camera = lesson.dvr().join("camera/high");
    fs::write(camera.join("000002.m4s"), [7; 3_000]).expect("it is damaged");
    let last = fs::read(camera.join("000006.m4s")).expect("a segment");
    fs::write(camera.join("000006.m4s"), &last[..last.len() - 700]).expect("it is torn");
    let (manifest, _) = finished(&lesson);
    assert!(manifest.repaired);
    assert!(manifest.missing.iter().any(|words| words.en.starts_with("1 pieces")), "{:?}", manifest.missing);
    let path = lesson.files().join("camera.mp4");
    for at in [0.5, 1.9, 4.0, 6.0, 10.5] {
        let seen = seen_at(&path, at).expect("a picture");
        assert!((seen - (at * 1_000.0) as i64).abs() <= PICTURE_MS, "{seen} at {at}");
    }
}

/// All files of a folder with their content.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut content = BTreeMap::new();
    for entry in entries {
        content.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("a file"));
    }
    content
}

#[test]
fn whoever_is_stopped_on_the_way_and_run_again_ends_with_the_same_files() {
    let (before, after, voice) = (recorded::av1(4), recorded::h264(8), recorded::voice(8));
    let mut lesson = Lesson::new();
    lesson.track("camera", &[(&before, 0..2, 0), (&after, 2..4, 0)]).track("voice", &[(&voice, 0..4, 0)]);
    lesson.slide(1_000).ended();
    finished(&lesson);
    let whole = content(&lesson.files());
    assert!(whole.keys().all(|name| !name.starts_with('.')), "{:?}", whole.keys());

    for stop_after in 1..=2 {
        fs::remove_dir_all(lesson.files()).expect("begin anew");
        let mut told = 0;
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            finish(&job(&lesson), &mut |_| {
                told += 1;
                assert!(told < stop_after, "the process ends here");
            })
        }));
        assert!(stopped.is_err());
        fs::write(lesson.files().join(".camera-compatible.mp4.part"), b"half").expect("what a kill leaves");
        fs::write(lesson.files().join(".camera-compatible.mp4.part.voice-1"), b"half").expect("what a kill leaves");
        let (_, reports) = finished(&lesson);
        assert_eq!(reports.last(), Some(&Report::Files { complete: true }));
        assert_eq!(content(&lesson.files()).keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
        for (name, octets) in content(&lesson.files()) {
            assert!(octets == whole[&name], "{name} differs after a stop at report {stop_after}");
        }
    }
    let (_, reports) = finished(&lesson);
    assert_eq!(reports, [Report::Files { complete: true }], "nothing is left to do");
    // A lesson that goes on after all is another recording.
    lesson.timeline.slides.pop();
    lesson.ended();
    assert!(finished(&lesson).1.len() > 1);
}

/// Names the folder that [`finish_a_folder`] is to finish.
const FOLDER: &str = "MINGSHI_TEST_FOLDER";

/// The process that [`whoever_is_killed_at_any_instant_ends_with_the_same_files`] kills.
#[test]
#[ignore = "is run by another test"]
fn finish_a_folder() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let job = Job { folder: folder.into(), ..job_in(Path::new("")) };
    finish(&job, &mut |_| ()).expect("the lesson is finished");
}

#[test]
fn whoever_is_killed_at_any_instant_ends_with_the_same_files() {
    let (before, after, voice) = (recorded::av1(4), recorded::h264(8), recorded::voice(8));
    let mut lesson = Lesson::new();
    lesson.track("camera", &[(&before, 0..2, 0), (&after, 2..4, 0)]).track("slides", &[(&after, 0..4, 0)]);
    lesson.track("voice", &[(&voice, 0..4, 0)]).slide(1_000).ended();
    let begin = instant();
    finished(&lesson);
    let whole = content(&lesson.files());
    let took = instant().saturating_duration_since(begin);

    fs::remove_dir_all(lesson.files()).expect("begin anew");
    let mut kills = 0;
    // Each run gets further than the one before; what it reaches depends on the machine, which is the point.
    for share in 1..=16 {
        let arguments = ["--exact", "finish_a_folder", "--ignored"];
        let mut run = Command::new(std::env::current_exe().expect("this program"))
            .args(arguments)
            .env(FOLDER, lesson.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        std::thread::sleep(took * share / 16);
        kills += usize::from(run.try_wait().expect("it can be asked").is_none());
        run.kill().expect("it is killed or over");
        run.wait().expect("it is over");
    }
    finished(&lesson);
    assert!(kills >= 4, "only {kills} runs were killed");
    let found = content(&lesson.files());
    assert_eq!(found.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
    for (name, octets) in found {
        assert!(octets == whole[&name], "{name} differs after {kills} kills");
    }
}

/// What `tests/e2e/files.test.mjs` plays in browsers.
#[test]
#[ignore = "makes files for another test"]
fn files_for_browsers() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("files-for-browsers");
    let lesson = late_and_changing();
    finished(&lesson);
    lesson.keep(&place.join("changing"));
    let (pictures, voice) = (recorded::av1(20), recorded::voice(20));
    let mut lesson = Lesson::new();
    lesson.track("camera", &[(&pictures, 2..10, 0)]).track("voice", &[(&voice, 0..10, 0)]).slide(3_000).ended();
    finished(&lesson);
    lesson.keep(&place.join("av1"));
}

/// Run with `cargo test -p mingshi-media --test files -- --ignored --nocapture forty_five`.
#[test]
#[ignore = "a measurement: 45 minutes of two sources"]
fn forty_five_minutes_are_finished_in_seconds() {
    let (pictures, voice) = (recorded::large(60), recorded::voice(60));
    let mut lesson = Lesson::new();
    let parts = |encoded| (0..45).map(|minute| (encoded, 0..30, minute * 30)).collect::<Vec<_>>();
    lesson.track("camera", &parts(&pictures)).track("slides", &parts(&pictures)).track("voice", &parts(&voice));
    for minute in 0..45 {
        lesson.slide(minute * 60_000);
    }
    lesson.ended();
    let with_cores = |cores| {
        let job = job(&lesson);
        Job { converter: job.converter.map(|converter| Converter { cores, ..converter }), ..job }
    };
    let mut begin = instant();
    let manifest = finish(&with_cores(0.0), &mut |_| ()).expect("it is finished");
    let took = instant().saturating_duration_since(begin);
    let octets: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    eprintln!("originals: {took:?} for {} files of {} MB", manifest.files.len(), octets / 1_000_000);
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    eprintln!("the most memory it took, with what the measurement itself holds: {memory}");
    assert!(took.as_secs_f64() < 5.0 && manifest.complete && manifest.missing.is_empty());
    fs::remove_dir_all(lesson.files()).expect("begin anew");
    begin = instant();
    finish(&with_cores(1.0), &mut |report| {
        eprintln!("with variants: {report:?} after {:?}", instant().saturating_duration_since(begin));
    })
    .expect("it is finished");
}
