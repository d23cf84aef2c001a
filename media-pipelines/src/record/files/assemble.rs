//! Movies out of what was recorded: pictures and voice side by side, chapters, and the right sample entry.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use mp4_atom::{Avc1, Avc3, Codec};

use super::super::timeline::SlideChange;
use super::dvr::Recorded;
use super::h264::ParameterSets;
use super::movie::{Chapter, Labels, Movie, Place, Sample, Track};

/// Parameter sets stand in the first octets of a keyframe; this is more than they ever take.
const FRONT: usize = 4 << 10;

/// 20 ms of silence in Opus.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// How many of them are a second.
const SILENCE_A_SECOND: usize = 50;

/// A movie and the files that its samples lie in.
#[derive(Debug)]
pub struct Assembled {
    /// The movie.
    pub movie: Movie,
    /// Its files.
    pub sources: Vec<PathBuf>,
}

/// Put tracks side by side.
#[must_use]
pub fn side_by_side<'a>(
    tracks: impl IntoIterator<Item = &'a Recorded>,
    chapters: Vec<Chapter>,
    labels: Labels,
) -> Assembled {
    let mut assembled = Assembled { movie: Movie { tracks: Vec::new(), chapters, labels }, sources: Vec::new() };
    for recorded in tracks {
        let before = assembled.sources.len() as u32;
        let mut track = recorded.track.clone();
        for sample in &mut track.samples {
            sample.place.file += before;
        }
        assembled.sources.extend(recorded.files.iter().cloned());
        assembled.movie.tracks.push(track);
    }
    assembled
}

/// Octets of a second of silence in Opus: packets of 20 ms.
#[must_use]
pub fn second_of_silence() -> Vec<u8> {
    SILENCE.repeat(SILENCE_A_SECOND)
}

/// Let a voice begin with the lesson and have no hole: `silence` is the number of the file that holds
/// [`second_of_silence`]. Players count from the earliest sample of a file, so that without it a lesson whose studio came
/// late would begin late too.
pub fn fill_with_silence(voice: &mut Track, silence: u32) {
    let length = u64::from(voice.timescale) / SILENCE_A_SECOND as u64;
    if length == 0 {
        return;
    }
    let mut filled = Vec::with_capacity(voice.samples.len());
    let mut end = 0;
    for sample in std::mem::take(&mut voice.samples) {
        // What is missing between two packets of sound is less than the one that would fill it.
        let missing = sample.decode.saturating_sub(end) / length;
        for index in 0..missing {
            let (decode, within) = (sample.decode - (missing - index) * length, index % SILENCE_A_SECOND as u64);
            let place = Place { file: silence, offset: within * SILENCE.len() as u64, size: SILENCE.len() as u32 };
            filled.push(Sample { decode, duration: length as u32, shift: 0, key: true, place });
        }
        end = sample.decode + opus_ticks(&sample, length);
        filled.push(sample);
    }
    voice.samples = filled;
    if let Some(first) = voice.samples.first_mut() {
        first.decode = 0;
    }
    voice.close_up();
}

/// How long a packet of sound lasts at most: one that is said to last longer was stretched over a hole.
fn opus_ticks(sample: &Sample, packet: u64) -> u64 {
    const LONGEST_PACKET: u64 = 6;
    u64::from(sample.duration).min(packet * LONGEST_PACKET)
}

/// Let pictures begin with the lesson, by showing the first one from the beginning.
///
/// An edit list could let them wait. But Firefox then jumps to wrong pictures, and of a file without a voice Chromium
/// would take the first picture for the beginning.
pub fn begin_with_the_lesson(pictures: &mut Track) {
    let Some(first) = pictures.samples.first().copied().filter(|first| first.decode > 0) else { return };
    pictures.samples.insert(0, Sample { decode: 0, ..first });
    pictures.close_up();
}

/// Chapters at the changes of slides.
#[must_use]
pub fn chapters(slides: &[SlideChange]) -> Vec<Chapter> {
    let mut chapters: Vec<Chapter> = Vec::new();
    if slides.first().is_some_and(|first| first.at_ms > 0) {
        chapters.push(Chapter { at_ms: 0, title: "开始 Beginning".into() });
    }
    for (slide, number) in slides.iter().zip(1..) {
        if chapters.last().is_none_or(|last| last.at_ms < slide.at_ms) {
            chapters.push(Chapter { at_ms: slide.at_ms, title: format!("课件 {number} Slide {number}") });
        }
    }
    chapters
}

/// Say in the sample entry of H.264 how its parameter sets are found: beside the samples (`avc1`) when they never change,
/// which every player knows, else inside of them (`avc3`).
///
/// # Errors
/// What the system says when a keyframe is read.
pub fn settle_parameter_sets(track: &mut Track, sources: &[PathBuf]) -> io::Result<()> {
    let (visual, avcc) = match &track.entry {
        Codec::Avc1(Avc1 { visual, avcc, .. }) | Codec::Avc3(Avc3 { visual, avcc, .. }) => (visual, avcc),
        _ => return Ok(()),
    };
    let mut known = ParameterSets::of_configuration(avcc);
    let mut changes = false;
    let mut open: Option<(u32, File)> = None;
    for sample in track.samples.iter().filter(|sample| sample.key) {
        let number = sample.place.file;
        let file = match &open {
            Some((same, file)) if *same == number => file,
            _ => {
                let path = sources.get(number as usize).ok_or(io::ErrorKind::NotFound)?;
                &open.insert((number, File::open(path)?)).1
            }
        };
        let mut front = vec![0; FRONT.min(sample.place.size as usize)];
        file.read_exact_at(&mut front, sample.place.offset)?;
        let Some(found) = ParameterSets::in_band(&front) else {
            // More in front of the picture than anyone sends: sets may hide in it.
            changes = true;
            continue;
        };
        if known.is_empty() {
            known = found;
        } else if !known.cover(&found) {
            changes = true;
        }
    }
    let avcc = known.configuration().unwrap_or_else(|| avcc.clone());
    let visual = visual.clone();
    track.entry = if changes {
        let (colr, pasp) = (None, None);
        Codec::Avc3(Avc3 { visual, avcc, btrt: None, colr, pasp, taic: None, fiel: None, spatial: None })
    } else {
        Codec::Avc1(Avc1 { visual, avcc, btrt: None, colr: None, pasp: None, taic: None, fiel: None, spatial: None })
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::movie::Kind;
    use super::*;

    fn voice(decodes: &[u64]) -> Track {
        let place = Place { file: 0, offset: 0, size: 80 };
        let sample = |decode: &u64| Sample { decode: *decode, duration: 960, shift: 0, key: true, place };
        let entry = Codec::Unknown((*b"Opus").into(), Vec::new());
        let samples = decodes.iter().map(sample).collect();
        Track { kind: Kind::Audio, timescale: 48_000, entry, skip: 0, samples }
    }

    #[test]
    fn a_voice_that_came_late_and_paused_is_silent_before_and_between() {
        let mut track = voice(&[2_000, 2_960, 6_900]);
        fill_with_silence(&mut track, 7);
        let told: Vec<_> = track.samples.iter().map(|sample| (sample.decode, sample.duration)).collect();
        // What doesn't fill a packet is left to the packet before.
        let expected = [
            (0, 1_040),
            (1_040, 960),
            (2_000, 960),
            (2_960, 1_060),
            (4_020, 960),
            (4_980, 960),
            (5_940, 960),
            (6_900, 960),
        ];
        assert_eq!(told, expected);
        assert_eq!(track.end(), 6_900 + 960);
        assert_eq!(track.samples.iter().filter(|sample| sample.place.file == 7).count(), 5);
    }

    #[test]
    fn silence_is_taken_from_one_second_again_and_again() {
        let mut track = voice(&[48_000 * 3]);
        fill_with_silence(&mut track, 1);
        assert_eq!(track.samples.len(), 151);
        let places: Vec<_> = track.samples.iter().map(|sample| sample.place.offset).collect();
        assert_eq!((places[0], places[49], places[50], places[149]), (0, 147, 0, 147));
        assert_eq!(second_of_silence().len(), 150);
    }

    #[test]
    fn pictures_that_come_late_show_the_first_one_from_the_beginning() {
        let mut track = voice(&[5_000, 6_000]);
        begin_with_the_lesson(&mut track);
        let told: Vec<_> = track.samples.iter().map(|sample| (sample.decode, sample.duration)).collect();
        assert_eq!(told, [(0, 5_000), (5_000, 1_000), (6_000, 960)]);
    }

    #[test]
    fn chapters_begin_with_the_lesson_and_change_with_the_slides() {
        let slide = |at_ms| SlideChange { at_ms, picture: None };
        let chapters = chapters(&[slide(4_000), slide(4_000), slide(9_500)]);
        let titles: Vec<_> = chapters.iter().map(|chapter| (chapter.at_ms, chapter.title.as_str())).collect();
        assert_eq!(titles, [(0, "开始 Beginning"), (4_000, "课件 1 Slide 1"), (9_500, "课件 3 Slide 3")]);
        assert!(super::chapters(&[]).is_empty());
    }
}
