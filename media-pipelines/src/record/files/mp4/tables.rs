//! The sample tables, and the order in which samples lie in the file.

use mp4_atom::{Co64, Ctts, CttsEntry, Stco, Stsc, StscEntry, Stss, Stsz, StszSamples, Stts, SttsEntry};

use super::super::movie::{Kind, Sample, Track, scale};
use super::boxes::{boxed, encoded};
use super::{Mp4Error, Piece, sample_description};

/// Milliseconds of one track that lie together, so that a player which reads along finds pictures and voice near
/// each other.
const CHUNK_MS: u64 = 1_000;

/// Samples of one track that lie side by side.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    track: usize,
    first: usize,
    count: usize,
    /// Octets from the first chunk's beginning.
    offset: u64,
}

/// All chunks of a file, in their order.
#[derive(Debug)]
pub(super) struct Chunks(Vec<Chunk>);

impl Chunks {
    /// Cut tracks into chunks and order these by time.
    pub(super) fn new(tracks: &[Track]) -> Self {
        let mut timed: Vec<(u64, Chunk)> = Vec::new();
        for (index, track) in tracks.iter().enumerate() {
            for (begin, first, count) in cut(track) {
                timed.push((begin, Chunk { track: index, first, count, offset: 0 }));
            }
        }
        timed.sort_by_key(|(begin, chunk)| (*begin, chunk.track));
        let mut offset = 0;
        let placed = timed.into_iter().map(|(_, mut chunk)| {
            chunk.offset = offset;
            offset += samples(tracks, chunk).iter().map(|sample| u64::from(sample.place.size)).sum::<u64>();
            chunk
        });
        Self(placed.collect())
    }

    /// What to copy, in order.
    pub(super) fn pieces(&self, tracks: &[Track]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for sample in self.0.iter().flat_map(|chunk| samples(tracks, *chunk)) {
            let place = sample.place;
            if !pieces.last_mut().is_some_and(|last| last.takes(place)) {
                pieces.push(Piece::Copied { file: place.file, offset: place.offset, size: u64::from(place.size) });
            }
        }
        pieces
    }

    /// The sample table box of the track at `index`, when the first chunk begins at `base` of the file.
    pub(super) fn tables(&self, index: usize, track: &Track, base: u64, far: bool) -> Result<Vec<u8>, Mp4Error> {
        let chunks: Vec<_> = self.0.iter().filter(|chunk| chunk.track == index).collect();
        let mut body = sample_description(&track.entry)?;
        body.extend(encoded(&durations(track))?);
        if track.reorders() {
            body.extend(encoded(&shifts(track))?);
        }
        if track.kind == Kind::Video {
            let keys = track.samples.iter().zip(1..).filter(|(sample, _)| sample.key).map(|(_, number)| number);
            body.extend(encoded(&Stss { entries: keys.collect() })?);
        }
        body.extend(encoded(&Stsc { entries: chunk_sizes(&chunks) })?);
        let sizes = track.samples.iter().map(|sample| sample.place.size).collect();
        body.extend(encoded(&Stsz { samples: StszSamples::Different { sizes } })?);
        let offsets = chunks.iter().map(|chunk| base + chunk.offset);
        body.extend(if far {
            encoded(&Co64 { entries: offsets.collect() })?
        } else {
            encoded(&Stco { entries: offsets.map(|offset| offset as u32).collect() })?
        });
        Ok(boxed(b"stbl", &body))
    }
}

fn samples(tracks: &[Track], chunk: Chunk) -> &[Sample] {
    &tracks[chunk.track].samples[chunk.first..chunk.first + chunk.count]
}

/// A track's chunks: when each begins in milliseconds, its first sample, how many samples.
fn cut(track: &Track) -> Vec<(u64, usize, usize)> {
    let mut chunks: Vec<(u64, usize, usize)> = Vec::new();
    for (index, sample) in track.samples.iter().enumerate() {
        let at = scale(sample.decode, track.timescale, 1_000);
        match chunks.last_mut() {
            Some((begin, _, count)) if at < *begin + CHUNK_MS => *count += 1,
            _ => chunks.push((at, index, 1)),
        }
    }
    chunks
}

fn durations(track: &Track) -> Stts {
    let mut entries: Vec<SttsEntry> = Vec::new();
    for sample in &track.samples {
        match entries.last_mut() {
            Some(last) if last.sample_delta == sample.duration => last.sample_count += 1,
            _ => entries.push(SttsEntry { sample_count: 1, sample_delta: sample.duration }),
        }
    }
    Stts { entries }
}

fn shifts(track: &Track) -> Ctts {
    let mut entries: Vec<CttsEntry> = Vec::new();
    for sample in &track.samples {
        let shift = i64::from(sample.shift);
        match entries.last_mut() {
            Some(last) if last.sample_offset == shift => last.sample_count += 1,
            _ => entries.push(CttsEntry { sample_count: 1, sample_offset: shift }),
        }
    }
    Ctts { entries }
}

fn chunk_sizes(chunks: &[&Chunk]) -> Vec<StscEntry> {
    let mut entries: Vec<StscEntry> = Vec::new();
    for (chunk, number) in chunks.iter().zip(1..) {
        let samples_per_chunk = chunk.count as u32;
        if entries.last().is_none_or(|last| last.samples_per_chunk != samples_per_chunk) {
            entries.push(StscEntry { first_chunk: number, samples_per_chunk, sample_description_index: 1 });
        }
    }
    entries
}
