//! Whether this machine has what the media process needs, in words.

use std::process::Command;

use serde::Serialize;

/// An element of GStreamer and the Debian package it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Element {
    name: &'static str,
    package: &'static str,
    purpose: &'static str,
    purpose_zh: &'static str,
}

const fn element(
    name: &'static str,
    package: &'static str,
    purpose: &'static str,
    purpose_zh: &'static str,
) -> Element {
    Element { name, package, purpose, purpose_zh }
}

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";
const LIBAV: &str = "gstreamer1.0-libav";

const ELEMENTS: [Element; 17] = [
    element("appsrc", BASE, "feeding pictures and sound", "送入画面和声音"),
    element("appsink", BASE, "taking out encoded media", "取出编码后的音视频"),
    element("audioconvert", BASE, "converting sound", "转换声音格式"),
    element("audioresample", BASE, "resampling sound", "声音重采样"),
    element("oggdemux", BASE, "reading the recorded voice", "读取语音文件"),
    element("opusenc", BASE, "encoding voice", "编码语音"),
    element("x264enc", UGLY, "encoding H.264", "编码 H.264"),
    element("vp8enc", GOOD, "encoding VP8", "编码 VP8"),
    element("rsvgdec", BAD, "drawing slides", "绘制课件"),
    element("videoscale", BASE, "pictures of recordings", "生成录像画面"),
    element("opusdec", BASE, "decoding the voice of recordings", "解码录像的声音"),
    element("vp8dec", GOOD, "decoding VP8 in recordings", "解码录像中的 VP8"),
    element("jpegenc", GOOD, "posters and slides of recordings", "生成录像封面和课件图片"),
    element("h264parse", BAD, "reading H.264 in recordings", "读取录像中的 H.264"),
    element("av1dec", BAD, "decoding AV1 in recordings", "解码录像中的 AV1"),
    element("avdec_h264", LIBAV, "decoding H.264 in recordings", "解码录像中的 H.264"),
    element("avenc_aac", LIBAV, "encoding the voice of recordings for every player", "为录像的兼容版本编码声音"),
];

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The element or font.
    pub name: String,
    /// The Debian package that has it.
    pub package: &'static str,
    /// What is wrong, in English.
    pub detail: String,
    /// The same in Chinese.
    pub detail_zh: String,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Whether nothing is missing.
    pub ok: bool,
    /// The version of GStreamer.
    pub gstreamer: Option<String>,
    /// All that is missing.
    pub missing: Vec<Missing>,
}

/// Look at this machine.
#[must_use]
pub fn check() -> Findings {
    if let Err(error) = gstreamer::init() {
        let detail = format!("GStreamer doesn't start: {error}");
        let detail_zh = format!("GStreamer 无法启动：{error}");
        let missing = Missing { name: "gstreamer".into(), package: "libgstreamer1.0-0", detail, detail_zh };
        return Findings { ok: false, gstreamer: None, missing: vec![missing] };
    }
    let present = |element: &Element| gstreamer::ElementFactory::find(element.name).is_some();
    let mut missing: Vec<_> = ELEMENTS.iter().filter(|element| !present(element)).map(missing_element).collect();
    if !has_chinese_font() {
        missing.push(Missing {
            name: "font".into(),
            package: "fonts-noto-cjk",
            detail:
                "no font with Chinese characters is installed: slides would show boxes (apt install fonts-noto-cjk)"
                    .into(),
            detail_zh: "没有安装中文字体，课件会显示成方框（apt install fonts-noto-cjk）".into(),
        });
    }
    Findings { ok: missing.is_empty(), gstreamer: Some(gstreamer::version_string().to_string()), missing }
}

impl Findings {
    /// What to tell a person: Chinese first, one line for everything that is missing.
    #[must_use]
    pub fn in_words(&self) -> String {
        let version = self.gstreamer.as_deref().unwrap_or("GStreamer");
        if self.ok {
            return format!("{version}：媒体组件齐全。All media components are present.\n");
        }
        let lines = self.missing.iter().map(|missing| format!("- {}\n  {}\n", missing.detail_zh, missing.detail));
        format!("{version}：缺少 {0} 项。{0} missing.\n{1}", self.missing.len(), lines.collect::<String>())
    }
}

fn missing_element(element: &Element) -> Missing {
    let Element { name, package, purpose, purpose_zh } = *element;
    Missing {
        name: name.into(),
        package,
        detail: format!("the GStreamer element {name} for {purpose} is missing (apt install {package})"),
        detail_zh: format!("缺少 GStreamer 组件 {name}（用于{purpose_zh}），请安装：apt install {package}"),
    }
}

/// Without fontconfig's tool nobody can tell; then the font is assumed, as the drawing works without it.
fn has_chinese_font() -> bool {
    match Command::new("fc-list").args([":lang=zh-cn", "family"]).output() {
        Ok(listed) => !listed.stdout.is_empty(),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_element_is_named_with_its_package_in_both_languages() {
        let missing = missing_element(&ELEMENTS[6]);
        let findings = Findings { ok: false, gstreamer: Some("GStreamer 1.22.0".into()), missing: vec![missing] };
        let words = findings.in_words();
        assert!(words.contains("请安装：apt install gstreamer1.0-plugins-ugly"), "{words}");
        assert!(words.contains("x264enc for encoding H.264 is missing"), "{words}");
    }
}
