//! Which payload formats are used (RFC 8866 §6.6, RFC 3264 §6.1) and with which feedback (RFC 4585 §4.2).

use rtc_sdp::description::common::Attribute;

use super::attribute::value;
use super::{Error, OfferedMedia, PayloadType, Role, is_token};
use crate::rtp::codec::{Codec, H264Profile};

/// The H.264 level we receive: 4.2, which is 1080p60.
const RECEIVED_LEVEL: u8 = 0x2a;
/// What a missing profile-level-id stands for (RFC 6184 §8.1).
const DEFAULT_PROFILE: [u8; 3] = [0x42, 0x00, 0x0a];
/// How long an encoding name may be.
const MAX_NAME: usize = 32;
/// How many feedback lines of one format are read.
const MAX_FEEDBACK: usize = 32;

/// One payload type as offered.
#[derive(Debug, Clone)]
pub(super) struct Format {
    number: u8,
    /// The encoding name in lower case.
    name: String,
    clock_rate: u32,
    channels: u8,
    /// The value of a=fmtp, empty if there is none.
    parameters: String,
    feedback: Vec<String>,
}

/// A payload type agreed on, with what its answer says.
#[derive(Debug)]
pub(super) struct AgreedFormat {
    pub(super) payload_type: PayloadType,
    /// The value of a=rtpmap after the number.
    pub(super) mapping: &'static str,
    /// The value of a=fmtp after the number.
    pub(super) parameters: Option<String>,
    /// The values of a=rtcp-fb after the number.
    pub(super) feedback: Vec<&'static str>,
}

impl Format {
    /// The formats of an m-line that have an a=rtpmap, in the order of the m-line.
    pub(super) fn read_all(mid: &str, numbers: &[String], attributes: &[Attribute]) -> Result<Vec<Self>, Error> {
        let mut formats: Vec<Self> = Vec::new();
        for text in numbers {
            let number = text.parse().ok().filter(|number| *number < 128);
            let number = number
                .ok_or_else(|| Error::Malformed(format!("m-line {mid} has a payload type that isn't 0 to 127")))?;
            if formats.iter().any(|known| known.number == number) {
                return Err(Error::Malformed(format!("m-line {mid} names payload type {number} twice")));
            }
            formats.push(Self {
                number,
                name: String::new(),
                clock_rate: 0,
                channels: 1,
                parameters: String::new(),
                feedback: Vec::new(),
            });
        }
        for format in &mut formats {
            format.read_attributes(attributes);
        }
        formats.retain(|format| !format.name.is_empty());
        Ok(formats)
    }

    /// Reads the attributes of an m-line that are about this payload type.
    fn read_attributes(&mut self, attributes: &[Attribute]) {
        for attribute in attributes {
            let Some((number, text)) = value(attribute).split_once(' ') else { continue };
            let text = text.trim();
            match attribute.key.as_str() {
                "rtpmap" if self.is(number) => self.read_mapping(text),
                "fmtp" if self.is(number) => {
                    if !self.parameters.is_empty() {
                        self.parameters.push(';');
                    }
                    self.parameters.push_str(text);
                }
                "rtcp-fb" if (number == "*" || self.is(number)) && self.feedback.len() < MAX_FEEDBACK => {
                    self.feedback.push(text.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase());
                }
                _ => {}
            }
        }
    }

    fn is(&self, number: &str) -> bool {
        number.parse() == Ok(self.number)
    }

    /// Reads `<name>/<clock rate>[/<channels>]`.
    fn read_mapping(&mut self, text: &str) {
        let mut parts = text.split('/');
        let name = parts.next().unwrap_or("").trim();
        if !is_token(name, MAX_NAME) {
            return;
        }
        self.name = name.to_ascii_lowercase();
        self.clock_rate = parts.next().and_then(|rate| rate.trim().parse().ok()).unwrap_or(0);
        self.channels = parts.next().and_then(|channels| channels.trim().parse().ok()).unwrap_or(1);
    }

    /// A parameter of a=fmtp by its name.
    fn parameter(&self, name: &str) -> Option<&str> {
        let parameters = self.parameters.split(';').filter_map(|parameter| parameter.split_once('='));
        parameters
            .map(|(key, value)| (key.trim(), value.trim()))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// What it is, if it is one that is forwarded.
    fn codec(&self, all: &[Self], role: Role) -> Option<Codec> {
        match (self.name.as_str(), self.clock_rate, self.channels) {
            ("opus", 48_000, 2) => Some(Codec::Opus),
            ("red", 48_000, 2) => self.wraps_opus(all).then_some(Codec::Red),
            ("vp8", 90_000, 1) => Some(Codec::Vp8),
            ("h264", 90_000, 1) if self.parameter("packetization-mode") == Some("1") => {
                h264_profile(self.profile()?, role).map(Codec::H264)
            }
            ("av1", 90_000, 1) => (self.parameter("profile").unwrap_or("0") == "0").then_some(Codec::Av1),
            _ => None,
        }
    }

    /// Whether every block of this redundancy is an Opus payload type of the same m-line (RFC 2198 §5).
    fn wraps_opus(&self, all: &[Self]) -> bool {
        let opus = |number: &str| all.iter().any(|format| format.is(number) && format.name == "opus");
        !self.parameters.is_empty() && self.parameters.split('/').all(|number| opus(number.trim()))
    }

    /// The three octets of profile-level-id.
    fn profile(&self) -> Option<[u8; 3]> {
        let Some(text) = self.parameter("profile-level-id") else { return Some(DEFAULT_PROFILE) };
        if text.len() != 6 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let [_, profile, constraints, level] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        Some([profile, constraints, level])
    }

    /// The value of a=fmtp in the answer.
    fn answered_parameters(&self, codec: Codec, role: Role) -> Option<String> {
        match codec {
            Codec::Opus => {
                let mut text = String::from("minptime=10;useinbandfec=1");
                for name in ["stereo", "sprop-stereo"] {
                    if let Some(offered @ ("0" | "1")) = self.parameter(name) {
                        text.push_str(&format!(";{name}={offered}"));
                    }
                }
                Some(text)
            }
            Codec::H264(_) => {
                let [profile, constraints, level] = self.profile()?;
                let level = if role == Role::Publisher { level.max(RECEIVED_LEVEL) } else { level };
                Some(format!(
                    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile:02x}{constraints:02x}{level:02x}"
                ))
            }
            Codec::Red | Codec::Av1 => (!self.parameters.is_empty()).then(|| self.parameters.clone()),
            Codec::Vp8 => None,
        }
    }

    fn offers(&self, feedback: &str) -> bool {
        self.feedback.iter().any(|offered| offered == feedback)
    }

    /// The feedback used of what is offered.
    fn answered_feedback(&self, transport_cc: bool) -> Vec<&'static str> {
        let used = ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"];
        used.into_iter()
            .filter(|feedback| match *feedback {
                "goog-remb" => !transport_cc,
                "transport-cc" => transport_cc,
                _ => true,
            })
            .filter(|feedback| self.offers(feedback))
            .collect()
    }
}

/// Whether any format of `media` that we take offers transport-wide feedback.
pub(super) fn offers_transport_cc(media: &OfferedMedia, role: Role) -> bool {
    let formats = &media.formats;
    formats.iter().any(|format| {
        format.offers("transport-cc")
            && format.codec(formats, role).is_some_and(|codec| codec.is_voice() == media.voice)
    })
}

/// Every format that both ends know, in the order offered.
///
/// # Errors
/// [`Error::Unsatisfiable`] if there is none.
pub(super) fn agree(media: &OfferedMedia, role: Role, transport_cc: bool) -> Result<Vec<AgreedFormat>, Error> {
    let formats = &media.formats;
    let agreed: Vec<AgreedFormat> = formats
        .iter()
        .filter_map(|format| {
            let codec = format.codec(formats, role).filter(|codec| codec.is_voice() == media.voice)?;
            let feedback = format.answered_feedback(transport_cc);
            let payload_type = PayloadType {
                number: format.number,
                codec,
                rtx: retransmission(format.number, codec, formats),
                nack: feedback.contains(&"nack"),
                pli: feedback.contains(&"nack pli"),
            };
            let parameters = format.answered_parameters(codec, role);
            Some(AgreedFormat { payload_type, mapping: mapping(codec), parameters, feedback })
        })
        .collect();
    if agreed.is_empty() {
        return Err(no_common_codec(media));
    }
    Ok(agreed)
}

/// The payload type that retransmits `number` (RFC 4588 §8.6).
fn retransmission(number: u8, codec: Codec, formats: &[Format]) -> Option<u8> {
    formats
        .iter()
        .find(|format| {
            format.name == "rtx"
                && format.clock_rate == codec.clock_rate()
                && format.parameter("apt").and_then(|apt| apt.parse().ok()) == Some(number)
        })
        .map(|format| format.number)
}

/// The profile of three octets of profile-level-id. Its level doesn't decide who can play it.
fn h264_profile([profile, _, _]: [u8; 3], role: Role) -> Option<H264Profile> {
    match (profile, role) {
        (0x42, _) => Some(H264Profile::ConstrainedBaseline),
        (0x4d, _) => Some(H264Profile::Main),
        (0x64, _) => Some(H264Profile::High),
        // Who plays high 4:4:4 predictive plays high (H.264 §A.2), and Chromium without a hardware decoder names only
        // the former. A publisher isn't asked for it: few could play what it then might send.
        (0xf4, Role::Subscriber) => Some(H264Profile::High),
        _ => None,
    }
}

fn mapping(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "opus/48000/2",
        Codec::Red => "red/48000/2",
        Codec::Vp8 => "VP8/90000",
        Codec::H264(_) => "H264/90000",
        Codec::Av1 => "AV1/90000",
    }
}

fn no_common_codec(media: &OfferedMedia) -> Error {
    let mut offered: Vec<&str> = Vec::new();
    for format in &media.formats {
        if !offered.contains(&format.name.as_str()) && offered.len() < 16 {
            offered.push(&format.name);
        }
    }
    let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
    let taken = if media.voice {
        "opus/48000/2"
    } else {
        "VP8, H264 with packetization-mode=1 (baseline, main or high profile) and AV1 profile 0"
    };
    Error::Unsatisfiable(format!("m-line {} offers {offered}; what is taken is {taken}", media.mid))
}
