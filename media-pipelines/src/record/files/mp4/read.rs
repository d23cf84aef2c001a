//! The index of an MP4 file, read back into the description that it was written from.

use mp4_atom::{
    Atom, Chpl, Co64, Codec, Ctts, Elst, FourCC, Mdhd, Mvhd, Stco, Stsc, Stsd, Stss, Stsz, StszSamples, Stts, Tkhd,
};

use super::super::movie::{Chapter, Kind, Labels, Movie, Place, Sample, Track, scale};
use super::ISO_EPOCH_OFFSET;
use super::boxes::{child, children};

/// Why an index can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A box is missing or cut short.
    #[error("the index has no whole {0} box")]
    Missing(&'static str),
    /// A box says what can't be.
    #[error("the index is damaged: {0}")]
    Damaged(#[from] mp4_atom::Error),
    /// Two tables disagree.
    #[error("the index contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// Read the body of a `moov` box. Every sample lies in file 0.
///
/// # Errors
/// [`ReadError`] says what is wrong with it.
pub fn movie(moov: &[u8]) -> Result<Movie, ReadError> {
    let mvhd: Mvhd = atom(moov, "mvhd")?;
    let mut tracks = Vec::new();
    for (_, trak) in children(moov).filter(|(kind, _)| *kind == FourCC::new(b"trak")) {
        tracks.extend(track(trak, mvhd.timescale)?);
    }
    let udta = child(moov, b"udta").unwrap_or_default();
    let chapters = match child(udta, b"chpl") {
        Some(mut body) => Chpl::decode_body(&mut body)?.entries,
        None => Vec::new(),
    };
    let chapters = chapters.into_iter().map(|entry| Chapter { at_ms: entry.start / 10_000, title: entry.title });
    let items = child(udta, b"meta").and_then(|meta| meta.get(4..)).and_then(|meta| child(meta, b"ilst"));
    let text = |kind: &[u8; 4]| {
        let data = child(child(items?, kind)?, b"data")?;
        Some(String::from_utf8_lossy(data.get(8..)?).into_owned())
    };
    let labels = Labels {
        title: text(b"\xa9nam"),
        artist: text(b"\xa9ART"),
        date: text(b"\xa9day"),
        created: mvhd.creation_time.saturating_sub(ISO_EPOCH_OFFSET),
    };
    Ok(Movie { tracks, chapters: chapters.collect(), labels })
}

/// Decode the first atom of a kind inside of `octets`.
///
/// # Errors
/// [`ReadError::Missing`] without one, [`ReadError::Damaged`] when it can't be decoded.
pub fn atom<T: Atom>(octets: &[u8], name: &'static str) -> Result<T, ReadError> {
    let mut body =
        children(octets).find(|(kind, _)| *kind == T::KIND).map(|(_, body)| body).ok_or(ReadError::Missing(name))?;
    Ok(T::decode_body(&mut body)?)
}

/// The same for an atom that may be absent.
fn maybe<T: Atom>(octets: &[u8]) -> Result<Option<T>, ReadError> {
    match atom(octets, "") {
        Err(ReadError::Missing(_)) => Ok(None),
        found => found.map(Some),
    }
}

/// What a track box says of a track of pictures or sound: its identity, kind, ticks a second and sample entry.
#[derive(Debug)]
pub struct TrackHead {
    /// Its number in the file.
    pub id: u32,
    /// What it carries.
    pub kind: Kind,
    /// Ticks a second.
    pub timescale: u32,
    /// How its samples are encoded.
    pub entry: Codec,
}

/// Read the head of a track; `None` if it carries neither pictures nor sound.
///
/// # Errors
/// [`ReadError`] says what is wrong with it.
pub fn track_head(trak: &[u8]) -> Result<Option<TrackHead>, ReadError> {
    let mdia = child(trak, b"mdia").ok_or(ReadError::Missing("mdia"))?;
    let kind = match child(mdia, b"hdlr").and_then(|hdlr| hdlr.get(8..12)) {
        Some(b"vide") => Kind::Video,
        Some(b"soun") => Kind::Audio,
        Some(_) => return Ok(None),
        None => return Err(ReadError::Missing("hdlr")),
    };
    let mdhd: Mdhd = atom(mdia, "mdhd")?;
    let tkhd: Tkhd = atom(trak, "tkhd")?;
    let stsd: Stsd = atom(stbl(mdia)?, "stsd")?;
    let entry = stsd.codecs.into_iter().next().ok_or(ReadError::Missing("sample entry"))?;
    Ok(Some(TrackHead { id: tkhd.track_id, kind, timescale: mdhd.timescale, entry }))
}

fn stbl(mdia: &[u8]) -> Result<&[u8], ReadError> {
    child(mdia, b"minf").and_then(|minf| child(minf, b"stbl")).ok_or(ReadError::Missing("stbl"))
}

fn track(trak: &[u8], movie_timescale: u32) -> Result<Option<Track>, ReadError> {
    let Some(TrackHead { kind, timescale, entry, .. }) = track_head(trak)? else { return Ok(None) };
    let table = stbl(child(trak, b"mdia").unwrap_or_default())?;
    let (start, media_time) = edits(trak)?;
    let mut samples = timed(table)?;
    let start = scale(start, movie_timescale, timescale);
    for sample in &mut samples {
        sample.decode += start;
    }
    mark_keys(table, kind, &mut samples)?;
    place(table, &mut samples)?;
    Ok(Some(Track { kind, timescale, entry, skip: media_time, samples }))
}

/// How long a track waits before it begins, in ticks of the movie, and where in its media it begins.
fn edits(trak: &[u8]) -> Result<(u64, u64), ReadError> {
    let Some(elst) = child(trak, b"edts").map(maybe::<Elst>).transpose()?.flatten() else { return Ok((0, 0)) };
    let wait = elst.entries.iter().filter(|entry| entry.media_time.is_none()).map(|entry| entry.segment_duration);
    let media_time = elst.entries.iter().find_map(|entry| entry.media_time).unwrap_or(0);
    Ok((wait.sum(), media_time))
}

/// The samples with their times and sizes, as yet without a place.
fn timed(table: &[u8]) -> Result<Vec<Sample>, ReadError> {
    let sizes = match atom::<Stsz>(table, "stsz")?.samples {
        StszSamples::Different { sizes } => sizes,
        // The size of the table says nothing of how many samples there are, so that a damaged count could ask for more
        // than there is memory.
        StszSamples::Identical { count: 0, .. } => Vec::new(),
        StszSamples::Identical { .. } => return Err(ReadError::Contradiction("samples of one size are never written")),
    };
    let stts: Stts = atom(table, "stts")?;
    let mut durations =
        stts.entries.iter().flat_map(|entry| std::iter::repeat_n(entry.sample_delta, entry.sample_count as usize));
    let ctts: Option<Ctts> = maybe(table)?;
    let shifts = ctts.map(|ctts| ctts.entries).unwrap_or_default();
    let mut shifts =
        shifts.iter().flat_map(|entry| std::iter::repeat_n(entry.sample_offset, entry.sample_count as usize));
    let mut decode = 0;
    let mut samples = Vec::with_capacity(sizes.len());
    for size in sizes {
        let duration = durations.next().ok_or(ReadError::Contradiction("stts is shorter than stsz"))?;
        let shift = shifts.next().and_then(|shift| i32::try_from(shift).ok()).unwrap_or(0);
        let place = Place { file: 0, offset: 0, size };
        samples.push(Sample { decode, duration, shift, key: false, place });
        decode += u64::from(duration);
    }
    if durations.next().is_some() {
        return Err(ReadError::Contradiction("stts is longer than stsz"));
    }
    Ok(samples)
}

fn mark_keys(table: &[u8], kind: Kind, samples: &mut [Sample]) -> Result<(), ReadError> {
    let stss: Option<Stss> = maybe(table)?;
    match stss {
        Some(stss) => {
            for number in stss.entries {
                let index = (number as usize).wrapping_sub(1);
                samples.get_mut(index).ok_or(ReadError::Contradiction("stss names a sample that isn't there"))?.key =
                    true;
            }
        }
        None if kind == Kind::Audio => samples.iter_mut().for_each(|sample| sample.key = true),
        None => return Err(ReadError::Missing("stss")),
    }
    Ok(())
}

/// Give every sample its place in the file.
fn place(table: &[u8], samples: &mut [Sample]) -> Result<(), ReadError> {
    let chunks: Vec<u64> = match maybe::<Stco>(table)? {
        Some(stco) => stco.entries.into_iter().map(u64::from).collect(),
        None => atom::<Co64>(table, "stco or co64")?.entries,
    };
    let stsc: Stsc = atom(table, "stsc")?;
    let mut runs = stsc.entries.iter().peekable();
    let mut per_chunk = 0;
    let mut rest = samples.iter_mut();
    for (offset, number) in chunks.into_iter().zip(1_u32..) {
        if let Some(run) = runs.next_if(|run| run.first_chunk == number) {
            per_chunk = run.samples_per_chunk;
        }
        let mut at = offset;
        for sample in rest.by_ref().take(per_chunk as usize) {
            sample.place.offset = at;
            at += u64::from(sample.place.size);
        }
    }
    if rest.next().is_some() {
        return Err(ReadError::Contradiction("the chunks hold fewer samples than stsz"));
    }
    Ok(())
}
