//! MP4 files (ISO/IEC 14496-12, -14, -15; Opus in ISOBMFF; AV1 in ISOBMFF) that begin with their index, so that a player
//! starts at once and jumps anywhere with one request.
//!
//! Pure: descriptions of samples go in, the octets before the samples and the order of the samples come out.

pub mod boxes;
pub mod labels;
pub mod read;
mod tables;

use bytes::Bytes;
use mp4_atom::{
    Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry, FourCC, Ftyp, Hdlr, Mdhd, Mvhd, Smhd, Stsd, Tkhd,
    TrackReferenceTypeBox, Tref, Url, Vmhd,
};

use super::movie::{Kind, Movie, Place, TIMESCALE, Track, scale};
use boxes::{boxed, encoded};
use labels::ChapterTrack;
use tables::Chunks;

/// Seconds between the epochs of ISO files (1904) and Unix (1970).
const ISO_EPOCH_OFFSET: u64 = 2_082_844_800;

/// Why a movie can't be written.
#[derive(Debug, thiserror::Error)]
pub enum Mp4Error {
    /// A value doesn't fit its field.
    #[error("the index can't be written: {0}")]
    Encode(#[from] mp4_atom::Error),
}

/// A file, ready to be written: `head`, then the pieces in their order.
#[derive(Debug)]
pub struct Layout {
    /// Everything before the samples.
    pub head: Vec<u8>,
    /// The samples' octets.
    pub pieces: Vec<Piece>,
    /// The size of the whole file.
    pub size: u64,
}

/// Octets that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// To be copied; neighbours in one file are one piece.
    Copied {
        /// Which file, as in [`Place`].
        file: u32,
        /// Where in it.
        offset: u64,
        /// How many octets.
        size: u64,
    },
    /// As they are.
    Here(Bytes),
}

impl Piece {
    fn size(&self) -> u64 {
        match self {
            Self::Copied { size, .. } => *size,
            Self::Here(octets) => octets.len() as u64,
        }
    }

    /// Whether `place` follows in the same file; then this piece has grown by it.
    fn takes(&mut self, place: Place) -> bool {
        match self {
            Self::Copied { file, offset, size } if *file == place.file && *offset + *size == place.offset => {
                *size += u64::from(place.size);
                true
            }
            _ => false,
        }
    }
}

/// Lay a movie out. Samples must last until the next one begins ([`Track::close_up`]).
///
/// # Errors
/// [`Mp4Error::Encode`] when a table doesn't fit its fields.
pub fn layout(movie: &Movie) -> Result<Layout, Mp4Error> {
    let chapters = ChapterTrack::new(&movie.chapters, movie.duration_ms());
    let chunks = Chunks::new(&movie.tracks);
    let first_piece = chapters.as_ref().map(|chapters| Piece::Here(chapters.octets()));
    let before_samples = first_piece.as_ref().map_or(0, Piece::size);
    let pieces: Vec<_> = first_piece.into_iter().chain(chunks.pieces(&movie.tracks)).collect();
    let octets: u64 = pieces.iter().map(Piece::size).sum();

    let ftyp = encoded(&Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 0x200,
        compatible_brands: compatible_brands(movie),
    })?;
    // The index has the same size wherever it says that the samples begin.
    let far = octets + (1 << 28) > u64::from(u32::MAX);
    let index = |base: u64| moov(movie, &chunks, chapters.as_ref(), base, before_samples, far);
    let data_header = if far { large_header(octets) } else { small_header(octets) };
    let base = (ftyp.len() + index(0)?.len() + data_header.len()) as u64;
    let head = [ftyp, index(base)?, data_header].concat();
    let size = head.len() as u64 + octets;
    Ok(Layout { head, pieces, size })
}

fn compatible_brands(movie: &Movie) -> Vec<FourCC> {
    let mut brands = vec![FourCC::new(b"isom"), FourCC::new(b"iso6"), FourCC::new(b"mp41")];
    for track in &movie.tracks {
        match track.entry {
            mp4_atom::Codec::Avc1(_) | mp4_atom::Codec::Avc3(_) => brands.push(FourCC::new(b"avc1")),
            mp4_atom::Codec::Av01(_) => brands.push(FourCC::new(b"av01")),
            _ => {}
        }
    }
    brands
}

fn small_header(octets: u64) -> Vec<u8> {
    // The caller takes the large one for anything near four gigabytes.
    [&(octets as u32 + 8).to_be_bytes()[..], b"mdat"].concat()
}

fn large_header(octets: u64) -> Vec<u8> {
    [&1_u32.to_be_bytes()[..], b"mdat", &(octets + 16).to_be_bytes()].concat()
}

fn moov(
    movie: &Movie,
    chunks: &Chunks,
    chapters: Option<&ChapterTrack>,
    base: u64,
    before_samples: u64,
    far: bool,
) -> Result<Vec<u8>, Mp4Error> {
    let created = movie.labels.created + ISO_EPOCH_OFFSET;
    let chapter_id = movie.tracks.len() as u32 + 1;
    let duration = movie.tracks.iter().map(shown_until).max().unwrap_or(0);
    let mvhd = Mvhd {
        creation_time: created,
        modification_time: created,
        timescale: TIMESCALE,
        duration,
        rate: 1.into(),
        volume: 1.into(),
        matrix: mp4_atom::Matrix::default(),
        next_track_id: chapter_id + 1,
    };
    let mut body = encoded(&mvhd)?;
    for (index, track) in movie.tracks.iter().enumerate() {
        let chaptered = chapters.map(|_| chapter_id);
        let samples = chunks.tables(index, track, base + before_samples, far)?;
        body.extend(trak(track, index as u32 + 1, created, samples, chaptered)?);
    }
    if let Some(chapters) = chapters {
        body.extend(chapters.trak(chapter_id, created, base, far)?);
    }
    body.extend(labels::udta(&movie.labels, &movie.chapters)?);
    Ok(boxed(b"moov", &body))
}

/// When a track's last sample has been shown, in ticks of the movie.
fn shown_until(track: &Track) -> u64 {
    scale(track.end().saturating_sub(track.skip), track.timescale, TIMESCALE)
}

fn trak(track: &Track, id: u32, created: u64, samples: Vec<u8>, chapters: Option<u32>) -> Result<Vec<u8>, Mp4Error> {
    let (width, height) = track.entry.visual().map_or((0, 0), |visual| (visual.width, visual.height));
    let audio = track.kind == Kind::Audio;
    let tkhd = Tkhd {
        creation_time: created,
        modification_time: created,
        track_id: id,
        duration: shown_until(track),
        enabled: true,
        in_movie: true,
        alternate_group: u16::from(audio),
        volume: u8::from(audio).into(),
        width: width.into(),
        height: height.into(),
        ..Tkhd::default()
    };
    let mut body = encoded(&tkhd)?;
    if let Some(edits) = edits(track) {
        body.extend(encoded(&edits)?);
    }
    if let Some(chapters) = chapters {
        let reference = TrackReferenceTypeBox { reference_type: FourCC::new(b"chap"), track_ids: vec![chapters] };
        body.extend(encoded(&Tref { track_reference_type_boxes: vec![reference] })?);
    }
    let (handler, name) = if audio { (b"soun", "voice") } else { (b"vide", "pictures") };
    let head = if audio { encoded(&Smhd::default())? } else { encoded(&Vmhd::default())? };
    let duration = track.end() - track.start();
    body.extend(mdia(Media { created, timescale: track.timescale, duration, handler, name, head, samples })?);
    Ok(boxed(b"trak", &body))
}

/// What a media box is made of.
struct Media<'a> {
    created: u64,
    timescale: u32,
    duration: u64,
    handler: &'a [u8; 4],
    name: &'a str,
    /// The header that the handler asks for.
    head: Vec<u8>,
    /// The sample table box.
    samples: Vec<u8>,
}

fn mdia(media: Media<'_>) -> Result<Vec<u8>, Mp4Error> {
    let mdhd = Mdhd {
        creation_time: media.created,
        modification_time: media.created,
        timescale: media.timescale,
        duration: media.duration,
        language: "und".into(),
    };
    let hdlr = Hdlr { handler: FourCC::new(media.handler), name: media.name.into() };
    let dinf = Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } };
    let minf = boxed(b"minf", &[media.head, encoded(&dinf)?, media.samples].concat());
    Ok(boxed(b"mdia", &[encoded(&mdhd)?, encoded(&hdlr)?, minf].concat()))
}

/// The edit list of a track that begins late or whose beginning nobody is to hear.
fn edits(track: &Track) -> Option<Edts> {
    let media_time = track.skip;
    let start = scale(track.start(), track.timescale, TIMESCALE);
    if start == 0 && media_time == 0 {
        return None;
    }
    let wait = ElstEntry { segment_duration: start, media_time: None, media_rate: 1.into() };
    let segment_duration = shown_until(track).saturating_sub(start);
    let play = ElstEntry { segment_duration, media_time: Some(media_time), media_rate: 1.into() };
    let entries = if start == 0 { vec![play] } else { vec![wait, play] };
    Some(Edts { elst: Some(Elst { entries }) })
}

fn sample_description(entry: &mp4_atom::Codec) -> Result<Vec<u8>, Mp4Error> {
    Ok(encoded(&Stsd { codecs: vec![entry.clone()] })?)
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Audio, Avc1, Avcc, Codec, Dops, Opus, Visual};

    use super::super::movie::{Chapter, Labels, Sample};
    use super::*;

    fn track(kind: Kind, timescale: u32, entry: Codec, samples: Vec<Sample>) -> Track {
        Track { kind, timescale, entry, skip: 0, samples }
    }

    fn h264() -> Codec {
        let visual = Visual { data_reference_index: 1, width: 640, height: 360, ..Visual::default() };
        let avcc = Avcc::new(&[0x67, 0x42, 0xe0, 0x1f], &[0x68, 1]).expect("parameter sets");
        Codec::Avc1(Avc1 { visual, avcc, btrt: None, colr: None, pasp: None, taic: None, fiel: None, spatial: None })
    }

    fn opus() -> Codec {
        let audio = Audio { data_reference_index: 1, channel_count: 1, sample_size: 16, sample_rate: 48_000.into() };
        let dops = Dops {
            output_channel_count: 1,
            pre_skip: 0,
            input_sample_rate: 48_000,
            output_gain: 0,
            channel_mapping: None,
        };
        Codec::Opus(Opus { audio, dops, btrt: None })
    }

    /// Pictures from 1.5 s on, fifteen a second, each `size` octets; sound from the beginning.
    fn movie(size: u32) -> Movie {
        let picture = |index: u64| {
            let place = Place { file: 0, offset: index * u64::from(size), size };
            Sample { decode: 135_000 + index * 6_000, duration: 6_000, shift: 0, key: index.is_multiple_of(30), place }
        };
        let packet = |index: u64| {
            let place = Place { file: 1, offset: 100 + index * 60, size: 60 };
            Sample { decode: index * 960, duration: 960, shift: 0, key: true, place }
        };
        let tracks = vec![
            track(Kind::Video, 90_000, h264(), (0..150).map(picture).collect()),
            track(Kind::Audio, 48_000, opus(), (0..600).map(packet).collect()),
        ];
        let chapters = vec![Chapter { at_ms: 0, title: "开始".into() }, Chapter { at_ms: 4_000, title: "二".into() }];
        let labels = Labels {
            title: Some("分数".into()),
            artist: Some("李老师".into()),
            date: Some("2026-11-24T09:25:45Z".into()),
            created: 1_795_512_345,
        };
        Movie { tracks, chapters, labels }
    }

    /// The index of a head, its boxes in order.
    fn read_back(layout: &Layout) -> Movie {
        let kinds: Vec<_> = boxes::children(&layout.head[..layout.head.len() - 8]).map(|(kind, _)| kind).collect();
        assert_eq!(kinds[..2], [FourCC::new(b"ftyp"), FourCC::new(b"moov")], "the index comes before the samples");
        read::movie(boxes::child(&layout.head, b"moov").expect("an index")).expect("it reads")
    }

    #[test]
    fn what_was_laid_out_is_read_back_with_every_time_and_size() {
        let movie = movie(900);
        let layout = layout(&movie).expect("it fits");
        let found = read_back(&layout);
        assert_eq!((&found.chapters, &found.labels), (&movie.chapters, &movie.labels));
        for (found, wanted) in found.tracks.iter().zip(&movie.tracks) {
            assert_eq!((found.timescale, &found.entry), (wanted.timescale, &wanted.entry));
            let told = |track: &Track| -> Vec<_> {
                track.samples.iter().map(|at| (at.decode, at.duration, at.key, at.place.size)).collect()
            };
            assert_eq!(told(found), told(wanted));
        }
    }

    #[test]
    fn every_sample_lies_where_the_index_says() {
        let movie = movie(900);
        let layout = layout(&movie).expect("it fits");
        let found = read_back(&layout);
        // Where each piece begins in the file, and where its octets come from.
        let mut at = layout.head.len() as u64;
        let mut sources = std::collections::BTreeMap::new();
        for piece in &layout.pieces {
            if let Piece::Copied { file, offset, size } = piece {
                (0..*size).step_by(10).for_each(|within| {
                    sources.insert(at + within, (*file, offset + within));
                });
            }
            at += piece.size();
        }
        assert_eq!(at, layout.size);
        for (found, wanted) in found.tracks.iter().zip(&movie.tracks) {
            for (found, wanted) in found.samples.iter().zip(&wanted.samples) {
                let source = sources.get(&found.place.offset);
                assert_eq!(source, Some(&(wanted.place.file, wanted.place.offset)));
            }
        }
    }

    #[test]
    fn pictures_and_voice_of_one_second_lie_near_each_other() {
        let layout = layout(&movie(900)).expect("it fits");
        let farthest = layout.pieces.iter().map(Piece::size).max().expect("pieces");
        assert!(farthest <= 16 * 900, "a player reads {farthest} octets of pictures before the next sound");
    }

    #[test]
    fn a_lesson_of_more_than_four_gigabytes_has_wide_offsets() {
        let movie = movie(40 << 20);
        let layout = layout(&movie).expect("it fits");
        assert!(layout.size > u64::from(u32::MAX));
        let head = layout.head.len();
        assert_eq!(layout.head[head - 12..head - 8], *b"mdat");
        assert_eq!(layout.head[head - 8..], (layout.size - head as u64 + 16).to_be_bytes());
        let found = read_back(&layout);
        let last = found
            .tracks
            .iter()
            .flat_map(|track| &track.samples)
            .map(|last| last.place.offset + u64::from(last.place.size));
        assert_eq!(last.max(), Some(layout.size));
    }

    #[test]
    fn damaged_indexes_are_refused_and_never_a_panic() {
        let layout = layout(&movie(900)).expect("it fits");
        let moov = boxes::child(&layout.head, b"moov").expect("an index");
        for cut in (0..moov.len()).step_by(7) {
            let _ = read::movie(&moov[..cut]);
        }
        for at in (0..moov.len()).step_by(3) {
            let mut damaged = moov.to_vec();
            damaged[at] ^= 0xff;
            let _ = read::movie(&damaged);
        }
        assert!(matches!(read::movie(&[]), Err(read::ReadError::Missing("mvhd"))));
    }
}
