//! `mingshi demo`: a server of its own with a lesson on air that anyone can open.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use tokio::process::{Child, Command};

use super::{Bases, print, say, stop};
use crate::api::{ApiState, member, page_url};
use crate::auth::{Issued, OperatorKey, Publish};
use crate::config::Config;
use crate::id::{LessonId, ParticipantId};
use crate::lesson::{Draft, JoinCode, Lesson, Role, State};
use crate::recording::find_media_program;
use crate::server::{self, StopSignals};
use crate::store::LessonFilter;
use crate::telemetry::{Output, start_log};

const TITLE: &str = "五年级英语：Unit 3 What would you like?";
const TEACHER: &str = "王老师";

/// The demonstration's tokens are for tests and passers-by, who don't renew them.
const TOKEN_LIFE: time::Duration = time::Duration::hours(24);
const PICTURE_POLL: Duration = Duration::from_millis(50);
/// After this long without a picture, people are told why that may be.
const PICTURE_EXPECTED: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A publisher that ran this long was well: its next failure is a new one.
const WELL: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print one JSON object to standard output once pictures flow; all else goes to standard error.
    #[arg(long)]
    json: bool,
    /// The data folder; by default one of its own under the user's data.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// How camera and slides are encoded.
    #[arg(long, value_enum, default_value = "h264")]
    codec: Codec,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Codec {
    /// H.264.
    H264,
    /// VP8.
    Vp8,
}

impl Codec {
    fn word(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Vp8 => "vp8",
        }
    }
}

/// What tests start from.
#[derive(Debug, Serialize)]
struct OnAir {
    base: String,
    lesson: LessonId,
    classroom: String,
    studio: String,
    console: String,
    metrics: String,
    publish_token: String,
    subscribe_token: String,
    pid: u32,
}

/// Run until told to stop.
pub(super) async fn run(mut config: Config, arguments: Arguments) -> anyhow::Result<()> {
    start_log(&config.log, Output::Error);
    config.server.data = arguments.data.unwrap_or_else(own_folder);
    let program = find_media_program()?;
    let mut signals = StopSignals::new()?;
    let running = server::start(&config).await?;
    let bases = Bases::of(&config, &running);
    let lesson = on_air(&running.state).await?;
    let demo =
        Demo { program, codec: arguments.codec, lesson, base: bases.local.clone(), state: running.state.clone() };
    let data = running.data();
    let publisher = demo.publish(&data);
    let told = demo.announce(&bases, arguments.json);
    tokio::select! {
        () = signals.next() => {}
        failed = publisher => failed?,
        told = async { told.await?; std::future::pending::<anyhow::Result<()>>().await } => told?,
    }
    // Its publisher never ends by itself: there is nothing to wait for.
    stop(running, Duration::ZERO, signals).await;
    Ok(())
}

struct Demo {
    program: PathBuf,
    codec: Codec,
    lesson: Lesson,
    base: String,
    state: ApiState,
}

impl Demo {
    fn token(&self, role: Role, publish: Publish, name: &str) -> Issued {
        let claims = member(self.lesson.id, ParticipantId::random(), role, publish, Some(name.into()), None);
        self.state.tokens.issue_for(claims, self.state.clock.latest(), TOKEN_LIFE)
    }

    /// Keep the publisher running, with growing pauses between its failures. When a teacher goes on air in the
    /// demonstration lesson it steps back, and is there again when the teacher has gone.
    async fn publish(&self, data: &Path) -> anyhow::Result<()> {
        let issued = self.token(Role::Studio, Publish::Any, TEACHER);
        let (token, own) = (issued.token, issued.claims.sub);
        let mut pause = FIRST_PAUSE;
        loop {
            while self.teacher_is_there(own) {
                tokio::time::sleep(PICTURE_POLL).await;
            }
            let began = self.state.clock.instant();
            let mut child = self.spawn(&token, data)?;
            // Waiting would close it, and by its end the child knows that we are gone.
            let _input = child.stdin.take();
            let status = tokio::select! {
                status = child.wait() => status.context("waiting for mingshi-media")?,
                () = self.until_a_teacher_comes(own) => {
                    tracing::info!("a teacher is on air in the demonstration lesson; the demonstration steps back");
                    child.kill().await.context("stopping mingshi-media")?;
                    continue;
                }
            };
            let ran = self.state.clock.instant().saturating_duration_since(began);
            pause = if ran > WELL { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tracing::warn!(%status, pause_seconds = pause.as_secs_f32(), "the demonstration's publisher ended; it is started again");
            tokio::time::sleep(pause).await;
        }
    }

    fn teacher_is_there(&self, own: ParticipantId) -> bool {
        self.state.directory.has_other_studio(self.lesson.id, own)
    }

    async fn until_a_teacher_comes(&self, own: ParticipantId) {
        while !self.teacher_is_there(own) {
            tokio::time::sleep(PICTURE_POLL).await;
        }
    }

    /// It ends with us in any case: told when we stop, and by the end of its standard input if we are killed.
    fn spawn(&self, token: &str, data: &Path) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(["demo", "--exit-with-stdin", "--codec", self.codec.word()]);
        command.args(["--whip", &format!("{}/whip/{}", self.base, self.lesson.id)]);
        if self.base.starts_with("https://") {
            command.arg("--insecure-ca").arg(data.join("tls").join("ca.crt"));
        }
        // In the environment others of this machine's users don't see it, as they would among the arguments.
        command.env("MINGSHI_TOKEN", token);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        command.spawn().with_context(|| format!("starting {}", self.program.display()))
    }

    /// Once pictures flow, say where.
    async fn announce(&self, bases: &Bases, json: bool) -> anyhow::Result<()> {
        let pictures = async {
            while !self.state.directory.has_picture(self.lesson.id) {
                tokio::time::sleep(PICTURE_POLL).await;
            }
        };
        tokio::pin!(pictures);
        if tokio::time::timeout(PICTURE_EXPECTED, &mut pictures).await.is_err() {
            say("仍没有画面，请运行 mingshi check 查看原因。 No picture yet; `mingshi check` may tell why.");
            pictures.await;
        }
        let on_air = self.on_air(&self.base).await?;
        for base in &bases.all {
            let there = |url: &str| url.replacen(&self.base, base, 1);
            say(&format!(
                "\n课堂端 Classroom: {}\n主讲端 Studio:    {}\n管理端 Operator:  {}",
                there(&on_air.classroom),
                there(&on_air.studio),
                there(&on_air.console)
            ));
        }
        say(&format!("\n课堂码 Join code: {}    按 Ctrl-C 结束 Ctrl-C to stop", self.lesson.join_code));
        if json {
            print(&serde_json::to_string(&on_air)?)?;
        }
        Ok(())
    }

    async fn on_air(&self, base: &str) -> anyhow::Result<OnAir> {
        // A demonstration has nothing to hide from whoever starts it: each start makes a link of its own.
        let key = OperatorKey::random();
        self.state.store.replace_operator_key(key.hash(), self.state.clock.now()).await?;
        let studio = self.token(Role::Studio, Publish::Any, TEACHER);
        let subscribe = self.token(Role::Classroom, Publish::default(), "演示课堂");
        Ok(OnAir {
            base: base.into(),
            lesson: self.lesson.id,
            classroom: format!("{base}/#/c/{}", self.lesson.join_code),
            studio: page_url(base, &studio),
            console: format!("{base}/#/operator/{key}"),
            metrics: format!("{base}/metrics"),
            publish_token: studio.token,
            subscribe_token: subscribe.token,
            pid: std::process::id(),
        })
    }
}

/// The demonstration lesson, on air: the one of the last start if that was interrupted, so that pages that are
/// still open come back to it.
async fn on_air(state: &ApiState) -> anyhow::Result<Lesson> {
    let live = LessonFilter { state: Some(State::Live), ..LessonFilter::default() };
    let lessons = state.store.lessons(live).await?;
    if let Some(lesson) = lessons.into_iter().find(|lesson| lesson.title == TITLE) {
        return Ok(lesson);
    }
    let now = state.clock.now();
    let draft = Draft {
        title: TITLE.into(),
        teacher: Some(TEACHER.into()),
        subject: Some("英语".into()),
        grade: Some("五年级".into()),
        school: None,
        starts_at: Some(now),
    };
    let mut lesson = Lesson::new(draft, JoinCode::random(), now)?;
    lesson.start(now)?;
    state.store.insert_lesson(&mut lesson).await?;
    state.directory.on_air(&lesson);
    Ok(lesson)
}

fn own_folder() -> PathBuf {
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
    data.or_else(home).unwrap_or_else(std::env::temp_dir).join("mingshi-demo")
}
