//! Reading a DVR folder back: tracks, renditions, initialisation segments and every sample in order.
//!
//! The folder's own playlists say which files there are; what the files say is believed over what the playlists say, so
//! that a folder whose last part was torn by a crash reads as far as it is whole.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use mp4_atom::{Decode, Moof, Moov, TrunEntry};

use super::timeline::{MediaKind, Timeline};

/// The time line's file.
pub const TIMELINE: &str = "timeline.json";
/// Every rendition's playlist.
pub const PLAYLIST: &str = "index.m3u8";

/// Set in a sample's flags when it can't be decoded alone (ISO/IEC 14496-12 §8.8.3.1).
pub const NON_SYNC: u32 = 0x0001_0000;
/// Octets of an atom's header: length and kind.
const HEADER: usize = 8;

/// Why a folder can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file is missing or can't be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file isn't what it should be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// In what.
        reason: String,
    },
}

/// A folder as it is on disk.
#[derive(Debug, Clone)]
pub struct DvrFolder {
    /// The folder itself.
    pub path: PathBuf,
    /// Its time line, with gaps and slide changes.
    pub timeline: Timeline,
    /// Every track of the time line that has a rendition.
    pub tracks: Vec<RecordedTrack>,
}

/// One track.
#[derive(Debug, Clone)]
pub struct RecordedTrack {
    /// `voice`, or the name of the source.
    pub name: String,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// The best first.
    pub renditions: Vec<RecordedRendition>,
}

/// One rendition.
#[derive(Debug, Clone)]
pub struct RecordedRendition {
    /// `high`, `low` or `audio`.
    pub name: String,
    /// As in the time line.
    pub codec: String,
    /// Initialisation segments in the order of their use.
    pub inits: Vec<Init>,
    /// Media segments in order. Holes in time have none.
    pub segments: Vec<RecordedSegment>,
}

/// An initialisation segment.
#[derive(Debug, Clone)]
pub struct Init {
    /// Its file.
    pub path: PathBuf,
    /// Its one track.
    pub moov: Moov,
    /// Ticks in a second.
    pub timescale: u32,
}

/// A media segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedSegment {
    /// Its file.
    pub path: PathBuf,
    /// Which of the rendition's initialisation segments it needs.
    pub init: usize,
}

/// A picture or a packet of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedSample {
    /// In ticks of the track since the folder's zero. With holes the next sample may begin later than this one ends.
    pub decode_time: u64,
    /// In the same ticks.
    pub duration: u32,
    /// Whether it can be decoded without those before it.
    pub keyframe: bool,
    /// Where its octets begin in the segment's file.
    pub offset: u64,
    /// How many there are.
    pub size: u32,
}

impl DvrFolder {
    /// Read the time line, the playlists and the initialisation segments of the DVR folder at `path`; samples are read
    /// segment by segment afterwards.
    ///
    /// # Errors
    /// [`FolderError`] names the file.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let file = path.join(TIMELINE);
        let timeline: Timeline = serde_json::from_slice(&read(&file)?).map_err(|error| malformed(&file, &error))?;
        let mut tracks = Vec::new();
        for line in &timeline.tracks {
            let mut renditions = Vec::new();
            for rendition in &line.renditions {
                let folder = path.join(&line.name).join(&rendition.name);
                renditions.push(open_rendition(&folder, &rendition.name, &rendition.codec)?);
            }
            if !renditions.is_empty() {
                tracks.push(RecordedTrack { name: line.name.clone(), kind: line.kind, renditions });
            }
        }
        Ok(Self { path: path.to_owned(), timeline, tracks })
    }
}

impl RecordedSegment {
    /// Every whole sample of the segment, in order.
    ///
    /// # Errors
    /// [`FolderError::File`]. What is torn at the end is left out.
    pub fn samples(&self) -> Result<Vec<RecordedSample>, FolderError> {
        Ok(whole_samples(&read(&self.path)?))
    }
}

/// The samples of a segment's octets, up to the first part that isn't whole.
#[must_use]
pub fn whole_samples(octets: &[u8]) -> Vec<RecordedSample> {
    let mut samples = Vec::new();
    let mut at = 0;
    let mut fragment: Option<(usize, Moof)> = None;
    while let Some((kind, length)) = atom(octets, at) {
        match (&kind, fragment.take()) {
            (b"moof", _) => {
                let Ok(moof) = Moof::decode(&mut Cursor::new(&octets[at..at + length])) else { break };
                fragment = Some((at, moof));
            }
            (b"mdat", Some((begin, moof))) => samples.extend(samples_of(begin, &moof, at + length)),
            _ => {}
        }
        at += length;
    }
    samples
}

/// The kind and length of the atom at `at`, if all of it is there.
fn atom(octets: &[u8], at: usize) -> Option<([u8; 4], usize)> {
    let header = octets.get(at..at + HEADER)?;
    let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
    (length >= HEADER && octets.len() - at >= length).then(|| ([header[4], header[5], header[6], header[7]], length))
}

/// The samples of one part whose `moof` begins at `begin` and whose `mdat` ends at `end`.
fn samples_of(begin: usize, moof: &Moof, end: usize) -> Vec<RecordedSample> {
    let mut samples = Vec::new();
    for traf in &moof.traf {
        let mut decode_time = traf.tfdt.as_ref().map_or(0, |tfdt| tfdt.base_media_decode_time);
        for trun in &traf.trun {
            let mut offset = begin as u64 + u64::try_from(trun.data_offset.unwrap_or(0)).unwrap_or(0);
            let entries: &[TrunEntry] = match &trun.samples {
                mp4_atom::TrunSamples::Explicit(entries) => entries,
                mp4_atom::TrunSamples::Inherited { .. } => &[],
            };
            for entry in entries {
                let (size, duration) = (entry.size.unwrap_or(0), entry.duration.unwrap_or(0));
                if offset + u64::from(size) > end as u64 {
                    return samples;
                }
                let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap_or(0);
                samples.push(RecordedSample { decode_time, duration, keyframe: flags & NON_SYNC == 0, offset, size });
                offset += u64::from(size);
                decode_time += u64::from(duration);
            }
        }
    }
    samples
}

fn open_rendition(folder: &Path, name: &str, codec: &str) -> Result<RecordedRendition, FolderError> {
    let playlist = folder.join(PLAYLIST);
    let text = String::from_utf8(read(&playlist)?).map_err(|error| malformed(&playlist, &error))?;
    let (mut inits, mut segments, mut is_gap) = (Vec::<Init>::new(), Vec::new(), false);
    for line in text.lines() {
        if let Some(attributes) = line.strip_prefix("#EXT-X-MAP:") {
            let file = quoted(attributes, "URI").ok_or_else(|| malformed(&playlist, &"a map without an address"))?;
            let path = folder.join(file);
            if inits.last().is_none_or(|init| init.path != path) {
                inits.push(open_init(path)?);
            }
        } else if line == "#EXT-X-GAP" {
            is_gap = true;
        } else if !line.is_empty() && !line.starts_with('#') {
            let init = inits.len().checked_sub(1);
            if !std::mem::take(&mut is_gap) {
                let init = init.ok_or_else(|| malformed(&playlist, &"a segment before its map"))?;
                segments.push(RecordedSegment { path: folder.join(line), init });
            }
        }
    }
    Ok(RecordedRendition { name: name.to_owned(), codec: codec.to_owned(), inits, segments })
}

fn open_init(path: PathBuf) -> Result<Init, FolderError> {
    let octets = read(&path)?;
    let mut at = 0;
    while let Some((kind, length)) = atom(&octets, at) {
        if &kind == b"moov" {
            let moov = Moov::decode(&mut Cursor::new(&octets[at..at + length]));
            let moov = moov.map_err(|error| malformed(&path, &error))?;
            let Some(track) = moov.trak.first() else { break };
            let timescale = track.mdia.mdhd.timescale;
            return Ok(Init { path, moov, timescale });
        }
        at += length;
    }
    Err(malformed(&path, &"it has no track"))
}

/// The value of a quoted attribute of a playlist's tag.
fn quoted<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = attributes.split_once(&format!("{name}=\""))?;
    Some(after.split_once('"')?.0)
}

fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    fs::read(path).map_err(|error| FolderError::File { path: path.to_owned(), error })
}

fn malformed(path: &Path, reason: &dyn std::fmt::Display) -> FolderError {
    FolderError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}
