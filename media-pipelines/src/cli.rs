//! The command line.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::check;
use crate::clock::Clock;
use crate::demo::Demo;
use crate::demo::ladder::VideoCodec;
use crate::publish::Publisher;
use crate::publish::whip::Whip;
use crate::record::command::{self, RecordArguments};
use crate::record::files::convert::{self, Conversion};

/// How often the encoders are asked whether they are well.
const WATCH_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// The GStreamer half of mingshi, in a process of its own.
#[derive(Debug, Parser)]
#[command(name = "mingshi-media", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which media components this machine lacks. Exit code 1 if any.
    Check {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Publish the demonstration lesson until told to stop.
    Demo(DemoArguments),
    /// Decode and encode for the recorder, until done or standard input ends.
    #[command(hide = true)]
    Convert {
        #[command(subcommand)]
        conversion: Conversion,
    },
    /// Make a lesson's journal into its recording, while the lesson is live and afterwards.
    Record(RecordArguments),
}

#[derive(Debug, clap::Args)]
struct DemoArguments {
    /// Where to publish: the absolute address of `/whip/{lesson}`.
    #[arg(long)]
    whip: reqwest::Url,
    /// The token that allows it.
    #[arg(long, env = "MINGSHI_TOKEN", hide_env_values = true)]
    token: String,
    /// How to encode camera and slides.
    #[arg(long, value_enum, default_value = "h264")]
    codec: VideoCodec,
    /// The certificate authority of a server that made its own (PEM).
    #[arg(long, value_name = "PATH")]
    insecure_ca: Option<PathBuf>,
    /// Stop when standard input ends, as it does when the parent process is gone.
    #[arg(long)]
    exit_with_stdin: bool,
}

impl Cli {
    /// Do what was asked.
    ///
    /// # Errors
    /// What kept it from being done.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Check { json } => report(json),
            Command::Demo(arguments) => demo(arguments).await,
            Command::Convert { conversion } => convert(conversion).await,
            Command::Record(arguments) => {
                let (stop, stopped) = watch::channel(false);
                tokio::spawn(watch_for_the_end(stop, arguments.exit_with_stdin));
                command::record(arguments, stopped).await
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the findings are this command's output")]
fn report(json: bool) -> anyhow::Result<ExitCode> {
    let findings = check::check();
    if json {
        println!("{}", serde_json::to_string(&findings)?);
    } else {
        print!("{}", findings.in_words());
    }
    Ok(if findings.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn demo(arguments: DemoArguments) -> anyhow::Result<ExitCode> {
    let whip = Whip::new(arguments.whip, arguments.token, arguments.insecure_ca.as_deref())?;
    let clock = Clock::start();
    let codec = arguments.codec;
    let demo = tokio::task::spawn_blocking(move || Demo::start(codec, clock))
        .await
        .context("drawing the lesson")?
        .context("the demonstration lesson can't be given; `mingshi-media check` says what is missing")?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(watch_for_the_end(stop, arguments.exit_with_stdin));
    let publisher = Publisher::new(whip, codec, clock);
    tokio::select! {
        () = publisher.run(&demo, stopped) => Ok(ExitCode::SUCCESS),
        error = failure(&demo) => Err(error.into()),
    }
}

async fn convert(conversion: Conversion) -> anyhow::Result<ExitCode> {
    // A thread of its own: its priority is low, which this runtime's needn't be.
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens any more if the recorder is gone.
        let _ = done.send(convert::run(&conversion));
    });
    tokio::select! {
        result = result => result.context("the conversion panicked")?.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        () = end_of_input() => anyhow::bail!("the recorder is gone"),
    }
}

/// Wait until an encoder fails.
async fn failure(demo: &Demo) -> crate::demo::pipeline::PipelineError {
    loop {
        if let Err(error) = demo.encoders().check() {
            return error;
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

/// Say stop at SIGTERM, SIGINT or, if asked to, the end of standard input.
async fn watch_for_the_end(stop: watch::Sender<bool>, exit_with_stdin: bool) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    let input_ended = async {
        if exit_with_stdin {
            end_of_input().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
        () = input_ended => {}
    }
    stop.send_replace(true);
}

/// Wait for the end of standard input, on a thread of its own because such a read can't be cancelled.
async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut ignored = [0; 256];
        while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
        // Nobody listens any more if the process ends for another reason.
        let _ = ended.send(());
    });
    let _ = end.await;
}
