//! What the converter process does: compatible variants, posters and looks at keyframes. All that decodes or encodes
//! is here, and nothing else of the recorder is.

mod compatible;
mod pipeline;
mod still;
mod throttle;

use std::io;
use std::path::PathBuf;

use super::mp4::Mp4Error;
use super::verify::VerifyError;

/// How much lower than everything else the converter's priority is, as `nice` counts.
const NICENESS: i32 = 15;

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Conversion {
    /// Make a variant with H.264 and AAC.
    Compatible {
        /// The files with the pictures of one track; those of H.264 are taken as they are.
        #[arg(long, required = true)]
        from: Vec<PathBuf>,
        /// Where the voice comes from, if not from the first of them.
        #[arg(long)]
        voice: Option<PathBuf>,
        /// The file to write.
        #[arg(long)]
        to: PathBuf,
        /// How many cores may be kept busy.
        #[arg(long, default_value_t = 1.0)]
        cores: f64,
    },
    /// Make a JPEG of one moment.
    Poster {
        /// The file to look into.
        #[arg(long)]
        from: PathBuf,
        /// The moment in milliseconds.
        #[arg(long)]
        at_ms: u64,
        /// The picture to write.
        #[arg(long)]
        to: PathBuf,
    },
    /// Decode the first and the last keyframe.
    Check {
        /// The file to look into.
        #[arg(long)]
        from: PathBuf,
    },
}

/// Why a conversion failed.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A file can't be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What is to be converted isn't as it should be.
    #[error(transparent)]
    Source(#[from] VerifyError),
    /// The result can't be laid out.
    #[error(transparent)]
    Layout(#[from] Mp4Error),
    /// GStreamer refused or failed.
    #[error("GStreamer: {0}")]
    GStreamer(String),
    /// There is nothing to convert.
    #[error("there is nothing in it")]
    Nothing,
    /// It can't be converted.
    #[error("{0} can't be converted")]
    Unknown(&'static str),
}

/// Do it, at a low priority, on the calling thread and those that it starts.
///
/// # Errors
/// [`ConvertError`] says why it failed.
pub fn run(conversion: &Conversion) -> Result<(), ConvertError> {
    // GStreamer's threads inherit the priority of the one that starts it. Who isn't allowed to be polite goes on.
    let _ = rustix::process::nice(NICENESS);
    gstreamer::init().map_err(|error| ConvertError::GStreamer(error.to_string()))?;
    match conversion {
        Conversion::Compatible { from, voice, to, cores } => {
            compatible::make(from, voice.as_deref(), to, throttle::Throttle::new(*cores))
        }
        Conversion::Poster { from, at_ms, to } => still::poster(from, *at_ms, to),
        Conversion::Check { from } => still::check(from),
    }
}
