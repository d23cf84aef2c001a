//! `mingshi recover`: finishes every recording that a crash, a full disk or a missing program left unfinished.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::{print, say};
use crate::config::Config;
use crate::recording::{Limits, Parts, Recordings, Recovered};
use crate::server::{self, DataFolder};
use crate::store::Store;
use crate::telemetry::{Output, start_log};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The data folder; by default as configured.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// A server that runs does the same by itself: the data folder has to be free.
pub(super) async fn run(mut config: Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    start_log(&config.log, Output::Error);
    if let Some(data) = arguments.data {
        config.server.data = data;
    }
    let path = config.server.data.clone();
    anyhow::ensure!(
        path.join("mingshi.db").exists(),
        "数据目录里没有数据库 the data folder {} holds no database",
        path.display()
    );
    let folder = DataFolder::take(&path).map_err(server::Error::from)?;
    let store = Store::open(&path).await?;
    let clock = server::clock();
    let now = Arc::new(move || clock.now());
    let (settings, limits) = (config.recording.clone(), Limits::default());
    let recordings = Recordings::new(Parts { data: path, settings, store: store.clone(), now, program: None, limits })?;
    say("正在修复录像，请稍候…… Repairing recordings…");
    let recovered = recordings.recover().await?;
    store.close().await;
    drop(folder);
    print(&in_words(&recovered))?;
    Ok(if recovered.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_words(recovered: &Recovered) -> String {
    let mut lines = Vec::new();
    lines.extend(recovered.finished.iter().map(|lesson| format!("✓ {lesson}  录像已做好 the recording is ready")));
    lines.extend(recovered.failed.iter().map(|(lesson, why)| format!("✗ {lesson}  {} {}", why.zh, why.en)));
    let live = "这节课还没有下课，服务器启动后继续录像 the lesson has not ended; its recording goes on with the server";
    lines.extend(recovered.live.iter().map(|lesson| format!("- {lesson}  {live}")));
    if lines.is_empty() {
        lines.push("没有需要修复的录像 nothing had to be repaired".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::LessonId;
    use crate::lesson::Words;

    #[test]
    fn what_was_repaired_and_what_was_not_is_told_in_both_languages() {
        assert!(in_words(&Recovered::default()).contains("没有需要修复的录像 nothing had to be repaired"));
        let [a, b, c] = [1, 2, 3].map(LessonId::from_u64);
        let failed = vec![(b, Words::new("缺少媒体程序", "there is no media program"))];
        let told = in_words(&Recovered { finished: vec![a], failed, live: vec![c] });
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with(&format!("✓ {a}")) && lines[2].starts_with(&format!("- {c}")), "{told}");
        assert_eq!(lines[1], format!("✗ {b}  缺少媒体程序 there is no media program"));
    }
}
