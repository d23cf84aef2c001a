//! Playlists (RFC 8216bis, with its partial segments for low latency).

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A segment is never longer, in seconds.
pub(super) const SEGMENT_SECONDS: u64 = 12;
/// A part is never meant to be longer, in milliseconds.
pub(super) const PART_MS: u64 = 500;
/// Segments at the end whose parts are told.
const SEGMENTS_IN_PARTS: usize = 3;
/// Where a file would stand if there were one.
const NOTHING: &str = "gap.m4s";

/// A finished segment, or a hole in time. Times are ticks of its rendition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// The number of its file; of a hole, none.
    pub(super) number: Option<u32>,
    pub(super) start: u64,
    pub(super) end: u64,
    /// The number of its initialisation segment.
    pub(super) init: u32,
}

/// A part of a segment that is among the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartLine {
    /// The number of its segment's file.
    pub(super) segment: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Whether it begins with a keyframe.
    pub(super) is_independent: bool,
}

/// What a rendition's playlist is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Media<'a> {
    pub(super) timescale: u32,
    /// Unix milliseconds at tick zero.
    pub(super) zero_unix_ms: i64,
    pub(super) lines: &'a [Line],
    /// In order; those of the segment that isn't finished are the last.
    pub(super) parts: &'a [PartLine],
    /// The initialisation segment of what isn't finished.
    pub(super) init: u32,
    /// Whether every segment begins with a keyframe.
    pub(super) is_independent: bool,
    pub(super) is_live: bool,
}

/// The parts of the last segments are enough for a playlist.
pub(super) fn forget_old_parts(lines: &[Line], parts: &mut Vec<PartLine>) {
    let oldest = lines.iter().rev().filter_map(|line| line.number).nth(SEGMENTS_IN_PARTS - 2).unwrap_or(0);
    parts.retain(|part| part.segment >= oldest);
}

/// A segment's file.
pub(super) fn segment_file(number: u32) -> String {
    format!("{number:06}.m4s")
}

/// An initialisation segment's file.
pub(super) fn init_file(number: u32) -> String {
    format!("init-{number}.mp4")
}

/// A rendition's playlist.
pub(super) fn media(media: &Media<'_>) -> String {
    let seconds = |ticks: u64| ticks as f64 / f64::from(media.timescale);
    let longest = media.lines.iter().map(|line| line.end - line.start).max().unwrap_or(0);
    let target = (seconds(longest).round() as u64).max(SEGMENT_SECONDS);
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{target}\n");
    let part_target = media.parts.iter().map(|part| part.end - part.start).max().map_or(0.0, seconds);
    let part_target = part_target.max(PART_MS as f64 / 1_000.0);
    if media.is_live {
        let hold_back = 3.0 * part_target;
        let _ = writeln!(text, "#EXT-X-PART-INF:PART-TARGET={part_target:.5}");
        let _ = writeln!(text, "#EXT-X-SERVER-CONTROL:PART-HOLD-BACK={hold_back:.5}");
    }
    text.push_str("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:EVENT\n");
    if media.is_independent {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let mut current_init = None;
    let mut begin = |text: &mut String, init: u32, start: u64| {
        if current_init != Some(init) {
            if current_init.replace(init).is_some() {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"{}\"", init_file(init));
        }
        let unix_ms = media.zero_unix_ms + (start * 1_000 / u64::from(media.timescale)) as i64;
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", date_time(unix_ms));
    };
    let parts_of = |text: &mut String, number: u32| {
        for part in media.parts.iter().filter(|part| media.is_live && part.segment == number) {
            let duration = seconds(part.end - part.start);
            let file = segment_file(number);
            let PartLine { length, offset, .. } = part;
            let _ = write!(text, "#EXT-X-PART:DURATION={duration:.5},URI=\"{file}\",BYTERANGE=\"{length}@{offset}\"");
            text.push_str(if part.is_independent { ",INDEPENDENT=YES\n" } else { "\n" });
        }
    };
    for line in media.lines {
        begin(&mut text, line.init, line.start);
        let file = match line.number {
            Some(number) => {
                parts_of(&mut text, number);
                segment_file(number)
            }
            None => {
                text.push_str("#EXT-X-GAP\n");
                NOTHING.to_owned()
            }
        };
        let _ = writeln!(text, "#EXTINF:{:.5},\n{file}", seconds(line.end - line.start));
    }
    let last = media.lines.iter().rev().find_map(|line| line.number).unwrap_or(0);
    if let Some(first) = media.parts.iter().find(|part| part.segment > last) {
        begin(&mut text, media.init, first.start);
        parts_of(&mut text, first.segment);
    }
    if !media.is_live {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

/// One rendition as a master playlist tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    /// Of its playlist, from the master's folder.
    pub(super) address: String,
    pub(super) codec: String,
    pub(super) bits_per_second: u64,
    pub(super) size: Option<(u32, u32)>,
}

/// A track's playlist: its variants, and the sound's playlist beside pictures where there is sound.
pub(super) fn master(variants: &[Variant], voice: Option<&Variant>) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:9\n".to_owned();
    if let Some(voice) = voice {
        let address = &voice.address;
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"voice\",NAME=\"voice\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"{address}\""
        );
    }
    for variant in variants {
        let bits = variant.bits_per_second + voice.map_or(0, |voice| voice.bits_per_second);
        let codecs = [Some(&variant.codec), voice.map(|voice| &voice.codec)];
        let codecs: Vec<_> = codecs.into_iter().flatten().map(String::as_str).collect();
        let _ = write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={},CODECS=\"{}\"", bits.max(1), codecs.join(","));
        if let Some((width, height)) = variant.size {
            let _ = write!(text, ",RESOLUTION={width}x{height}");
        }
        if voice.is_some() {
            text.push_str(",AUDIO=\"voice\"");
        }
        let _ = writeln!(text, "\n{}", variant.address);
    }
    text
}

/// ISO 8601 of Unix milliseconds, in UTC.
fn date_time(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    // Days since 0000-03-01 in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_playlist_tells_holes_parts_and_a_new_initialisation_segment() {
        let line = |number, start: u64, end: u64, init| Line { number, start: start * 90, end: end * 90, init };
        let lines = [line(Some(1), 0, 10_000, 1), line(None, 10_000, 16_000, 1), line(Some(2), 16_000, 20_000, 2)];
        let part = |offset, start: u64, is_independent| PartLine {
            segment: 3,
            start: start * 90,
            end: (start + 500) * 90,
            offset,
            length: 100,
            is_independent,
        };
        let parts = [part(0, 20_000, true), part(100, 20_500, false)];
        let zero_unix_ms = 1_795_512_345_678;
        let mut source = Media {
            timescale: 90_000,
            zero_unix_ms,
            lines: &lines,
            parts: &parts,
            init: 2,
            is_independent: true,
            is_live: true,
        };
        let expected = "\
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:12
#EXT-X-PART-INF:PART-TARGET=0.50000
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=1.50000
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"init-1.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T09:25:45.678Z
#EXTINF:10.00000,
000001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T09:25:55.678Z
#EXT-X-GAP
#EXTINF:6.00000,
gap.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"init-2.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T09:26:01.678Z
#EXTINF:4.00000,
000002.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-24T09:26:05.678Z
#EXT-X-PART:DURATION=0.50000,URI=\"000003.m4s\",BYTERANGE=\"100@0\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI=\"000003.m4s\",BYTERANGE=\"100@100\"
";
        assert_eq!(media(&source), expected);
        source.is_live = false;
        source.parts = &[];
        assert!(media(&source).ends_with("000002.m4s\n#EXT-X-ENDLIST\n") && !media(&source).contains("PART"));
    }

    #[test]
    fn a_master_playlist_puts_the_voice_beside_the_pictures() {
        let variant = |address: &str, codec: &str, bits_per_second, size| Variant {
            address: address.into(),
            codec: codec.into(),
            bits_per_second,
            size,
        };
        let voice = variant("voice/audio/index.m3u8", "opus", 32_000, None);
        let high = variant("camera/high/index.m3u8", "avc3.42e01f", 1_200_000, Some((1280, 720)));
        let text = master(&[high], Some(&voice));
        assert!(text.ends_with(
            "#EXT-X-STREAM-INF:BANDWIDTH=1232000,CODECS=\"avc3.42e01f,opus\",RESOLUTION=1280x720,AUDIO=\"voice\"\ncamera/high/index.m3u8\n"
        ), "{text}");
        assert!(text.contains("URI=\"voice/audio/index.m3u8\"\n"));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date_time(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(date_time(1_767_225_599_999), "2025-12-31T23:59:59.999Z");
        assert_eq!(date_time(-1), "1969-12-31T23:59:59.999Z");
    }
}
