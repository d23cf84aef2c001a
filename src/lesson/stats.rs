//! What pages measure of their own connections, and what it says of a classroom: does it hear, does it see.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::media::{Codec, SlotName};

/// Entries of each list at most: a connection has no more m-lines.
const MAX_ENTRIES: usize = 16;
/// Measured over this time at least and at most, in milliseconds; what a page says beyond that is cut to it.
const OVER_MS: (u32, u32) = (1_000, 60_000);
/// Packets or frames in one second at most; no track of a lesson comes near.
const MAX_PER_SECOND: u32 = 5_000;
/// Samples of sound in one second at most: two channels of 48 kHz.
const MAX_SAMPLES_PER_SECOND: u32 = 96_000;
/// The part of the voice that was made up for lost packets, from which on it can't be followed, and from which on it is heard.
const VOICE_BROKEN: f64 = 0.2;
const VOICE_ROUGH: f64 = 0.03;
/// Loss and round trip from which on a line is weak.
const WEAK_LOSS: f64 = 0.05;
const WEAK_ROUND_TRIP_MS: u32 = 800;
/// So many better measurements in a row are believed: about ten seconds.
const BETTER_AFTER: u8 = 2;

/// How a page's packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// UDP, straight.
    Udp,
    /// TCP, straight.
    Tcp,
    /// Through a TURN relay.
    Relay,
}

/// The candidate pair in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PathStats {
    /// How packets travel.
    pub transport: Transport,
    /// Round trip of the last check, in milliseconds.
    pub round_trip_ms: Option<u32>,
    /// What the browser takes for free to send, in bits per second.
    pub available_outgoing: Option<u32>,
}

/// What came in one slot since the last measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotStats {
    /// Which kind of slot.
    pub slot: SlotName,
    /// Its number among its kind.
    pub index: u8,
    /// How it is encoded.
    pub codec: Option<Codec>,
    /// Packets received.
    pub received: u32,
    /// Packets lost for good.
    pub lost: u32,
    /// Mean stay in the jitter buffer, in milliseconds.
    pub jitter_buffer_ms: Option<u32>,
    /// Pictures decoded.
    pub frames_decoded: u32,
    /// Pictures decoded too late to be shown.
    pub frames_dropped: u32,
    /// How often the picture froze.
    pub freezes: u32,
    /// For how long, in milliseconds.
    pub frozen_ms: u32,
    /// Pixels, where there is a picture.
    pub width: Option<u16>,
    /// Pixels, where there is a picture.
    pub height: Option<u16>,
    /// Samples of sound played.
    pub samples: u32,
    /// Those of them that were made up for lost packets and are not silence.
    pub concealed: u32,
}

/// What left in one encoding since the last measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SentStats {
    /// The slot in which classrooms see or hear it.
    pub slot: SlotName,
    /// How it is encoded.
    pub codec: Option<Codec>,
    /// Packets sent.
    pub sent: u32,
    /// Those of them that were sent again.
    pub retransmitted: u32,
    /// Pictures encoded.
    pub frames: u32,
    /// Pixels, where there is a picture.
    pub width: Option<u16>,
    /// Pixels, where there is a picture.
    pub height: Option<u16>,
    /// Whether the line holds the encoder back.
    pub limited: bool,
}

/// What a page measured since it last told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// Over how long, in milliseconds.
    pub over_ms: u32,
    /// The candidate pair in use.
    pub path: Option<PathStats>,
    /// What it receives; at most 16.
    pub slots: Vec<SlotStats>,
    /// What it sends; at most 16.
    pub sent: Vec<SentStats>,
}

/// Why what a page measured is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatsError {
    /// More entries than a connection has m-lines.
    #[error("more than {MAX_ENTRIES} slots or encodings")]
    TooMany,
}

impl Stats {
    /// The same, every number cut to what can be.
    ///
    /// # Errors
    /// [`StatsError`].
    pub fn checked(mut self) -> Result<Self, StatsError> {
        if self.slots.len() > MAX_ENTRIES || self.sent.len() > MAX_ENTRIES {
            return Err(StatsError::TooMany);
        }
        self.over_ms = self.over_ms.clamp(OVER_MS.0, OVER_MS.1);
        let seconds = self.over_ms.div_ceil(1000);
        let (count, samples) = (MAX_PER_SECOND * seconds, MAX_SAMPLES_PER_SECOND * seconds);
        for slot in &mut self.slots {
            for number in [&mut slot.received, &mut slot.lost, &mut slot.frames_decoded, &mut slot.frames_dropped] {
                *number = (*number).min(count);
            }
            slot.freezes = slot.freezes.min(count);
            slot.frozen_ms = slot.frozen_ms.min(self.over_ms);
            slot.samples = slot.samples.min(samples);
            slot.concealed = slot.concealed.min(slot.samples);
            slot.jitter_buffer_ms = slot.jitter_buffer_ms.map(|ms| ms.min(OVER_MS.1));
        }
        for sent in &mut self.sent {
            sent.sent = sent.sent.min(count);
            sent.retransmitted = sent.retransmitted.min(sent.sent);
            sent.frames = sent.frames.min(count);
        }
        if let Some(path) = &mut self.path {
            path.round_trip_ms = path.round_trip_ms.map(|ms| ms.min(OVER_MS.1));
        }
        Ok(self)
    }

    fn slot(&self, name: SlotName) -> Option<&SlotStats> {
        self.slots.iter().find(|slot| slot.slot == name && slot.index == 0)
    }

    /// The part of the teacher's voice that was made up, 0 to 1; `None` where no sound was played.
    #[must_use]
    pub fn voice_concealed(&self) -> Option<f64> {
        let voice = self.slot(SlotName::Voice).filter(|voice| voice.samples > 0)?;
        Some(f64::from(voice.concealed) / f64::from(voice.samples))
    }

    /// For how long pictures stood still, all slots together, in seconds.
    #[must_use]
    pub fn frozen_seconds(&self) -> f64 {
        self.slots.iter().map(|slot| f64::from(slot.frozen_ms) / 1000.0).sum()
    }

    /// The part of the packets that never came, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        let sum = |count: fn(&SlotStats) -> u32| self.slots.iter().map(|slot| f64::from(count(slot))).sum::<f64>();
        let (received, lost) = (sum(|slot| slot.received), sum(|slot| slot.lost));
        if received + lost > 0.0 { lost / (received + lost) } else { 0.0 }
    }
}

/// The mean of what was measured in several places, and the greatest; `None` where it was measured in none.
#[must_use]
pub fn mean_and_most(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let sum_up = |(n, sum, most): (u32, f64, f64), value: f64| (n + 1, sum + value, most.max(value));
    let (count, sum, most) = values.into_iter().fold((0, 0.0, 0.0), sum_up);
    (count > 0).then(|| (sum / f64::from(count), most))
}

/// How a classroom's line is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// 良好: voice and pictures come whole.
    Good,
    /// 较弱: something is missing, the voice can be followed.
    Weak,
    /// 中断: the voice can't be followed.
    Bad,
}

impl LineState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Good, Self::Weak, Self::Bad];

    /// As it is written in messages, metrics and the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Weak => "weak",
            Self::Bad => "bad",
        }
    }
}

/// What the server sends to a classroom at present, so that silence by intent is no trouble.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// The teacher's voice flows.
    pub voice: bool,
    /// The teacher's camera flows.
    pub camera: bool,
}

/// What a measurement showed to be different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The voice came and can't be followed any more.
    VoiceBroken,
    /// The voice can be followed again.
    VoiceHealed,
    /// The camera's picture stands still.
    PictureFrozen,
    /// It moves again.
    PictureHealed,
}

/// What is known of one participant by its own measurements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    stats: Option<Stats>,
    expected: Expected,
    line: Option<LineState>,
    voice_broken: bool,
    picture_frozen: bool,
    better: u8,
}

impl Measured {
    /// The last measurement.
    #[must_use]
    pub const fn stats(&self) -> Option<&Stats> {
        self.stats.as_ref()
    }

    /// What follows from it.
    #[must_use]
    pub const fn line(&self) -> Option<LineState> {
        self.line
    }

    /// Its connections are gone: what was measured of them says nothing of the next.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// A measurement came. Trouble counts at once, betterment when it lasts.
    pub fn take(&mut self, stats: Stats, expected: Expected) -> Vec<Change> {
        // What began within the measured time may have brought nothing yet.
        let before = std::mem::replace(&mut self.expected, expected);
        let due = Expected { voice: before.voice && expected.voice, camera: before.camera && expected.camera };
        let voice_broken = due.voice && voice_is_broken(&stats);
        let picture_frozen = due.camera && picture_is_frozen(&stats);
        let line = state_of(&stats, voice_broken, picture_frozen);
        self.stats = Some(stats);
        let better = self.line.is_some_and(|now| line < now)
            || (self.voice_broken && !voice_broken)
            || (self.picture_frozen && !picture_frozen);
        let worse = self.line.is_none_or(|now| line > now)
            || (!self.voice_broken && voice_broken)
            || (!self.picture_frozen && picture_frozen);
        self.better = if better && !worse { self.better + 1 } else { 0 };
        if !worse && self.better < BETTER_AFTER {
            return Vec::new();
        }
        self.better = 0;
        self.line = Some(line);
        let mut changes = Vec::new();
        if std::mem::replace(&mut self.voice_broken, voice_broken) != voice_broken {
            changes.push(if voice_broken { Change::VoiceBroken } else { Change::VoiceHealed });
        }
        if std::mem::replace(&mut self.picture_frozen, picture_frozen) != picture_frozen {
            changes.push(if picture_frozen { Change::PictureFrozen } else { Change::PictureHealed });
        }
        changes
    }
}

fn voice_is_broken(stats: &Stats) -> bool {
    let came = stats.slot(SlotName::Voice).is_some_and(|voice| voice.received > 0);
    !came || stats.voice_concealed().is_some_and(|part| part >= VOICE_BROKEN)
}

fn picture_is_frozen(stats: &Stats) -> bool {
    let moved = |camera: &SlotStats| camera.frames_decoded > 0 && camera.frozen_ms < stats.over_ms / 2;
    !stats.slot(SlotName::Camera).is_some_and(moved)
}

fn state_of(stats: &Stats, voice_broken: bool, picture_frozen: bool) -> LineState {
    let rough = stats.voice_concealed().is_some_and(|part| part >= VOICE_ROUGH);
    let far = stats.path.and_then(|path| path.round_trip_ms).is_some_and(|ms| ms >= WEAK_ROUND_TRIP_MS);
    if voice_broken {
        LineState::Bad
    } else if rough || picture_frozen || far || stats.loss() >= WEAK_LOSS {
        LineState::Weak
    } else {
        LineState::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Expected = Expected { voice: true, camera: true };

    fn slot(slot: SlotName) -> SlotStats {
        SlotStats {
            slot,
            index: 0,
            codec: None,
            received: 250,
            lost: 0,
            jitter_buffer_ms: Some(60),
            frames_decoded: 125,
            frames_dropped: 0,
            freezes: 0,
            frozen_ms: 0,
            width: None,
            height: None,
            samples: 240_000,
            concealed: 0,
        }
    }

    fn good() -> Stats {
        Stats {
            over_ms: 5_000,
            path: None,
            slots: vec![slot(SlotName::Voice), slot(SlotName::Camera)],
            sent: Vec::new(),
        }
    }

    fn with(change: impl FnOnce(&mut Stats)) -> Stats {
        let mut stats = good();
        change(&mut stats);
        stats
    }

    #[test]
    fn a_voice_that_breaks_is_told_at_once_and_its_healing_when_it_lasts() {
        let mut measured = Measured::default();
        assert_eq!(measured.take(good(), BOTH), []);
        assert_eq!(measured.line(), Some(LineState::Good));
        let broken = with(|stats| stats.slots[0].concealed = 60_000);
        assert_eq!(measured.take(broken, BOTH), [Change::VoiceBroken]);
        assert_eq!(measured.line(), Some(LineState::Bad));
        assert_eq!(measured.take(good(), BOTH), []);
        assert_eq!(measured.line(), Some(LineState::Bad));
        assert_eq!(measured.take(good(), BOTH), [Change::VoiceHealed]);
        assert_eq!(measured.line(), Some(LineState::Good));
    }

    #[test]
    fn a_still_picture_makes_a_line_weak_and_no_more() {
        let mut measured = Measured::default();
        measured.take(good(), BOTH);
        let frozen = with(|stats| stats.slots[1].frozen_ms = 4_000);
        assert_eq!(measured.take(frozen, BOTH), [Change::PictureFrozen]);
        assert_eq!(measured.line(), Some(LineState::Weak));
    }

    #[test]
    fn silence_by_intent_or_just_ended_is_no_trouble() {
        let mut measured = Measured::default();
        let nothing = || with(|stats| stats.slots.clear());
        assert_eq!(measured.take(nothing(), Expected::default()), []);
        assert_eq!(measured.take(nothing(), BOTH), [], "it began within the measured time");
        assert_eq!(measured.line(), Some(LineState::Good));
        assert_eq!(measured.take(nothing(), BOTH), [Change::VoiceBroken, Change::PictureFrozen]);
    }

    #[test]
    fn loss_a_long_way_and_a_rough_voice_make_a_line_weak() {
        let far = PathStats { transport: Transport::Udp, round_trip_ms: Some(900), available_outgoing: None };
        for stats in [
            with(|stats| stats.slots[1].lost = 100),
            with(|stats| stats.path = Some(far)),
            with(|stats| stats.slots[0].concealed = 12_000),
        ] {
            let mut measured = Measured::default();
            measured.take(stats, BOTH);
            assert_eq!(measured.line(), Some(LineState::Weak));
        }
    }

    #[test]
    fn numbers_that_cannot_be_are_cut_and_lists_without_end_refused() {
        let mad = with(|stats| {
            stats.over_ms = u32::MAX;
            stats.slots[0] = SlotStats { concealed: u32::MAX, samples: 5, frozen_ms: u32::MAX, ..stats.slots[0] };
            stats.slots[1].received = u32::MAX;
        });
        let checked = mad.checked().expect("two slots");
        assert_eq!((checked.over_ms, checked.slots[0].concealed, checked.slots[0].frozen_ms), (60_000, 5, 60_000));
        assert_eq!(checked.slots[1].received, 300_000);
        let many = with(|stats| stats.slots = vec![slot(SlotName::Voice); 17]);
        assert_eq!(many.checked(), Err(StatsError::TooMany));
    }
}
