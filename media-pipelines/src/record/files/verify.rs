//! A file is believed only after it has been read back.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use mp4_atom::{Codec, FourCC};
use sha2::{Digest, Sha256};

use super::h264;
use super::movie::{Kind, Movie, Track};
use super::mp4::boxes::header;
use super::mp4::read::{self, ReadError};

/// As large as the index of a day can be.
const INDEX_AT_MOST: u64 = 512 << 20;
/// How much is read at once.
const BLOCK: usize = 1 << 20;

/// What a file was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its size in octets.
    pub bytes: u64,
    /// The SHA-256 of its octets, in hexadecimal.
    pub sha256: String,
}

/// Why a file isn't what it should be.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It can't be read.
    #[error("it can't be read back: {0}")]
    Io(#[from] io::Error),
    /// Its index is damaged.
    #[error(transparent)]
    Index(#[from] ReadError),
    /// It differs from what was written.
    #[error("{0}")]
    Differs(String),
}

/// An MP4 file that begins with its index.
#[derive(Debug)]
pub struct Opened {
    /// What it holds; all samples lie in file 0, which is this one.
    pub movie: Movie,
    /// Where its samples begin.
    pub data: u64,
    /// Its size in octets.
    pub size: u64,
}

/// Read the index of an MP4 file.
///
/// # Errors
/// [`VerifyError`] says what is wrong with it.
pub fn open(path: &Path) -> Result<Opened, VerifyError> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let (mut at, mut movie) = (0, None);
    while at + 8 <= size {
        let mut start = [0; 16];
        let length = start.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
        file.read_exact_at(&mut start[..length], at)?;
        let (kind, head, length) = header(&start[..length]).ok_or(ReadError::Missing("top-level"))?;
        if at + length > size {
            return Err(VerifyError::Differs("the file ends before its last box".into()));
        }
        if kind == FourCC::new(b"moov") && length <= INDEX_AT_MOST {
            let mut octets = vec![0; length as usize];
            file.read_exact_at(&mut octets, at)?;
            movie = Some(read::movie(&octets[head..])?);
        } else if kind == FourCC::new(b"mdat") {
            let movie = movie.ok_or(ReadError::Missing("moov before mdat"))?;
            return Ok(Opened { movie, data: at + head as u64, size });
        }
        at += length;
    }
    Err(ReadError::Missing("mdat").into())
}

/// Read a file back and compare it with what it was made from.
///
/// # Errors
/// [`VerifyError`] says in what it differs.
pub fn verify(path: &Path, expected: &Movie) -> Result<Verified, VerifyError> {
    let opened = open(path)?;
    let (found, wanted) = (&opened.movie.tracks, &expected.tracks);
    if found.len() != wanted.len() {
        return Err(VerifyError::Differs(format!("{} tracks instead of {}", found.len(), wanted.len())));
    }
    for (found, wanted) in found.iter().zip(wanted) {
        compare(found, wanted)?;
        lies_inside(found, &opened)?;
    }
    let file = File::open(path)?;
    for track in found.iter().filter(|track| matches!(track.entry, Codec::Avc1(_) | Codec::Avc3(_))) {
        pictures_are_whole(&file, track)?;
    }
    let sha256 = sha256(&file)?;
    Ok(Verified { bytes: opened.size, sha256 })
}

fn compare(found: &Track, wanted: &Track) -> Result<(), VerifyError> {
    let name = match wanted.kind {
        Kind::Video => "the pictures",
        Kind::Audio => "the voice",
    };
    let differs = |what: String| Err(VerifyError::Differs(format!("{name}: {what}")));
    if found.entry != wanted.entry || found.timescale != wanted.timescale {
        return differs("another encoding".into());
    }
    if found.samples.len() != wanted.samples.len() {
        return differs(format!("{} samples instead of {}", found.samples.len(), wanted.samples.len()));
    }
    for (index, (found, wanted)) in found.samples.iter().zip(&wanted.samples).enumerate() {
        // The wait before a track is told in ticks of the movie, which needn't divide its own.
        let same = found.decode.abs_diff(wanted.decode) <= 1
            && (found.duration, found.shift, found.key) == (wanted.duration, wanted.shift, wanted.key)
            && found.place.size == wanted.place.size;
        if !same {
            return differs(format!("sample {index} is {found:?} instead of {wanted:?}"));
        }
    }
    Ok(())
}

fn lies_inside(track: &Track, opened: &Opened) -> Result<(), VerifyError> {
    let inside = |offset: u64, size: u32| offset >= opened.data && offset + u64::from(size) <= opened.size;
    match track.samples.iter().find(|sample| !inside(sample.place.offset, sample.place.size)) {
        Some(sample) => Err(VerifyError::Differs(format!("a sample lies outside: {sample:?}"))),
        None => Ok(()),
    }
}

/// Every keyframe must be made of whole units: one octet too many or too few before it would show.
fn pictures_are_whole(file: &File, track: &Track) -> Result<(), VerifyError> {
    for sample in track.samples.iter().filter(|sample| sample.key) {
        let mut octets = vec![0; sample.place.size as usize];
        file.read_exact_at(&mut octets, sample.place.offset)?;
        if !h264::is_whole(&octets) {
            return Err(VerifyError::Differs(format!("a keyframe is cut: {sample:?}")));
        }
    }
    Ok(())
}

fn sha256(mut file: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect()),
            length => hash.update(&block[..length]),
        }
    }
}
