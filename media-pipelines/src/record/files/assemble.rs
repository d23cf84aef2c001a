//! Movies out of what was recorded: pictures and voice side by side, chapters, and the right sample entry.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use mp4_atom::{Avc1, Avc3, Codec};

use super::super::timeline::SlideChange;
use super::dvr::Recorded;
use super::h264::ParameterSets;
use super::movie::{Chapter, Labels, Movie, Track};

/// Parameter sets stand in the first octets of a keyframe; this is more than they ever take.
const FRONT: usize = 4 << 10;

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
    use super::*;

    #[test]
    fn chapters_begin_with_the_lesson_and_change_with_the_slides() {
        let slide = |at_ms| SlideChange { at_ms, picture: None };
        let chapters = chapters(&[slide(4_000), slide(4_000), slide(9_500)]);
        let titles: Vec<_> = chapters.iter().map(|chapter| (chapter.at_ms, chapter.title.as_str())).collect();
        assert_eq!(titles, [(0, "开始 Beginning"), (4_000, "课件 1 Slide 1"), (9_500, "课件 3 Slide 3")]);
        assert!(super::chapters(&[]).is_empty());
    }
}
