//! What an MP4 file holds, without its octets: tracks, their samples and where each sample's octets lie.

use mp4_atom::Codec as Entry;

/// Ticks a second of times that belong to no track.
pub const TIMESCALE: u32 = 90_000;

/// One file's worth of tracks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Movie {
    /// Pictures and voice, in the order in which the file names them.
    pub tracks: Vec<Track>,
    /// Where a viewer may want to jump to, by rising time.
    pub chapters: Vec<Chapter>,
    /// What the file says about itself.
    pub labels: Labels,
}

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// One track.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// What it carries.
    pub kind: Kind,
    /// Ticks a second of its times.
    pub timescale: u32,
    /// How its samples are encoded.
    pub entry: Entry,
    /// Ticks at the beginning of the first sample that nobody is to hear, as an AAC encoder makes them.
    pub skip: u64,
    /// Its samples by rising decode time, which counts from the beginning of the lesson.
    pub samples: Vec<Sample>,
}

/// One picture or one packet of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it is decoded, in ticks of its track since the beginning of the lesson.
    pub decode: u64,
    /// How long it lasts, in ticks.
    pub duration: u32,
    /// How much later than decoded it is shown, in ticks.
    pub shift: i32,
    /// Whether decoding can begin here.
    pub key: bool,
    /// Where its octets lie.
    pub place: Place,
}

/// A run of octets in one of the files that a movie is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which file, counted by whoever made the movie.
    pub file: u32,
    /// Where in it.
    pub offset: u64,
    /// How many octets.
    pub size: u32,
}

/// A place in the lesson with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Milliseconds since the lesson's beginning.
    pub at_ms: u64,
    /// What a player shows.
    pub title: String,
}

/// What a file says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The lesson's title.
    pub title: Option<String>,
    /// The teacher.
    pub artist: Option<String>,
    /// The day it was given, as ISO 8601 writes it.
    pub date: Option<String>,
    /// The moment the lesson began, in seconds since 1970.
    pub created: u64,
}

impl Track {
    /// When its first sample is decoded, in ticks.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.samples.first().map_or(0, |first| first.decode)
    }

    /// When its last sample ends, in ticks.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.samples.last().map_or(0, |last| last.decode + u64::from(last.duration))
    }

    /// The same in milliseconds.
    #[must_use]
    pub fn end_ms(&self) -> u64 {
        scale(self.end().saturating_sub(self.skip), self.timescale, 1_000)
    }

    /// The same track with nothing in it.
    #[must_use]
    pub fn without_samples(&self) -> Self {
        let Self { kind, timescale, entry, skip, .. } = self;
        Self { kind: *kind, timescale: *timescale, entry: entry.clone(), skip: *skip, samples: Vec::new() }
    }

    /// Whether samples are shown in another order than decoded.
    #[must_use]
    pub fn reorders(&self) -> bool {
        self.samples.iter().any(|sample| sample.shift != 0)
    }

    /// Let every sample last until the next one begins, so that a hole in time stretches the picture before it.
    ///
    /// Decode times that don't rise, as a clock that was set anew makes them, are pushed on by one tick each.
    pub fn close_up(&mut self) {
        let mut earliest = 0;
        for sample in &mut self.samples {
            sample.decode = sample.decode.max(earliest);
            earliest = sample.decode + 1;
        }
        for index in 1..self.samples.len() {
            let lasts = self.samples[index].decode - self.samples[index - 1].decode;
            // A hole of half a day at 90 kHz is the longest that the tables can hold.
            self.samples[index - 1].duration = u32::try_from(lasts).unwrap_or(u32::MAX);
        }
    }

    /// Count its times in `timescale` ticks a second.
    pub fn rescale(&mut self, timescale: u32) {
        if self.timescale == timescale {
            return;
        }
        let from = self.timescale;
        for sample in &mut self.samples {
            sample.decode = scale(sample.decode, from, timescale);
            let duration = scale(u64::from(sample.duration), from, timescale);
            sample.duration = u32::try_from(duration).unwrap_or(u32::MAX).max(1);
            let shift = i64::from(sample.shift) * i64::from(timescale) / i64::from(from.max(1));
            sample.shift = i32::try_from(shift).unwrap_or(0);
        }
        self.skip = scale(self.skip, from, timescale);
        self.timescale = timescale;
    }
}

impl Movie {
    /// When its last track ends, in milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        self.tracks.iter().map(Track::end_ms).max().unwrap_or(0)
    }

    /// The first track of a kind.
    #[must_use]
    pub fn track(&self, kind: Kind) -> Option<&Track> {
        self.tracks.iter().find(|track| track.kind == kind)
    }
}

/// `ticks` of a clock of `from` hertz in those of a clock of `to` hertz, the nearest.
#[must_use]
pub fn scale(ticks: u64, from: u32, to: u32) -> u64 {
    let from = u128::from(from.max(1));
    let scaled = (u128::from(ticks) * u128::from(to) + from / 2) / from;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// The name of a codec as the manifest spells it, with the size of its pictures.
#[must_use]
pub fn codec_name(entry: &Entry) -> &'static str {
    match entry {
        Entry::Avc1(_) | Entry::Avc3(_) => "h264",
        Entry::Av01(_) => "av1",
        Entry::Opus(_) => "opus",
        Entry::Mp4a(_) => "aac",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(decode: u64) -> Sample {
        Sample { decode, duration: 10, shift: 0, key: true, place: Place { file: 0, offset: 0, size: 1 } }
    }

    fn track(decodes: &[u64]) -> Track {
        let entry = Entry::Unknown((*b"test").into(), Vec::new());
        let samples = decodes.iter().copied().map(sample).collect();
        Track { kind: Kind::Video, timescale: 1_000, entry, skip: 0, samples }
    }

    #[test]
    fn a_hole_in_time_stretches_the_picture_before_it() {
        let mut camera = track(&[40, 50, 60_000, 60_010]);
        camera.close_up();
        let durations: Vec<_> = camera.samples.iter().map(|sample| sample.duration).collect();
        assert_eq!(durations, [10, 59_950, 10, 10]);
        assert_eq!((camera.start(), camera.end()), (40, 60_020));
    }

    #[test]
    fn times_that_go_back_are_pushed_on_until_they_rise() {
        let mut camera = track(&[10, 5, 5, 30]);
        camera.close_up();
        let decodes: Vec<_> = camera.samples.iter().map(|sample| sample.decode).collect();
        assert_eq!(decodes, [10, 11, 12, 30]);
    }

    #[test]
    fn a_track_keeps_its_times_when_another_clock_counts_them() {
        let mut camera = track(&[0, 33, 67, 100]);
        camera.rescale(90_000);
        let decodes: Vec<_> = camera.samples.iter().map(|sample| sample.decode).collect();
        assert_eq!((decodes, camera.end_ms()), (vec![0, 2_970, 6_030, 9_000], 110));
    }
}
