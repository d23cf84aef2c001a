//! Trickled candidates and ICE restarts: SDP fragments (RFC 8840 §9, RFC 9725 §4.3).

use super::answer::candidates;
use super::{Error, Local, check_credentials, check_text};

/// What a client sent after its offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// User name fragment and password, if the fragment names them.
    pub credentials: Option<(String, String)>,
    /// How many candidates it brings. An ICE-lite agent learns addresses from checks, so only their number matters.
    pub candidates: usize,
}

/// Reads a fragment.
///
/// # Errors
/// [`Error::Malformed`] with the line that can't be read.
pub fn parse_fragment(text: &str) -> Result<Fragment, Error> {
    check_text(text)?;
    let (mut ufrag, mut password, mut candidates, mut ended) = (None, None, 0, false);
    for (index, line) in text.lines().enumerate() {
        let Some((kind @ ("a" | "m" | "c"), rest)) = line.split_once('=') else {
            if line.trim().is_empty() {
                continue;
            }
            return Err(Error::Malformed(format!("line {} of the fragment is no attribute and no m-line", index + 1)));
        };
        let (key, value) = rest.split_once(':').map_or((rest, ""), |(key, value)| (key, value.trim()));
        match (kind, key.trim()) {
            ("a", "ice-ufrag") => ufrag = ufrag.or(Some(value)),
            ("a", "ice-pwd") => password = password.or(Some(value)),
            ("a", "candidate") => candidates += 1,
            ("a", "end-of-candidates") => ended = true,
            _ => {}
        }
    }
    let credentials = match (ufrag, password) {
        (Some(ufrag), Some(password)) => {
            check_credentials(ufrag, password)?;
            Some((ufrag.to_owned(), password.to_owned()))
        }
        (None, None) => None,
        _ => return Err(Error::Malformed("a=ice-ufrag and a=ice-pwd go together".into())),
    };
    if credentials.is_none() && candidates == 0 && !ended {
        return Err(Error::Malformed("the fragment holds neither credentials nor candidates nor their end".into()));
    }
    Ok(Fragment { credentials, candidates })
}

/// Writes our new credentials and all candidates, in the section of the first of the bundled `mids`, with the ICE
/// options of the answer (RFC 9725 §4.3.3).
#[must_use]
pub fn write_fragment(local: &Local<'_>, mids: &[String], trickle: bool) -> String {
    let mut lines = vec!["a=ice-lite".to_owned()];
    if trickle {
        lines.push("a=ice-options:trickle".to_owned());
    }
    if let Some(first) = mids.first() {
        lines.push(format!("a=group:BUNDLE {}", mids.join(" ")));
        // A pseudo m-line: only its identification says anything (RFC 8840 §9.2).
        lines.push("m=audio 9 UDP/TLS/RTP/SAVPF 0".to_owned());
        lines.push(format!("a=mid:{first}"));
    }
    lines.push(format!("a=ice-ufrag:{}", local.ufrag));
    lines.push(format!("a=ice-pwd:{}", local.password));
    lines.extend(candidates(local.candidates).map(|candidate| format!("a={candidate}")));
    lines.push("a=end-of-candidates".to_owned());
    lines.join("\r\n") + "\r\n"
}
