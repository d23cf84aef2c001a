//! What pages say of what they show, and what is decided of it, told and kept.

use mingshi::id::{ConnectionId, LessonId, ParticipantId, PublicationId};
use mingshi::units::Bitrate;
use mingshi::worker::mailbox::{Decision, LineReport, Paused, Reason, Report, SlotKind, SlotState};
use serde_json::json;

use crate::events::Page;
use crate::support::{Asked, Site, id, word};

fn camera(layer: Option<u8>, paused: Option<Paused>) -> SlotState {
    let publication = Some(PublicationId::from_u64(1));
    SlotState { slot: SlotKind::Camera, index: 0, mid: "2".into(), publication, layer, paused }
}

fn decision(from: Option<u8>, to: Option<u8>, reason: Reason) -> Decision {
    Decision {
        slot: SlotKind::Camera,
        index: 0,
        publication: PublicationId::from_u64(1),
        from,
        to,
        reason,
        budget: Some(Bitrate::from_bps(700_000)),
        estimate: Some(Bitrate::from_bps(900_000)),
        allocated: Bitrate::from_bps(440_000),
        members: 2,
    }
}

/// A lesson on air with a studio and a classroom in it.
struct Lesson {
    site: Site,
    lesson: LessonId,
    studio: Page,
    classroom: Page,
    participant: ParticipantId,
    connection: ConnectionId,
}

impl Lesson {
    async fn begin() -> Self {
        let site = Site::start().await;
        let operator = site.operator().await;
        let lesson = site.lesson(&operator, true).await;
        let mut studio = Page::open(&site, &lesson, &site.token(&operator, &lesson, "studio").await).await;
        studio.expect("welcome").await;
        let mut classroom = Page::open(&site, &lesson, &site.token(&operator, &lesson, "classroom").await).await;
        let participant = word(&classroom.expect("welcome").await, "participant").parse().expect("an id");
        studio.expect("participant").await;
        let connection = ConnectionId::random_on(0);
        Self { site, lesson: id(&lesson, "id"), studio, classroom, participant, connection }
    }

    async fn report(&self, report: Report) {
        self.site.reports.send(report).await.expect("the directory runs");
    }

    async fn slots(&self, slots: Vec<SlotState>) {
        let Self { lesson, participant, connection, .. } = *self;
        self.report(Report::Slots { lesson, participant, connection, slots }).await;
    }

    async fn decided(&self, decision: Decision) {
        let Self { lesson, participant, connection, .. } = *self;
        self.report(Report::Decision { lesson, participant, connection, decision }).await;
    }
}

#[tokio::test]
async fn a_page_says_how_large_it_shows_a_slot() {
    let mut on_air = Lesson::begin().await;
    for (width, height) in [(1366, 768), (0, 0)] {
        let shown = json!({ "type": "shown", "slot": "slides", "index": 0, "width": width, "height": height });
        on_air.classroom.say(shown).await;
    }
    on_air.classroom.say(json!({ "type": "ping" })).await;
    on_air.classroom.expect("pong").await;
    let show = |pixels| Asked::Show { slot: SlotKind::Slides, index: 0, pixels: Some(pixels) };
    assert_eq!(on_air.site.media.asked(), [show(1366 * 768), show(0)]);
    on_air.classroom.say(json!({ "type": "shown", "slot": "slides", "index": 0, "width": -1, "height": 1 })).await;
    on_air.classroom.expect("problem").await;
}

#[tokio::test]
async fn what_a_line_takes_is_told_to_its_classroom_and_to_the_studio() {
    let mut on_air = Lesson::begin().await;
    on_air.slots(vec![camera(Some(0), None)]).await;
    assert_eq!(on_air.classroom.expect("slots").await["slots"][0]["held"], json!(null));
    on_air.decided(decision(Some(1), Some(0), Reason::NoRoom)).await;
    assert_eq!(on_air.classroom.expect("slots").await["slots"][0]["held"], "no_room");

    let Lesson { lesson, participant, connection, .. } = on_air;
    let line =
        LineReport { estimate: Some(900_000), budget: Some(700_000), tier: Some("4M".into()), ..LineReport::default() };
    on_air.report(Report::Line { lesson, participant, connection, line: line.clone() }).await;
    for page in [&mut on_air.studio, &mut on_air.classroom] {
        let told = page.expect("line").await["lines"][0].clone();
        assert_eq!(
            (&told["tier"], &told["estimate"], &told["budget"]),
            (&json!("4M"), &json!(900_000), &json!(700_000))
        );
        assert_eq!(told["cut"], json!([{ "slot": "camera", "index": 0, "paused": false }]));
    }

    on_air.slots(vec![camera(None, Some(Paused::NoRoom))]).await;
    assert_eq!(on_air.classroom.expect("slots").await["slots"][0]["paused"], "no_room");
    on_air.report(Report::Line { lesson, participant, connection, line }).await;
    let told = on_air.studio.expect("line").await["lines"][0].clone();
    assert_eq!(told["cut"], json!([{ "slot": "camera", "index": 0, "paused": true }]));
    on_air.classroom.expect("line").await;

    on_air.slots(vec![camera(Some(1), None)]).await;
    on_air.classroom.expect("slots").await;
    on_air.decided(decision(None, Some(1), Reason::Best)).await;
    assert_eq!(on_air.classroom.expect("slots").await["slots"][0]["held"], json!(null));
}

#[tokio::test]
async fn decisions_are_kept_with_their_lesson_in_order() {
    let on_air = Lesson::begin().await;
    on_air.decided(decision(Some(2), Some(1), Reason::NoRoom)).await;
    on_air.decided(decision(Some(1), None, Reason::Tier)).await;
    let (lesson, participant) = (on_air.lesson, on_air.participant);
    let store = &on_air.site.running.state.store;
    let kept = loop {
        let (kept, let_go) = store.decisions(lesson).await.expect("read");
        assert_eq!(let_go, 0);
        if kept.len() == 2 {
            break kept;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let told: Vec<_> = kept.iter().map(|decided| (decided.from, decided.to, decided.reason.as_str())).collect();
    assert_eq!(told, [(Some(2), Some(1), "no_room"), (Some(1), None, "tier")]);
    assert_eq!((kept[0].participant, kept[0].name.as_deref()), (participant, Some("王老师")));

    // The command reads beside the server that writes.
    let explain = async |more: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mingshi"));
        command.env("MINGSHI_SERVER_DATA", on_air.site.data().join("data"));
        command.args(["lesson", "explain", &lesson.to_string()]).args(more);
        let output = command.output().await.expect("the program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let told = explain(&[]).await;
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(
        told.lines().last().is_some_and(|line| line.contains("王老师") && line.contains("lessons may use no more")),
        "{told}"
    );
    assert_eq!(explain(&["--json", "--participant", &participant.to_string()]).await.lines().count(), 2);

    // What is decided in the last moment is kept, too.
    on_air.decided(decision(None, Some(0), Reason::Waiting)).await;
    while on_air.site.reports.capacity() < on_air.site.reports.max_capacity() {
        tokio::task::yield_now().await;
    }
    let site = on_air.site.restart().await;
    assert_eq!(site.running.state.store.decisions(lesson).await.expect("read").0.len(), 3);
}
