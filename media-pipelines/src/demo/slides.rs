//! The slides of the demonstration lesson: fifth-grade English, "What would you like?".

use super::picture::Picture;
use super::svg::{DrawError, Rasteriser};
use super::time_code;
use crate::clock::UnixTime;

/// How long every slide is shown, in seconds.
pub const SLIDE_SECONDS: u64 = 6;
const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;
const INK: &str = "#1d2733";
const QUIET: &str = "#5d6b7a";
const ACCENT: &str = "#1f5fa8";
const PAPER: &str = "#fbfaf6";
const TINT: &str = "#e7eef6";

/// All slides, drawn before the lesson starts.
#[derive(Debug)]
pub struct Slides {
    pages: Vec<Picture>,
}

impl Slides {
    /// Draw them.
    ///
    /// # Errors
    /// [`DrawError`] if the SVG decoder fails.
    pub fn draw(rasteriser: &Rasteriser) -> Result<Self, DrawError> {
        let bodies = pages();
        let count = bodies.len();
        let pages = bodies.iter().enumerate().map(|(index, body)| {
            let page = format!("{}{body}", frame(index + 1, count));
            rasteriser.draw(WIDTH, HEIGHT, &page).map(|drawing| Picture::from_drawing(&drawing))
        });
        Ok(Self { pages: pages.collect::<Result<_, _>>()? })
    }

    /// The screen at `time`: the slide of that moment with its time code and its change counter.
    #[must_use]
    pub fn at(&self, time: UnixTime) -> Picture {
        let changes = time.as_secs() / SLIDE_SECONDS;
        let mut picture = self.pages[(changes % self.pages.len() as u64) as usize].clone();
        time_code::write_slide_counter(&mut picture, (changes % (1 << 12)) as u16);
        time_code::write(&mut picture, time);
        picture
    }
}

/// How long it takes until the first slide comes again, in seconds.
#[must_use]
pub fn loop_seconds() -> u64 {
    pages().len() as u64 * SLIDE_SECONDS
}

/// What all slides have in common. The lowest 96 pixels belong to the time code and the counter.
fn frame(number: usize, count: usize) -> String {
    format!(
        r##"<rect width="1920" height="1080" fill="{PAPER}"/><rect width="24" height="984" fill="{ACCENT}"/>
        <g font-family="Noto Sans CJK SC" font-size="30" fill="{QUIET}">
        <text x="110" y="950">五年级英语 · Unit 3</text><text x="1810" y="950" text-anchor="end">{number} / {count}</text></g>"##
    )
}

fn pages() -> [String; 8] {
    [title(), goals(), words(), sentence(), dialogue(), practice(), your_turn(), summary()]
}

fn text(x: u32, y: u32, size: u32, fill: &str, weight: u32, content: &str) -> String {
    format!(
        r#"<text x="{x}" y="{y}" font-family="Noto Sans CJK SC" font-size="{size}" font-weight="{weight}" fill="{fill}">{content}</text>"#
    )
}

fn heading(chinese: &str, english: &str) -> String {
    let beside = 110 + 84 * chinese.chars().count() as u32 + 36;
    format!(
        r#"{}{}<rect x="112" y="224" width="120" height="8" fill="{ACCENT}"/>"#,
        text(110, 180, 84, INK, 700, chinese),
        text(beside, 178, 44, QUIET, 400, english),
    )
}

fn title() -> String {
    [
        text(190, 330, 56, ACCENT, 500, "五年级英语（上） Unit 3"),
        text(186, 500, 132, INK, 700, "What would you like?"),
        text(190, 640, 84, INK, 500, "你想吃点什么？"),
        text(190, 790, 48, QUIET, 400, "名师在线课堂 · 城乡同上一堂课"),
    ]
    .concat()
}

fn goals() -> String {
    let lines = ["会说六种食物和饮料的名称", "会问：What would you like to eat?", "会答：I'd like a sandwich, please."];
    let rows = lines.iter().enumerate().map(|(index, line)| {
        let y = 400 + 170 * index as u32;
        format!(
            r#"<circle cx="165" cy="{}" r="46" fill="{TINT}"/>{}{}"#,
            y - 22,
            text(148, y, 56, ACCENT, 700, &(index + 1).to_string()),
            text(260, y, 64, INK, 400, line),
        )
    });
    heading("学习目标", "What we will learn today") + &rows.collect::<String>()
}

fn words() -> String {
    let words = [
        ("sandwich", "三明治"),
        ("salad", "蔬菜沙拉"),
        ("hamburger", "汉堡包"),
        ("ice cream", "冰淇淋"),
        ("tea", "茶"),
        ("water", "水"),
    ];
    let cards = words.iter().enumerate().map(|(index, (english, chinese))| {
        let (x, y) = (110 + 580 * (index as u32 % 3), 310 + 290 * (index as u32 / 3));
        format!(
            r#"<rect x="{x}" y="{y}" width="540" height="250" rx="24" fill="{TINT}"/>{}{}"#,
            text(x + 44, y + 118, 76, INK, 700, english),
            text(x + 44, y + 204, 56, ACCENT, 400, chinese),
        )
    });
    heading("单词", "Words") + &cards.collect::<String>()
}

fn sentence() -> String {
    [
        heading("重点句型", "Sentences"),
        format!(r#"<rect x="110" y="310" width="1700" height="250" rx="24" fill="{TINT}"/>"#),
        text(160, 420, 80, INK, 700, "What would you like to eat?"),
        text(160, 515, 52, ACCENT, 400, "你想吃点什么？"),
        format!(r#"<rect x="110" y="600" width="1700" height="250" rx="24" fill="{TINT}"/>"#),
        text(160, 710, 80, INK, 700, "I'd like a sandwich, please."),
        text(160, 805, 52, ACCENT, 400, "我想要一个三明治。"),
    ]
    .concat()
}

fn dialogue() -> String {
    let lines = [
        ("爷爷", "What would you like to eat, Wu Yifan?"),
        ("吴一凡", "A sandwich, please."),
        ("爷爷", "What would you like to drink?"),
        ("吴一凡", "I'd like some water."),
    ];
    let rows = lines.iter().enumerate().map(|(index, (who, line))| {
        let y = 390 + 140 * index as u32;
        text(110, y, 52, ACCENT, 700, who) + &text(340, y, 66, INK, 400, line)
    });
    heading("听一听，说一说", "Listen and say") + &rows.collect::<String>()
}

fn practice() -> String {
    let choices = [("A", "a hamburger"), ("B", "some tea"), ("C", "a salad")];
    let rows = choices.iter().enumerate().map(|(index, (letter, choice))| {
        let y = 560 + 130 * index as u32;
        format!(
            r#"<rect x="112" y="{}" width="92" height="92" rx="20" fill="{ACCENT}"/>{}{}"#,
            y - 68,
            text(138, y, 60, "#ffffff", 700, letter),
            text(250, y, 68, INK, 400, choice),
        )
    });
    [
        heading("练一练", "Choose the right answer"),
        text(110, 400, 70, INK, 700, "— What would you like to drink?"),
        rows.collect(),
    ]
    .concat()
}

fn your_turn() -> String {
    [
        heading("轮到你了", "Your turn"),
        text(110, 420, 72, INK, 400, "请两位同学上台，一问一答："),
        text(110, 570, 84, INK, 700, "What would you like for lunch?"),
        text(110, 700, 84, ACCENT, 700, "I'd like …, please."),
        text(110, 840, 52, QUIET, 400, "想发言的同学请举手"),
    ]
    .concat()
}

fn summary() -> String {
    [
        heading("小结", "Summary"),
        text(110, 390, 68, INK, 400, "问　What would you like to eat / drink?"),
        text(110, 510, 68, INK, 400, "答　I'd like …, please."),
        format!(r#"<rect x="110" y="600" width="1700" height="250" rx="24" fill="{TINT}"/>"#),
        text(160, 700, 56, ACCENT, 700, "课后作业"),
        text(160, 795, 60, INK, 400, "和家人用英语说一说今天的晚饭。"),
    ]
    .concat()
}
