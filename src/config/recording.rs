//! What is recorded, where recordings stay, and for how long.

use std::time::Duration;

use super::{Error, file, in_range, value};

const GIGABYTE: u64 = 1_000_000_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Recordings.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Whether lessons are recorded.
    pub enabled: bool,
    /// How long a source goes without a keyframe before one is asked for.
    pub keyframe: Duration,
    /// Where finished recordings are uploaded to; `None` = they stay in the data folder.
    pub storage: Option<String>,
    /// How long they are kept; `None` = for ever.
    pub keep: Option<Duration>,
    /// How many octets they take together at most; `None` = no bound.
    pub quota: Option<u64>,
    /// How long what was received is kept after the recording was verified.
    pub keep_journal: Duration,
    /// With less octets free than this on the disk, people are warned.
    pub warn_free: u64,
    /// With less than this, nothing more is written down.
    pub stop_free: u64,
    /// How many cores the making of files may use.
    pub transcode_cores: f64,
}

/// From what was written.
pub(super) fn valid(written: file::Recording) -> Result<Recording, Error> {
    let days = |key: &str, days: u32| Ok::<_, Error>(DAY * in_range(key, days, 0, 36_500)?);
    let gigabytes = |key: &str, given: u32| Ok::<_, Error>(u64::from(in_range(key, given, 0, 10_000_000)?) * GIGABYTE);
    let keep = days("recording.keep_days", written.keep_days)?;
    let quota = gigabytes("recording.quota_gb", written.quota_gb)?;
    let (warn_free, stop_free) = (
        gigabytes("recording.warn_free_gb", written.warn_free_gb)?,
        gigabytes("recording.stop_free_gb", written.stop_free_gb)?,
    );
    if warn_free < stop_free {
        return Err(value("recording.warn_free_gb", "the warning has to come before recording stops (stop_free_gb)"));
    }
    Ok(Recording {
        enabled: written.enabled,
        keyframe: Duration::from_secs(in_range("recording.keyframe_seconds", written.keyframe_seconds, 1, 60)?.into()),
        storage: storage(written.storage)?,
        keep: (!keep.is_zero()).then_some(keep),
        quota: (quota > 0).then_some(quota),
        keep_journal: days("recording.keep_journal_days", written.keep_journal_days)?,
        warn_free,
        stop_free,
        transcode_cores: in_range("recording.transcode_cores", written.transcode_cores, 0.1, 64.0)?,
    })
}

fn storage(text: String) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let bucket = text.strip_prefix("s3://").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    let folder = text.strip_prefix("file://");
    if bucket.is_some_and(|bucket| !bucket.is_empty()) || folder.is_some_and(|folder| folder.starts_with('/')) {
        return Ok(Some(text));
    }
    let fact = format!("{text:?} is neither \"\" (the data folder) nor s3://bucket/prefix nor file:///folder");
    Err(value("recording.storage", fact))
}
