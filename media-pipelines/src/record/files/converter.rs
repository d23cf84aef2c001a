//! The process that decodes and encodes for us. GStreamer may crash in it without taking the recorder along, and it is
//! polite to the lessons that are still on air.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::instant;

/// How often the process is asked whether it is done.
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// A poster and a look at two keyframes take less than a second; a process that takes this long hangs.
const QUICK: Duration = Duration::from_secs(60);

/// How to start the process.
#[derive(Debug, Clone)]
pub struct Converter {
    /// The program `mingshi-media`.
    pub program: PathBuf,
    /// How many cores it may keep busy; none for the variants if zero.
    pub cores: f64,
    /// Set when there is no more time: the next run does the rest.
    pub stop: Arc<AtomicBool>,
}

/// Why it didn't do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ConverterError {
    /// The system refused.
    #[error("the converter can't be run: {0}")]
    Io(#[from] io::Error),
    /// It ended without success; it has written why to standard error.
    #[error("the converter ended with {0}")]
    Failed(std::process::ExitStatus),
    /// It was stopped before it was done.
    #[error("the converter was stopped")]
    Stopped,
    /// It didn't end.
    #[error("the converter took longer than {} s", QUICK.as_secs())]
    Hangs,
}

impl Converter {
    /// Make `to` out of `from`, pictures in H.264 and voice in AAC; the voice comes from `voice` if given.
    ///
    /// # Errors
    /// [`ConverterError`] says why not.
    pub fn compatible(&self, from: &[PathBuf], voice: Option<&Path>, to: &Path) -> Result<(), ConverterError> {
        let mut arguments: Vec<OsString> = vec!["compatible".into()];
        for from in from {
            arguments.extend(["--from".into(), from.into()]);
        }
        if let Some(voice) = voice {
            arguments.extend(["--voice".into(), voice.into()]);
        }
        arguments.extend(["--to".into(), to.into(), "--cores".into(), self.cores.to_string().into()]);
        self.run(&arguments, None)
    }

    /// Make a picture of the moment `at_ms` of `from`.
    ///
    /// # Errors
    /// [`ConverterError`] says why not.
    pub fn poster(&self, from: &Path, at_ms: u64, to: &Path) -> Result<(), ConverterError> {
        let at_ms = at_ms.to_string();
        let arguments = ["poster".into(), "--from".into(), from.into(), "--at-ms".into(), at_ms.into()];
        let arguments = [&arguments[..], &["--to".into(), to.into()]].concat();
        self.run(&arguments, Some(QUICK))
    }

    /// Decode the first and the last keyframe of `from`.
    ///
    /// # Errors
    /// [`ConverterError`] says that one of them can't be decoded.
    pub fn check(&self, from: &Path) -> Result<(), ConverterError> {
        self.run(&["check".into(), "--from".into(), from.into()], Some(QUICK))
    }

    fn run(&self, arguments: &[OsString], limit: Option<Duration>) -> Result<(), ConverterError> {
        // It ends with us, however we end: its standard input does.
        let mut command = Command::new(&self.program);
        command.arg("convert").args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = Ended(command.spawn()?);
        let started = instant();
        loop {
            match child.0.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(ConverterError::Failed(status)),
                None if self.stop.load(Ordering::Relaxed) => return Err(ConverterError::Stopped),
                None if limit.is_some_and(|limit| instant().saturating_duration_since(started) > limit) => {
                    return Err(ConverterError::Hangs);
                }
                None => thread::sleep(ASK_INTERVAL),
            }
        }
    }
}

/// A process that doesn't outlive this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
