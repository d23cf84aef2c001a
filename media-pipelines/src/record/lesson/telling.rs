//! What a lesson tells of itself: playlists, the time line, and the gaps that still grow.

use super::super::depacketise::opus;
use super::super::pictures::Level;
use super::super::playlist;
use super::super::rendition::{FileChange, Rendition};
use super::super::timeline::{Gap, GapReason, MediaKind, Timeline, TrackLine, VERSION};
use super::super::voice;
use super::{Lesson, SETTLED};

impl Lesson {
    /// Playlists that have changed.
    pub(in crate::record) fn playlists(&mut self, out: &mut Vec<FileChange>) {
        let (zero, is_live) = (self.zero_unix_ms(), !self.is_over);
        if let Some(voice) = &mut self.voice {
            out.extend(voice.rendition.take_playlist(zero, is_live));
        }
        for pictures in self.tracks.values_mut() {
            out.extend(Level::BOTH.iter().filter_map(|level| pictures.rendition(*level).take_playlist(zero, is_live)));
        }
    }

    /// Playlists of tracks.
    pub(in crate::record) fn masters(&self) -> Vec<FileChange> {
        let sound = self.voice.as_ref().filter(|voice| voice.rendition.has_samples());
        let sound = sound.map(|voice| voice.rendition.variant());
        let mut masters: Vec<_> = sound.iter().map(|sound| (voice::NAME, vec![sound.clone()], None)).collect();
        for (name, pictures) in &self.tracks {
            let variants: Vec<_> = pictures.renditions().map(Rendition::variant).collect();
            if !variants.is_empty() {
                masters.push((name, variants, sound.as_ref()));
            }
        }
        let change = |(name, variants, sound): (&str, Vec<_>, Option<&_>)| FileChange::Replace {
            path: format!("{name}.m3u8"),
            octets: playlist::master(&variants, sound).into(),
        };
        masters.into_iter().map(change).collect()
    }

    /// All there is so far.
    pub(in crate::record) fn timeline(&self) -> Timeline {
        let mut tracks = Vec::new();
        if let Some(voice) = self.voice.as_ref().filter(|voice| voice.rendition.has_samples()) {
            let renditions = vec![voice.rendition.line()];
            tracks.push(TrackLine { name: voice::NAME.to_owned(), kind: MediaKind::Audio, renditions });
        }
        for (name, pictures) in &self.tracks {
            let renditions: Vec<_> = pictures.renditions().map(Rendition::line).collect();
            if !renditions.is_empty() {
                tracks.push(TrackLine { name: name.clone(), kind: MediaKind::Video, renditions });
            }
        }
        let ends = tracks.iter().flat_map(|track| &track.renditions).map(|rendition| rendition.end_ms);
        let duration_ms = ends.max().unwrap_or(0);
        let mut gaps = self.gaps.told().to_vec();
        if !self.is_over {
            gaps.extend(self.open_gaps(self.now - SETTLED));
        }
        Timeline {
            version: VERSION,
            lesson: self.id.clone(),
            zero_unix_ms: self.zero_unix_ms(),
            live: !self.is_over,
            duration_ms,
            tracks,
            gaps,
            slides: self.slides.changes.clone(),
        }
    }

    /// Gaps that haven't ended at `instant`.
    pub(super) fn open_gaps(&self, instant: i64) -> Vec<Gap> {
        let now_ms = self.ms(instant);
        let sound = self.voice.as_ref().filter(|voice| voice.rendition.has_samples()).and_then(|voice| {
            let (from, to) = voice.gap_at(now_ms * u64::from(opus::RATE) / 1_000)?;
            let ms = |ticks: u64| ticks * 1_000 / u64::from(opus::RATE);
            self.gaps.explained(voice::NAME, ms(from), ms(to))
        });
        let pictures = self.tracks.iter().filter_map(|(name, pictures)| {
            if let Some(from_ms) = self.broken.get(&format!("{name}/{}", Level::High.name())) {
                return Some(self.damage(name, *from_ms, instant));
            }
            let high = pictures.renditions().find(|rendition| rendition.name == Level::High.name())?;
            self.gaps.explained(name, high.line().end_ms, now_ms)
        });
        sound.into_iter().chain(pictures).collect()
    }

    /// What of a track is missing because it came incomplete or can't be decoded.
    pub(super) fn damage(&self, track: &str, from_ms: u64, until: i64) -> Gap {
        Gap { from_ms, to_ms: self.ms(until), track: Some(track.to_owned()), why: GapReason::Damaged }
    }
}
