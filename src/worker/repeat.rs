//! Voices to receivers that read no redundancy: what was sealed is kept for a moment and sent again as it is, on request
//! where that was agreed on (RFC 4585 §6.2.1), and else unasked, behind the packet after it.
//!
//! A voice has no stream of its own for retransmissions, so what is sent again has the number that it had. Sealed anew, one
//! octet of it different, it would spend one nonce on two messages, which gives the key of the authentication away
//! (RFC 7714 §11.1); the datagram that left once can leave as often as it likes, and a receiver that has it drops it
//! (RFC 3711 §3.3.2). Such packets carry no transport-wide numbers: one number that arrives twice tells an estimator nothing.

use std::time::{Duration, Instant};

use crate::rtp::codec::Codec;
use crate::transport::sdp::Media;

use super::worker::Worker;

/// So many packets of a voice are kept, which is 640 ms of it: what is older comes too late.
const KEPT: usize = 32;
/// A packet that was asked for twice within this time leaves once: the second request crossed it on its way.
const GRACE: Duration = Duration::from_millis(20);
/// What was asked for so often won't arrive.
const MAX_TIMES: u8 = 4;

/// One datagram as it left.
#[derive(Debug, Default)]
struct Kept {
    /// Index of its packet.
    index: u64,
    left: Option<Instant>,
    times: u8,
    datagram: Vec<u8>,
}

/// One voice.
#[derive(Debug)]
pub(super) struct Repeated {
    ssrc: u32,
    /// Whether the receiver asks for what it misses.
    asks: bool,
    kept: Box<[Kept]>,
}

/// The voices of one subscriber that are sent again.
#[derive(Debug)]
pub(super) struct Repeats {
    voices: Box<[Repeated]>,
    unasked: bool,
}

impl Repeats {
    /// For the voices among these m-lines whose receiver negotiated no redundancy; `None` if there are none. `unasked`: where
    /// the receiver can't ask either, each packet leaves twice.
    #[must_use]
    pub(super) fn of(media: &[Media], unasked: bool) -> Option<Self> {
        let voices: Box<[Repeated]> = media.iter().filter_map(Repeated::of).collect();
        (!voices.is_empty()).then_some(Self { voices, unasked })
    }

    /// The voice with this stream.
    pub(super) fn voice(&mut self, ssrc: u32) -> Option<&mut Repeated> {
        self.voices.iter_mut().find(|voice| voice.ssrc == ssrc)
    }

    /// What goes again behind the packet `index` of a voice.
    #[must_use]
    pub(super) fn behind(&self, ssrc: u32, index: u64) -> Option<&[u8]> {
        let voice = self.voices.iter().find(|voice| voice.ssrc == ssrc && !voice.asks && self.unasked)?;
        let before = index.checked_sub(1)?;
        voice.at(before).filter(|kept| kept.left.is_some() && kept.index == before).map(|kept| &kept.datagram[..])
    }
}

impl Repeated {
    fn of(media: &Media) -> Option<Self> {
        let ssrc = media.send.as_ref().filter(|_| media.voice)?.ssrc;
        let coded = |codec| media.codecs.iter().find(move |agreed| agreed.codec == codec);
        let opus = coded(Codec::Opus).filter(|_| coded(Codec::Red).is_none())?;
        let kept = std::iter::repeat_with(Kept::default).take(KEPT).collect();
        Some(Self { ssrc, asks: opus.nack, kept })
    }

    fn at(&self, index: u64) -> Option<&Kept> {
        self.kept.get(index as usize % KEPT)
    }

    /// Keeps what leaves, in the place of what is oldest.
    pub(super) fn keep(&mut self, index: u64, datagram: &[u8], now: Instant) {
        let Some(kept) = self.kept.get_mut(index as usize % KEPT) else { return };
        (kept.index, kept.left, kept.times) = (index, Some(now), 0);
        kept.datagram.clear();
        kept.datagram.extend_from_slice(datagram);
    }

    /// The datagram with this sequence number, if it is kept, was agreed to be asked for, and didn't leave just now.
    pub(super) fn asked(&mut self, sequence: u16, now: Instant) -> Option<&[u8]> {
        // The number of places divides the range of the numbers.
        let kept = self.kept.get_mut(usize::from(sequence) % KEPT).filter(|_| self.asks)?;
        let left = kept.left.filter(|_| kept.index as u16 == sequence)?;
        if now.saturating_duration_since(left) < GRACE || kept.times == MAX_TIMES {
            return None;
        }
        (kept.left, kept.times) = (Some(now), kept.times + 1);
        Some(&kept.datagram)
    }
}

const _: () = assert!((u16::MAX as usize + 1).is_multiple_of(KEPT), "a number has one place");

impl Worker {
    /// A subscriber misses packets of a voice that is kept. Returns whether the stream is one.
    pub(super) fn repeat(&mut self, key: usize, ssrc: u32, sequence_numbers: &[u16]) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        let path = connection.path();
        let Some(voice) = connection.repeats.as_mut().and_then(|repeats| repeats.voice(ssrc)) else { return false };
        let Some(path) = path else { return true };
        for &sequence in sequence_numbers {
            let Some(datagram) = voice.asked(sequence, self.now) else { continue };
            connection.line.retransmitted(1);
            connection.line.carried(datagram.len() as u64, 1);
            self.meters.retransmitted += 1;
            if self.links.send(self.now, &path, datagram, datagram.len()).is_err() {
                self.meters.drop("kernel_full", 1);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::sdp::{Extensions, PayloadType, SendStream};

    fn line(ssrc: u32, voice: bool, codecs: &[(Codec, bool)]) -> Media {
        let codecs = codecs.iter().zip(96..);
        let codecs = codecs.map(|(&(codec, nack), number)| PayloadType { number, codec, rtx: None, nack, pli: false });
        let send = SendStream { ssrc, rtx_ssrc: 0, stream: String::new(), track: String::new() };
        Media {
            mid: ssrc.to_string(),
            voice,
            codecs: codecs.collect(),
            extensions: Extensions::default(),
            rids: Vec::new(),
            ssrcs: Vec::new(),
            send: Some(send),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn only_voices_without_redundancy_are_kept() {
        let chromium =
            [line(1, true, &[(Codec::Opus, true), (Codec::Red, false)]), line(2, false, &[(Codec::Vp8, true)])];
        assert!(Repeats::of(&chromium, true).is_none());
        let mut firefox =
            Repeats::of(&[line(1, true, &[(Codec::Opus, false)]), line(2, false, &[(Codec::Vp8, true)])], true)
                .expect("a voice is plain");
        assert!(firefox.voice(1).is_some() && firefox.voice(2).is_none());
    }

    #[test]
    fn what_is_asked_for_leaves_as_it_was_not_too_soon_and_not_too_often() {
        let start = start();
        let mut repeats = Repeats::of(&[line(7, true, &[(Codec::Opus, true)])], true).expect("a voice is plain");
        let voice = repeats.voice(7).expect("it is kept");
        let at = |packet: u64| start + Duration::from_millis(20) * packet as u32;
        // Over the wrap of the sequence number.
        for packet in 0..40u64 {
            voice.keep(65_520 + packet, &[packet as u8; 60], at(packet));
        }
        assert_eq!(voice.asked(65_527, at(40)), None, "it is no longer kept");
        assert_eq!(voice.asked(65_528, at(40)), Some(&[8; 60][..]));
        assert_eq!(voice.asked(65_528, at(40) + GRACE / 2), None, "it left just now");
        assert_eq!(voice.asked(23, at(39) + GRACE / 2), None, "it left for the first time just now");
        assert_eq!(voice.asked(23, at(40)), Some(&[39; 60][..]), "the number after the wrap");
        assert_eq!(voice.asked(24, at(40)), None, "it wasn't sent yet");
        let times = (41..60).filter(|&packet| voice.asked(65_528, at(packet)).is_some()).count();
        assert_eq!(times + 1, usize::from(MAX_TIMES));
        assert_eq!(repeats.behind(7, 65_559), None, "who asks gets nothing unasked");
    }

    #[test]
    fn who_can_not_ask_gets_each_packet_again_behind_the_next() {
        let start = start();
        let mut repeats = Repeats::of(&[line(7, true, &[(Codec::Opus, false)])], true).expect("a voice is plain");
        assert_eq!(repeats.behind(7, 0), None, "nothing is before the first");
        for index in [0, 1, 3] {
            repeats.voice(7).expect("it is kept").keep(index, &[index as u8; 60], start);
        }
        assert_eq!(repeats.behind(7, 1), Some(&[0; 60][..]));
        assert_eq!(repeats.behind(7, 3), None, "the packet before it never came");
        assert_eq!(repeats.behind(8, 1), None, "another stream");
        assert_eq!(repeats.voice(7).expect("it is kept").asked(1, start + GRACE), None, "that was not agreed on");
    }
}
