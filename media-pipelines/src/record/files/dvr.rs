//! What the folder of a lesson's DVR holds: its time line, and the samples inside of its segments.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mp4_atom::{Atom, Codec, FourCC, Moof, Mvex, Trex};

use super::super::folder::{NON_SYNC, PLAYLIST, TIMELINE};
use super::super::timeline::{MediaKind, Timeline, TrackLine, VERSION};
use super::movie::{Kind, Place, Sample, Track, codec_name};
use super::mp4::boxes::{child, children, header};
use super::mp4::read::{ReadError, TrackHead, atom, track_head};

/// As large as an index of a second of media can be; a larger one is damaged.
const INDEX_AT_MOST: u64 = 4 << 20;
/// The rendition that files are made of: the best layer at hand at every moment.
const BEST: &str = "high";
/// The rendition of the voice.
const VOICE: &str = "audio";

/// Why the folder can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DvrError {
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The time line isn't one.
    #[error("{path}: {error}")]
    Timeline {
        /// What was read.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// A file isn't what its name says.
    #[error("{path}: {error}")]
    Damaged {
        /// What was read.
        path: PathBuf,
        /// What is wrong with it.
        error: ReadError,
    },
}

/// The samples of one track in one codec.
#[derive(Debug)]
pub struct Recorded {
    /// The samples, their places counting [`Self::files`].
    pub track: Track,
    /// The segments that hold them.
    pub files: Vec<PathBuf>,
}

/// Read the time line; one that says nothing if there is none, as no lesson that nothing was received of has any.
///
/// # Errors
/// [`DvrError`] names the file.
pub fn timeline(dvr: &Path) -> Result<Timeline, DvrError> {
    let path = dvr.join(TIMELINE);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| DvrError::Timeline { path, error }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(nothing()),
        Err(error) => Err(DvrError::Io { path, error }),
    }
}

/// The time line of a lesson that nothing was received of.
const fn nothing() -> Timeline {
    Timeline {
        version: VERSION,
        lesson: String::new(),
        zero_unix_ms: 0,
        live: false,
        duration_ms: 0,
        tracks: Vec::new(),
        gaps: Vec::new(),
        slides: Vec::new(),
    }
}

/// Read all that was recorded of a track: one entry for every codec that it was sent in, the longest first.
/// What is damaged is left out and said. Samples last as long as the recorder said: holes are holes.
///
/// # Errors
/// [`DvrError`] when the playlist can't be read.
pub fn recorded(dvr: &Path, track: &TrackLine, damage: &mut Vec<DvrError>) -> Result<Vec<Recorded>, DvrError> {
    let rendition = if track.kind == MediaKind::Audio { VOICE } else { BEST };
    let known = track.renditions.iter().any(|known| known.name == rendition);
    let rendition = if known { rendition } else { track.renditions.first().map_or(rendition, |first| &first.name) };
    let folder = dvr.join(&track.name).join(rendition);
    let path = folder.join(PLAYLIST);
    let playlist = match std::fs::read_to_string(&path) {
        Ok(playlist) => playlist,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DvrError::Io { path, error }),
    };
    let mut found: Vec<Recorded> = Vec::new();
    let mut head: Option<(usize, Initial)> = None;
    for line in lines(&playlist) {
        let (name, result) = match line {
            Line::Map(name) => {
                head = None;
                (
                    name,
                    initial(&folder.join(name)).map(|initial| head = Some((entry_for(&mut found, &initial), initial))),
                )
            }
            Line::Segment(name) => {
                // Without its beginning a segment can't be understood; that was said when the beginning was read.
                let Some((index, initial)) = &head else { continue };
                (name, segment(&folder.join(name), initial, &mut found[*index]))
            }
        };
        if let Err(error) = result {
            tracing::warn!(file = name, %error, "a part of the recording can't be read");
            damage.push(error);
        }
    }
    found.retain(|recorded| !recorded.track.samples.is_empty());
    found.sort_by_key(|recorded| std::cmp::Reverse(recorded.track.samples.len()));
    Ok(found)
}

/// What a playlist says that matters here.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// What follows begins with this file.
    Map(&'a str),
    /// A segment.
    Segment(&'a str),
}

fn lines(playlist: &str) -> impl Iterator<Item = Line<'_>> {
    let mut is_gap = false;
    playlist.lines().map(str::trim).filter_map(move |line| {
        if line == "#EXT-X-GAP" {
            is_gap = true;
        }
        if let Some(attributes) = line.strip_prefix("#EXT-X-MAP:") {
            let name = attributes.split_once("URI=\"")?.1.split('"').next()?;
            return is_plain(name).then_some(Line::Map(name));
        }
        let is_segment = !line.is_empty() && !line.starts_with('#');
        // Where there is nothing, a player is given a name without a file.
        let is_there = is_segment && !std::mem::take(&mut is_gap);
        (is_there && is_plain(line)).then_some(Line::Segment(line))
    })
}

/// Whether a name stays inside of its folder.
pub fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && !name.starts_with('.')
}

/// The beginning of segments: their track, and what their samples are unless they say otherwise.
#[derive(Debug)]
struct Initial {
    head: TrackHead,
    defaults: Option<Trex>,
}

fn initial(path: &Path) -> Result<Initial, DvrError> {
    let damaged = |error| DvrError::Damaged { path: path.to_owned(), error };
    let octets = std::fs::read(path).map_err(|error| DvrError::Io { path: path.to_owned(), error })?;
    let moov = child(&octets, b"moov").ok_or(ReadError::Missing("moov")).map_err(damaged)?;
    let mut heads = children(moov).filter(|(kind, _)| *kind == FourCC::new(b"trak")).map(|(_, trak)| track_head(trak));
    let head = heads.find_map(Result::transpose).ok_or(ReadError::Missing("trak")).map_err(damaged)?;
    let head = head.map_err(damaged)?;
    let defaults = atom::<Mvex>(moov, "mvex").map_err(damaged)?.trex.into_iter().find(|trex| trex.track_id == head.id);
    Ok(Initial { head, defaults })
}

/// The place among `found` for what begins with `initial`, which may widen the pictures' size.
fn entry_for(found: &mut Vec<Recorded>, initial: &Initial) -> usize {
    let TrackHead { kind, timescale, ref entry, .. } = initial.head;
    let same = |recorded: &Recorded| codec_name(&recorded.track.entry) == codec_name(entry);
    if let Some(index) = found.iter().position(same) {
        widen(&mut found[index].track.entry, entry);
        return index;
    }
    let track = Track { kind, timescale, entry: entry.clone(), skip: 0, samples: Vec::new() };
    found.push(Recorded { track, files: Vec::new() });
    found.len() - 1
}

/// Let the size of `entry`'s pictures be the larger one.
fn widen(entry: &mut Codec, other: &Codec) {
    let Some(other) = other.visual() else { return };
    let visual = match entry {
        Codec::Avc1(entry) => &mut entry.visual,
        Codec::Avc3(entry) => &mut entry.visual,
        Codec::Av01(entry) => &mut entry.visual,
        _ => return,
    };
    if u32::from(other.width) * u32::from(other.height) > u32::from(visual.width) * u32::from(visual.height) {
        visual.width = other.width;
        visual.height = other.height;
    }
}

/// Add the samples of a segment; those before a torn end are kept.
fn segment(path: &Path, initial: &Initial, recorded: &mut Recorded) -> Result<(), DvrError> {
    let failed = |error| DvrError::Io { path: path.to_owned(), error };
    let damaged = |error| DvrError::Damaged { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    recorded.files.push(path.to_owned());
    let number = recorded.files.len() as u32 - 1;
    let mut at = 0;
    while at < size {
        let mut start = [0; 16];
        let read = read_at_most(&file, &mut start, at).map_err(failed)?;
        let (kind, head, length) = header(&start[..read]).ok_or(ReadError::Missing("moof")).map_err(damaged)?;
        // Only the last samples of a recording may be torn off; a part without its index, or what is none, is damage.
        if at + length > size && kind != FourCC::new(b"mdat") {
            return Err(damaged(ReadError::Missing("moof")));
        }
        if kind == Moof::KIND {
            if length > INDEX_AT_MOST {
                return Err(damaged(ReadError::Missing("moof")));
            }
            let mut octets = vec![0; length as usize];
            file.read_exact_at(&mut octets, at).map_err(failed)?;
            let mut body = &octets[head..];
            let moof = Moof::decode_body(&mut body).map_err(|error| damaged(error.into()))?;
            let from = recorded.track.timescale;
            let samples = samples(&moof, initial, Origin { moof: at, file: number, size }).map_err(damaged)?;
            let mut part = Track { timescale: initial.head.timescale, samples, ..recorded.track.without_samples() };
            part.rescale(from);
            recorded.track.samples.append(&mut part.samples);
        }
        at += length;
    }
    Ok(())
}

fn read_at_most(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Where a part lies.
#[derive(Debug, Clone, Copy)]
struct Origin {
    moof: u64,
    file: u32,
    /// The size of its file: samples that reach beyond it were torn.
    size: u64,
}

fn samples(moof: &Moof, initial: &Initial, origin: Origin) -> Result<Vec<Sample>, ReadError> {
    let mut samples = Vec::new();
    for traf in moof.traf.iter().filter(|traf| traf.tfhd.track_id == initial.head.id) {
        let defaults = initial.defaults.as_ref();
        let tfhd = &traf.tfhd;
        let duration = tfhd.default_sample_duration.or(defaults.map(|trex| trex.default_sample_duration)).unwrap_or(0);
        let size = tfhd.default_sample_size.or(defaults.map(|trex| trex.default_sample_size)).unwrap_or(0);
        let flags = tfhd.default_sample_flags.or(defaults.map(|trex| trex.default_sample_flags)).unwrap_or(0);
        let mut decode = traf.tfdt.as_ref().ok_or(ReadError::Missing("tfdt"))?.base_media_decode_time;
        let base = tfhd.base_data_offset.unwrap_or(origin.moof);
        let mut at = base;
        for trun in &traf.trun {
            if let Some(offset) = trun.data_offset {
                at = base.checked_add_signed(offset.into()).ok_or(ReadError::Contradiction("data before the file"))?;
            }
            for entry in trun.samples.iter() {
                let duration = entry.duration.unwrap_or(duration);
                let size = entry.size.unwrap_or(size);
                if size == 0 {
                    return Err(ReadError::Contradiction("a sample of nothing"));
                }
                let end = at.saturating_add(u64::from(size));
                if end > origin.size {
                    // The last part of a recording that was cut: what came whole before it counts.
                    return Ok(samples);
                }
                samples.push(Sample {
                    decode,
                    duration,
                    shift: entry.cts.and_then(|shift| i32::try_from(shift).ok()).unwrap_or(0),
                    key: initial.head.kind == Kind::Audio || entry.flags.unwrap_or(flags) & NON_SYNC == 0,
                    place: Place { file: origin.file, offset: at, size },
                });
                at = end;
                decode += u64::from(duration);
            }
        }
    }
    Ok(samples)
}

/// The octets of one sample.
///
/// # Errors
/// What the system says, or that the file ends before them.
pub fn octets_of(files: &[PathBuf], place: Place) -> io::Result<Vec<u8>> {
    let path = files.get(place.file as usize).ok_or(io::ErrorKind::NotFound)?;
    let mut octets = vec![0; place.size as usize];
    File::open(path)?.read_exact_at(&mut octets, place.offset)?;
    Ok(octets)
}
