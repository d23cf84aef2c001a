//! Why a slot got what it got, as it is kept with its lesson and told in words.

use serde::Serialize;
use time::OffsetDateTime;

use crate::id::ParticipantId;
use crate::lesson::SlotName;
use crate::units::Bitrate;
use crate::worker::mailbox::Decision;

/// One decision of a lesson.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// When it was told of.
    pub at: OffsetDateTime,
    /// Whose slot.
    pub participant: ParticipantId,
    /// What the participant was called then.
    pub name: Option<String>,
    /// Its school, as shown then.
    pub school: Option<String>,
    /// Which kind of slot.
    pub slot: SlotName,
    /// Its number among its kind.
    pub index: u8,
    /// What flowed before, as a place up the ladder, 0 = lowest; `None` = nothing.
    pub from: Option<u8>,
    /// What was to flow from then on.
    pub to: Option<u8>,
    /// The word of the reason.
    pub reason: String,
    /// What the members of its line might spend together; `None` = whatever they wanted.
    pub budget: Option<Bitrate>,
    /// What the line was measured to carry.
    pub estimate: Option<Bitrate>,
    /// What was decided for all of them came to.
    pub allocated: Bitrate,
    /// How many shared the line.
    pub members: u32,
}

impl Decided {
    /// A worker's decision for this participant, told of now.
    #[must_use]
    pub fn new(
        decision: &Decision,
        participant: ParticipantId,
        (name, school): (Option<String>, Option<String>),
        at: OffsetDateTime,
    ) -> Self {
        Self {
            at,
            participant,
            name,
            school,
            slot: decision.slot.into(),
            index: decision.index,
            from: decision.from,
            to: decision.to,
            reason: decision.reason.name().to_owned(),
            budget: decision.budget,
            estimate: decision.estimate,
            allocated: decision.allocated,
            members: u32::try_from(decision.members).unwrap_or(u32::MAX),
        }
    }

    /// The reason in words, in Chinese and English.
    #[must_use]
    pub fn reason_in_words(&self) -> (&str, &str) {
        match self.reason.as_str() {
            "best" => ("老师发送的最好一档", "the best that is sent"),
            "capped" => ("页面要求不超过这一档", "the page wants no more"),
            "not_sent" => ("老师这时没有发送更好的", "better ones aren't sent at present"),
            "silent" => ("老师这时没有发送", "nothing is sent at present"),
            "small" => ("页面上显示得小，或看不见", "it is shown small, or not at all"),
            "no_room" => ("线路装不下更多", "the line carries no more"),
            "tier" => ("线路也许还能装，但上课只能用到这里", "lessons may use no more of the line"),
            "own" => {
                ("学校的线路够用，这个课堂自己的一段不够", "the line would do, this classroom's own part of it won't")
            }
            "waiting" => ("有余地了，先看是否稳定", "there is room, which has yet to prove that it lasts"),
            other => (other, other),
        }
    }

    /// Its line in Chinese and English, as people read it.
    #[must_use]
    pub fn in_words(&self) -> String {
        let (zh, en) = self.reason_in_words();
        let who: Vec<&str> = [&self.school, &self.name].into_iter().flatten().map(String::as_str).collect();
        let who = if who.is_empty() { self.participant.to_string() } else { who.join(" ") };
        let rate = |rate: Option<Bitrate>| rate.map_or_else(|| "—".to_owned(), |rate| rate.to_string());
        format!(
            "{who}  {} {}/{}  {} → {}  {zh} {en}  预算 budget {}  实测 estimate {}  已分 allocated {} / {}",
            slot_in_words(self.slot),
            self.slot.word(),
            self.index,
            step_in_words(self.from),
            step_in_words(self.to),
            rate(self.budget),
            rate(self.estimate),
            self.allocated,
            self.members,
        )
    }
}

const fn slot_in_words(slot: SlotName) -> &'static str {
    match slot {
        SlotName::Voice => "声音",
        SlotName::Slides => "课件",
        SlotName::Camera => "教师画面",
        SlotName::Stage => "台上",
    }
}

/// People count from one.
fn step_in_words(place: Option<u8>) -> String {
    place.map_or_else(|| "停 none".to_owned(), |place| format!("第{n}档 layer {n}", n = u16::from(place) + 1))
}

/// A decision as programs read it.
#[derive(Debug, Serialize)]
pub struct DecidedView<'a> {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Whose slot.
    pub participant: ParticipantId,
    /// What the participant was called then.
    pub name: Option<&'a str>,
    /// Its school.
    pub school: Option<&'a str>,
    /// Which kind of slot.
    pub slot: SlotName,
    /// Its number.
    pub index: u8,
    /// What flowed before.
    pub from: Option<u8>,
    /// What was to flow.
    pub to: Option<u8>,
    /// The word of the reason.
    pub reason: &'a str,
    /// In Chinese.
    pub reason_zh: &'a str,
    /// In English.
    pub reason_en: &'a str,
    /// Bits per second.
    pub budget: Option<u64>,
    /// Bits per second.
    pub estimate: Option<u64>,
    /// Bits per second.
    pub allocated: u64,
    /// How many shared the line.
    pub members: u32,
}

impl<'a> From<&'a Decided> for DecidedView<'a> {
    fn from(decided: &'a Decided) -> Self {
        let (reason_zh, reason_en) = decided.reason_in_words();
        Self {
            at: decided.at,
            participant: decided.participant,
            name: decided.name.as_deref(),
            school: decided.school.as_deref(),
            slot: decided.slot,
            index: decided.index,
            from: decided.from,
            to: decided.to,
            reason: &decided.reason,
            reason_zh,
            reason_en,
            budget: decided.budget.map(Bitrate::bps),
            estimate: decided.estimate.map(Bitrate::bps),
            allocated: decided.allocated.bps(),
            members: decided.members,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_decision_is_told_in_one_line_of_both_languages() {
        let decided = Decided {
            at: datetime!(2026-11-24 02:05:00 UTC),
            participant: ParticipantId::from_u64(7),
            name: Some("五（1）班".into()),
            school: Some("河棚镇中心小学".into()),
            slot: SlotName::Camera,
            index: 0,
            from: Some(1),
            to: None,
            reason: "no_room".into(),
            budget: Some(Bitrate::from_bps(700_000)),
            estimate: None,
            allocated: Bitrate::from_bps(640_000),
            members: 2,
        };
        assert_eq!(
            decided.in_words(),
            "河棚镇中心小学 五（1）班  教师画面 camera/0  第2档 layer 2 → 停 none  线路装不下更多 the line carries no more  \
             预算 budget 700 kbit/s  实测 estimate —  已分 allocated 640 kbit/s / 2"
        );
        let later = Decided { reason: "of a later version".into(), ..decided };
        assert_eq!(later.reason_in_words().0, "of a later version");
    }
}
