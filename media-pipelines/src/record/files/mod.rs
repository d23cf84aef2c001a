//! The end of a lesson: out of the folder of its DVR come files that any player can play.
//!
//! ```text
//! dvr::recorded → assemble → mp4::layout → write → verify → manifest
//! (segments)      (tracks)   (index)       (copy)  (read back)
//! ```
//!
//! Octets are copied, never decoded: 45 minutes take seconds. Only the compatible variants, made afterwards by
//! [`converter`], take longer. Whoever is killed on the way and run again ends with the same files.

pub mod assemble;
pub mod convert;
pub mod converter;
pub mod dvr;
pub mod h264;
pub mod manifest;
pub mod movie;
pub mod mp4;
pub mod verify;
pub mod write;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use assemble::{Assembled, chapters, settle_parameter_sets, side_by_side};
use converter::{Converter, ConverterError};
use dvr::{DvrError, Recorded};
use manifest::{Audio, Manifest, Variant, Video, Words};
use movie::{Chapter, Kind, Labels, Movie, codec_name};
use verify::VerifyError;

use super::timeline::{GapReason, MediaKind, SlideChange, Timeline};

/// The track that every file carries the sound of.
const VOICE: &str = "voice";
/// The track whose pictures a player shows first.
const CAMERA: &str = "camera";

/// How often it is looked whose turn it is, and how many looks there are between two words about it.
const TURN_POLL: Duration = Duration::from_millis(250);
const LOOKS_A_WORD: u32 = 12;

/// What is to be finished.
#[derive(Debug, Clone)]
pub struct Job {
    /// The lesson's folder, with `dvr/` in it.
    pub folder: PathBuf,
    /// The lesson's identity.
    pub lesson: String,
    /// The lesson's title.
    pub title: String,
    /// The teacher.
    pub teacher: Option<String>,
    /// Who decodes and encodes; without one there are neither poster nor compatible variants.
    pub converter: Option<Converter>,
    /// Held while variants are made, by one lesson of this machine at a time: encoders that share the cores are all late.
    pub turn: Option<PathBuf>,
}

/// What happens while a lesson is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The manifest was written.
    Files {
        /// Whether nothing more will be made.
        complete: bool,
    },
    /// Another lesson's variants are being made, and this one's wait. Told every few seconds.
    Waits,
    /// Something can't be had; the rest is made.
    Problem {
        /// The track it concerns, if one.
        track: Option<String>,
        /// The moment of the lesson.
        at_ms: u64,
        /// What happened.
        words: Words,
    },
}

/// Why a lesson can't be finished.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The DVR's folder can't be read.
    #[error(transparent)]
    Dvr(#[from] DvrError),
    /// It was told to stop. What is done stays; the next run does the rest.
    #[error("stopped before every file was made")]
    Stopped,
    /// A file can't be written.
    #[error("{path} can't be written: {error}")]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Make the files of a lesson whose DVR is complete. Takes as long as the variants take; call it where that may block.
///
/// # Errors
/// [`FilesError`] when the folder can't be read or nothing can be written: then no manifest says that there are files.
pub fn finish(job: &Job, report: &mut dyn FnMut(Report)) -> Result<Manifest, FilesError> {
    let folder = job.folder.join("files");
    let cant_write = |error| FilesError::Write { path: folder.clone(), error };
    fs::create_dir_all(&folder).map_err(cant_write)?;
    write::remove_unfinished(&folder).map_err(cant_write)?;
    let dvr = job.folder.join("dvr");
    let timeline = dvr::timeline(&dvr)?;
    let mut finishing = Finishing::new(job, folder, dvr, timeline, report)?;
    if let Some(done) = finishing.done_before() {
        (finishing.report)(Report::Files { complete: true });
        return Ok(done);
    }
    finishing.originals()?;
    finishing.pictures()?;
    let converted = finishing.to_convert();
    finishing.publish(converted.is_empty())?;
    if !converted.is_empty() {
        let _turn = finishing.turn()?;
        for (track, from) in converted {
            finishing.variant(&track, &from)?;
            finishing.publish(false)?;
        }
        finishing.publish(true)?;
    }
    Ok(finishing.manifest)
}

/// A lesson on its way.
struct Finishing<'a> {
    job: &'a Job,
    /// Where files go.
    folder: PathBuf,
    /// Where they come from.
    dvr: PathBuf,
    /// What was recorded of pictures: tracks by name, an entry for each codec.
    pictures: BTreeMap<String, Vec<Recorded>>,
    voice: Option<Recorded>,
    slides: Vec<SlideChange>,
    chapters: Vec<Chapter>,
    labels: Labels,
    manifest: Manifest,
    /// What an earlier run left of the same recording.
    earlier: Option<Manifest>,
    report: &'a mut dyn FnMut(Report),
}

impl<'a> Finishing<'a> {
    fn new(
        job: &'a Job,
        folder: PathBuf,
        dvr: PathBuf,
        timeline: Timeline,
        report: &'a mut dyn FnMut(Report),
    ) -> Result<Self, FilesError> {
        let mut damage = Vec::new();
        let mut pictures = BTreeMap::new();
        let mut voice = None;
        for track in &timeline.tracks {
            if !dvr::is_plain(&track.name) {
                continue;
            }
            let found = dvr::recorded(&dvr, track, &mut damage)?;
            if track.kind == MediaKind::Audio {
                voice = voice.or_else(|| found.into_iter().next());
            } else if !found.is_empty() {
                pictures.insert(track.name.clone(), found);
            }
        }
        let title = Some(job.title.clone()).filter(|title| !title.is_empty());
        let date = OffsetDateTime::from_unix_timestamp(timeline.zero_unix_ms / 1_000).ok();
        let date = date.filter(|_| timeline.zero_unix_ms > 0).and_then(|date| date.format(&Rfc3339).ok());
        let created = u64::try_from(timeline.zero_unix_ms / 1_000).unwrap_or(0);
        let labels = Labels { title, artist: job.teacher.clone(), date, created };
        let made_from = fingerprint(&timeline, &labels, pictures.values().flatten().chain(voice.as_ref()));
        let ends = pictures.values().flatten().chain(voice.as_ref()).map(|recorded| recorded.track.end_ms());
        let torn = timeline.gaps.iter().any(|gap| matches!(gap.why, GapReason::ServerDown | GapReason::Damaged));
        let manifest = Manifest {
            version: 1,
            lesson: job.lesson.clone(),
            zero_unix_ms: timeline.zero_unix_ms,
            duration_ms: ends.max().unwrap_or(0).max(timeline.duration_ms),
            repaired: torn || !damage.is_empty(),
            complete: false,
            files: Vec::new(),
            poster: None,
            slides: Vec::new(),
            missing: manifest::gaps_in_words(&timeline.gaps),
            gaps: timeline.gaps,
            made_from,
        };
        let earlier = manifest::read(&folder).filter(|earlier| earlier.made_from == manifest.made_from);
        let chapters = chapters(&timeline.slides);
        let slides = timeline.slides;
        let mut finishing =
            Self { job, folder, dvr, pictures, voice, slides, chapters, labels, manifest, earlier, report };
        finishing.tell_damage(&damage);
        Ok(finishing)
    }

    /// The manifest of an earlier run that made everything, if its files are still there.
    fn done_before(&self) -> Option<Manifest> {
        let earlier = self.earlier.as_ref().filter(|earlier| earlier.complete)?;
        let pictures = earlier.slides.iter().filter_map(|slide| slide.picture.as_ref()).chain(&earlier.poster);
        let all = earlier.files.iter().all(|file| self.is_there(file))
            && pictures.into_iter().all(|name| self.folder.join(name).exists());
        all.then(|| earlier.clone())
    }

    fn is_there(&self, file: &manifest::File) -> bool {
        fs::metadata(self.folder.join(&file.name)).is_ok_and(|found| found.len() == file.bytes)
    }

    /// Write the files that hold what was received, as it was received.
    fn originals(&mut self) -> Result<(), FilesError> {
        let silence = write::unfinished(&self.folder, "silence");
        if let Some(voice) = &mut self.voice {
            fs::write(&silence, assemble::second_of_silence())
                .map_err(|error| FilesError::Write { path: silence.clone(), error })?;
            assemble::fill_with_silence(&mut voice.track, voice.files.len() as u32);
            voice.files.push(silence);
        }
        for recorded in self.pictures.values_mut().flatten() {
            recorded.track.close_up();
            assemble::begin_with_the_lesson(&mut recorded.track);
        }
        let mut names: Vec<_> = self.pictures.keys().cloned().collect();
        names.sort_by_key(|name| name != CAMERA);
        for track in names {
            let mut encodings = self.pictures.remove(&track).unwrap_or_default();
            for (index, encoding) in encodings.iter_mut().enumerate() {
                let codec = codec_name(&encoding.track.entry);
                let name = if index == 0 { format!("{track}.mp4") } else { format!("{track}-{codec}.mp4") };
                if let Err(error) = settle_parameter_sets(&mut encoding.track, &encoding.files) {
                    return Err(FilesError::Write { path: self.folder.join(name), error });
                }
                let parts = std::iter::once(&*encoding).chain(self.voice.as_ref());
                let assembled = side_by_side(parts, self.chapters.clone(), self.labels.clone());
                self.original(&track, &name, &assembled)?;
            }
            if encodings.len() > 1 {
                self.tell_change(&track);
                let here = |file: &manifest::File| file.track == track;
                self.manifest.files.iter_mut().filter(|file| here(file)).for_each(|file| file.whole = false);
            }
            self.pictures.insert(track, encodings);
        }
        if self.pictures.is_empty()
            && let Some(voice) = &self.voice
        {
            let assembled = side_by_side([voice], self.chapters.clone(), self.labels.clone());
            self.original(VOICE, "voice.m4a", &assembled)?;
        }
        self.tell_absence();
        // The silence is in the files now.
        write::remove_unfinished(&self.folder).map_err(|error| FilesError::Write { path: self.folder.clone(), error })
    }

    fn original(&mut self, track: &str, name: &str, assembled: &Assembled) -> Result<(), FilesError> {
        if self.kept(name) {
            return Ok(());
        }
        let path = self.folder.join(name);
        let cant_write = |error| FilesError::Write { path: path.clone(), error };
        let part = write::unfinished(&self.folder, name);
        let layout = mp4::layout(&assembled.movie).map_err(|error| cant_write(io::Error::other(error)))?;
        write::write_movie(&part, &layout, &assembled.sources).map_err(cant_write)?;
        // What differs from what was meant to be written is a fault of ours or of the disk: nobody should take it for
        // the recording. The disk is busy with the octets while they are looked at.
        let verified = thread::scope(|scope| {
            scope.spawn(|| write::sync(&self.folder, name));
            verify::verify(&part, &assembled.movie).map_err(|error| cant_write(io::Error::other(error)))
        })?;
        write::publish(&self.folder, name).map_err(cant_write)?;
        self.manifest.files.push(entry(name, track, Variant::Original, &assembled.movie, verified));
        if let Some(converter) = &self.job.converter
            && let Err(error) = converter.check(&path)
        {
            unless_stopped(&error)?;
            tracing::warn!(file = name, %error, "the first or the last keyframe can't be decoded");
            self.problem(
                Some(track),
                0,
                Words {
                    zh: format!("{name} 的首个或末个关键帧无法解码，画面可能不完整。"),
                    en: format!(
                        "The first or the last keyframe of {name} can't be decoded: pictures may be incomplete."
                    ),
                },
            );
        }
        Ok(())
    }

    /// Whether an earlier run has made `name` of the same recording; then it is taken over.
    fn kept(&mut self, name: &str) -> bool {
        let found = self.earlier.as_ref().and_then(|earlier| earlier.files.iter().find(|file| file.name == name));
        let Some(file) = found.filter(|file| self.is_there(file)).cloned() else { return false };
        self.manifest.files.push(file);
        true
    }

    /// The poster and the slides.
    fn pictures(&mut self) -> Result<(), FilesError> {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for slide in std::mem::take(&mut self.slides) {
            let picture = slide.picture.and_then(|picture| match names.get(&picture) {
                Some(name) => Some(name.clone()),
                None => {
                    let name = format!("slide-{:04}.jpg", names.len() + 1);
                    let from = picture.split('/').all(dvr::is_plain).then(|| self.dvr.join(&picture))?;
                    if let Err(error) = write::copy_whole(&from, &self.folder, &name) {
                        tracing::warn!(picture, %error, "the picture of a slide is missing");
                        return None;
                    }
                    names.insert(picture, name.clone());
                    Some(name)
                }
            });
            self.manifest.slides.push(SlideChange { at_ms: slide.at_ms, picture });
        }
        let Some(converter) = &self.job.converter else { return Ok(()) };
        let Some(file) = self.manifest.files.iter().find(|file| file.video.is_some()).cloned() else { return Ok(()) };
        let part = write::unfinished(&self.folder, "poster.jpg");
        match converter.poster(&self.folder.join(&file.name), self.manifest.duration_ms / 10, &part) {
            Ok(()) => {
                let path = self.folder.join("poster.jpg");
                write::publish(&self.folder, "poster.jpg").map_err(|error| FilesError::Write { path, error })?;
                self.manifest.poster = Some("poster.jpg".into());
            }
            Err(error) => {
                unless_stopped(&error)?;
                tracing::warn!(%error, "there is no poster");
                let (zh, en) = ("无法生成封面图。".into(), "No poster could be made.".into());
                self.problem(Some(&file.track), self.manifest.duration_ms / 10, Words { zh, en });
            }
        }
        Ok(())
    }

    /// What compatible variants are to be made of: tracks with their original files.
    fn to_convert(&self) -> Vec<(String, Vec<String>)> {
        if self.job.converter.as_ref().is_none_or(|converter| converter.cores <= 0.0) {
            return Vec::new();
        }
        let mut tracks: Vec<(String, Vec<String>)> = Vec::new();
        for file in &self.manifest.files {
            match tracks.iter_mut().find(|(track, _)| *track == file.track) {
                Some((_, from)) => from.push(file.name.clone()),
                // H.264 without a voice is as compatible as can be.
                None if file.audio.is_none() && file.whole && is_h264(file) => {}
                None => tracks.push((file.track.clone(), vec![file.name.clone()])),
            }
        }
        tracks
    }

    /// Wait until no other lesson's variants are made. A lock that can't be had at all isn't worth a lesson.
    fn turn(&mut self) -> Result<Option<fs::File>, FilesError> {
        let (Some(path), Some(converter)) = (&self.job.turn, &self.job.converter) else { return Ok(None) };
        let opened = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let Ok(lock) = opened.inspect_err(|error| tracing::warn!(%error, "variants are made without a turn")) else {
            return Ok(None);
        };
        let mut looks = 0_u32;
        while rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
            if converter.stop.load(Ordering::Relaxed) {
                return Err(FilesError::Stopped);
            }
            if looks.is_multiple_of(LOOKS_A_WORD) {
                (self.report)(Report::Waits);
            }
            looks = looks.wrapping_add(1);
            thread::sleep(TURN_POLL);
        }
        Ok(Some(lock))
    }

    /// Make the compatible variant of a track. Failing costs nothing that was received.
    fn variant(&mut self, track: &str, from: &[String]) -> Result<(), FilesError> {
        let Some(converter) = &self.job.converter else { return Ok(()) };
        let ending = if track == VOICE { "m4a" } else { "mp4" };
        let name = format!("{track}-compatible.{ending}");
        if self.kept(&name) {
            return Ok(());
        }
        let from: Vec<_> = from.iter().map(|name| self.folder.join(name)).collect();
        // The voice need be encoded only once.
        let voice =
            self.manifest.files.iter().find(|file| file.audio.as_ref().is_some_and(|audio| audio.codec == "aac"));
        let voice = voice.map(|file| self.folder.join(&file.name));
        let part = write::unfinished(&self.folder, &name);
        let made = converter.compatible(&from, voice.as_deref(), &part);
        if let Err(error) = &made {
            unless_stopped(error)?;
        }
        let made = made.map_err(|error| error.to_string());
        let looked_at = made.and_then(|()| variant_as_made(&part, &from).map_err(|error| error.to_string()));
        match looked_at {
            Ok((movie, verified)) => {
                let path = self.folder.join(&name);
                write::publish(&self.folder, &name).map_err(|error| FilesError::Write { path, error })?;
                self.manifest.files.push(entry(&name, track, Variant::Compatible, &movie, verified));
            }
            Err(error) => {
                tracing::warn!(file = name, %error, "a variant can't be made");
                write::remove_unfinished(&self.folder)
                    .map_err(|error| FilesError::Write { path: self.folder.clone(), error })?;
                let (zh, en) = manifest::track_in_words(track);
                self.problem(
                    Some(track),
                    0,
                    Words {
                        zh: format!("{zh}的兼容版本（H.264 + AAC）生成失败，原始文件完好。"),
                        en: format!(
                            "The compatible variant (H.264 + AAC) of {en} couldn't be made; the original is whole."
                        ),
                    },
                );
            }
        }
        Ok(())
    }

    fn publish(&mut self, complete: bool) -> Result<(), FilesError> {
        self.manifest.complete = complete;
        let path = self.folder.join(manifest::NAME);
        manifest::write(&self.folder, &self.manifest).map_err(|error| FilesError::Write { path, error })?;
        (self.report)(Report::Files { complete });
        Ok(())
    }

    /// Say at once and in the manifest that something can't be had.
    fn problem(&mut self, track: Option<&str>, at_ms: u64, words: Words) {
        self.manifest.missing.push(words.clone());
        (self.report)(Report::Problem { track: track.map(str::to_owned), at_ms, words });
    }

    fn tell_damage(&mut self, damage: &[DvrError]) {
        if damage.is_empty() {
            return;
        }
        let count = damage.len();
        self.problem(
            None,
            0,
            Words {
                zh: format!("有 {count} 个录制片段已损坏，未能收入文件（详见日志）。"),
                en: format!("{count} pieces of the recording are damaged and not in the files (the log names them)."),
            },
        );
    }

    /// A lesson that lacks pictures, voice or both.
    fn tell_absence(&mut self) {
        let words = match (self.pictures.is_empty(), self.voice.is_none()) {
            (true, true) => {
                ("这节课没有收到任何画面和声音。", "Neither pictures nor voice were received in this lesson.")
            }
            (true, false) => {
                ("这节课没有收到画面，只有声音。", "No pictures were received in this lesson, only voice.")
            }
            (false, true) => ("这节课没有收到声音。", "No voice was received in this lesson."),
            (false, false) => return,
        };
        self.manifest.missing.push(Words { zh: words.0.into(), en: words.1.into() });
    }

    fn tell_change(&mut self, track: &str) {
        let (zh, en) = manifest::track_in_words(track);
        self.manifest.missing.push(Words {
            zh: format!("{zh}在课中更换过编码：原始文件按编码分开，完整的是兼容版本（{track}-compatible.mp4）。"),
            en: format!(
                "The encoding of {en} changed during the lesson: there is an original for each encoding; whole is the \
                 compatible variant ({track}-compatible.mp4)."
            ),
        });
    }
}

/// A converter that was stopped has failed at nothing.
const fn unless_stopped(error: &ConverterError) -> Result<(), FilesError> {
    if matches!(error, ConverterError::Stopped) { Err(FilesError::Stopped) } else { Ok(()) }
}

fn is_h264(file: &manifest::File) -> bool {
    file.video.as_ref().is_some_and(|video| video.codec == "h264")
}

/// What the converter made, if it plays as long as the originals.
fn variant_as_made(path: &Path, from: &[PathBuf]) -> Result<(Movie, verify::Verified), VerifyError> {
    let movie = verify::open(path)?.movie;
    let mut wanted = 0;
    for from in from {
        wanted = wanted.max(verify::open(from)?.movie.duration_ms());
    }
    // A frame of AAC is longer than a packet of Opus, and the last one is filled up.
    if movie.duration_ms().abs_diff(wanted) > 100 {
        let found = movie.duration_ms();
        return Err(VerifyError::Differs(format!("it plays {found} ms instead of {wanted}")));
    }
    let verified = verify::verify(path, &movie)?;
    Ok((movie, verified))
}

fn entry(name: &str, track: &str, variant: Variant, movie: &Movie, verified: verify::Verified) -> manifest::File {
    let video = movie.track(Kind::Video).map(|track| {
        let (width, height) = track.entry.visual().map_or((0, 0), |visual| (visual.width, visual.height));
        Video { codec: codec_name(&track.entry).into(), width: width.into(), height: height.into() }
    });
    let audio = movie.track(Kind::Audio).map(|track| Audio { codec: codec_name(&track.entry).into() });
    let (name, track, duration_ms) = (name.into(), track.into(), movie.duration_ms());
    let verify::Verified { bytes, sha256 } = verified;
    manifest::File { name, track, variant, whole: true, video, audio, bytes, sha256, duration_ms }
}

/// The SHA-256 of all that files are made from, except of the samples' octets themselves.
fn fingerprint<'a>(timeline: &Timeline, labels: &Labels, recorded: impl Iterator<Item = &'a Recorded>) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{:?}{:?}{:?}{labels:?}", timeline.zero_unix_ms, timeline.slides, timeline.gaps));
    for Recorded { track, .. } in recorded {
        hash.update(format!("{:?}{}", track.kind, track.timescale));
        for sample in &track.samples {
            hash.update(sample.decode.to_be_bytes());
            hash.update(sample.place.size.to_be_bytes());
        }
    }
    hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
}
