//! Samples of one rendition to the files of its folder: parts, segments, initialisation segments, and its playlist.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::checkpoint::octets;
use super::cmaf::{self, Content, PICTURE_RATE, Sample};
use super::depacketise::{Format, opus};
use super::playlist::{self, Line, Media, PartLine, SEGMENT_SECONDS, Variant};
use super::timeline::RenditionLine;

/// A segment that begins with a keyframe isn't ended by the next one before it is this long, in milliseconds.
const SEGMENT_AT_LEAST_MS: u64 = 2_000;
/// A segment of sound.
const VOICE_SEGMENT_MS: u64 = 6_000;
/// A sample that nothing follows lasts so long, as the last one before a hole. A screen on which nothing moves still
/// gives a picture a second.
const HELD_MS: u64 = 2_000;
/// The very last one lasts so long.
const LAST_MS: u64 = 66;
/// A part that nothing is added to is let go so long after its beginning.
const PART_WAITS_MS: u64 = 1_000;
/// Shorter times without a sample are no hole to a player.
const HOLE_MS: u64 = 500;
/// A hole that still grows is told in pieces of this length, once it is [`HOLE_TOLD_MS`] long.
const HOLE_PIECE_MS: u64 = 6_000;
const HOLE_TOLD_MS: u64 = 8_000;
/// Two samples are at least this far apart.
const STEP_MS: u64 = 1;

/// What happens to a file; paths begin at the recording's DVR folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileChange {
    /// Octets stand at this place of a file that is written in order.
    Put { path: String, offset: u64, octets: Bytes },
    /// The file has this length and isn't written any more.
    End { path: String, length: u64 },
    /// A file with this content, replaced at once.
    Replace { path: String, octets: Bytes },
}

/// A picture or packet on the rendition's time line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timed {
    /// Ticks since the recording's zero.
    pub(super) time: u64,
    pub(super) is_keyframe: bool,
    /// How it is encoded, of a keyframe of pictures.
    pub(super) format: Option<Format>,
    #[serde(with = "octets")]
    pub(super) data: Bytes,
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rendition {
    pub(super) name: String,
    /// From the DVR folder.
    folder: String,
    timescale: u32,
    format: Option<Format>,
    /// The size of the largest pictures so far, and of the largest that the initialisation segment is for.
    largest: (u32, u32),
    init_size: (u32, u32),
    init: u32,
    /// The latest sample: how long it lasts is told by the next one.
    held: Option<Timed>,
    part: Vec<Lasting>,
    part_start: u64,
    segment: Option<Segment>,
    segments: u32,
    fragments: u32,
    /// Where samples, or holes that were told, end.
    end: u64,
    /// Where samples end.
    media_end: u64,
    lines: Vec<Line>,
    parts: Vec<PartLine>,
    is_independent: bool,
    octets: u64,
    ticks: u64,
    /// Whether the playlist on disk is an older one.
    is_changed: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lasting {
    duration: u32,
    is_keyframe: bool,
    #[serde(with = "octets")]
    data: Bytes,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Segment {
    number: u32,
    start: u64,
    /// Octets written so far.
    length: u64,
}

impl Rendition {
    /// A rendition of sound in `folder`.
    pub(super) fn voice(name: &str, folder: String) -> Self {
        Self::new(name, folder, opus::RATE)
    }

    /// A rendition of pictures in `folder`.
    pub(super) fn pictures(name: &str, folder: String) -> Self {
        Self::new(name, folder, PICTURE_RATE)
    }

    fn new(name: &str, folder: String, timescale: u32) -> Self {
        Self {
            name: name.to_owned(),
            folder,
            timescale,
            format: None,
            largest: (0, 0),
            init_size: (0, 0),
            init: 0,
            held: None,
            part: Vec::new(),
            part_start: 0,
            segment: None,
            segments: 0,
            fragments: 0,
            end: 0,
            media_end: 0,
            lines: Vec::new(),
            parts: Vec::new(),
            is_independent: true,
            octets: 0,
            ticks: 0,
            is_changed: false,
        }
    }

    /// Take the next picture. Time never goes back: what comes too early is moved behind what is there.
    pub(super) fn push(&mut self, mut sample: Timed, out: &mut Vec<FileChange>) {
        sample.time = match self.held.take() {
            Some(held) => {
                let time = sample.time.max(held.time + self.ticks_of(STEP_MS));
                let duration = (time - held.time).min(self.ticks_of(HELD_MS));
                self.add(held, duration, out);
                time
            }
            None => sample.time.max(self.end),
        };
        self.held = Some(sample);
    }

    /// Take a packet of sound that lasts `duration` ticks and begins where the one before ended.
    pub(super) fn append(&mut self, data: Bytes, duration: u64, out: &mut Vec<FileChange>) {
        let sample = Timed { time: self.end, is_keyframe: true, format: None, data };
        self.add(sample, duration, out);
    }

    /// Leave a hole up to `time`.
    pub(super) fn skip(&mut self, time: u64, out: &mut Vec<FileChange>) {
        self.close_segment(out);
        self.tell_hole(time);
    }

    /// Nothing before tick `time` will come any more.
    pub(super) fn advance(&mut self, time: u64, out: &mut Vec<FileChange>) {
        let waits = self.ticks_of(HELD_MS);
        if let Some(held) = self.held.take_if(|held| held.time + waits <= time) {
            self.add(held, waits, out);
        }
        if !self.part.is_empty() && self.part_start + self.ticks_of(PART_WAITS_MS) <= time {
            self.close_part(out);
        }
        if self.held.is_none() && self.init > 0 && self.end + self.ticks_of(HOLE_TOLD_MS) <= time {
            self.close_segment(out);
            while self.end + self.ticks_of(HOLE_TOLD_MS) <= time {
                self.tell_hole(self.end + self.ticks_of(HOLE_PIECE_MS));
            }
        }
    }

    /// Nothing more will come.
    pub(super) fn finish(&mut self, out: &mut Vec<FileChange>) {
        if let Some(held) = self.held.take() {
            self.add(held, self.ticks_of(LAST_MS), out);
        }
        self.close_segment(out);
        self.is_changed = true;
    }

    /// Where its samples end, in ticks; a sample that is held ends where it begins.
    pub(super) fn media_end(&self) -> u64 {
        self.held.as_ref().map_or(self.media_end, |held| held.time)
    }

    /// Where sound goes on.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) const fn has_samples(&self) -> bool {
        self.init > 0
    }

    /// The playlist, if it isn't the one on disk any more.
    pub(super) fn take_playlist(&mut self, zero_unix_ms: i64, is_live: bool) -> Option<FileChange> {
        if !std::mem::take(&mut self.is_changed) || self.init == 0 {
            return None;
        }
        let text = playlist::media(&Media {
            timescale: self.timescale,
            zero_unix_ms,
            lines: &self.lines,
            parts: &self.parts,
            init: self.init,
            is_independent: self.is_independent,
            is_live,
        });
        Some(FileChange::Replace { path: self.path(super::folder::PLAYLIST), octets: Bytes::from(text) })
    }

    /// Whatever is on disk may be older: a run of the recorder begins.
    pub(super) fn renew(&mut self) {
        self.is_changed = true;
    }

    /// The file that is being written, and how much of it there must be.
    pub(super) fn open_file(&self) -> Option<(String, u64)> {
        let segment = self.segment.as_ref()?;
        Some((self.path(&playlist::segment_file(segment.number)), segment.length))
    }

    /// As the time line tells it.
    pub(super) fn line(&self) -> RenditionLine {
        let size = self.format.as_ref().map(|_| self.largest);
        RenditionLine {
            name: self.name.clone(),
            codec: self.format.as_ref().map_or_else(|| "opus".to_owned(), Format::codec),
            width: size.map(|size| size.0),
            height: size.map(|size| size.1),
            bits_per_second: self.octets * 8 * u64::from(self.timescale) / self.ticks.max(1),
            end_ms: self.media_end * 1_000 / u64::from(self.timescale),
        }
    }

    /// As a master playlist tells it.
    pub(super) fn variant(&self) -> Variant {
        let line = self.line();
        Variant {
            address: self.path(super::folder::PLAYLIST),
            codec: line.codec,
            bits_per_second: line.bits_per_second,
            size: line.width.zip(line.height),
        }
    }

    fn add(&mut self, sample: Timed, duration: u64, out: &mut Vec<FileChange>) {
        self.prepare(&sample, duration, out);
        if self.part.is_empty() {
            self.part_start = sample.time;
        }
        if self.segment.is_none() {
            self.segments += 1;
            self.segment = Some(Segment { number: self.segments, start: sample.time, length: 0 });
            self.is_independent &= sample.is_keyframe;
        }
        self.octets += sample.data.len() as u64;
        self.ticks += duration;
        self.end = sample.time + duration;
        self.media_end = self.end;
        let Timed { is_keyframe, data, .. } = sample;
        self.part.push(Lasting { duration: duration as u32, is_keyframe, data });
        if self.end - self.part_start >= self.ticks_of(playlist::PART_MS) {
            self.close_part(out);
        }
    }

    /// End what this sample doesn't belong to any more: the part, the segment, the initialisation segment's reach.
    fn prepare(&mut self, sample: &Timed, duration: u64, out: &mut Vec<FileChange>) {
        let end = sample.time + duration;
        let is_voice = self.timescale == opus::RATE;
        let needs_init = match (&sample.format, &self.format) {
            (Some(new), Some(known)) => !new.follows(known),
            (Some(_), None) => true,
            (None, _) => is_voice && self.init == 0,
        };
        let is_hole = sample.time > self.end + self.ticks_of(HOLE_MS);
        let longest =
            if is_voice { self.ticks_of(VOICE_SEGMENT_MS) } else { SEGMENT_SECONDS * u64::from(self.timescale) };
        if let Some(segment) = self.segment {
            let at_keyframe = !is_voice
                && sample.is_keyframe
                && (is_hole || sample.time >= segment.start + self.ticks_of(SEGMENT_AT_LEAST_MS));
            if needs_init || at_keyframe || end > segment.start + longest {
                self.close_segment(out);
            }
        }
        if is_hole && self.segment.is_none() {
            self.tell_hole(sample.time);
        }
        // A part's samples follow each other without a hole.
        if !self.part.is_empty()
            && (sample.time != self.end || end > self.part_start + self.ticks_of(playlist::PART_MS))
        {
            self.close_part(out);
        }
        let size = sample.format.as_ref().map_or((0, 0), Format::size);
        let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        // Parameter sets travel with the pictures, so whoever has the one for smaller pictures needn't fetch it again.
        let is_larger = area(size) > area(self.init_size);
        if area(size) > area(self.largest) {
            self.largest = size;
        }
        if needs_init || is_larger {
            let content = sample.format.as_ref().map_or(Content::Voice, Content::Pictures);
            if let Some(octets) = cmaf::init(content) {
                self.init += u32::from(needs_init);
                self.init_size = size;
                out.push(FileChange::Replace { path: self.path(&playlist::init_file(self.init)), octets });
            }
        }
        if sample.format.is_some() {
            self.format.clone_from(&sample.format);
        }
    }

    fn close_part(&mut self, out: &mut Vec<FileChange>) {
        let lasting = std::mem::take(&mut self.part);
        let Some(segment) = &mut self.segment else { return };
        let Some(first) = lasting.first() else { return };
        let is_independent = first.is_keyframe;
        let samples: Vec<_> = lasting
            .into_iter()
            .map(|Lasting { duration, is_keyframe, data }| Sample { duration, is_keyframe, data })
            .collect();
        self.fragments += 1;
        let octets = cmaf::part(self.fragments, self.part_start, &samples);
        let (number, offset, length) = (segment.number, segment.length, octets.len() as u64);
        segment.length += length;
        self.parts.push(PartLine {
            segment: number,
            start: self.part_start,
            end: self.end,
            offset,
            length,
            is_independent,
        });
        self.is_changed = true;
        out.push(FileChange::Put { path: self.path(&playlist::segment_file(number)), offset, octets });
    }

    fn close_segment(&mut self, out: &mut Vec<FileChange>) {
        self.close_part(out);
        let Some(Segment { number, start, length }) = self.segment.take() else { return };
        self.lines.push(Line { number: Some(number), start, end: self.end, init: self.init });
        playlist::forget_old_parts(&self.lines, &mut self.parts);
        self.is_changed = true;
        out.push(FileChange::End { path: self.path(&playlist::segment_file(number)), length });
    }

    /// There is nothing from the end up to `time`.
    fn tell_hole(&mut self, time: u64) {
        while self.end < time {
            let end = time.min(self.end + SEGMENT_SECONDS * u64::from(self.timescale));
            self.lines.push(Line { number: None, start: self.end, end, init: self.init.max(1) });
            self.end = end;
        }
        self.is_changed = true;
    }

    const fn ticks_of(&self, milliseconds: u64) -> u64 {
        milliseconds * self.timescale as u64 / 1_000
    }

    fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::depacketise::h264::Parameters;

    fn format(profile: u8) -> Format {
        let sequence_set = Bytes::from(vec![0x67, profile, 0xe0, 0x1f]);
        Format::H264(Parameters { width: 640, height: 360, sequence_set, picture_set: Bytes::from_static(&[0x68]) })
    }

    fn sample(ms: u64, key: Option<u8>) -> Timed {
        let data = Bytes::from(ms.to_string());
        Timed { time: ms * 90, is_keyframe: key.is_some(), format: key.map(format), data }
    }

    fn playlist_of(rendition: &mut Rendition) -> String {
        match rendition.take_playlist(0, true) {
            Some(FileChange::Replace { octets, .. }) => String::from_utf8(octets.to_vec()).expect("text"),
            other => panic!("{other:?}"),
        }
    }

    /// Ten pictures a second, a keyframe every four seconds.
    fn play(rendition: &mut Rendition, from_ms: u64, to_ms: u64, profile: u8, out: &mut Vec<FileChange>) {
        for ms in (from_ms..to_ms).step_by(100) {
            rendition.push(sample(ms, (ms - from_ms).is_multiple_of(4_000).then_some(profile)), out);
            rendition.advance(ms.saturating_sub(1_500) * 90, out);
        }
    }

    #[test]
    fn a_keyframe_begins_a_segment_and_half_a_second_makes_a_part() {
        let (mut rendition, mut out) = (Rendition::pictures("high", "camera/high".into()), Vec::new());
        play(&mut rendition, 0, 9_000, 0x42, &mut out);
        let text = playlist_of(&mut rendition);
        assert_eq!(text.matches("#EXTINF:4.00000").count(), 2, "{text}");
        assert!(text.contains("#EXT-X-PART:DURATION=0.50000,URI=\"000003.m4s\""), "{text}");
        let parts = out.iter().filter(|change| matches!(change, FileChange::Put { .. })).count();
        assert_eq!(parts, 17, "the eighteenth waits for its last picture's length");
    }

    #[test]
    fn a_hole_is_told_as_such_and_pictures_go_on_at_their_time() {
        let (mut rendition, mut out) = (Rendition::pictures("high", "camera/high".into()), Vec::new());
        play(&mut rendition, 0, 3_000, 0x42, &mut out);
        for ms in (3_000..33_000).step_by(500) {
            rendition.advance(ms * 90, &mut out);
        }
        assert!(playlist_of(&mut rendition).contains("#EXT-X-GAP"), "it is told while it grows");
        play(&mut rendition, 33_000, 36_000, 0x42, &mut out);
        rendition.finish(&mut out);
        let text = playlist_of(&mut rendition);
        assert!(text.contains("#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:33.000Z\n"), "{text}");
        assert_eq!(rendition.line().end_ms, 35_966);
    }

    #[test]
    fn another_profile_begins_another_initialisation_segment() {
        let (mut rendition, mut out) = (Rendition::pictures("high", "camera/high".into()), Vec::new());
        play(&mut rendition, 0, 3_000, 0x42, &mut out);
        play(&mut rendition, 3_000, 6_000, 0x64, &mut out);
        rendition.finish(&mut out);
        let text = playlist_of(&mut rendition);
        assert!(text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-2.mp4\""), "{text}");
        let inits = out.iter().filter(|change| matches!(change, FileChange::Replace { .. })).count();
        assert_eq!(inits, 2);
    }

    #[test]
    fn what_tells_of_pictures_tells_the_size_of_the_largest() {
        let (mut rendition, mut out) = (Rendition::pictures("high", "camera/high".into()), Vec::new());
        let sized = |width, height| {
            let sequence_set = Bytes::from(vec![0x67, 0x42, 0xe0, 0x1f]);
            Format::H264(Parameters { width, height, sequence_set, picture_set: Bytes::from_static(&[0x68]) })
        };
        for (ms, format) in [(0, sized(320, 180)), (3_000, sized(1_280, 720)), (6_000, sized(640, 360))] {
            let data = Bytes::from_static(b"a");
            rendition.push(Timed { time: ms * 90, is_keyframe: true, format: Some(format), data }, &mut out);
        }
        rendition.finish(&mut out);
        assert_eq!((rendition.line().width, rendition.line().height), (Some(1_280), Some(720)));
        assert_eq!(rendition.variant().size, Some((1_280, 720)));
        let init = |change: &FileChange| match change {
            FileChange::Replace { path, octets } if path == "camera/high/init-1.mp4" => Some(octets.clone()),
            _ => None,
        };
        let inits: Vec<_> = out.iter().filter_map(init).collect();
        assert_eq!(inits.len(), 2, "in its place");
        assert_eq!(inits.last(), cmaf::init(Content::Pictures(&sized(1_280, 720))).as_ref());
    }

    #[test]
    fn time_never_goes_back() {
        let (mut rendition, mut out) = (Rendition::pictures("high", "camera/high".into()), Vec::new());
        for ms in [0, 100, 90, 95, 300] {
            rendition.push(sample(ms, (ms == 0).then_some(0x42)), &mut out);
        }
        rendition.finish(&mut out);
        let Some(FileChange::Put { octets, .. }) = out.iter().find(|change| matches!(change, FileChange::Put { .. }))
        else {
            panic!("a part")
        };
        let times: Vec<_> =
            crate::record::folder::whole_samples(octets).iter().map(|one| one.decode_time / 90).collect();
        assert_eq!(times, [0, 100, 101, 102, 300]);
    }

    #[test]
    fn a_rendition_goes_on_from_its_written_state_as_if_nothing_had_been() {
        let (mut whole, mut out) = (Rendition::pictures("high", "camera/high".into()), Vec::new());
        play(&mut whole, 0, 6_000, 0x42, &mut out);
        let written = serde_json::to_string(&whole).expect("plain values");
        let mut resumed: Rendition = serde_json::from_str(&written).expect("it reads back");
        let (mut one, mut other) = (Vec::new(), Vec::new());
        play(&mut whole, 6_000, 20_000, 0x42, &mut one);
        play(&mut resumed, 6_000, 20_000, 0x42, &mut other);
        assert_eq!(one, other);
    }
}
