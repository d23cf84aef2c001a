//! A studio, classrooms of two schools, and who is told what.

use std::time::Duration;

use time::macros::datetime;

use super::*;
use crate::id::LessonId;
use crate::lesson::{Direction, Line, PausedReason, SlotName};
use crate::worker::mailbox::{Paused, SlotKind};

const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);
const LESSON: LessonId = LessonId::from_u64(1);
const STUDIO: ParticipantId = ParticipantId::from_u64(10);
const SHUCHENG: ParticipantId = ParticipantId::from_u64(20);
const HUOSHAN: ParticipantId = ParticipantId::from_u64(30);

fn connection(number: u64) -> ConnectionId {
    ConnectionId::from_u64(number)
}

fn identity(participant: ParticipantId, role: Role) -> Identity {
    Identity { participant, role, name: Some(format!("名 {participant}")), school: None }
}

fn viewer(participant: ParticipantId, role: Role) -> Viewer {
    Viewer { participant, role }
}

/// A studio on connection 1 and two classrooms' pages.
fn lesson() -> Live {
    let mut live = Live::default();
    live.introduce(identity(STUDIO, Role::Studio), NOW);
    live.connecting(connection(1), STUDIO, vec![SourceName::camera(), SourceName::slides()]);
    live.apply(Report::Up { lesson: LESSON, participant: STUDIO, connection: connection(1) });
    for classroom in [SHUCHENG, HUOSHAN] {
        live.introduce(identity(classroom, Role::Classroom), NOW);
        live.page_opened(classroom);
    }
    live
}

fn video(id: u64, participant: ParticipantId, end: End, source: SourceName) -> PublicationReport {
    let layer = LayerReport { rid: None, bitrate: 400_000, size: Some((640, 360)) };
    PublicationReport {
        id: PublicationId::from_u64(id),
        participant,
        connection: connection(id),
        end,
        source,
        kind: MediaKind::Video,
        codec: Some("h264"),
        layers: vec![layer],
        silent: false,
    }
}

fn publish(live: &mut Live, publication: PublicationReport) -> Vec<Notice> {
    live.apply(Report::Publication { lesson: LESSON, publication })
}

/// The types of the messages that a viewer is told, in order.
fn told(notices: &[Notice], viewer: Viewer) -> Vec<String> {
    let heard = notices.iter().filter(|notice| notice.to.includes(viewer));
    let word = |notice: &Notice| serde_json::to_value(&notice.message).expect("messages become JSON")["type"].clone();
    heard.map(|notice| word(notice).as_str().expect("a type is a word").to_owned()).collect()
}

#[test]
fn classrooms_see_the_studio_and_themselves_but_not_each_other() {
    let live = lesson();
    let seen = |viewer| live.participants(viewer).into_iter().map(|p| p.id).collect::<Vec<_>>();
    assert_eq!(seen(viewer(STUDIO, Role::Studio)), [STUDIO, SHUCHENG, HUOSHAN]);
    assert_eq!(seen(viewer(SHUCHENG, Role::Classroom)), [STUDIO, SHUCHENG]);
    assert_eq!(seen(viewer(HUOSHAN, Role::Classroom)), [STUDIO, HUOSHAN]);
}

#[test]
fn a_raised_hand_is_seen_by_the_studio_and_not_by_the_neighbour() {
    let mut live = lesson();
    let notices = live.raise_hand(SHUCHENG, true);
    assert_eq!(told(&notices, viewer(STUDIO, Role::Studio)), ["participant"]);
    assert_eq!(told(&notices, viewer(SHUCHENG, Role::Classroom)), ["participant"]);
    assert_eq!(told(&notices, viewer(HUOSHAN, Role::Classroom)), [""; 0]);
    assert_eq!(live.raise_hand(SHUCHENG, true), [], "raised already");
    assert_eq!(live.raise_hand(STUDIO, true), [], "a studio has no hand to raise");
}

#[test]
fn a_classroom_on_stage_comes_into_everybodys_sight_and_leaves_it_again() {
    let mut live = lesson();
    let neighbour = viewer(HUOSHAN, Role::Classroom);
    publish(&mut live, video(7, SHUCHENG, End::Classroom, SourceName::camera()));
    assert_eq!(live.publications(neighbour), [], "not before it is on stage");
    live.raise_hand(SHUCHENG, true);

    let notices = live.set_stage(&[SHUCHENG, SHUCHENG]).expect("a classroom that is there");
    assert_eq!(live.stage(), [SHUCHENG]);
    assert_eq!(told(&notices, neighbour), ["participant", "publication"]);
    assert_eq!(live.publications(neighbour).len(), 1);
    let shown = live.participants(neighbour).into_iter().find(|p| p.id == SHUCHENG).expect("in sight");
    assert!(shown.on_stage && !shown.hand_raised, "its hand is answered");

    let notices = live.set_stage(&[]).expect("an empty stage");
    assert_eq!(told(&notices, neighbour), ["publication_ended", "participant_left"]);
    assert_eq!(told(&notices, viewer(STUDIO, Role::Studio)), ["participant"]);
    assert_eq!(told(&notices, viewer(SHUCHENG, Role::Classroom)), ["participant"]);
    assert_eq!(live.publications(neighbour), []);
}

#[test]
fn the_stage_takes_only_classrooms_that_came_and_only_so_many() {
    let mut live = lesson();
    let stranger = ParticipantId::from_u64(99);
    assert_eq!(live.set_stage(&[stranger]), Err(StageError::Unknown(stranger)));
    assert_eq!(live.set_stage(&[STUDIO]), Err(StageError::NotAClassroom(STUDIO)));
    let many: Vec<ParticipantId> = (100..107).map(ParticipantId::from_u64).collect();
    for &classroom in &many {
        live.introduce(identity(classroom, Role::Classroom), NOW);
    }
    assert_eq!(live.set_stage(&many), Err(StageError::Full { asked: 7 }));
    assert_eq!(live.stage(), [], "nothing changed");
}

#[test]
fn somebody_is_there_as_long_as_a_page_or_a_connection_is() {
    let mut live = lesson();
    let studio = viewer(STUDIO, Role::Studio);
    live.connecting(connection(2), SHUCHENG, Vec::new());
    let up = Report::Up { lesson: LESSON, participant: SHUCHENG, connection: connection(2) };
    assert_eq!(told(&live.apply(up.clone()), studio), ["participant"]);
    assert_eq!(live.apply(up), [], "reports may come twice");

    assert_eq!(live.page_closed(SHUCHENG), [], "the connection is still there");
    let down = Report::Down { lesson: LESSON, participant: SHUCHENG, connection: connection(2), why: Closed::Expired };
    assert_eq!(told(&live.apply(down.clone()), studio), ["participant_left"]);
    assert_eq!(live.apply(down), []);
    assert_eq!(live.present(), 2);
    assert_eq!(told(&live.page_opened(SHUCHENG), studio), ["participant"], "and comes back");
}

#[test]
fn who_is_replaced_is_told_which_connection_was_meant() {
    let mut live = lesson();
    publish(&mut live, video(7, STUDIO, End::Studio, SourceName::camera()));
    let ended =
        Report::PublicationEnded { lesson: LESSON, publication: PublicationId::from_u64(7), why: Closed::Replaced };
    assert_eq!(told(&live.apply(ended), viewer(SHUCHENG, Role::Classroom)), ["publication_ended", "participant"]);
    let down = Report::Down { lesson: LESSON, participant: STUDIO, connection: connection(1), why: Closed::Replaced };
    let notices = live.apply(down);
    let replaced = |source| Message::Replaced(Replaced { source, connection: connection(1) });
    let messages: Vec<_> = notices.iter().map(|notice| notice.message.clone()).collect();
    assert_eq!(messages[..2], [replaced(SourceName::camera()), replaced(SourceName::slides())]);
    assert_eq!(told(&notices[..2], viewer(SHUCHENG, Role::Classroom)), [""; 0]);
    let remembered: Vec<_> = live.replaced(STUDIO).into_iter().map(Message::Replaced).collect();
    assert_eq!(remembered, messages[..2], "for a page whose line was dead then");
    assert_eq!(live.replaced(SHUCHENG), []);
}

#[test]
fn of_many_replacements_the_latest_are_remembered() {
    let mut live = lesson();
    for number in 10..60 {
        live.connecting(connection(number), STUDIO, vec![SourceName::camera()]);
        let why = Closed::Replaced;
        live.apply(Report::Down { lesson: LESSON, participant: STUDIO, connection: connection(number), why });
    }
    let remembered: Vec<_> = live.replaced(STUDIO).into_iter().map(|replaced| replaced.connection).collect();
    assert_eq!(remembered, (44..60).map(connection).collect::<Vec<_>>());
}

#[test]
fn a_stage_that_is_restored_is_the_stage_before_anybody_is_back() {
    let mut before = lesson();
    before.set_stage(&[SHUCHENG]).expect("it has come");
    let mut after = Live::default();
    after.restore_stage(before.on_stage(), NOW);
    assert_eq!((after.stage(), after.present()), (&[SHUCHENG][..], 0));
    assert!(!after.is_idle(), "it isn't forgotten");
    assert_eq!(after.on_stage(), before.on_stage());
}

#[test]
fn a_bitrate_alone_is_no_news() {
    let mut live = lesson();
    let mut slides = video(7, STUDIO, End::Studio, SourceName::slides());
    assert_eq!(
        told(&publish(&mut live, slides.clone()), viewer(SHUCHENG, Role::Classroom)),
        ["publication", "participant"]
    );
    slides.layers[0].bitrate = 900_000;
    assert_eq!(publish(&mut live, slides.clone()), []);
    assert_eq!(live.publications(viewer(STUDIO, Role::Studio))[0].layers[0].bitrate, 900_000, "but it is known");
    slides.silent = true;
    assert_eq!(told(&publish(&mut live, slides), viewer(SHUCHENG, Role::Classroom)), ["publication"]);
}

#[test]
fn slots_are_told_to_their_owner_and_again_when_their_publication_is_known() {
    let mut live = lesson();
    let slot = SlotState {
        slot: SlotKind::Slides,
        index: 0,
        mid: "2".into(),
        publication: Some(PublicationId::from_u64(7)),
        layer: None,
        paused: Some(Paused::WaitingForKeyframe),
    };
    let slots = Report::Slots { lesson: LESSON, participant: SHUCHENG, connection: connection(2), slots: vec![slot] };
    let notices = live.apply(slots.clone());
    assert_eq!(told(&notices, viewer(SHUCHENG, Role::Classroom)), ["slots"]);
    assert_eq!(told(&notices, viewer(STUDIO, Role::Studio)), [""; 0]);
    assert_eq!(live.apply(slots), [], "nothing new");

    let notices = publish(&mut live, video(7, STUDIO, End::Studio, SourceName::slides()));
    assert_eq!(told(&notices, viewer(SHUCHENG, Role::Classroom)), ["publication", "participant", "slots"]);
    let shown = &live.slots(SHUCHENG)[0];
    assert_eq!((shown.slot, shown.source.clone()), (SlotName::Slides, Some(SourceName::slides())));
    assert_eq!((shown.participant, shown.paused), (Some(STUDIO), Some(PausedReason::WaitingForKeyframe)));
}

#[test]
fn lines_go_to_the_studio_whole_and_to_each_classroom_its_own() {
    let mut live = lesson();
    for (number, participant) in [(2, SHUCHENG), (3, HUOSHAN)] {
        let line = LineReport {
            up: false,
            loss: 0.05,
            round_trip: Some(Duration::from_millis(80)),
            jitter: Duration::from_millis(7),
            bitrate: 900_000,
            ..LineReport::default()
        };
        live.apply(Report::Line { lesson: LESSON, participant, connection: connection(number), line });
    }
    let notices = live.line_notices();
    let lines = |viewer| {
        let heard = notices.iter().filter(move |notice| notice.to.includes(viewer));
        heard.flat_map(|notice| match &notice.message {
            Message::Line { lines } => lines.clone(),
            other => panic!("expected lines, got {other:?}"),
        })
    };
    assert_eq!(lines(viewer(STUDIO, Role::Studio)).count(), 2);
    let own: Vec<Line> = lines(viewer(SHUCHENG, Role::Classroom)).collect();
    assert_eq!(own.len(), 1);
    assert_eq!((own[0].participant, own[0].round_trip_ms, own[0].direction), (SHUCHENG, Some(80), Direction::Down));
    assert_eq!(live.line_notices(), [], "measured once, told once");
}

#[test]
fn a_flood_of_strangers_takes_bounded_memory() {
    let mut live = lesson();
    for number in 1000..(1000 + 2 * MAX_REMEMBERED as u64) {
        live.introduce(identity(ParticipantId::from_u64(number), Role::Classroom), NOW);
    }
    assert!(live.people.len() <= MAX_REMEMBERED);
    assert_eq!(live.present(), 3, "those who are there stay");
}

#[test]
fn the_studio_hears_whether_anybody_needs_the_slides_in_another_codec() {
    let mut live = lesson();
    let (studio, classroom) = (viewer(STUDIO, Role::Studio), viewer(SHUCHENG, Role::Classroom));
    let wanted = |notices: &[Notice]| {
        let heard = notices.iter().filter(|notice| notice.to.includes(studio) && !notice.to.includes(classroom));
        let told = heard.filter_map(|notice| match &notice.message {
            Message::Wanted { source, wanted } => Some((source.clone(), *wanted)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let (yes, no) = ([(SourceName::slides_backup(), true)], [(SourceName::slides_backup(), false)]);
    publish(&mut live, video(7, STUDIO, End::Studio, SourceName::slides()));
    let slot = |publication: u64, paused: Option<Paused>| SlotState {
        slot: SlotKind::Slides,
        index: 0,
        mid: "3".into(),
        publication: Some(PublicationId::from_u64(publication)),
        layer: None,
        paused,
    };
    let slots = |participant, number: u64, slot| Report::Slots {
        lesson: LESSON,
        participant,
        connection: connection(number),
        slots: vec![slot],
    };
    assert_eq!(wanted(&live.apply(slots(HUOSHAN, 3, slot(7, None)))), []);
    assert_eq!(wanted(&live.apply(slots(SHUCHENG, 2, slot(7, Some(Paused::WaitingForKeyframe))))), []);
    assert_eq!(wanted(&live.apply(slots(SHUCHENG, 2, slot(7, Some(Paused::UnsupportedCodec))))), yes);
    assert_eq!(live.backup_standing().map(|told| wanted(&[told])), Some(yes.to_vec()), "a page that comes later");
    // It comes, and is what the classroom gets from then on.
    publish(&mut live, video(8, STUDIO, End::Studio, SourceName::slides_backup()));
    assert_eq!(wanted(&live.apply(slots(SHUCHENG, 2, slot(8, None)))), []);
    let down = Report::Down { lesson: LESSON, participant: SHUCHENG, connection: connection(2), why: Closed::Deleted };
    assert_eq!(wanted(&live.apply(down)), no);
    assert_eq!(live.backup_standing(), None);
}
