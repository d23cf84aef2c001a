//! The command line.

mod check;
mod demo;
mod explain;
mod recover;
mod journal;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use time::Duration;

use crate::api::{self, page_url};
use crate::auth::{OperatorKey, Publish, Tokens};
use crate::config::Config;
use crate::id::{LessonId, ParticipantId, SourceName};
use crate::lesson::{Role, State};
use crate::server::{self, LockError, StopSignals, TOKEN_SECRET};
use crate::store::Store;
use crate::telemetry::{Output, start_log};

/// The exit code of a second server on one data folder: to start it again would change nothing.
const DATA_FOLDER_IN_USE: u8 = 3;

const SYSTEM_CONFIG: &str = "/etc/mingshi/mingshi.toml";

/// Live synchronous classrooms: an SFU, its lessons and its web client in one binary.
#[derive(Debug, Parser)]
#[command(name = "mingshi", version)]
pub struct Cli {
    /// The configuration file; by default /etc/mingshi/mingshi.toml where there is one, else the defaults.
    #[arg(long, global = true, env = "MINGSHI_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve,
    /// Run the server with a demonstration lesson on air.
    Demo(demo::Arguments),
    /// Make a token of a lesson, for a client that can't fetch its own.
    Token(TokenArguments),
    /// Make a new operator link; the one before it is worth nothing from then on.
    OperatorLink,
    /// Say in words what is wrong on this machine. Exit code 1 if anything is.
    Check {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Look at a lesson, beside a server that runs or not.
    #[command(subcommand)]
    Lesson(LessonCommand),
    /// Finish recordings that a crash, a full disk or a missing program left unfinished. A server does so when it starts.
    Recover(recover::Arguments),
    /// Look at what was received of a lesson.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Debug, Subcommand)]
enum LessonCommand {
    /// Say why each classroom got what it got: what was cut or given back, when, and for what reason.
    Explain(explain::Arguments),
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Print every record, in order.
    Dump(journal::Arguments),
}

#[derive(Debug, clap::Args)]
struct TokenArguments {
    /// The lesson.
    #[arg(long)]
    lesson: LessonId,
    /// What the holder is.
    #[arg(long, value_enum)]
    role: RoleArgument,
    /// A source it may publish, or `*`; may be repeated. By default a studio any, a classroom `camera`.
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// Shown to the studio.
    #[arg(long)]
    name: Option<String>,
    /// Its school, by id or name.
    #[arg(long)]
    school: Option<String>,
    /// How long it lives; by default as configured.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: Option<u32>,
    /// Print the address of the page that the token opens, instead of the token.
    #[arg(long)]
    url: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArgument {
    /// The teaching end.
    Studio,
    /// A receiving classroom.
    Classroom,
}

impl Cli {
    /// Do what was asked. Exit code 0: done; 1: it failed, as told on standard error; 2: it was asked for wrongly;
    /// 3: another server uses the data folder.
    pub async fn run(self) -> ExitCode {
        match self.execute().await {
            Ok(code) => code,
            Err(error) => {
                say(&format!("错误 Error: {error:#}"));
                match error.downcast_ref::<server::Error>() {
                    Some(server::Error::Data(LockError::InUse { .. })) => ExitCode::from(DATA_FOLDER_IN_USE),
                    _ => ExitCode::FAILURE,
                }
            }
        }
    }

    async fn execute(self) -> anyhow::Result<ExitCode> {
        if matches!(self.command, Command::Openapi) {
            print(&api::description().to_pretty_json()?)?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Command::Journal(JournalCommand::Dump(arguments)) = &self.command {
            journal::run(arguments)?;
            return Ok(ExitCode::SUCCESS);
        }
        let path = self.config.or_else(|| Some(PathBuf::from(SYSTEM_CONFIG)).filter(|path| path.exists()));
        let config = load(path.as_deref());
        match self.command {
            Command::Serve => serve(config?).await?,
            Command::Demo(arguments) => demo::run(config?, arguments).await?,
            Command::Token(arguments) => print(&token(&config?, arguments).await?)?,
            Command::OperatorLink => print(&operator_link(&config?).await?)?,
            Command::Check { json } => return check::run(config, json).await,
            Command::Lesson(LessonCommand::Explain(arguments)) => explain::run(&config?, arguments).await?,
            Command::Recover(arguments) => return recover::run(config?, arguments).await,
            Command::Journal(_) | Command::Openapi => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn load(path: Option<&Path>) -> anyhow::Result<Config> {
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let loaded = Config::load(path, environment);
    loaded.with_context(|| {
        path.map_or("配置 configuration".to_owned(), |path| format!("配置 configuration {}", path.display()))
    })
}

async fn serve(config: Config) -> anyhow::Result<()> {
    start_log(&config.log, Output::Standard);
    let mut signals = StopSignals::new()?;
    let running = server::start(&config).await?;
    let bases = Bases::of(&config, &running);
    for base in &bases.all {
        say(&format!("地址 Address: {base}/"));
    }
    if let Some(key) = &running.first_key {
        say(&format!("管理链接（只显示这一次） Operator link (shown only now): {}/#/operator/{key}", bases.first));
    }
    signals.next().await;
    stop(running, config.server.drain, signals).await;
    Ok(())
}

/// Stop in order. Told again, a server that drains waits for lessons no longer, and one that stops ends at once.
async fn stop(running: server::Running, drain: std::time::Duration, mut signals: StopSignals) {
    tokio::select! {
        () = running.drain(drain) => {}
        () = signals.next() => {}
    }
    tokio::select! {
        () = running.stop() => {}
        () = signals.next() => {
            say("再次收到停止信号，立即退出。 Told again to stop: ending at once.");
            std::process::exit(1)
        }
    }
}

async fn token(config: &Config, arguments: TokenArguments) -> anyhow::Result<String> {
    let store = open_existing(config).await?;
    let lesson = store.lesson(arguments.lesson).await?;
    let lesson = lesson.with_context(|| format!("there is no lesson {}", arguments.lesson))?;
    anyhow::ensure!(lesson.state != State::Ended, "the lesson {} has ended", lesson.id);
    let (role, usual) = match arguments.role {
        RoleArgument::Studio => (Role::Studio, Publish::Any),
        RoleArgument::Classroom => (Role::Classroom, Publish::These([SourceName::camera()].into())),
    };
    let publish = if arguments.sources.is_empty() { usual } else { Publish::parse(&arguments.sources)? };
    let now = server::clock().now();
    let tokens = Tokens::new(&store.secret(TOKEN_SECRET, now).await?, config.auth.lifetimes);
    let claims = api::member(lesson.id, ParticipantId::random(), role, publish, arguments.name, arguments.school);
    let issued = match arguments.minutes {
        Some(minutes) => tokens.issue_for(claims, now, Duration::minutes(minutes.into())),
        None => tokens.issue(claims, now),
    };
    store.close().await;
    Ok(if arguments.url { page_url(&configured_base(config), &issued) } else { issued.token })
}

async fn operator_link(config: &Config) -> anyhow::Result<String> {
    let store = open_existing(config).await?;
    let key = OperatorKey::random();
    store.replace_operator_key(key.hash(), server::clock().now()).await?;
    store.close().await;
    Ok(format!("{}/#/operator/{key}", configured_base(config)))
}

/// These commands work beside a running server, but make no data folder by mistake.
async fn open_existing(config: &Config) -> anyhow::Result<Store> {
    let data = &config.server.data;
    anyhow::ensure!(
        data.join("mingshi.db").exists(),
        "the data folder {} holds no database: start the server first",
        data.display()
    );
    Ok(Store::open(data).await?)
}

/// Where a server is reached.
#[derive(Debug)]
struct Bases {
    /// All addresses for people, the configured one first.
    all: Vec<String>,
    /// The one for this machine.
    first: String,
    /// Over plain HTTP on this machine, for programs that would have to be told of our certificate authority.
    local: String,
}

impl Bases {
    fn of(config: &Config, running: &server::Running) -> Self {
        let http = running.http.map(|address| format!("http://{}", reachable(address)));
        let https = running.https.map(|address| format!("https://{}", reachable(address)));
        let local = http.clone().or_else(|| https.clone()).unwrap_or_default();
        let lan = running.https.filter(|address| address.ip().is_unspecified()).map(|address| {
            let hosts = server::local_addresses().into_iter().filter(std::net::IpAddr::is_ipv4);
            hosts.map(|host| format!("https://{host}:{}", address.port())).collect::<Vec<_>>()
        });
        let mut all: Vec<String> = config.server.public_url.clone().into_iter().chain(http).collect();
        all.extend(lan.filter(|lan| !lan.is_empty()).or_else(|| https.map(|https| vec![https])).unwrap_or_default());
        let first = all.first().cloned().unwrap_or_default();
        Self { all, first, local }
    }
}

/// An address to connect to: who listens everywhere is reached on this machine's loopback.
fn reachable(address: std::net::SocketAddr) -> std::net::SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}

fn configured_base(config: &Config) -> String {
    let http = config.server.http.map(|address| format!("http://{}", reachable(address)));
    let https = || config.server.https.map(|address| format!("https://{}", reachable(address)));
    config.server.public_url.clone().or(http).or_else(https).unwrap_or_default()
}

/// A command's result, for programs too.
fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// A word to people. If nobody reads it, nothing is lost.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
