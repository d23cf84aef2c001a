//! A lesson made of its journal: records come in, changes to files go out.
//!
//! Everything here is a function of the records in their order (and of what encoders made of them): no clock is read and
//! no file is touched, so a lesson that is put down in a checkpoint goes on from there as if nothing had been.

use std::collections::{BTreeMap, BTreeSet};

use mingshi_journal::{Codec, End, Kind, Lost, LostWhy, Opened, Packet, Record, Source};
use serde::{Deserialize, Serialize};

use super::access_unit::{AccessUnit, Assembled};
use super::cmaf::PICTURE_RATE;
use super::depacketise::{Format, opus};
use super::events::Problem;
use super::gaps::Gaps;
use super::media_clock::Shift;
use super::names::{key, source_of, split_name, track_name};
use super::pictures::{LayerKey, Level, Pictures};
use super::rendition::FileChange;
use super::reorder::{Arrived, Ordered, PATIENCE};
use super::slide_watch::{Look, Seen, SlideWatch};
use super::stream::Stream;
use super::timeline::{Gap, GapReason, MediaKind, Timeline, TrackLine, VERSION};
use super::transcode::budget::{Budget, Verdict};
use super::transcode::queue::{Coded, Queue};
use super::voice::{self, Voice};
use super::words;

const MS: i64 = 1_000_000;
/// What arrives is on the time line at the latest so long after it was captured: what is waited for, and the line's delay.
const SETTLED: i64 = PATIENCE + 500 * MS;
/// Time is looked at so often, in nanoseconds.
const TICK: i64 = 20 * MS;
/// The track whose pictures are watched for slides.
const SLIDES: &str = "slides";
/// Different tracks of one lesson; a studio has three or four sources.
const TRACKS_AT_MOST: usize = 16;

/// What comes of a record.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// In the order in which they must be made.
    pub(super) changes: Vec<FileChange>,
    pub(super) problems: Vec<Problem>,
    /// Keyframes of slides that someone should look at.
    pub(super) looks: Vec<Look>,
}

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Lesson {
    cores: f64,
    id: String,
    zero: Option<i64>,
    /// The latest instant of any record.
    now: i64,
    ticked: i64,
    is_damaged: bool,
    is_over: bool,
    is_closed: bool,
    sources: BTreeMap<u16, SourceOfTrack>,
    streams: BTreeMap<LayerKey, Stream>,
    voice: Option<Voice>,
    tracks: BTreeMap<String, Pictures>,
    queues: BTreeMap<String, Queue>,
    budget: Budget,
    gaps: Gaps,
    slides: SlideWatch,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SourceOfTrack {
    /// None for what isn't recorded: classrooms are on stage, but what they send isn't part of a recording.
    track: Option<String>,
    kind: Kind,
    participant: String,
}

impl Lesson {
    /// A lesson that nothing is known of; `cores` may be spent on encoding.
    pub(super) fn new(cores: f64) -> Self {
        Self { cores, ..Self::default() }
    }

    /// Take the next record.
    pub(super) fn record(&mut self, record: Record, out: &mut Outcome) {
        match record {
            Record::Opened(opened) => self.opened(opened, out),
            Record::Source(source) => {
                self.at(source.at, out);
                self.source(source, out);
            }
            Record::SourceEnded(ended) => {
                self.at(ended.at, out);
                self.end_source(ended.number, out);
            }
            Record::Packet(packet) => {
                self.at(packet.arrival, out);
                self.packet(packet, out);
            }
            Record::Anchor(anchor) => {
                if let Some(kind) = self.sources.get(&anchor.source).map(|source| source.kind) {
                    let key = key(anchor.source, anchor.layer);
                    if let Some(shift) = self.stream(key, kind).clock.anchor(anchor.timestamp, anchor.unix_nanos) {
                        self.shift_others(key, shift);
                    }
                }
            }
            Record::Restarted(restarted) => self.end_stream(key(restarted.source, restarted.layer), out),
            Record::Keeps(keeps) => {
                self.at(keeps.at, out);
                let track = self.sources.get(&keeps.source).and_then(|source| source.track.as_ref());
                if let Some(pictures) = track.and_then(|track| self.tracks.get_mut(track)) {
                    pictures.keeps(|layer| key(keeps.source, layer), &keeps.layers);
                }
            }
            Record::Event(event) => self.at(event.at, out),
            Record::Lost(lost) => self.lost(&lost, out),
            Record::Closed(closed) => {
                self.at(closed.at, out);
                self.is_over = true;
            }
        }
    }

    /// Something in the journal can't be read.
    pub(super) fn damaged(&mut self, out: &mut Outcome) {
        self.is_damaged = true;
        out.problems.push(words::damaged(self.now_ms()));
    }

    /// Whether the lesson has ended.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The latest instant of the journal, in nanoseconds since 1970.
    pub(super) const fn now(&self) -> i64 {
        self.now
    }

    /// Nothing more will come: let everything go that was waited for. What encoders still have is awaited by the caller
    /// between this and [`Lesson::close`].
    pub(super) fn settle(&mut self, out: &mut Outcome) {
        for key in self.streams.keys().copied().collect::<Vec<_>>() {
            self.end_stream(key, out);
        }
        let end = self.ticks(self.now, opus::RATE);
        if let (Some(voice), Ok(end)) = (&mut self.voice, u64::try_from(end)) {
            voice.advance(end, &mut out.changes);
        }
    }

    /// End every file.
    pub(super) fn close(&mut self, out: &mut Outcome) {
        self.is_over = true;
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        for gap in self.open_gaps(self.now) {
            self.gaps.tell(gap);
        }
        if let Some(voice) = &mut self.voice {
            voice.rendition.finish(&mut out.changes);
        }
        for pictures in self.tracks.values_mut() {
            for level in Level::BOTH {
                pictures.rendition(level).finish(&mut out.changes);
            }
        }
    }

    /// What is to be encoded.
    pub(super) fn queues(&mut self) -> &mut BTreeMap<String, Queue> {
        &mut self.queues
    }

    /// An encoder made this of the picture of `time`; `data` has length prefixes. False if it is known already.
    pub(super) fn transcoded(
        &mut self,
        rendition: &str,
        time: u64,
        data: bytes::Bytes,
        format: Option<Format>,
        out: &mut Outcome,
    ) -> bool {
        let Some((track, level)) = split_name(rendition) else { return false };
        let is_new = self.queues.get_mut(rendition).is_some_and(|queue| queue.made(time));
        if is_new {
            self.put(&track, level, time, data, format, out);
        }
        is_new
    }

    /// An encoder failed or stood still.
    pub(super) fn encoder_failed(&mut self, rendition: &str, gives_up: bool, out: &mut Outcome) {
        let at_ms = self.now_ms();
        let track = split_name(rendition).map(|(track, _)| track).unwrap_or_default();
        if gives_up {
            self.queues.remove(rendition);
            self.gaps.trouble(Gap {
                from_ms: at_ms,
                to_ms: at_ms,
                track: Some(track.clone()),
                why: GapReason::NotKept,
            });
        }
        out.problems.push(words::encoder_failed(track, at_ms, gives_up));
    }

    /// An encoder doesn't follow the pictures as they come: this rendition does without, from here on.
    pub(super) fn encoder_is_slow(&mut self, rendition: &str, out: &mut Outcome) {
        let Some((track, level)) = split_name(rendition) else { return };
        self.queues.remove(rendition);
        self.budget.refuse(rendition);
        out.problems.push(words::no_time_to_encode(&track, self.now_ms(), level));
    }

    /// Someone has looked at a keyframe of slides.
    pub(super) fn seen(&mut self, seen: &Seen, out: &mut Outcome) {
        if let Some(path) = self.slides.seen(seen, u64::from(PICTURE_RATE) / 1_000) {
            out.changes.push(FileChange::Replace { path, octets: seen.jpeg.clone() });
        }
    }

    /// Playlists that have changed.
    pub(super) fn playlists(&mut self, out: &mut Vec<FileChange>) {
        let (zero, is_live) = (self.zero_unix_ms(), !self.is_over);
        if let Some(voice) = &mut self.voice {
            out.extend(voice.rendition.take_playlist(zero, is_live));
        }
        for pictures in self.tracks.values_mut() {
            out.extend(Level::BOTH.iter().filter_map(|level| pictures.rendition(*level).take_playlist(zero, is_live)));
        }
    }

    /// Playlists of tracks.
    pub(super) fn masters(&self) -> Vec<FileChange> {
        let sound = self.voice.as_ref().filter(|voice| voice.rendition.has_samples());
        let sound = sound.map(|voice| voice.rendition.variant());
        let mut masters: Vec<_> = sound.iter().map(|sound| (voice::NAME, vec![sound.clone()], None)).collect();
        for (name, pictures) in &self.tracks {
            let variants: Vec<_> = pictures.renditions().map(super::rendition::Rendition::variant).collect();
            if !variants.is_empty() {
                masters.push((name, variants, sound.as_ref()));
            }
        }
        let change = |(name, variants, sound): (&str, Vec<_>, Option<&_>)| FileChange::Replace {
            path: format!("{name}.m3u8"),
            octets: super::playlist::master(&variants, sound).into(),
        };
        masters.into_iter().map(change).collect()
    }

    /// All there is so far.
    pub(super) fn timeline(&self) -> Timeline {
        let mut tracks = Vec::new();
        if let Some(voice) = self.voice.as_ref().filter(|voice| voice.rendition.has_samples()) {
            let renditions = vec![voice.rendition.line()];
            tracks.push(TrackLine { name: voice::NAME.to_owned(), kind: MediaKind::Audio, renditions });
        }
        for (name, pictures) in &self.tracks {
            let renditions: Vec<_> = pictures.renditions().map(super::rendition::Rendition::line).collect();
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

    /// Whether playlists on disk may be older than this is unknown: write them all.
    pub(super) fn renew(&mut self) {
        if let Some(voice) = &mut self.voice {
            voice.rendition.renew();
        }
        for pictures in self.tracks.values_mut() {
            Level::BOTH.iter().for_each(|level| pictures.rendition(*level).renew());
        }
    }

    /// Files that are being written, and how long they must be.
    pub(super) fn open_files(&mut self) -> Vec<(String, u64)> {
        let mut files: Vec<_> = self.voice.iter().filter_map(|voice| voice.rendition.open_file()).collect();
        for pictures in self.tracks.values_mut() {
            files.extend(Level::BOTH.iter().filter_map(|level| pictures.rendition(*level).open_file()));
        }
        files
    }

    fn opened(&mut self, opened: Opened, out: &mut Outcome) {
        let before = self.now;
        let is_first = self.zero.is_none();
        // Nothing that ran before goes on.
        for number in self.sources.keys().copied().collect::<Vec<_>>() {
            self.end_source(number, out);
        }
        self.at(opened.at, out);
        self.id = opened.lesson;
        if !is_first && opened.at > before {
            self.gaps.everything(self.ms(before), self.ms(opened.at), GapReason::ServerDown);
        }
    }

    fn source(&mut self, source: Source, out: &mut Outcome) {
        self.end_source(source.number, out);
        let track = (source.end == End::Studio).then(|| track_name(source.kind, &source.source));
        let of_track = SourceOfTrack { track: track.clone(), kind: source.kind, participant: source.participant };
        self.sources.insert(source.number, of_track);
        match (source.kind, track) {
            (Kind::Voice, Some(_)) => {
                self.voice.get_or_insert_with(Voice::new);
            }
            (Kind::Video, Some(name)) if self.tracks.len() < TRACKS_AT_MOST => {
                self.tracks.entry(name).or_insert_with_key(|name| Pictures::new(name));
            }
            _ => {}
        }
    }

    fn end_source(&mut self, number: u16, out: &mut Outcome) {
        let Some(source) = self.sources.get(&number).cloned() else { return };
        let keys: Vec<_> = self.streams.range(key(number, 0)..=key(number, u8::MAX)).map(|(key, _)| *key).collect();
        for key in keys {
            self.end_stream(key, out);
            if let Some(pictures) = source.track.as_ref().and_then(|track| self.tracks.get_mut(track)) {
                pictures.forget(key);
            }
        }
        self.sources.remove(&number);
    }

    /// Let go what the stream waits for, and forget it.
    fn end_stream(&mut self, key: LayerKey, out: &mut Outcome) {
        let Some(mut stream) = self.streams.remove(&key) else { return };
        let mut ordered = Vec::new();
        stream.flush(&mut ordered);
        stream.begin(self.lateness(key), &mut ordered);
        self.take(key, &mut stream, ordered, out);
    }

    fn packet(&mut self, packet: Packet, out: &mut Outcome) {
        let Some(source) = self.sources.get(&packet.source) else { return };
        let is_voice = source.kind == Kind::Voice;
        if source.track.is_none() || is_voice != (packet.codec == Codec::Opus) {
            return;
        }
        let kind = source.kind;
        let key = key(packet.source, packet.layer);
        self.stream(key, kind);
        // Taken out while it is worked with, because its pictures go to other parts of the lesson.
        let Some(mut stream) = self.streams.remove(&key) else { return };
        let Packet { codec, marker, sequence, timestamp, arrival, payload, .. } = packet;
        let mut ordered = Vec::new();
        stream.push(Arrived { codec, marker, sequence, timestamp, arrival, payload }, &mut ordered);
        self.take(key, &mut stream, ordered, out);
        self.streams.insert(key, stream);
    }

    fn stream(&mut self, key: LayerKey, kind: Kind) -> &mut Stream {
        let rate = if kind == Kind::Voice { opus::RATE } else { PICTURE_RATE };
        self.streams.entry(key).or_insert_with(|| Stream::new(rate))
    }

    /// Other streams of the connection that `key` belongs to.
    fn others(&mut self, key: LayerKey) -> impl Iterator<Item = &mut Stream> {
        let sources = &self.sources;
        let participant = |key: LayerKey| sources.get(&source_of(key)).map(|source| source.participant.as_str());
        let of_this = participant(key);
        let is_other = move |other: LayerKey| other != key && participant(other) == of_this;
        self.streams.iter_mut().filter(move |(other, _)| is_other(**other)).map(|(_, stream)| stream)
    }

    fn shift_others(&mut self, key: LayerKey, shift: Shift) {
        self.others(key).for_each(|stream| stream.clock.follow(shift));
    }

    /// By how much packets of other streams of the connection are late at present, if that is known.
    fn lateness(&mut self, key: LayerKey) -> Option<i64> {
        self.others(key).filter_map(|stream| stream.clock.lateness()).min()
    }

    fn take(&mut self, key: LayerKey, stream: &mut Stream, ordered: Vec<Ordered>, out: &mut Outcome) {
        let Some(source) = self.sources.get(&source_of(key)).cloned() else { return };
        let Some(track) = source.track else { return };
        let mut assembled = Vec::new();
        for one in ordered {
            match one {
                Ordered::Packet(packet) if source.kind == Kind::Voice => self.sound(stream, packet, out),
                Ordered::Packet(packet) => stream.assembler.push(packet, &mut assembled),
                Ordered::Missing if source.kind == Kind::Video => stream.assembler.missing(&mut assembled),
                Ordered::Missing => {}
            }
        }
        for one in assembled {
            match one {
                Assembled::Whole(unit) => {
                    let instant = stream.clock.instant(unit.timestamp, unit.arrival);
                    self.picture(&track, key, instant, unit, out);
                }
                Assembled::Dropped(_) => {
                    let now_ms = self.now_ms();
                    let trouble =
                        Gap { from_ms: now_ms, to_ms: now_ms, track: Some(track.clone()), why: GapReason::Damaged };
                    self.gaps.trouble(trouble);
                }
            }
        }
    }

    fn sound(&mut self, stream: &mut Stream, packet: Arrived, out: &mut Outcome) {
        let time = self.ticks(stream.clock.instant(packet.timestamp, packet.arrival), opus::RATE);
        let Some(voice) = &mut self.voice else { return };
        if let Some((from, to)) = voice.packet(time, packet.payload, &mut out.changes) {
            let ms = |ticks: u64| ticks * 1_000 / u64::from(opus::RATE);
            self.gaps.hole(voice::NAME, ms(from), ms(to));
        }
    }

    fn picture(&mut self, track: &str, key: LayerKey, instant: i64, unit: AccessUnit, out: &mut Outcome) {
        let Ok(time) = u64::try_from(self.ticks(instant, PICTURE_RATE)) else { return };
        let Some(pictures) = self.tracks.get_mut(track) else { return };
        let Some(level) = pictures.choose(key, &unit) else { return };
        let name = format!("{track}/{}", level.name());
        if let Some(Format::Vp8(width, height)) = unit.format {
            match self.budget.ask(&name, (width, height), self.cores) {
                Verdict::Granted => {
                    self.queues.entry(name.clone()).or_default();
                }
                Verdict::Refused { is_news } => {
                    self.queues.remove(&name);
                    if is_news {
                        out.problems.push(words::no_time_to_encode(track, self.now_ms(), level));
                    }
                }
            }
        }
        if unit.codec != Codec::Vp8 {
            self.queues.remove(&name);
            return self.put(track, level, time, unit.data, unit.format, out);
        }
        if let Some(queue) = self.queues.get_mut(&name) {
            let coded = Coded { time, is_keyframe: unit.format.is_some(), data: unit.data };
            if !queue.push(coded) {
                let now_ms = self.now_ms();
                out.problems.push(words::encoder_too_slow(track, now_ms));
            }
        }
    }

    fn put(
        &mut self,
        track: &str,
        level: Level,
        time: u64,
        data: bytes::Bytes,
        format: Option<Format>,
        out: &mut Outcome,
    ) {
        let Some(pictures) = self.tracks.get_mut(track) else { return };
        if track == SLIDES && level == Level::High {
            self.slides.picture(time, data.len());
            if let Some(format) = &format {
                out.looks.push(Look { time, format: format.clone(), data: data.clone() });
            }
        }
        let hole = pictures.put(level, time, data, format, &mut out.changes);
        if let Some((from, to)) = hole.filter(|_| level == Level::High) {
            let ms = |ticks: u64| ticks * 1_000 / u64::from(PICTURE_RATE);
            self.gaps.hole(track, ms(from), ms(to));
        }
    }

    fn lost(&mut self, lost: &Lost, out: &mut Outcome) {
        self.at(lost.to, out);
        let (from_ms, to_ms) = (self.ms(lost.from), self.ms(lost.to));
        let track = lost.source.and_then(|number| self.sources.get(&number)?.track.clone());
        let gap = Gap { from_ms, to_ms, track: track.clone(), why: GapReason::NotKept };
        self.gaps.trouble(gap.clone());
        self.gaps.tell(gap);
        let is_disk = matches!(lost.why, LostWhy::DiskFull | LostWhy::DiskSlow);
        out.problems.push(words::not_kept(track, from_ms, to_ms.saturating_sub(from_ms), is_disk));
    }

    /// It is `instant`, which may be earlier than other records said.
    fn at(&mut self, instant: i64, out: &mut Outcome) {
        if self.zero.is_none() {
            (self.zero, self.now) = (Some(instant), instant);
        }
        if std::mem::take(&mut self.is_damaged) {
            self.gaps.everything(self.now_ms(), self.ms(instant), GapReason::Damaged);
        }
        self.now = self.now.max(instant);
        if self.now - self.ticked >= TICK {
            self.ticked = self.now;
            self.tick(out);
        }
    }

    fn tick(&mut self, out: &mut Outcome) {
        for key in self.streams.keys().copied().collect::<Vec<_>>() {
            let Some(mut stream) = self.streams.remove(&key) else { continue };
            let mut ordered = Vec::new();
            stream.advance(self.now, &mut ordered);
            if stream.may_begin(self.now) {
                stream.begin(self.lateness(key), &mut ordered);
            }
            if !ordered.is_empty() {
                self.take(key, &mut stream, ordered, out);
            }
            self.streams.insert(key, stream);
        }
        let settled = self.now - SETTLED;
        // What is held may belong where silence or a hole would be told.
        let is_holding = |key: &LayerKey| self.streams.get(key).is_some_and(Stream::is_holding);
        let held: BTreeSet<_> = self.streams.keys().filter(|key| is_holding(key)).map(|key| source_of(*key)).collect();
        let held: BTreeSet<_> = held.iter().filter_map(|source| self.sources.get(source)?.track.clone()).collect();
        if let (Some(voice), Ok(time)) = (&mut self.voice, u64::try_from(ticks(self.zero, settled, opus::RATE)))
            && voice.rendition.has_samples()
            && !held.contains(voice::NAME)
        {
            voice.advance(time, &mut out.changes);
        }
        let Ok(time) = u64::try_from(self.ticks(settled, PICTURE_RATE)) else { return };
        for (name, pictures) in self.tracks.iter_mut().filter(|(name, _)| !held.contains(*name)) {
            let waits = Level::BOTH
                .iter()
                .filter_map(|level| self.queues.get(&format!("{name}/{}", level.name()))?.waits_for());
            pictures.advance(waits.min().map_or(time, |waits| waits.min(time)), &mut out.changes);
        }
    }

    /// Gaps that haven't ended at `instant`.
    fn open_gaps(&self, instant: i64) -> Vec<Gap> {
        let now_ms = self.ms(instant);
        let sound = self.voice.as_ref().filter(|voice| voice.rendition.has_samples()).and_then(|voice| {
            let (from, to) = voice.gap_at(now_ms * u64::from(opus::RATE) / 1_000)?;
            let ms = |ticks: u64| ticks * 1_000 / u64::from(opus::RATE);
            self.gaps.explained(voice::NAME, ms(from), ms(to))
        });
        let pictures = self.tracks.iter().filter_map(|(name, pictures)| {
            let high = pictures.renditions().find(|rendition| rendition.name == Level::High.name())?;
            self.gaps.explained(name, high.line().end_ms, now_ms)
        });
        sound.into_iter().chain(pictures).collect()
    }

    fn ticks(&self, instant: i64, rate: u32) -> i64 {
        ticks(self.zero, instant, rate)
    }

    fn ms(&self, instant: i64) -> u64 {
        u64::try_from((instant - self.zero.unwrap_or(instant)) / MS).unwrap_or(0)
    }

    fn now_ms(&self) -> u64 {
        self.ms(self.now)
    }

    fn zero_unix_ms(&self) -> i64 {
        self.zero.unwrap_or(0).div_euclid(MS)
    }
}

/// Ticks of a clock of `rate` from `zero` to `instant`.
fn ticks(zero: Option<i64>, instant: i64, rate: u32) -> i64 {
    // The zero is told in whole milliseconds, so it is one.
    let since = i128::from(instant) - i128::from(zero.unwrap_or(instant).div_euclid(MS) * MS);
    i64::try_from((since * i128::from(rate)).div_euclid(1_000_000_000)).unwrap_or(i64::MAX)
}
