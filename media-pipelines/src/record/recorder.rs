//! The recorder at work: follows a journal, makes the changes that [`Lesson`] asks for, and keeps checkpoints.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mingshi_journal::{Next, Position, Tail};

use super::checkpoint;
use super::events::{Event, Events, Problem};
use super::files_on_disk::{self, FilesOnDisk};
use super::folder::TIMELINE;
use super::lesson::{Lesson, Outcome};
use super::pictures::Level;
use super::slide_pictures::Viewer;
use super::transcode::pipeline::Encoder;
use super::words;
use crate::clock::{Clock, instant};

/// The journal's folder and that of the live recording, in a lesson's.
pub(super) const JOURNAL: &str = "journal";
const DVR: &str = "dvr";
/// How often a journal without news is asked.
const POLL: Duration = Duration::from_millis(50);
/// How often playlists, the time line and the checkpoint are written, at most.
const PLAYLISTS: Duration = Duration::from_millis(200);
const TIMELINES: Duration = Duration::from_secs(1);
const CHECKPOINTS: Duration = Duration::from_secs(2);
/// Records between two looks at the clock and at encoders.
const RECORDS: usize = 64;
/// Pictures that may wait for an encoder while an old journal is read; then reading waits.
const CATCHING_UP: usize = 60;
/// Pictures that may wait while the lesson is live: the encoder doesn't follow.
const LIVE: usize = 450;
/// An encoder that fails so often without having made anything is given up. From the second time on, what it fails at is
/// left out.
const FAILURES: u32 = 5;
/// When the lesson is over, encoders have so long for what waits. They are far quicker than the lesson was.
const ENDING: Duration = Duration::from_secs(600);
/// How long a disk that refuses is left alone.
const DISK_RETRY: Duration = Duration::from_secs(1);

/// What to record, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// The lesson's folder.
    pub folder: PathBuf,
    /// Whether the journal's end is the lesson's end, even if it doesn't say so.
    pub finish: bool,
    /// Cores that may be spent on encoding.
    pub cores: f64,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The lesson is over and its live recording is whole.
    Whole,
    /// It was told to stop, and will go on from there.
    Stopped,
}

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] mingshi_journal::Error),
    /// The recording's folder can't be written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

struct Recorder<'a, E> {
    folder: PathBuf,
    lesson: Lesson,
    tail: Tail,
    files: FilesOnDisk,
    encoders: BTreeMap<String, (Encoder, u32)>,
    viewer: Viewer,
    is_blind: bool,
    is_disk_refusing: bool,
    /// Whether the journal's end was reached once in this run.
    is_live: bool,
    /// Whether nothing more comes for encoders.
    is_settled: bool,
    clock: Clock,
    playlists_at: Instant,
    timeline_at: Instant,
    checkpoint_at: Instant,
    stop: &'a AtomicBool,
    events: &'a mut E,
}

/// Record until the lesson is over or `stop` is set.
///
/// # Errors
/// [`RecordError`] says what can't be read or written.
pub fn record(job: &Job, stop: &AtomicBool, events: &mut impl Events) -> Result<Ended, RecordError> {
    let mut recorder = Recorder::begin(job, stop, events)?;
    let mut is_finished = false;
    loop {
        if stop.load(Ordering::Relaxed) {
            recorder.keep(true)?;
            return Ok(Ended::Stopped);
        }
        let mut read = 0;
        while read < RECORDS && !recorder.lesson.is_over() {
            let mut outcome = Outcome::default();
            match recorder.tail.next()? {
                Next::Record(record) => recorder.lesson.record(record, &mut outcome),
                Next::Damaged { .. } => recorder.lesson.damaged(&mut outcome),
                Next::Waiting => break,
            }
            read += 1;
            recorder.carry_out(outcome)?;
        }
        recorder.keep(false)?;
        if recorder.lesson.is_over() {
            break;
        }
        if read < RECORDS {
            recorder.is_live = true;
            if job.finish {
                if is_finished {
                    break;
                }
                recorder.tail.finish();
                is_finished = true;
                continue;
            }
            thread::sleep(POLL);
        }
    }
    recorder.end()
}

impl<'a, E: Events> Recorder<'a, E> {
    fn begin(job: &Job, stop: &'a AtomicBool, events: &'a mut E) -> Result<Self, RecordError> {
        let dvr = job.folder.join(DVR);
        let files = FilesOnDisk::new(dvr.clone());
        let usable = checkpoint::read(&job.folder).and_then(|mut checkpoint| {
            let is_there = checkpoint.lesson.open_files().iter().all(|(path, length)| files.has(path, *length));
            is_there.then_some(checkpoint)
        });
        let resumed = usable.is_some();
        let (position, mut lesson) = match usable {
            Some(checkpoint) => (checkpoint.position, checkpoint.lesson),
            None => {
                // What is there belongs to no checkpoint: all of it is made again.
                match fs::remove_dir_all(&dvr) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error(&dvr, error)),
                    _ => {}
                }
                (Position::default(), Lesson::new(job.cores))
            }
        };
        lesson.renew();
        fs::create_dir_all(&dvr).map_err(|error| file_error(&dvr, error))?;
        events.tell(&Event::Started { resumed });
        let now = instant();
        Ok(Self {
            folder: job.folder.clone(),
            lesson,
            tail: Tail::open(&job.folder.join(JOURNAL), position),
            files,
            encoders: BTreeMap::new(),
            viewer: Viewer::start(),
            is_blind: false,
            is_disk_refusing: false,
            is_live: false,
            is_settled: false,
            clock: Clock::start(),
            playlists_at: now,
            timeline_at: now,
            checkpoint_at: now + CHECKPOINTS,
            stop,
            events,
        })
    }

    fn carry_out(&mut self, outcome: Outcome) -> Result<(), RecordError> {
        for change in outcome.changes {
            self.insist(|recorder| recorder.files.apply(&change))?;
        }
        for problem in outcome.problems {
            self.tell(problem);
        }
        for look in outcome.looks {
            self.viewer.look(look);
        }
        Ok(())
    }

    /// Do something with the disk until it succeeds: the journal waits, and nothing is lost by being late.
    fn insist(&mut self, act: impl Fn(&mut Self) -> io::Result<()>) -> Result<(), RecordError> {
        loop {
            match act(self) {
                Ok(()) => {
                    self.is_disk_refusing = false;
                    return Ok(());
                }
                Err(error) if self.stop.load(Ordering::Relaxed) => return Err(file_error(&self.folder, error)),
                Err(error) => {
                    if !std::mem::replace(&mut self.is_disk_refusing, true) {
                        let at_ms = self.lesson.timeline().duration_ms;
                        self.tell(words::disk_refuses(at_ms, &error));
                    }
                    thread::sleep(DISK_RETRY);
                }
            }
        }
    }

    fn tell(&mut self, problem: Problem) {
        tracing::warn!(track = problem.track, at_ms = problem.at_ms, "{}", problem.en);
        self.events.tell(&Event::Problem(problem));
    }

    /// Let encoders work, and write what has changed: what is due, or all of it.
    fn keep(&mut self, all: bool) -> Result<(), RecordError> {
        self.encode()?;
        while !all && !self.is_live && self.waiting_pictures() > CATCHING_UP && !self.stop.load(Ordering::Relaxed) {
            thread::sleep(POLL / 10);
            self.encode()?;
        }
        self.see()?;
        let now = instant();
        if all || now >= self.playlists_at {
            self.playlists_at = now + PLAYLISTS;
            let mut playlists = Vec::new();
            self.lesson.playlists(&mut playlists);
            for playlist in &playlists {
                self.insist(|recorder| recorder.files.apply(playlist))?;
            }
        }
        if all || now >= self.timeline_at {
            self.timeline_at = now + TIMELINES;
            self.write_timeline(now)?;
        }
        if all || now >= self.checkpoint_at {
            self.checkpoint_at = now + CHECKPOINTS;
            self.insist(|recorder| {
                recorder.files.sync()?;
                checkpoint::write(&recorder.folder, recorder.tail.position(), &recorder.lesson)
            })?;
        }
        Ok(())
    }

    fn write_timeline(&mut self, now: Instant) -> Result<(), RecordError> {
        for master in self.lesson.masters() {
            self.insist(|recorder| recorder.files.apply(&master))?;
        }
        let timeline = self.lesson.timeline();
        let octets = serde_json::to_vec(&timeline).map_err(|error| file_error(Path::new(TIMELINE), error.into()))?;
        self.insist(|recorder| files_on_disk::replace(&recorder.folder.join(DVR).join(TIMELINE), &octets, false))?;
        let unix = i64::try_from(self.clock.unix(now).as_nanos()).unwrap_or(i64::MAX);
        let behind = if self.is_live { 0 } else { u64::try_from((unix - self.lesson.now()) / 1_000_000).unwrap_or(0) };
        self.events.tell(&Event::Progress { duration_ms: timeline.duration_ms, behind_ms: behind });
        Ok(())
    }

    fn waiting_pictures(&mut self) -> usize {
        self.lesson.queues().values().map(super::transcode::queue::Queue::waiting).max().unwrap_or(0)
    }

    /// Give encoders what waits for them, and put what they made where it belongs.
    fn encode(&mut self) -> Result<(), RecordError> {
        let names: Vec<_> = self.lesson.queues().keys().cloned().collect();
        self.encoders.retain(|name, _| names.contains(name));
        let (now, is_over) = (instant(), self.is_settled);
        for name in names {
            let mut outcome = Outcome::default();
            let (mut encoder, failures) = match self.encoders.remove(&name) {
                Some((encoder, failures)) => (Ok(encoder), failures),
                None => (Encoder::start(level_of(&name), now), 0),
            };
            let mut made = Vec::new();
            let mut has_ended = false;
            let failure = match (&mut encoder, self.lesson.queues().get_mut(&name)) {
                (_, None) => continue,
                (Ok(encoder), Some(queue)) => match encoder.work(queue, is_over, now, &mut made) {
                    Ok(ended) => {
                        has_ended = ended;
                        None
                    }
                    Err(error) => Some(error.to_string()),
                },
                (Err(error), Some(_)) => Some(error.to_string()),
            };
            let mut is_new = false;
            for (time, picture) in made {
                is_new |= self.lesson.transcoded(&name, time, picture.data, picture.format, &mut outcome);
            }
            let failures = if is_new { 0 } else { failures };
            if let Some(queue) = self.lesson.queues().get_mut(&name).filter(|_| has_ended) {
                // What the encoder made nothing of, it couldn't decode.
                queue.end();
            }
            match failure {
                None => {
                    if let Ok(encoder) = encoder {
                        self.encoders.insert(name.clone(), (encoder, failures));
                    }
                    let waiting = self.lesson.queues().get(&name).map_or(0, super::transcode::queue::Queue::waiting);
                    // One that fails isn't slow.
                    if self.is_live && waiting > LIVE && failures == 0 {
                        self.lesson.encoder_is_slow(&name, &mut outcome);
                    }
                }
                Some(error) => {
                    tracing::warn!(rendition = name, "{error}");
                    let gives_up = failures + 1 >= FAILURES;
                    self.lesson.encoder_failed(&name, gives_up, &mut outcome);
                    if let Some(queue) = self.lesson.queues().get_mut(&name) {
                        if failures == 0 {
                            queue.again()
                        } else {
                            queue.skip()
                        }
                        if let Ok(encoder) = Encoder::start(level_of(&name), now) {
                            self.encoders.insert(name.clone(), (encoder, failures + 1));
                        }
                    }
                }
            }
            self.carry_out(outcome)?;
        }
        Ok(())
    }

    /// Take what was seen of slides.
    fn see(&mut self) -> Result<(), RecordError> {
        while let Some(seen) = self.viewer.seen() {
            let mut outcome = Outcome::default();
            match seen {
                Ok(seen) => self.lesson.seen(&seen, &mut outcome),
                Err(error) => {
                    tracing::warn!("a slide can't be decoded: {error}");
                    if !std::mem::replace(&mut self.is_blind, true) {
                        outcome.problems.push(words::slides_unseen(self.lesson.timeline().duration_ms));
                    }
                }
            }
            self.carry_out(outcome)?;
        }
        Ok(())
    }

    /// Do without what encoders still have.
    fn give_up(&mut self) -> Result<(), RecordError> {
        let mut outcome = Outcome::default();
        for name in self.lesson.queues().keys().cloned().collect::<Vec<_>>() {
            self.lesson.encoder_failed(&name, true, &mut outcome);
        }
        self.carry_out(outcome)
    }

    /// The lesson is over: let everything out, and end every file.
    fn end(mut self) -> Result<Ended, RecordError> {
        let mut outcome = Outcome::default();
        self.lesson.settle(&mut outcome);
        self.is_settled = true;
        self.carry_out(outcome)?;
        // Encoders that stand still are given up after a while, and so is a look that takes too long.
        let until = instant() + ENDING;
        while self.waiting_pictures() > 0 || self.viewer.is_busy() {
            if self.stop.load(Ordering::Relaxed) {
                // Without a checkpoint: the next run settles the lesson itself.
                return Ok(Ended::Stopped);
            }
            self.encode()?;
            self.see()?;
            let now = instant();
            if now >= self.timeline_at {
                // Whoever started this process wants to hear that it is at work.
                self.timeline_at = now + TIMELINES;
                self.write_timeline(now)?;
            }
            if now >= until {
                self.give_up()?;
                break;
            }
            thread::sleep(POLL / 10);
        }
        let mut outcome = Outcome::default();
        self.lesson.close(&mut outcome);
        self.carry_out(outcome)?;
        self.keep(true)?;
        Ok(Ended::Whole)
    }
}

fn level_of(rendition: &str) -> Level {
    if rendition.ends_with(Level::Low.name()) { Level::Low } else { Level::High }
}

fn file_error(path: &Path, error: io::Error) -> RecordError {
    RecordError::File { path: path.to_owned(), error }
}
