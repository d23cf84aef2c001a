//! Fuzz targets: one for each parser of bytes from the network, and for what is read back from the disk. `fuzz/run.sh` feeds them, `cargo test` replays what is kept.
//!
//! A target takes any bytes and panics when something that must always hold doesn't. docs/fuzzing.md says how they are run.

mod disk;
mod framed;
mod media;
mod text;
mod transport;

use std::path::{Path, PathBuf};

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and its folder's under `corpora/`.
    pub name: &'static str,
    /// Takes an input.
    pub run: fn(&[u8]),
    /// Files and folders of the repository whose files are inputs too.
    pub also: &'static [&'static str],
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, also: &[] }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("stun", transport::stun),
    target("stun_authentic", transport::stun_authentic),
    target("dtls", transport::dtls),
    target("srtp_open", transport::srtp_open),
    target("srtp_sealed", transport::srtp_sealed),
    target("peer", transport::peer),
    target("tcp_frames", framed::deframe),
    target("tcp_queue", framed::queue),
    target("rtp_packet", media::rtp_packet),
    target("packet_cache", media::packet_cache),
    target("red", media::red),
    target("vp8", media::vp8),
    target("h264", media::h264),
    target("av1", media::av1),
    target("rtcp", media::rtcp),
    target("nack", media::nack),
    target("twcc", media::twcc),
    Target { name: "sdp_offer", run: text::sdp_offer, also: &["tests/data/offers"] },
    target("sdp_fragment", text::sdp_fragment),
    target("token", text::token),
    target("page_message", text::page_message),
    target("join_code", text::join_code),
    target("operator_key", text::operator_key),
    target("forwarded_for", text::forwarded_for),
    target("journal", disk::journal),
    Target { name: "config", run: text::config, also: &["config/mingshi.toml"] },
];

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// The inputs that are kept: the target's own folder and what else of the repository fits, in order of their names.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn corpus(&self) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let others = self.also.iter().map(|path| here.join("..").join(path));
        let mut paths = Vec::new();
        for place in [here.join("corpora").join(self.name)].into_iter().chain(others) {
            if place.is_file() {
                paths.push(place);
            } else if place.is_dir() {
                let entries = std::fs::read_dir(place)?;
                let files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
                paths.extend(files.into_iter().filter(|path| path.is_file()));
            }
        }
        paths.sort();
        paths.into_iter().map(|path| std::fs::read(&path).map(|bytes| (path, bytes))).collect()
    }
}

/// Pieces that stand behind their lengths in two octets; the last may be shorter than it says.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&[high, low], rest) = data.split_first_chunk::<2>()?;
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([high, low]))));
        data = rest;
        Some(piece)
    })
}
