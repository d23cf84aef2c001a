//! Media processes that do their work, fail, hang and are killed, and what becomes of the recordings. Shell scripts stand in for
//! the media program.

use std::cell::{Cell, RefCell};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mingshi::config::Config;
use mingshi::id::LessonId;
use mingshi::lesson::{Draft, JoinCode, Lesson, Recording, RecordingState, State};
use mingshi::recording::{Limits, Parts, Recordings};
use mingshi::server;
use mingshi::store::Store;
use tokio::time::Instant;

/// What every script begins with: its arguments read, and how to make files.
const BEGINNING: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in --folder) F="$2"; shift ;; --finish) FINISH=yes ;; esac
  shift
done
echo "run ${FINISH:-no}" >> "$F/runs"
# make COMPLETE: the files and their manifest.
make() {
  mkdir -p "$F/files"
  printf abc > "$F/files/camera.mp4"
  sum=$(sha256sum < "$F/files/camera.mp4" | cut -d ' ' -f 1)
  printf '{"version":1,"lesson":"%s","zero_unix_ms":5,"duration_ms":2000,"repaired":false,"complete":%s,"files":[{"name":"camera.mp4","track":"camera","variant":"original","whole":true,"video":null,"audio":null,"bytes":3,"sha256":"%s","duration_ms":2000}],"poster":null,"slides":[],"gaps":[],"missing":[]}' "${F##*/}" "$1" "$sum" > "$F/files/manifest.json"
  echo "{\"event\":\"files\",\"complete\":$1}"
}
"#;

struct Studio {
    folder: tempfile::TempDir,
    store: Store,
    recordings: Recordings,
    lesson: Lesson,
}

impl Studio {
    /// A lesson of which something was received, and a media program that is this script.
    async fn with(state: State, script: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = program(folder.path(), script);
        let store = Store::open(folder.path()).await.expect("a new database");
        let now = server::clock().now();
        let draft = Draft { title: "数学".into(), ..Draft::default() };
        let mut lesson = Lesson::new(draft, JoinCode::random(), now).expect("it has a title");
        lesson.start(now).expect("it begins");
        if state == State::Ended {
            lesson.end(now).expect("it ends");
            lesson.ended_at = Some(now - time::Duration::minutes(1));
        }
        store.insert_lesson(&mut lesson).await.expect("kept");
        let mut config = Config::default();
        change(&mut config);
        let clock = server::clock();
        let limits = Limits {
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_millis(200),
            hang: Duration::from_secs(2),
            ..Limits::default()
        };
        let parts = Parts {
            data: folder.path().into(),
            settings: config.recording,
            store: store.clone(),
            now: Arc::new(move || clock.now()),
            program: Some(program),
            limits,
        };
        let recordings = Recordings::new(parts).expect("a folder is a store");
        let studio = Self { folder, store, recordings, lesson };
        studio.receive(studio.lesson.id);
        studio
    }

    fn receive(&self, lesson: LessonId) {
        let journal = self.recordings.folder(lesson).join("journal");
        std::fs::create_dir_all(&journal).expect("made");
        std::fs::write(journal.join("00000001.journal"), "received").expect("written");
    }

    /// Another lesson that ended when the first did.
    async fn another(&self) -> LessonId {
        let draft = Draft { title: "语文".into(), ..Draft::default() };
        let mut lesson = Lesson::new(draft, JoinCode::random(), self.lesson.created_at).expect("it has a title");
        (lesson.state, lesson.started_at, lesson.ended_at) =
            (State::Ended, self.lesson.started_at, self.lesson.ended_at);
        self.store.insert_lesson(&mut lesson).await.expect("kept");
        self.receive(lesson.id);
        lesson.id
    }

    fn at(&self, path: &str) -> PathBuf {
        self.recordings.folder(self.lesson.id).join(path)
    }

    fn runs(&self) -> Vec<String> {
        let runs = std::fs::read_to_string(self.at("runs")).unwrap_or_default();
        runs.lines().map(str::to_owned).collect()
    }

    async fn recording(&self) -> Option<Recording> {
        self.store.recording(self.lesson.id).await.expect("read")
    }

    /// Look after recordings until one is as wanted.
    async fn until(&self, wanted: impl AsyncFn(&Recording) -> bool) -> Recording {
        let looking = async {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if let Some(recording) = self.recording().await
                    && wanted(&recording).await
                {
                    return recording;
                }
            }
        };
        tokio::select! {
            () = self.recordings.run() => unreachable!("it never ends"),
            recording = tokio::time::timeout(Duration::from_secs(30), looking) => {
                recording.unwrap_or_else(|_| panic!("it never came to that; runs: {:?}", self.runs()))
            }
        }
    }

    async fn end_lesson(&self) {
        let mut lesson = self.lesson.clone();
        lesson.end(server::clock().now()).expect("it ends");
        assert!(self.store.move_lesson(&lesson, State::Live).await.expect("moved"));
    }
}

fn program(folder: &Path, script: &str) -> PathBuf {
    let program = folder.join("media");
    std::fs::write(&program, format!("{BEGINNING}{script}")).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("made a program");
    program
}

const GOOD: &str = "make false\nmake true\necho '{\"event\":\"finished\"}'\n";

#[tokio::test]
async fn a_lesson_that_has_ended_becomes_a_recording() {
    let studio = Studio::with(State::Ended, GOOD, |_| {}).await;
    let recording = studio.until(async |recording| recording.complete).await;
    assert_eq!((recording.state, recording.octets), (RecordingState::Ready, 3));
    assert_eq!((recording.duration, recording.reason), (time::Duration::seconds(2), None));
    assert_eq!(studio.runs(), ["run yes"], "the end of what was received is the end");
    let contents = studio.store.contents(studio.lesson.id).await.expect("read");
    assert_eq!(contents.files.len(), 1);
}

#[tokio::test]
async fn of_many_lessons_that_end_at_one_bell_all_have_their_first_files_before_any_has_its_last() {
    let script = "touch \"$F/making\"; ls \"$F\"/../*/making | wc -l >> \"$F/../../making\"; sleep 0.2; rm \"$F/making\"\n\
        make false\nwhile [ ! -e \"$F/../../go\" ]; do sleep 0.05; done\nmake true\n";
    let studio = Studio::with(State::Ended, script, |_| {}).await;
    let mut lessons = vec![studio.lesson.id];
    for _ in 0..7 {
        lessons.push(studio.another().await);
    }
    studio
        .until(async |_| {
            let all = studio.store.all_recordings().await.expect("read");
            all.len() == lessons.len() && all.iter().all(|one| one.state == RecordingState::Ready && !one.complete)
        })
        .await;
    let making = std::fs::read_to_string(studio.folder.path().join("making")).expect("they ran");
    let cores = std::thread::available_parallelism().expect("known").get();
    let most: usize = making.lines().map(|line| line.trim().parse().expect("a number")).max().expect("they ran");
    assert!(most <= cores, "{most} at once on {cores} cores");
    std::fs::write(studio.folder.path().join("go"), "").expect("written");
    let all_complete = async |_: &Recording| studio.store.unfinished_recordings().await.expect("read").is_empty();
    studio.until(all_complete).await;
}

#[tokio::test]
async fn a_lesson_that_goes_on_is_followed_to_its_end() {
    let script = "echo '{\"event\":\"started\",\"resumed\":false}'\n\
        while [ ! -e \"$F/closed\" ]; do echo '{\"event\":\"progress\",\"duration_ms\":1500,\"behind_ms\":10}'; sleep 0.1; done\n\
        make true\n";
    let studio = Studio::with(State::Live, script, |_| {}).await;
    let (ended, seen) = (Cell::new(false), RefCell::new(Vec::new()));
    let recording = studio.until(async |recording| {
        if recording.duration > time::Duration::ZERO && !ended.replace(true) {
            studio.end_lesson().await;
        }
        if recording.state == RecordingState::Finishing {
            std::fs::write(studio.at("closed"), "").expect("written");
        }
        seen.borrow_mut().push(recording.state);
        recording.complete
    });
    assert_eq!(recording.await.state, RecordingState::Ready);
    seen.borrow_mut().dedup();
    assert_eq!(*seen.borrow(), [RecordingState::Recording, RecordingState::Finishing, RecordingState::Ready]);
    assert_eq!(studio.runs(), ["run no"], "one process saw the lesson and its end");
}

#[tokio::test]
async fn a_process_that_fails_is_started_again_and_its_last_words_are_told() {
    let script =
        format!("if [ $(wc -l < \"$F/runs\") -lt 3 ]; then echo 'camera: out of luck' >&2; exit 4; fi\n{GOOD}");
    let studio = Studio::with(State::Ended, &script, |_| {}).await;
    let failing = studio.until(async |recording| recording.reason.is_some()).await;
    let reason = failing.reason.expect("it was waited for");
    assert!(reason.en.contains("exit status: 4: camera: out of luck"), "{reason:?}");
    assert!(reason.zh.contains("媒体进程异常结束"), "{reason:?}");
    let recording = studio.until(async |recording| recording.complete).await;
    assert_eq!((recording.state, recording.reason), (RecordingState::Ready, None));
    let troubles = studio.recordings.overview().troubles;
    assert_eq!((troubles[0].lesson, troubles[0].words.en.clone()), (studio.lesson.id, reason.en));
}

#[tokio::test]
async fn what_can_never_be_made_fails_with_its_reason_and_is_tried_again_at_the_next_start() {
    let studio = Studio::with(State::Ended, "[ -e \"$F/mended\" ] || exit 9\nmake true\n", |_| {}).await;
    let failed = studio.until(async |recording| recording.state == RecordingState::Failed).await;
    assert!(failed.reason.expect("why").en.contains("exit status: 9"));
    assert_eq!(studio.runs().len(), 8);
    assert!(studio.at("journal/00000001.journal").exists(), "what was received is kept");
    std::fs::write(studio.at("mended"), "").expect("written");
    let recovered = studio.recordings.recover().await.expect("the catalogue works");
    assert_eq!((recovered.finished, recovered.failed), (vec![studio.lesson.id], vec![]));
    assert_eq!(studio.recording().await.map(|recording| recording.state), Some(RecordingState::Ready));
}

#[tokio::test]
async fn a_process_that_hangs_is_killed_and_started_again() {
    let script = "[ $(wc -l < \"$F/runs\") -ge 2 ] && { make true; exit 0; }\n\
        i=0; while [ $i -lt 300 ]; do echo more >> \"$F/journal/00000001.journal\"; sleep 0.1; i=$((i + 1)); done\n";
    let studio = Studio::with(State::Ended, script, |_| {}).await;
    let began = Instant::now();
    let recording = studio.until(async |recording| recording.complete).await;
    assert_eq!(recording.state, RecordingState::Ready);
    assert!((2..15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(studio.recordings.overview().troubles[0].words.en.contains("got nowhere for"));
}

#[tokio::test]
async fn a_process_that_is_killed_is_started_again() {
    let script = "[ $(wc -l < \"$F/runs\") -ge 2 ] && { make true; exit 0; }\nkill -9 $$\n";
    let studio = Studio::with(State::Ended, script, |_| {}).await;
    studio.until(async |recording| recording.complete).await;
    assert!(studio.recordings.overview().troubles[0].words.en.contains("signal: 9"));
}

#[tokio::test]
async fn files_that_are_not_what_the_manifest_says_are_no_recording() {
    let studio = Studio::with(State::Ended, "make true\nprintf abd > \"$F/files/camera.mp4\"\n", |_| {}).await;
    let failed = studio.until(async |recording| recording.state == RecordingState::Failed).await;
    assert!(failed.reason.expect("why").en.contains("camera.mp4 is not as manifest.json says"));
    assert!(!failed.complete && failed.ready_at.is_none());
}

#[tokio::test]
async fn without_the_media_program_what_is_received_waits_for_it() {
    let studio = Studio::with(State::Ended, GOOD, |_| {}).await;
    let program = studio.folder.path().join("media");
    let away = studio.folder.path().join("away");
    std::fs::rename(&program, &away).expect("moved");
    let waiting = studio.until(async |recording| recording.reason.is_some()).await;
    assert!(waiting.reason.expect("why").zh.contains("无法启动"));
    std::fs::rename(&away, &program).expect("moved back");
    studio.until(async |recording| recording.complete).await;
}

#[tokio::test]
async fn a_lesson_that_goes_on_is_left_to_the_server_by_recover() {
    let studio = Studio::with(State::Live, GOOD, |_| {}).await;
    let recovered = studio.recordings.recover().await.expect("the catalogue works");
    assert_eq!((recovered.live, studio.runs()), (vec![studio.lesson.id], vec![]));
}

#[tokio::test]
async fn what_was_uploaded_and_checked_is_kept_there_alone() {
    let there = tempfile::tempdir().expect("a folder");
    let address = format!("file://{}", there.path().display());
    let studio = Studio::with(State::Ended, GOOD, |config| config.recording.storage = Some(address)).await;
    let recovered = studio.recordings.recover().await.expect("the catalogue works");
    assert_eq!(recovered.finished, [studio.lesson.id]);
    let recording = studio.recording().await.expect("there");
    assert!(recording.stored_at.is_some() && !studio.at("files").exists());
    assert!(studio.at("journal").exists(), "for as many days as configured");
    let uploaded = there.path().join(studio.lesson.id.to_string()).join("camera.mp4");
    assert_eq!(std::fs::read(&uploaded).expect("read"), b"abc");
    let contents = studio.store.contents(studio.lesson.id).await.expect("read");
    let readable =
        studio.recordings.storage().open(&recording, &contents.files[0]).await.expect("read").expect("there");
    assert_eq!(readable.whole(10).await.expect("read"), b"abc");
    assert!(studio.recordings.delete(studio.lesson.id).await.expect("deleted"));
    assert!(!uploaded.exists() && !studio.at("").exists());
}

#[tokio::test]
async fn the_quota_takes_the_oldest_and_never_what_is_kept() {
    let studio = Studio::with(State::Ended, GOOD, |config| config.recording.quota = Some(0)).await;
    studio.store.insert_recording(&Recording::new(studio.lesson.id, server::clock().now())).await.expect("kept");
    studio.store.keep_recording(studio.lesson.id, true).await.expect("kept");
    studio.recordings.recover().await.expect("the catalogue works");
    studio.recordings.let_go().await.expect("the catalogue works");
    assert!(studio.at("files/camera.mp4").exists(), "somebody wants it kept");
    studio.store.keep_recording(studio.lesson.id, false).await.expect("kept no longer");
    studio.recordings.let_go().await.expect("the catalogue works");
    assert!(!studio.at("").exists());
    assert_eq!(studio.recording().await, None);
}
