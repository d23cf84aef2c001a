//! What is told to people when something goes wrong while recording.

use super::events::Problem;
use super::pictures::Level;

/// A part of the journal can't be read.
pub(super) fn damaged(at_ms: u64) -> Problem {
    Problem {
        track: None,
        at_ms,
        en: "a part of the journal is damaged and was left out; check the disk if this happens again".into(),
        zh: "部分日志损坏，已跳过；若再次出现，请检查磁盘".into(),
    }
}

/// The server received something and couldn't keep it.
pub(super) fn not_kept(track: Option<String>, at_ms: u64, lasts_ms: u64, is_disk: bool) -> Problem {
    let (en, zh) = if is_disk {
        ("the disk is full or too slow; free some space", "磁盘已满或过慢，请释放空间")
    } else {
        ("the machine is too busy", "机器负载过高")
    };
    Problem {
        track,
        at_ms,
        en: format!("{lasts_ms} ms could not be kept: {en}"),
        zh: format!("有 {lasts_ms} 毫秒内容未能保存：{zh}"),
    }
}

/// VP8 can't be kept as it is, and there is no time to encode it.
pub(super) fn no_time_to_encode(track: &str, at_ms: u64, level: Level) -> Problem {
    let (en, zh) = match level {
        Level::High => (
            "VP8 pictures are encoded for the recording, and there is no time for the best ones; only the small ones are \
             kept while live. Raise recording.transcode_cores or have the studio send H.264",
            "录制需要将 VP8 转码，而转码算力不足，直播期间只保留低清画面；请调高 recording.transcode_cores，或让主讲端使用 H.264",
        ),
        Level::Low => (
            "VP8 pictures are encoded for the recording, and there is no time for the small ones. Raise \
             recording.transcode_cores or have the studio send H.264",
            "录制需要将 VP8 转码，而转码算力不足，低清画面未保留；请调高 recording.transcode_cores，或让主讲端使用 H.264",
        ),
    };
    Problem { track: Some(track.to_owned()), at_ms, en: en.into(), zh: zh.into() }
}

/// An encoder stopped working.
pub(super) fn encoder_failed(track: String, at_ms: u64, gives_up: bool) -> Problem {
    let (en, zh) = if gives_up {
        (
            "pictures can't be encoded and are left out of the recording until the studio sends them anew; have it publish \
             again, and see the log",
            "画面转码反复失败，录制中将缺少该画面，直至主讲端重新发布；请让主讲端重新发布，并查看日志",
        )
    } else {
        ("the encoder failed and was started again", "转码器出错，已重新启动")
    };
    Problem { track: Some(track), at_ms, en: en.into(), zh: zh.into() }
}

/// Too many pictures wait for an encoder.
pub(super) fn encoder_too_slow(track: &str, at_ms: u64) -> Problem {
    Problem {
        track: Some(track.to_owned()),
        at_ms,
        en: "this machine is too slow to encode these pictures; some are left out of the recording".into(),
        zh: "本机转码速度不足，录制中将缺少部分画面".into(),
    }
}

/// Slides can't be looked at.
pub(super) fn slides_unseen(at_ms: u64) -> Problem {
    Problem {
        track: Some("slides".into()),
        at_ms,
        en: "slides can't be decoded, so there are no slide changes to jump to; `mingshi-media check` says what is missing"
            .into(),
        zh: "无法解码课件画面，回看时没有翻页目录；请运行 mingshi-media check 查看缺少的组件".into(),
    }
}

/// Nothing can be written.
pub(super) fn disk_refuses(at_ms: u64, error: &std::io::Error) -> Problem {
    Problem {
        track: None,
        at_ms,
        en: format!(
            "the recording can't be written: {error}. It goes on by itself once the disk takes it; nothing is lost"
        ),
        zh: format!("录制文件无法写入：{error}。磁盘恢复后会自动继续，内容不会丢失"),
    }
}
