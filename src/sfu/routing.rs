//! Which publication belongs in which slot: one pure function.

use crate::id::{ParticipantId, SourceName};

use super::input::{End, MediaKind, PublicationSpec, SlotKind};

/// The subscriber's side of the question.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    /// Nobody receives itself.
    pub participant: ParticipantId,
    /// One source instead of the whole lesson.
    pub source: Option<&'a SourceName>,
}

/// Whether `viewer` may receive `publication` at all: the studio's always, a classroom's from the stage only, its own never.
#[must_use]
pub fn may_receive(viewer: Viewer<'_>, publication: &PublicationSpec, stage: &[ParticipantId]) -> bool {
    let invited = publication.end == End::Studio || stage.contains(&publication.participant);
    invited && publication.participant != viewer.participant
}

/// The publication, by its place in `publications`, that belongs in slot `kind`/`index` of `viewer`.
///
/// `publications` are those of the lesson, oldest first; `stage` are the participants on stage, in the order of the stage slots.
/// `plays` tells of a publication whether the slot can decode what it carries, as far as that is known: where it can't play the
/// slides it gets their backup.
#[must_use]
pub fn publication_for(
    kind: SlotKind,
    index: u8,
    viewer: Viewer<'_>,
    publications: &[&PublicationSpec],
    stage: &[ParticipantId],
    plays: impl Fn(usize) -> bool,
) -> Option<usize> {
    let found = first_choice(kind, index, viewer, publications, stage)?;
    if publications[found].source != SourceName::slides() || plays(found) {
        return Some(found);
    }
    let backup = publications.iter().position(|publication| {
        let of_studio = publication.source == SourceName::slides_backup() && publication.end == End::Studio;
        of_studio && publication.kind == kind.media() && may_receive(viewer, publication, stage)
    });
    backup.filter(|&backup| plays(backup)).or(Some(found))
}

/// What belongs in a slot that plays everything.
fn first_choice(
    kind: SlotKind,
    index: u8,
    viewer: Viewer<'_>,
    publications: &[&PublicationSpec],
    stage: &[ParticipantId],
) -> Option<usize> {
    let candidates = publications
        .iter()
        .enumerate()
        .filter(|(_, publication)| publication.kind == kind.media() && may_receive(viewer, publication, stage));
    if let Some(source) = viewer.source {
        return candidates
            .filter(|(_, publication)| publication.source == *source)
            .nth(usize::from(index))
            .map(|(at, _)| at);
    }
    let (mut studio, mut staged): (Vec<_>, Vec<_>) =
        candidates.partition(|(_, publication)| publication.end == End::Studio);
    // It only ever stands in for the slides.
    studio.retain(|(_, publication)| publication.source != SourceName::slides_backup());
    staged.sort_by_key(|(_, publication)| stage.iter().position(|&on| on == publication.participant));
    let named = |studio: &[(usize, &&PublicationSpec)], name: &SourceName| {
        studio.iter().position(|(_, publication)| publication.source == *name)
    };
    // The teacher's slots take their publications first; what is left of the studio follows the stage.
    let slides = match kind.media() {
        MediaKind::Video => named(&studio, &SourceName::slides()).map(|at| studio.remove(at).0),
        MediaKind::Voice => None,
    };
    let first_other = || studio.iter().position(|(_, publication)| publication.source.as_str() != "pupils");
    let teacher = named(&studio, &SourceName::camera()).or_else(first_other).map(|at| studio.remove(at).0);
    let rest = |at: u8| staged.iter().chain(&studio).nth(usize::from(at)).map(|&(at, _)| at);
    match (kind, index) {
        (SlotKind::Slides, 0) => slides,
        (SlotKind::Camera | SlotKind::Voice, 0) => teacher,
        (SlotKind::Stage, index) => rest(index),
        (SlotKind::Voice, index) => rest(index - 1),
        (SlotKind::Slides | SlotKind::Camera, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ConnectionId, LessonId, PublicationId};
    use std::time::Instant;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn publication(participant: u64, end: End, source: &str, kind: MediaKind) -> PublicationSpec {
        PublicationSpec {
            id: PublicationId::random(),
            lesson: LessonId::from_u64(1),
            participant: ParticipantId::from_u64(participant),
            connection: ConnectionId::from_u64(participant),
            end,
            source: source.parse().expect("a good name"),
            kind,
            rids: Vec::new(),
            since: Instant::now(),
        }
    }

    fn slots(viewer: u64, publications: &[PublicationSpec], stage: &[u64]) -> Vec<Option<usize>> {
        let stage: Vec<_> = stage.iter().map(|&id| ParticipantId::from_u64(id)).collect();
        let publications: Vec<_> = publications.iter().collect();
        let viewer = Viewer { participant: ParticipantId::from_u64(viewer), source: None };
        [
            (SlotKind::Voice, 0),
            (SlotKind::Voice, 1),
            (SlotKind::Slides, 0),
            (SlotKind::Camera, 0),
            (SlotKind::Stage, 0),
            (SlotKind::Stage, 1),
        ]
        .into_iter()
        .map(|(kind, index)| publication_for(kind, index, viewer, &publications, &stage, |_| true))
        .collect()
    }

    fn lesson() -> Vec<PublicationSpec> {
        vec![
            publication(1, End::Studio, "pupils", MediaKind::Video),
            publication(1, End::Studio, "camera", MediaKind::Voice),
            publication(1, End::Studio, "camera", MediaKind::Video),
            publication(1, End::Studio, "slides", MediaKind::Video),
            publication(5, End::Classroom, "camera", MediaKind::Voice),
            publication(5, End::Classroom, "camera", MediaKind::Video),
        ]
    }

    #[test]
    fn the_teacher_comes_first_and_the_rest_of_the_studio_last() {
        assert_eq!(slots(9, &lesson(), &[]), [Some(1), None, Some(3), Some(2), Some(0), None]);
        assert_eq!(slots(9, &lesson(), &[5]), [Some(1), Some(4), Some(3), Some(2), Some(5), Some(0)]);
    }

    #[test]
    fn a_child_is_seen_from_the_stage_only_and_never_by_itself() {
        for (viewer, stage) in [(9, &[][..]), (5, &[5]), (5, &[])] {
            let mapped = slots(viewer, &lesson(), stage);
            assert!(!mapped.contains(&Some(4)) && !mapped.contains(&Some(5)), "{viewer} {stage:?} {mapped:?}");
        }
    }

    #[test]
    fn a_studio_with_one_oddly_named_source_is_still_seen() {
        let odd = [
            publication(1, End::Studio, "obs", MediaKind::Voice),
            publication(1, End::Studio, "obs", MediaKind::Video),
        ];
        assert_eq!(slots(9, &odd, &[]), [Some(0), None, None, Some(1), None, None]);
    }

    #[test]
    fn one_source_alone() {
        let lesson = lesson();
        let all: Vec<_> = lesson.iter().collect();
        let source = SourceName::slides();
        let viewer = Viewer { participant: ParticipantId::from_u64(9), source: Some(&source) };
        assert_eq!(publication_for(SlotKind::Slides, 0, viewer, &all, &[], |_| true), Some(3));
        assert_eq!(publication_for(SlotKind::Voice, 0, viewer, &all, &[], |_| true), None);
    }

    #[test]
    fn who_cannot_play_the_slides_gets_their_backup_and_nobody_else_does() {
        let mut lesson = lesson();
        lesson.push(publication(1, End::Studio, "slides-backup", MediaKind::Video));
        lesson.push(publication(5, End::Classroom, "slides-backup", MediaKind::Video));
        assert_eq!(slots(9, &lesson, &[]), [Some(1), None, Some(3), Some(2), Some(0), None]);
        let all: Vec<_> = lesson.iter().collect();
        let (source, stage) = (SourceName::slides(), [ParticipantId::from_u64(5)]);
        for (kind, source) in [(SlotKind::Slides, None), (SlotKind::Camera, Some(&source))] {
            let viewer = Viewer { participant: ParticipantId::from_u64(9), source };
            let found = |plays: &[usize]| publication_for(kind, 0, viewer, &all, &stage, |at| plays.contains(&at));
            assert_eq!(found(&[3, 6]), Some(3));
            assert_eq!(found(&[6]), Some(6));
            assert_eq!(found(&[7]), Some(3), "neither can be played: it is told so of the slides");
        }
    }
}
