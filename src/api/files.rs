//! Files as answers: ranges (RFC 9110 §14), entity tags, compression of texts, pieces that leave at the pace of a line.

use std::io::{self, Write};
use std::ops::RangeInclusive;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::lesson::Turn;
use crate::recording::Readable;
use crate::worker::mailbox::LineNominal;

/// What leaves at a time over a line that is shared.
const PIECE: usize = 16 * 1024;
/// A playlist of a whole day has less.
const LARGEST_TEXT: usize = 16 * 1024 * 1024;

/// How a file is answered with.
#[derive(Debug)]
pub(super) struct Answer {
    /// How long it may be kept, and by whom.
    pub(super) caching: &'static str,
    /// Over which line it leaves, where that has to be held back.
    pub(super) line: Option<u64>,
    /// What it is counted as.
    pub(super) counted: &'static str,
    /// Under which name it is to be saved; `None` = it is to be shown.
    pub(super) save_as: Option<String>,
}

/// The type of a file of media, by the ending of its name.
#[must_use]
pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "m3u8" => "application/vnd.apple.mpegurl",
        "mp4" => "video/mp4",
        "m4s" => "video/iso.segment",
        "m4a" => "audio/mp4",
        "json" => "application/json",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "vtt" => "text/vtt; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// What is wanted of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(RangeInclusive<u64>),
    Unchanged,
    Beyond,
}

/// Several ranges at a time are answered with the whole, as RFC 9110 §14.2 allows: no player asks for them.
fn wanted(asked: &HeaderMap, octets: u64, tag: &str) -> Wanted {
    let text = |name| asked.get(name).and_then(|value| value.to_str().ok());
    let names_it =
        |list: &str| list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag);
    if text(header::IF_NONE_MATCH).is_some_and(names_it) {
        return Wanted::Unchanged;
    }
    // A date says less than a tag: whoever sends one gets the whole.
    let is_current = text(header::IF_RANGE).is_none_or(|given| given.trim() == tag);
    let Some(range) = text(header::RANGE).filter(|_| is_current) else { return Wanted::Whole };
    let Ok(ranges) = http_range_header::parse_range_header(range) else { return Wanted::Whole };
    match ranges.validate(octets).as_deref() {
        Ok([range]) => Wanted::Part(range.clone()),
        Ok(_) => Wanted::Whole,
        Err(_) if octets == 0 => Wanted::Whole,
        Err(_) => Wanted::Beyond,
    }
}

/// Answer with a file that is read as it is sent.
///
/// # Errors
/// [`Kind::RangeBeyond`], or [`Kind::Internal`] when it can't be read.
pub(super) async fn media(
    state: &ApiState,
    asked: &HeaderMap,
    content_type: &'static str,
    readable: Readable,
    answer: Answer,
) -> Result<Response, Problem> {
    let (octets, tag) = (readable.octets(), format!("\"{}\"", readable.tag()));
    let (status, range) = match wanted(asked, octets, &tag) {
        Wanted::Whole => (StatusCode::OK, 0..octets),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, *range.start()..range.end() + 1),
        Wanted::Unchanged => (StatusCode::NOT_MODIFIED, 0..0),
        Wanted::Beyond => {
            let whole =
                HeaderValue::try_from(format!("bytes */{octets}")).unwrap_or(HeaderValue::from_static("bytes */0"));
            return Err(Problem::plain(Kind::RangeBeyond).with(header::CONTENT_RANGE, whole));
        }
    };
    let mut response = status.into_response();
    let headers = response.headers_mut();
    let mut put = |name, value: String| HeaderValue::try_from(value).ok().map(|value| headers.insert(name, value));
    put(header::ETAG, tag);
    put(header::CACHE_CONTROL, answer.caching.into());
    put(header::ACCEPT_RANGES, "bytes".into());
    if status == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    put(header::CONTENT_TYPE, content_type.into());
    put(header::CONTENT_LENGTH, (range.end - range.start).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        put(header::CONTENT_RANGE, format!("bytes {}-{}/{octets}", range.start, range.end - 1));
    }
    if let Some(name) = &answer.save_as {
        put(header::CONTENT_DISPOSITION, disposition(name));
    }
    let pieces = readable.stream(range).await.map_err(unreadable)?;
    *response.body_mut() = Body::from_stream(paced(state.clone(), pieces, &answer));
    Ok(response)
}

/// Answer with a text as it is now, compressed where the client takes it.
///
/// # Errors
/// [`Kind::Internal`] when it can't be read.
pub(super) async fn text(
    asked: &HeaderMap,
    content_type: &'static str,
    readable: Readable,
    answer: &Answer,
) -> Result<Response, Problem> {
    let accepted = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes_gzip = accepted.split(',').any(|word| {
        let mut parts = word.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    });
    let tag = format!("\"{}{}\"", readable.tag(), if takes_gzip { "-gzip" } else { "" });
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CACHE_CONTROL, answer.caching.to_owned()),
        (header::VARY, "Accept-Encoding".to_owned()),
        (header::ETAG, tag.clone()),
    ];
    // Of a text no part is of use: what it is asked for is let go.
    let mut without_range = asked.clone();
    without_range.remove(header::RANGE);
    if wanted(&without_range, readable.octets(), &tag) == Wanted::Unchanged {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let plain = readable.whole(LARGEST_TEXT).await.map_err(unreadable)?;
    let body = if takes_gzip { gzip(&plain).map_err(unreadable)? } else { plain };
    count(answer.counted, body.len());
    let mut response = (headers, body).into_response();
    if takes_gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// What is said to the log, and not to whoever asked.
fn unreadable(error: io::Error) -> Problem {
    tracing::error!(%error, "a file of a recording can't be read");
    Problem::plain(Kind::Internal)
}

fn count(counted: &'static str, octets: usize) {
    metrics::counter!("mingshi_recording_sent_bytes_total", "of" => counted).increment(octets as u64);
}

/// `attachment`, with the name in both ways of writing it (RFC 6266 §5, RFC 8187).
fn disposition(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let encoded = name.bytes().map(|octet| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(octet).to_string(),
        _ => format!("%{octet:02X}"),
    });
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", encoded.collect::<String>())
}

struct Leaving {
    state: ApiState,
    pieces: BoxStream<'static, io::Result<Bytes>>,
    rest: Bytes,
    line: Option<u64>,
    counted: &'static str,
}

/// The pieces, each when the line has its turn. When the server stops they end early, so that nobody waits for them: the client
/// sees that something is missing and asks again.
fn paced(
    state: ApiState,
    pieces: BoxStream<'static, io::Result<Bytes>>,
    answer: &Answer,
) -> BoxStream<'static, io::Result<Bytes>> {
    let leaving = Leaving { state, pieces, rest: Bytes::new(), line: answer.line, counted: answer.counted };
    stream::try_unfold(leaving, |mut leaving| async move {
        if leaving.rest.is_empty() {
            match leaving.pieces.try_next().await? {
                Some(piece) => leaving.rest = piece,
                None => return Ok(None),
            }
        }
        if leaving.state.directory.is_restarting() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server restarts"));
        }
        let piece = match leaving.line {
            Some(line) => {
                let piece = leaving.rest.split_to(PIECE.min(leaving.rest.len()));
                wait(&leaving.state, line, piece.len()).await?;
                piece
            }
            None => std::mem::take(&mut leaving.rest),
        };
        count(leaving.counted, piece.len());
        Ok(Some((piece, leaving)))
    })
    .boxed()
}

/// Wait until it is this piece's turn.
async fn wait(state: &ApiState, line: u64, octets: usize) -> io::Result<()> {
    let (usual, now) = (state.line_carries(&LineNominal::default()), state.clock.instant());
    if let Turn::At(at) = state.directory.lines().turn(line, octets, usual, now) {
        metrics::counter!("mingshi_recording_pieces_held_total").increment(1);
        tokio::select! {
            () = tokio::time::sleep(at.saturating_duration_since(now)) => {}
            () = state.directory.until_restarting() => {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server restarts"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        const TAG: &str = "\"abc\"";
        let range = |text: &'static str| wanted(&asked(&[(header::RANGE, text)]), 100, TAG);
        for (text, expected) in [
            ("bytes=0-", Wanted::Part(0..=99)),
            ("bytes=0-0", Wanted::Part(0..=0)),
            ("bytes=90-200", Wanted::Part(90..=99)),
            ("bytes=-10", Wanted::Part(90..=99)),
            ("bytes=100-", Wanted::Beyond),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("bytes=x", Wanted::Whole),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
        let current = |text| asked(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, text)]);
        assert_eq!(wanted(&current(TAG), 100, TAG), Wanted::Part(1..=2));
        assert_eq!(wanted(&current("\"abd\""), 100, TAG), Wanted::Whole);
        assert_eq!(wanted(&current("Tue, 24 Nov 2026 08:00:00 GMT"), 100, TAG), Wanted::Whole);
        assert_eq!(wanted(&asked(&[(header::IF_NONE_MATCH, "\"x\", W/\"abc\"")]), 100, TAG), Wanted::Unchanged);
        assert_eq!(wanted(&asked(&[(header::RANGE, "bytes=0-")]), 0, TAG), Wanted::Whole, "nothing is all there is");
    }

    #[test]
    fn a_name_to_save_under_breaks_out_of_no_header() {
        let said = disposition("英语\"\r\nx: y.mp4");
        assert_eq!(
            said,
            "attachment; filename=\"_____x__y.mp4\"; filename*=UTF-8''%E8%8B%B1%E8%AF%AD%22%0D%0Ax%3A%20y.mp4"
        );
    }
}
