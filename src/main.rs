//! `mingshi`: live synchronous classrooms in one binary.

use std::process::ExitCode;

use clap::Parser;
use mingshi::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}
