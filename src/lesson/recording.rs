//! A lesson's recording: where it is in its life, what it is made of, and which recordings have to go.

use time::{Duration, OffsetDateTime};

use super::{Lesson, State};
use crate::id::LessonId;

/// Where a recording is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RecordingState)]
pub enum RecordingState {
    /// The lesson goes on.
    Recording,
    /// The lesson has ended; its files are being made.
    Finishing,
    /// Its files are there and verified.
    Ready,
    /// So they are, but something had to be repaired or is missing.
    Repaired,
    /// Its files can't be made; the reason says why. What was received is kept.
    Failed,
}

impl RecordingState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Recording, Self::Finishing, Self::Ready, Self::Repaired, Self::Failed];

    /// Its word, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Finishing => "finishing",
            Self::Ready => "ready",
            Self::Repaired => "repaired",
            Self::Failed => "failed",
        }
    }

    /// The state of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether its files are there.
    #[must_use]
    pub const fn has_files(self) -> bool {
        matches!(self, Self::Ready | Self::Repaired)
    }
}

/// Something said to people, in both languages.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Words {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

impl Words {
    /// In Chinese and in English.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }
}

/// One recording, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Of which lesson; also its own id.
    pub lesson: LessonId,
    /// Where it is in its life.
    pub state: RecordingState,
    /// Why it isn't further.
    pub reason: Option<Words>,
    /// When it began.
    pub begun_at: OffsetDateTime,
    /// The instant of its zero, to the millisecond, once anything was recorded.
    pub zero: Option<OffsetDateTime>,
    /// How long it is.
    pub duration: Duration,
    /// How large its files are together.
    pub octets: u64,
    /// Whether all its files are there, those that are made afterwards too.
    pub complete: bool,
    /// Whether somebody wants it kept, whatever the rules say.
    pub kept: bool,
    /// The file that shows it.
    pub poster: Option<String>,
    /// When its files were verified.
    pub ready_at: Option<OffsetDateTime>,
    /// When they were verified in the object store, from where they are served since.
    pub stored_at: Option<OffsetDateTime>,
}

impl Recording {
    /// A recording that begins.
    #[must_use]
    pub fn new(lesson: LessonId, now: OffsetDateTime) -> Self {
        Self {
            lesson,
            state: RecordingState::Recording,
            reason: None,
            begun_at: now,
            zero: None,
            duration: Duration::ZERO,
            octets: 0,
            complete: false,
            kept: false,
            poster: None,
            ready_at: None,
            stored_at: None,
        }
    }

    /// What remains to be done for it, while its lesson is as told.
    #[must_use]
    pub fn work(&self, lesson: State) -> Work {
        match (self.state, lesson) {
            (RecordingState::Failed, _) => Work::None,
            _ if self.complete => Work::None,
            (_, State::Ended) => Work::Finish,
            (_, State::Scheduled | State::Live) => Work::Follow,
        }
    }
}

/// What the media process is to do for a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing more.
    None,
    /// Follow the lesson.
    Follow,
    /// Make its files.
    Finish,
}

/// The picture of a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct RecordingVideo {
    /// `h264` or `av1`.
    pub codec: String,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
}

/// The sound of a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct RecordingAudio {
    /// `opus` or `aac`.
    pub codec: String,
}

/// One file of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingFile {
    /// Its name.
    pub name: String,
    /// The track it is of: `camera`, `slides`, …, `voice`; `None` for pictures.
    pub track: Option<String>,
    /// `original` or `compatible`.
    pub variant: Option<String>,
    /// Whether it has all that was recorded of its track: one that changed its codec has an original for each.
    pub whole: bool,
    /// Its picture.
    pub video: Option<RecordingVideo>,
    /// Its sound.
    pub audio: Option<RecordingAudio>,
    /// Its size.
    pub octets: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// How long it is.
    pub duration_ms: u64,
}

/// A slide came on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RecordingSlide {
    /// When, in milliseconds from the recording's zero.
    pub at_ms: u64,
    /// The file that shows it.
    pub picture: Option<String>,
}

/// Something is missing for a while.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct RecordingGap {
    /// From here, in milliseconds from the recording's zero.
    pub from_ms: u64,
    /// To here.
    pub to_ms: u64,
    /// In which track; `null` = in all.
    pub track: Option<String>,
    /// `studio_away`, `server_down`, `not_kept` or `damaged`.
    pub why: String,
}

/// What a recording is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its files, the main one first.
    pub files: Vec<RecordingFile>,
    /// Its slides in order.
    pub slides: Vec<RecordingSlide>,
    /// Where something is missing.
    pub gaps: Vec<RecordingGap>,
    /// What it lacks, in words.
    pub lacks: Vec<Words>,
}

impl Contents {
    /// The file that a recording stands for as a whole: of the teacher's picture, else of whatever there is first; the
    /// original where it has all of that, else the compatible file.
    #[must_use]
    pub fn main(&self) -> Option<&RecordingFile> {
        let rank = |file: &&RecordingFile| {
            let track = match file.track.as_deref() {
                Some("camera") => 0,
                Some("slides") => 1,
                Some("voice") => 3,
                _ => 2,
            };
            let variant = match file.variant.as_deref() {
                Some("original") if file.whole => 0,
                Some("compatible") => 1,
                _ => 2,
            };
            (track, variant)
        };
        self.files.iter().filter(|file| file.track.is_some()).min_by_key(rank)
    }
}

/// What somebody watched, as a page tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watched {
    /// From here, in milliseconds from the recording's zero.
    pub from_ms: u64,
    /// To here.
    pub to_ms: u64,
    /// How fast.
    pub rate: f64,
}

/// Why what a page told makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum WatchedError {
    /// Pages tell every 15 seconds, and play twice as fast at most.
    #[error("from {from_ms} to {to_ms} ms is no stretch of at most {MAX_STRETCH_MS} ms")]
    Stretch {
        /// From here.
        from_ms: u64,
        /// To here.
        to_ms: u64,
    },
    /// Nobody plays so slowly or so fast.
    #[error("a rate of {0} is not between 0.25 and 4")]
    Rate(f64),
}

/// Two minutes, for a page that was kept from telling.
const MAX_STRETCH_MS: u64 = 120_000;

impl Watched {
    /// How long it took, in milliseconds.
    ///
    /// # Errors
    /// [`WatchedError`] when it makes no sense.
    pub fn took_ms(&self) -> Result<u64, WatchedError> {
        let Self { from_ms, to_ms, rate } = *self;
        match to_ms.checked_sub(from_ms) {
            Some(stretch) if stretch <= MAX_STRETCH_MS && to_ms <= i64::MAX as u64 => {
                if (0.25..=4.0).contains(&rate) {
                    Ok((stretch as f64 / rate) as u64)
                } else {
                    Err(WatchedError::Rate(rate))
                }
            }
            _ => Err(WatchedError::Stretch { from_ms, to_ms }),
        }
    }
}

/// How much of a recording was watched, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ViewSum {
    /// How often the player was opened and played.
    pub views: u64,
    /// By how many.
    pub viewers: u64,
    /// How much of it they watched, in milliseconds of the recording.
    pub watched_ms: u64,
}

/// How long recordings stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// So long after they were made; `None` = for ever.
    pub keep: Option<Duration>,
    /// All of them together take so many octets at most; `None` = no bound.
    pub quota: Option<u64>,
}

/// Why a recording has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goes {
    /// It is older than recordings are kept.
    Old,
    /// They take too much room, and it is the oldest.
    Quota,
}

impl Goes {
    /// Its word, as counted and logged.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::Quota => "quota",
        }
    }
}

impl Retention {
    /// Which recordings have to go at `now`, the oldest first.
    ///
    /// Those that somebody wants kept never go, nor do those whose files aren't all there: what was received would be lost
    /// with them. They count for the quota all the same.
    #[must_use]
    pub fn going(&self, recordings: &[Recording], now: OffsetDateTime) -> Vec<(LessonId, Goes)> {
        let mut may_go: Vec<&Recording> =
            recordings.iter().filter(|r| !r.kept && r.complete && r.state.has_files()).collect();
        may_go.sort_by_key(|r| (r.ready_at, r.lesson));
        let mut octets: u64 = recordings.iter().map(|r| r.octets).fold(0, u64::saturating_add);
        let mut going = Vec::new();
        for recording in may_go {
            let is_old = self.keep.is_some_and(|keep| recording.ready_at.is_some_and(|at| now - at > keep));
            let why = match self.quota {
                _ if is_old => Goes::Old,
                Some(quota) if octets > quota => Goes::Quota,
                _ => continue,
            };
            octets = octets.saturating_sub(recording.octets);
            going.push((recording.lesson, why));
        }
        going
    }
}

/// How long after its files were verified what a recording was made of stays: pages that watched the lesson late still use
/// the pieces that it was cut into while live.
const KEEP_DVR: Duration = Duration::hours(1);

/// What a recording was made of and doesn't need any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// The pieces for those who watched late.
    pub dvr: bool,
    /// What was received.
    pub journal: bool,
}

/// What isn't needed any more of this recording at `now`; what was received is kept for `keep_journal` after its files were
/// verified where they stay.
#[must_use]
pub fn spent(
    recording: &Recording,
    keep_journal: Duration,
    verified: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Spent {
    match verified {
        Some(at) if recording.complete && recording.state.has_files() => {
            Spent { dvr: now - at > KEEP_DVR, journal: now - at > keep_journal }
        }
        _ => Spent::default(),
    }
}

/// A lesson and its recording, as they are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The lesson.
    pub lesson: Lesson,
    /// Its recording.
    pub recording: Recording,
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const MONDAY: OffsetDateTime = datetime!(2026-11-23 08:00 UTC);

    fn ready(day: i64, octets: u64) -> Recording {
        let at = MONDAY + Duration::days(day);
        let mut recording = Recording::new(LessonId::from_u64(day.unsigned_abs()), at);
        recording.state = RecordingState::Ready;
        (recording.complete, recording.octets, recording.ready_at) = (true, octets, Some(at));
        recording
    }

    fn days(going: &[(LessonId, Goes)]) -> Vec<(u64, Goes)> {
        going.iter().map(|(lesson, why)| (lesson.as_u64(), *why)).collect()
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits_and_what_is_kept_never_does() {
        let mut recordings: Vec<Recording> = (0..5).map(|day| ready(day, 10)).collect();
        recordings[1].kept = true;
        let now = MONDAY + Duration::days(5);
        let quota = |quota| Retention { keep: None, quota: Some(quota) };
        assert_eq!(quota(50).going(&recordings, now), []);
        assert_eq!(days(&quota(35).going(&recordings, now)), [(0, Goes::Quota), (2, Goes::Quota)]);
        let none = days(&quota(0).going(&recordings, now));
        assert_eq!(none.iter().map(|(day, _)| *day).collect::<Vec<_>>(), [0, 2, 3, 4], "all but the one that is kept");
    }

    #[test]
    fn what_is_older_than_the_rule_goes_and_counts_for_the_quota_no_more() {
        let recordings: Vec<Recording> = (0..5).map(|day| ready(day, 10)).collect();
        let rules = Retention { keep: Some(Duration::days(3)), quota: Some(30) };
        let going = rules.going(&recordings, MONDAY + Duration::days(4) + Duration::hours(1));
        assert_eq!(days(&going), [(0, Goes::Old), (1, Goes::Old)]);
        assert_eq!(Retention::default().going(&recordings, MONDAY + Duration::days(9999)), [], "for ever");
    }

    #[test]
    fn what_has_no_verified_successor_is_never_let_go() {
        let mut unfinished = ready(0, 10);
        unfinished.complete = false;
        let mut failed = ready(1, 10);
        failed.state = RecordingState::Failed;
        let rules = Retention { keep: Some(Duration::ZERO), quota: Some(0) };
        assert_eq!(rules.going(&[unfinished.clone(), failed.clone()], MONDAY + Duration::days(99)), []);
        let late = MONDAY + Duration::days(99);
        for recording in [unfinished, failed] {
            assert_eq!(spent(&recording, Duration::ZERO, recording.ready_at, late), Spent::default());
        }
        let good = ready(2, 10);
        assert_eq!(spent(&good, Duration::days(7), None, late), Spent::default(), "not verified where it stays");
        let at = MONDAY + Duration::days(2);
        let after = |span| spent(&good, Duration::days(7), Some(at), at + span);
        assert_eq!(after(Duration::minutes(59)), Spent::default());
        assert_eq!(after(Duration::hours(2)), Spent { dvr: true, journal: false });
        assert_eq!(after(Duration::days(8)), Spent { dvr: true, journal: true });
    }

    #[test]
    fn a_recording_follows_its_lesson_and_then_is_finished_once() {
        let mut recording = Recording::new(LessonId::from_u64(1), MONDAY);
        assert_eq!(recording.work(State::Live), Work::Follow);
        assert_eq!(recording.work(State::Ended), Work::Finish);
        recording.state = RecordingState::Ready;
        assert_eq!(recording.work(State::Ended), Work::Finish, "files that are made afterwards are missing still");
        recording.complete = true;
        assert_eq!(recording.work(State::Ended), Work::None);
        let failed = Recording { state: RecordingState::Failed, complete: false, ..recording };
        assert_eq!(failed.work(State::Ended), Work::None);
    }

    #[test]
    fn what_pages_tell_of_watching_is_checked() {
        let watched = |from_ms, to_ms, rate| Watched { from_ms, to_ms, rate }.took_ms();
        assert_eq!(watched(15_000, 33_000, 1.2), Ok(15_000));
        assert!(watched(2, 1, 1.0).is_err() && watched(0, 120_001, 1.0).is_err());
        assert!(watched(0, 1, 0.0).is_err() && watched(0, 1, f64::NAN).is_err() && watched(0, 1, 5.0).is_err());
    }

    #[test]
    fn the_main_file_is_the_teachers_picture_in_one_file() {
        let file = |track: &str, variant: &str| RecordingFile {
            name: format!("{track}-{variant}.mp4"),
            track: Some(track.into()),
            variant: Some(variant.into()),
            whole: true,
            video: None,
            audio: None,
            octets: 1,
            sha256: String::new(),
            duration_ms: 1,
        };
        let mut contents =
            Contents { files: vec![file("slides", "original"), file("camera", "original")], ..Contents::default() };
        let main = |contents: &Contents| contents.main().map(|file| file.name.clone());
        assert_eq!(main(&contents).as_deref(), Some("camera-original.mp4"));
        contents.files.push(file("camera", "compatible"));
        assert_eq!(main(&contents).as_deref(), Some("camera-original.mp4"));
        contents.files[1].whole = false;
        assert_eq!(main(&contents).as_deref(), Some("camera-compatible.mp4"));
        contents.files.pop();
        assert_eq!(main(&contents).as_deref(), Some("camera-original.mp4"), "what there is of the teacher");
        assert_eq!(main(&Contents::default()), None);
    }
}
