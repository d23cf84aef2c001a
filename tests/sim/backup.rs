//! Slides in a codec that not everybody decodes, and their backup beside them.

use mingshi::id::SourceName;
use mingshi::rtp::codec::Codec;
use mingshi::sfu::input::SlotKind;
use mingshi::sfu::output::Paused;

use super::sim::encoder::H264;
use super::sim::{Lesson, Quality, Room, Track, millis, secs};

/// A classroom whose old computer decodes H.264 only.
const OLD: &[Codec] = &[Codec::Opus, H264];

fn slides(lesson: &Lesson, room: Room) -> (usize, Option<Paused>) {
    (lesson.stream(room, SlotKind::Slides, 0).played.len(), lesson.slot(room, SlotKind::Slides, 0).paused)
}

#[test]
fn an_old_classroom_gets_the_backup_as_soon_as_it_is_sent_and_a_new_one_keeps_the_slides() {
    let mut lesson = Lesson::new(80);
    let mut backup = Track::slides(H264, 20);
    backup.source = SourceName::slides_backup();
    backup.encodings[0].on = false;
    let studio = lesson.studio(vec![Track::slides(Codec::Vp8, 20), backup]);
    let new = lesson.join(Quality::GOOD);
    let old = lesson.join_as(None, OLD, Quality::GOOD);
    lesson.run(secs(2));
    assert!(slides(&lesson, new).0 > 7);
    assert_eq!(slides(&lesson, old), (0, Some(Paused::UnsupportedCodec)));
    // The studio hears of it.
    lesson.publishers[studio].tracks[1].encodings[0].on = true;
    lesson.publishers[studio].tracks[1].encodings[0].keyframe_wanted = true;
    lesson.run(secs(1));
    assert!(slides(&lesson, old).0 > 2 && slides(&lesson, old).1.is_none(), "{:?}", slides(&lesson, old));
    let of = |room| lesson.stream(room, SlotKind::Slides, 0).played.last().map(|played| played.stamp.track);
    assert_eq!((of(new), of(old)), (Some(1), Some(2)));
    // Another old classroom comes, and finds it there.
    let late = lesson.join_as(None, OLD, Quality::GOOD);
    lesson.run(millis(600));
    assert!(slides(&lesson, late).0 > 0);
    // The studio's browser goes over to what everybody decodes.
    lesson.change_codec(studio, 0, H264, true);
    lesson.run(secs(2));
    for room in [new, old, late] {
        let last = lesson.stream(room, SlotKind::Slides, 0).played.last().expect("it plays").stamp.track;
        assert_eq!((last, slides(&lesson, room).1), (1, None));
    }
}
