//! `mingshi lesson explain`: why each classroom of a lesson got what it got, in words.

use anyhow::Context;

use super::print;
use crate::config::Config;
use crate::id::LessonId;
use crate::lesson::{Decided, DecidedView, Lesson};
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The lesson.
    lesson: LessonId,
    /// Only of this participant: its id, or a part of its name or school.
    #[arg(long, value_name = "WHO")]
    participant: Option<String>,
    /// Print one JSON object per decision.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    let data = &config.server.data;
    let store = Store::read_only(data).await.with_context(|| {
        format!("数据目录里没有可读的数据库 no database that can be read in the data folder {}", data.display())
    })?;
    let lesson = store.lesson(arguments.lesson).await?;
    let lesson = lesson.with_context(|| format!("没有这节课 there is no lesson {}", arguments.lesson))?;
    let (decisions, let_go) = store.decisions(lesson.id).await?;
    store.close().await;
    print(&tell(&lesson, &decisions, let_go, &arguments)?)?;
    Ok(())
}

fn tell(lesson: &Lesson, decisions: &[Decided], let_go: u64, arguments: &Arguments) -> anyhow::Result<String> {
    let wanted = decisions.iter().filter(|decided| is_of(decided, arguments.participant.as_deref()));
    if arguments.json {
        let lines: Result<Vec<String>, _> =
            wanted.map(|decided| serde_json::to_string(&DecidedView::from(decided))).collect();
        return Ok(lines?.join("\n"));
    }
    let mut lines = vec![format!("{}  {}  （时间为 UTC times are UTC）", lesson.id, lesson.title)];
    if let_go > 0 {
        lines.push(format!("更早的 {let_go} 条没有保留 {let_go} earlier decisions aren't kept"));
    }
    let before = lines.len();
    lines.extend(wanted.map(|decided| format!("{}  {}", time_of(decided), decided.in_words())));
    if lines.len() == before {
        lines.push("没有记录 nothing is on record".to_owned());
    }
    Ok(lines.join("\n"))
}

fn time_of(decided: &Decided) -> String {
    let (date, time) = (decided.at.date(), decided.at.time());
    let (hour, minute, second, millisecond) = time.as_hms_milli();
    format!("{date} {hour:02}:{minute:02}:{second:02}.{millisecond:03}")
}

fn is_of(decided: &Decided, who: Option<&str>) -> bool {
    let Some(who) = who else { return true };
    let has = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(who));
    decided.participant.to_string() == who || has(&decided.name) || has(&decided.school)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ParticipantId;
    use crate::lesson::{Draft, JoinCode, SlotName};
    use crate::units::Bitrate;
    use time::macros::datetime;

    #[test]
    fn a_lesson_is_explained_in_order_for_all_or_for_one() {
        let at = datetime!(2026-11-24 02:05:00.250 UTC);
        let draft = Draft { title: "数学".into(), ..Draft::default() };
        let lesson = Lesson::new(draft, JoinCode::random(), at).expect("it has a title");
        let decided = |name: &str, to| Decided {
            at,
            participant: ParticipantId::random(),
            name: Some(name.into()),
            school: None,
            slot: SlotName::Camera,
            index: 0,
            from: Some(2),
            to,
            reason: "no_room".into(),
            budget: Some(Bitrate::from_bps(700_000)),
            estimate: Some(Bitrate::from_bps(900_000)),
            allocated: Bitrate::from_bps(640_000),
            members: 2,
        };
        let decisions = [decided("甲", Some(1)), decided("乙", None)];
        let told = |participant: Option<&str>, json| {
            let arguments = Arguments { lesson: lesson.id, participant: participant.map(Into::into), json };
            tell(&lesson, &decisions, 3, &arguments).expect("it can be written")
        };
        let all = told(None, false);
        let lines: Vec<&str> = all.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[2].starts_with("2026-11-24 02:05:00.250  甲  教师画面 camera/0  第3档 layer 3 → 第2档 layer 2"));
        assert_eq!(told(Some(&decisions[1].participant.to_string()), false).lines().count(), 3);
        assert!(told(Some("丙"), false).ends_with("nothing is on record"));
        let json: serde_json::Value = serde_json::from_str(&told(Some("乙"), true)).expect("one object");
        assert_eq!((&json["to"], &json["reason"]), (&serde_json::Value::Null, &"no_room".into()));
        assert_eq!(json["budget"], 700_000);
    }
}
