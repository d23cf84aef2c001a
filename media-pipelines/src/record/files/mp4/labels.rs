//! What a file says about itself, and its chapters in the two ways that players read: Nero's list and QuickTime's
//! text track.

use bytes::Bytes;
use mp4_atom::{Chpl, ChplEntry, Co64, Stco, Stsc, StscEntry, Stsz, StszSamples, Stts, SttsEntry, Tkhd};

use super::super::movie::{Chapter, Labels, TIMESCALE, scale};
use super::boxes::{boxed, encoded, full_box};
use super::{Media, Mp4Error, mdia};

/// Ticks a second in the chapter track.
const CHAPTER_TIMESCALE: u32 = 1_000;
/// As many chapters as Nero's list can count; the text track has them all.
const NERO_CHAPTERS: usize = 255;
/// As many octets as a title may have in Nero's list.
const NERO_TITLE: usize = 255;
/// The encoding of a text sample that follows its text: UTF-8, as QuickTime numbers encodings.
const ENCODING_BOX: [u8; 12] = [0, 0, 0, 12, b'e', b'n', b'c', b'd', 0, 0, 1, 0];

/// The user data box.
///
/// # Errors
/// What doesn't fit its field.
pub(super) fn udta(labels: &Labels, chapters: &[Chapter]) -> Result<Vec<u8>, Mp4Error> {
    let mut body = Vec::new();
    if !chapters.is_empty() {
        let entries = chapters.iter().take(NERO_CHAPTERS).map(|chapter| ChplEntry {
            start: chapter.at_ms * 10_000,
            title: shortened(&chapter.title, NERO_TITLE).to_owned(),
        });
        body.extend(encoded(&Chpl { entries: entries.collect() })?);
    }
    let items = [
        item(b"\xa9nam", labels.title.as_deref()),
        item(b"\xa9ART", labels.artist.as_deref()),
        item(b"\xa9day", labels.date.as_deref()),
    ]
    .concat();
    if !items.is_empty() {
        // The handler of metadata as iTunes writes it, which is what players look for.
        let handler = full_box(b"hdlr", &[&[0; 4][..], b"mdirappl", &[0; 9]].concat());
        body.extend(full_box(b"meta", &[handler, boxed(b"ilst", &items)].concat()));
    }
    Ok(boxed(b"udta", &body))
}

fn item(kind: &[u8; 4], text: Option<&str>) -> Vec<u8> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Vec::new() };
    // Type 1 is UTF-8; the locale that follows is the default one.
    let data = [&1_u32.to_be_bytes()[..], &[0; 4], text.as_bytes()].concat();
    boxed(kind, &boxed(b"data", &data))
}

/// The beginning of `text` that fits into `octets`, cut between characters.
fn shortened(text: &str, octets: usize) -> &str {
    &text[..text.floor_char_boundary(octets)]
}

/// The chapters as a track of text, hidden from those who watch.
#[derive(Debug)]
pub(super) struct ChapterTrack {
    samples: Vec<Bytes>,
    /// Milliseconds that each lasts.
    durations: Vec<u32>,
}

impl ChapterTrack {
    /// The track of `chapters` in a movie of `duration_ms`; none without chapters.
    pub(super) fn new(chapters: &[Chapter], duration_ms: u64) -> Option<Self> {
        if chapters.is_empty() {
            return None;
        }
        let ends = chapters.iter().skip(1).map(|next| next.at_ms).chain([duration_ms]);
        let lasts = |(chapter, end): (&Chapter, u64)| {
            u32::try_from(end.saturating_sub(chapter.at_ms)).unwrap_or(u32::MAX).max(1)
        };
        let durations = chapters.iter().zip(ends).map(lasts).collect();
        Some(Self { samples: chapters.iter().map(|chapter| text_sample(&chapter.title)).collect(), durations })
    }

    /// The samples, one after the other.
    pub(super) fn octets(&self) -> Bytes {
        self.samples.concat().into()
    }

    /// The track box; the samples begin at `offset` of the file.
    pub(super) fn trak(&self, id: u32, created: u64, offset: u64, far: bool) -> Result<Vec<u8>, Mp4Error> {
        let duration = self.durations.iter().copied().map(u64::from).sum();
        let tkhd = Tkhd {
            creation_time: created,
            modification_time: created,
            track_id: id,
            duration: scale(duration, CHAPTER_TIMESCALE, TIMESCALE),
            ..Tkhd::default()
        };
        let media = Media {
            created,
            timescale: CHAPTER_TIMESCALE,
            duration,
            handler: b"text",
            name: "chapters",
            head: base_media_header(),
            samples: self.tables(offset, far)?,
        };
        Ok(boxed(b"trak", &[encoded(&tkhd)?, mdia(media)?].concat()))
    }

    fn tables(&self, offset: u64, far: bool) -> Result<Vec<u8>, Mp4Error> {
        let count = self.samples.len() as u32;
        let stts = self.durations.iter().map(|duration| SttsEntry { sample_count: 1, sample_delta: *duration });
        let sizes = self.samples.iter().map(|sample| sample.len() as u32).collect();
        let chunk = StscEntry { first_chunk: 1, samples_per_chunk: count, sample_description_index: 1 };
        let mut body = full_box(b"stsd", &[&1_u32.to_be_bytes()[..], &boxed(b"text", &text_entry())].concat());
        body.extend(encoded(&Stts { entries: stts.collect() })?);
        body.extend(encoded(&Stsc { entries: vec![chunk] })?);
        body.extend(encoded(&Stsz { samples: StszSamples::Different { sizes } })?);
        body.extend(if far {
            encoded(&Co64 { entries: vec![offset] })?
        } else {
            encoded(&Stco { entries: vec![offset as u32] })?
        });
        Ok(boxed(b"stbl", &body))
    }
}

/// A sample of QuickTime text: its length, itself, and that it is UTF-8.
fn text_sample(title: &str) -> Bytes {
    let title = shortened(title, usize::from(u16::MAX));
    [&(title.len() as u16).to_be_bytes()[..], title.as_bytes(), &ENCODING_BOX].concat().into()
}

/// QuickTime's text sample description behind its type: nothing of it matters to a track that is never drawn.
fn text_entry() -> Vec<u8> {
    let mut entry = vec![0; 52];
    // The data reference: the file itself.
    entry[7] = 1;
    // The text is drawn from the left in black on white.
    entry[12..16].copy_from_slice(&1_u32.to_be_bytes());
    entry
}

/// QuickTime's base media header with a text media header inside, which players from Apple ask for.
fn base_media_header() -> Vec<u8> {
    let gmin = full_box(b"gmin", &[0, 0x40, 0x80, 0, 0x80, 0, 0x80, 0, 0, 0, 0, 0]);
    let identity: Vec<u8> =
        [0x1_0000_u32, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000].iter().flat_map(|value| value.to_be_bytes()).collect();
    boxed(b"gmhd", &[gmin, boxed(b"text", &identity)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_cut_between_characters() {
        assert_eq!(shortened("第一页", 7), "第一");
        assert_eq!(shortened("第一页", 9), "第一页");
    }

    #[test]
    fn more_slides_than_nero_can_count_are_all_in_the_text_track() {
        let chapter = |at: u64| Chapter { at_ms: at * 1_000, title: format!("第 {at} 页") };
        let chapters: Vec<_> = (0..300).map(chapter).collect();
        assert!(udta(&Labels::default(), &chapters).is_ok());
        let track = ChapterTrack::new(&chapters, 400_000).expect("chapters");
        assert_eq!(track.samples.len(), 300);
        assert_eq!(track.durations[299], 101_000);
    }
}
