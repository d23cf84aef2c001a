use std::io::Cursor;

use proptest::prelude::*;
use rtc_sdp::description::media::MediaDescription;
use rtc_sdp::description::session::SessionDescription;

use super::*;
use crate::rtp::codec::H264Profile::{ConstrainedBaseline, High, Main};

const CHROMIUM_PUBLISHER: &str = include_str!("../../../tests/data/offers/chromium-publisher.sdp");
const CHROMIUM_SUBSCRIBER: &str = include_str!("../../../tests/data/offers/chromium-subscriber.sdp");
const FIREFOX_PUBLISHER: &str = include_str!("../../../tests/data/offers/firefox-publisher.sdp");
const FIREFOX_SUBSCRIBER: &str = include_str!("../../../tests/data/offers/firefox-subscriber.sdp");
const OBS_PUBLISHER: &str = include_str!("../../../tests/data/offers/obs-publisher.sdp");
const GSTREAMER_PUBLISHER: &str = include_str!("../../../tests/data/offers/gstreamer-publisher.sdp");
const AIORTC_PUBLISHER: &str = include_str!("../../../tests/data/offers/aiortc-publisher.sdp");
const WEBRTC_PUBLISHER: &str = include_str!("../../../tests/data/offers/webrtc-publisher.sdp");
const WEBRTC_SUBSCRIBER: &str = include_str!("../../../tests/data/offers/webrtc-subscriber.sdp");

const FIXTURES: [&str; 9] = [
    CHROMIUM_PUBLISHER,
    CHROMIUM_SUBSCRIBER,
    FIREFOX_PUBLISHER,
    FIREFOX_SUBSCRIBER,
    OBS_PUBLISHER,
    GSTREAMER_PUBLISHER,
    AIORTC_PUBLISHER,
    WEBRTC_PUBLISHER,
    WEBRTC_SUBSCRIBER,
];

/// One voice and one video m-line with as little as will do.
const SMALL: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE v c\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:1f\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=setup:actpass\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:v\r\na=rtcp-mux\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:c\r\na=rtcp-mux\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n";

fn candidates() -> [Candidate; 3] {
    let address = |text: &str| text.parse().expect("an address");
    [
        Candidate::udp(address("192.0.2.1:9000")),
        Candidate::udp(address("[2001:db8::1]:9000")),
        Candidate::tcp(address("192.0.2.1:443")),
    ]
}

fn answered(text: &str, role: Role) -> Result<Agreed, Error> {
    let candidates = candidates();
    let local = Local {
        ufrag: "w0abcdef",
        password: "0123456789abcdefghijklmn",
        fingerprint: "AA:BB",
        cname: "mingshi",
        candidates: &candidates,
    };
    negotiate(&Offer::parse(text)?, role, &local, |n, _| {
        let n = n as u32;
        Some(SendStream { ssrc: 100 + n, rtx_ssrc: 200 + n, stream: "lesson".into(), track: format!("slot{n}") })
    })
}

/// The answer to a fixture, after checking what every answer keeps to.
fn met(text: &str, role: Role) -> (Agreed, SessionDescription) {
    let agreed = answered(text, role).expect("the offer can be met");
    let answer = read(&agreed.answer);
    check(&read(text), &answer, role, &agreed);
    (agreed, answer)
}

fn read(text: &str) -> SessionDescription {
    SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes())).expect("a session description")
}

fn values<'a>(line: &'a MediaDescription, key: &str) -> Vec<&'a str> {
    line.attributes.iter().filter(|a| a.key == key).map(|a| a.value.as_deref().unwrap_or("")).collect()
}

/// What holds of every answer, whoever offers.
fn check(offer: &SessionDescription, answer: &SessionDescription, role: Role, agreed: &Agreed) {
    assert!(answer.has_attribute("ice-lite"));
    let bundled = format!("BUNDLE {}", agreed.media.iter().map(|m| m.mid.as_str()).collect::<Vec<_>>().join(" "));
    assert_eq!(answer.attribute("group"), Some(&bundled));
    assert_eq!(offer.media_descriptions.len(), answer.media_descriptions.len());
    let mut accepted = agreed.media.iter();
    for (offered, line) in offer.media_descriptions.iter().zip(&answer.media_descriptions) {
        assert_eq!(offered.media_name.media, line.media_name.media);
        assert_eq!(offered.media_name.protos, line.media_name.protos);
        assert_eq!(values(offered, "mid"), values(line, "mid"));
        if line.media_name.port.value != 0 {
            check_line(offered, line, role, accepted.next().expect("an accepted m-line"));
        }
    }
    assert!(accepted.next().is_none());
}

fn check_line(offered: &MediaDescription, line: &MediaDescription, role: Role, media: &Media) {
    assert_eq!(values(line, "mid"), [media.mid.as_str()]);
    assert_eq!(values(line, "ice-ufrag"), ["w0abcdef"]);
    assert_eq!(values(line, "ice-pwd"), ["0123456789abcdefghijklmn"]);
    assert_eq!(values(line, "fingerprint"), ["sha-256 AA:BB"]);
    assert_eq!(values(line, "setup"), ["passive"]);
    assert!(line.has_attribute("rtcp-mux") && line.has_attribute("end-of-candidates"));
    assert_eq!(offered.has_attribute("rtcp-rsize"), line.has_attribute("rtcp-rsize"));
    assert_eq!(
        values(line, "candidate"),
        [
            "1 1 udp 2130706431 192.0.2.1 9000 typ host",
            "2 1 udp 2130706175 2001:db8::1 9000 typ host",
            "3 1 tcp 1520434687 192.0.2.1 443 typ host tcptype passive",
        ]
    );
    assert!(line.has_attribute(if role == Role::Publisher { "recvonly" } else { "sendonly" }));
    // What is answered was offered, payload types in the same order.
    let mut offered_formats = offered.media_name.formats.iter();
    for format in &line.media_name.formats {
        assert!(offered_formats.any(|offered| offered == format), "{format} is out of order");
        assert_eq!(values(line, "rtpmap").iter().filter(|map| map.starts_with(&format!("{format} "))).count(), 1);
    }
    let offered_feedback = values(offered, "rtcp-fb");
    assert!(values(line, "rtcp-fb").iter().all(|feedback| offered_feedback.contains(feedback)));
    for extension in values(line, "extmap") {
        let (id, uri) = extension.split_once(' ').expect("an id and a URI");
        let id = id.split('/').next().expect("a first part");
        let same = |offered: &&str| offered.split(['/', ' ']).next() == Some(id) && offered.ends_with(uri);
        assert_eq!(values(offered, "extmap").iter().filter(|offered| same(offered)).count(), 1, "{extension}");
        assert!(!uri.contains("dependency-descriptor"));
    }
}

fn codecs(media: &Media) -> Vec<(u8, Codec, Option<u8>)> {
    media.codecs.iter().map(|payload_type| (payload_type.number, payload_type.codec, payload_type.rtx)).collect()
}

fn refusal(text: &str, role: Role) -> String {
    match answered(text, role) {
        Err(Error::Unsatisfiable(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn complaint(text: &str) -> String {
    match Offer::parse(text) {
        Err(Error::Malformed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chromium_studio_publishes_voice_camera_in_three_layers_and_slides() {
    let (agreed, answer) = met(CHROMIUM_PUBLISHER, Role::Publisher);
    let [voice, camera, slides] = agreed.media.as_slice() else { panic!("{:?}", agreed.media) };
    assert!(agreed.reduced_size && voice.voice && !camera.voice);
    assert_eq!(codecs(voice), [(111, Codec::Opus, None), (63, Codec::Red, None)]);
    assert_eq!(
        codecs(camera),
        [
            (96, Codec::Vp8, Some(97)),
            (102, Codec::H264(ConstrainedBaseline), Some(103)),
            (108, Codec::H264(ConstrainedBaseline), Some(109)),
            (116, Codec::H264(Main), Some(117)),
            (45, Codec::Av1, Some(46)),
        ]
    );
    assert!(camera.codecs.iter().all(|payload_type| payload_type.nack && payload_type.pli));
    assert_eq!(
        voice.extensions,
        Extensions { mid: Some(4), transport_cc: Some(3), audio_level: Some(1), ..Extensions::default() }
    );
    assert_eq!(
        camera.extensions,
        Extensions {
            mid: Some(4),
            rid: Some(10),
            repaired_rid: Some(11),
            transport_cc: Some(3),
            ..Extensions::default()
        }
    );
    assert_eq!(camera.rids, ["q", "h", "f"]);
    assert!(slides.rids.is_empty());
    assert_eq!(slides.ssrcs, [(2_633_487_979, Some(693_106_088))]);
    assert_eq!(voice.ssrcs, [(1_920_550_337, None)]);
    let line = &answer.media_descriptions[1];
    assert_eq!(values(line, "rid"), ["q recv", "h recv", "f recv"]);
    assert_eq!(values(line, "simulcast"), ["recv q;h;f"]);
    assert!(
        values(line, "fmtp").contains(&"108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e02a")
    );
    assert!(values(line, "fmtp").contains(&"45 level-idx=5;profile=0;tier=0"));
    assert!(!values(line, "rtcp-fb").contains(&"96 goog-remb"));
    assert!(answer.has_attribute("extmap-allow-mixed"));
}

#[test]
fn a_chromium_classroom_gets_five_slots() {
    let (agreed, answer) = met(CHROMIUM_SUBSCRIBER, Role::Subscriber);
    assert_eq!(agreed.media.iter().map(|media| media.voice).collect::<Vec<_>>(), [true, true, false, false, false]);
    let slides = &agreed.media[2];
    // High 4:4:4 predictive, which is all that it names beyond main.
    assert!(codecs(slides).contains(&(41, Codec::H264(High), Some(42))));
    assert!(slides.extensions.playout_delay.is_some() && slides.extensions.rid.is_none());
    assert!(slides.ssrcs.is_empty() && slides.rids.is_empty());
    let line = &answer.media_descriptions[2];
    assert_eq!(values(line, "msid"), ["lesson slot2"]);
    assert_eq!(values(line, "ssrc-group"), ["FID 102 202"]);
    assert_eq!(
        values(line, "ssrc"),
        ["102 cname:mingshi", "102 msid:lesson slot2", "202 cname:mingshi", "202 msid:lesson slot2"]
    );
    // Towards a subscriber the profile and level stay the offer's.
    assert!(values(line, "fmtp").iter().any(|fmtp| fmtp.ends_with("profile-level-id=42e01f")));
    // Nothing repairs a voice, so no second stream is announced.
    let voice = &answer.media_descriptions[0];
    assert_eq!(values(voice, "ssrc"), ["100 cname:mingshi", "100 msid:lesson slot0"]);
    assert!(!voice.has_attribute("ssrc-group"));
}

#[test]
fn a_firefox_studio_publishes_by_extensions_with_directions() {
    let (agreed, answer) = met(FIREFOX_PUBLISHER, Role::Publisher);
    let camera = &agreed.media[1];
    // The video `red` of Firefox carries FEC, not Opus.
    assert_eq!(codecs(camera), [(120, Codec::Vp8, Some(124)), (99, Codec::Av1, Some(100))]);
    assert_eq!(camera.rids, ["q", "h", "f"]);
    assert_eq!((camera.extensions.rid, camera.extensions.repaired_rid), (Some(9), Some(10)));
    assert!(
        values(&answer.media_descriptions[1], "extmap")
            .contains(&"9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id")
    );
    assert_eq!(camera.ssrcs.iter().filter(|(_, rtx)| rtx.is_some()).count(), 3);
    // Its voice line doesn't offer reduced-size RTCP.
    assert!(!agreed.reduced_size);
    assert!(values(&answer.media_descriptions[0], "fmtp").contains(&"109 minptime=10;useinbandfec=1;stereo=1"));
}

#[test]
fn a_firefox_classroom_gets_playout_delay_in_its_direction() {
    let (agreed, answer) = met(FIREFOX_SUBSCRIBER, Role::Subscriber);
    assert_eq!(agreed.media[1].extensions.playout_delay, Some(6));
    assert!(values(&answer.media_descriptions[1], "extmap")[1].starts_with("6/sendonly "));
    assert!(agreed.media[1].ssrcs.is_empty(), "a receiver's own SSRC is no stream");
}

#[test]
fn a_voice_may_be_asked_for_again_where_its_receiver_offers_to_ask() {
    let (agreed, answer) = met(FIREFOX_SUBSCRIBER, Role::Subscriber);
    assert!(agreed.media[0].voice && !agreed.media[0].codecs[0].nack);
    assert!(!values(&answer.media_descriptions[0], "rtcp-fb").contains(&"109 nack"));
    // As the page writes it into its own offer.
    let asking = FIREFOX_SUBSCRIBER.replacen("a=rtpmap:109 ", "a=rtcp-fb:109 nack\r\na=rtpmap:109 ", 1);
    let (agreed, answer) = met(&asking, Role::Subscriber);
    assert!(agreed.media[0].codecs[0].nack);
    assert!(values(&answer.media_descriptions[0], "rtcp-fb").contains(&"109 nack"));
}

#[test]
fn obs_publishes_by_ssrc_alone() {
    let (agreed, answer) = met(OBS_PUBLISHER, Role::Publisher);
    let [voice, video] = agreed.media.as_slice() else { panic!("{:?}", agreed.media) };
    assert_eq!(codecs(voice), [(111, Codec::Opus, None)]);
    assert_eq!(codecs(video), [(96, Codec::H264(ConstrainedBaseline), None)]);
    assert_eq!(voice.extensions, Extensions::default());
    assert_eq!(
        (voice.ssrcs.as_slice(), video.ssrcs.as_slice()),
        ([(1_740_286_513, None)].as_slice(), [(1_740_286_514, None)].as_slice())
    );
    assert!(
        values(&answer.media_descriptions[0], "fmtp")
            .contains(&"111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1")
    );
    assert_eq!(values(&answer.media_descriptions[1], "rtcp-fb"), ["96 goog-remb", "96 nack", "96 nack pli"]);
    assert_eq!(answer.attribute("ice-options").map(String::as_str), Some("trickle"));
}

#[test]
fn webrtcbin_offers_its_second_line_for_the_bundle_only() {
    let (agreed, _) = met(GSTREAMER_PUBLISHER, Role::Publisher);
    assert_eq!(agreed.media.iter().map(|media| media.mid.as_str()).collect::<Vec<_>>(), ["audio0", "video1"]);
    assert_eq!(codecs(&agreed.media[0]), [(97, Codec::Opus, None)]);
    assert_eq!(codecs(&agreed.media[1]), [(96, Codec::H264(ConstrainedBaseline), None)]);
    // Feedback without the header extension it needs is not agreed on.
    assert_eq!(agreed.media[1].extensions.transport_cc, None);
    assert!(!agreed.answer.contains("transport-cc"));
}

#[test]
fn aiortc_publishes_without_transport_wide_feedback() {
    let (agreed, answer) = met(AIORTC_PUBLISHER, Role::Publisher);
    let video = &agreed.media[1];
    assert_eq!(video.codecs.len(), 3);
    assert_eq!(video.ssrcs, [(1_100_648_974, Some(1_817_622_377))]);
    assert_eq!(video.extensions, Extensions { mid: Some(1), ..Extensions::default() }, "nothing reads a send time");
    assert!(values(&answer.media_descriptions[1], "rtcp-fb").contains(&"97 goog-remb"));
    let offer = Offer::parse(AIORTC_PUBLISHER).expect("it was met");
    assert_eq!(
        offer.remote.fingerprints.iter().map(|f| f.hash.as_str()).collect::<Vec<_>>(),
        ["sha-256", "sha-384", "sha-512"]
    );
}

#[test]
fn the_webrtc_crate_publishes_simulcast_and_plays() {
    let (agreed, _) = met(WEBRTC_PUBLISHER, Role::Publisher);
    assert_eq!(agreed.media[1].rids, ["q", "h", "f"]);
    assert_eq!(codecs(&agreed.media[1]), [(125, Codec::H264(ConstrainedBaseline), Some(105))]);
    let (agreed, _) = met(WEBRTC_SUBSCRIBER, Role::Subscriber);
    assert_eq!(
        agreed.media[1].codecs.iter().map(|payload_type| payload_type.codec).collect::<Vec<_>>(),
        [Codec::Vp8, Codec::H264(ConstrainedBaseline), Codec::H264(ConstrainedBaseline), Codec::H264(High), Codec::Av1]
    );
}

#[test]
fn the_remote_end_is_read_in_one_spelling() {
    let remote = Offer::parse(SMALL).expect("a small offer").remote;
    assert_eq!((remote.ufrag.as_str(), remote.password.as_str()), ("abcd", "abcdefghijklmnopqrstuv"));
    assert!(remote.fingerprints[0].value.starts_with("00:01:02") && remote.fingerprints[0].value.ends_with(":1E:1F"));
    let (agreed, _) = met(SMALL, Role::Publisher);
    assert!(!agreed.reduced_size);
}

#[test]
fn a_data_channel_is_left_out_and_the_rest_is_met() {
    let text = SMALL.replace("BUNDLE v c", "BUNDLE d v c").replace(
        "m=audio",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\na=sctp-port:5000\r\nm=audio",
    );
    let (agreed, answer) = met(&text, Role::Publisher);
    assert_eq!(agreed.media.len(), 2);
    assert_eq!(answer.media_descriptions[0].media_name.to_string(), "application 0 UDP/DTLS/SCTP webrtc-datachannel");
    let alone = text.split("m=audio").next().expect("a first part");
    assert!(refusal(alone, Role::Publisher).contains("no active audio or video"));
}

#[test]
fn inactive_lines_are_answered_inactive() {
    let unused = [
        SMALL.replacen("m=video 9", "m=video 0", 1),
        SMALL.replace("a=mid:c\r\na=rtcp-mux\r\na=sendonly", "a=mid:c\r\na=inactive"),
    ];
    for text in unused {
        let (agreed, answer) = met(&text, Role::Publisher);
        assert_eq!(agreed.media.len(), 1);
        assert_eq!(answer.media_descriptions[1].media_name.port.value, 0);
        assert!(answer.media_descriptions[1].has_attribute("inactive"));
    }
}

#[test]
fn the_bundle_answers_in_the_order_of_the_group() {
    let agreed = answered(&SMALL.replace("BUNDLE v c", "BUNDLE c v"), Role::Publisher).expect("it can be met");
    assert!(agreed.answer.contains("a=group:BUNDLE c v\r\n"));
    // One m-line needs no group.
    let alone = SMALL.replace("a=group:BUNDLE v c\r\n", "").split("m=video").next().expect("a first part").to_owned();
    let agreed = answered(&alone, Role::Publisher).expect("it can be met");
    assert!(!agreed.answer.contains("BUNDLE"));
}

#[test]
fn what_cannot_be_met_is_refused_with_the_reason() {
    let cases = [
        (SMALL.replace("a=group:BUNDLE v c\r\n", ""), "BUNDLE"),
        (SMALL.replace("BUNDLE v c", "BUNDLE v\r\na=group:BUNDLE c"), "BUNDLE"),
        (SMALL.replacen("a=rtcp-mux\r\n", "", 1), "m-line v doesn't offer a=rtcp-mux"),
        (SMALL.replace("setup:actpass", "setup:passive"), "a=setup:passive"),
        (SMALL.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n"), "ICE-lite"),
        (SMALL.replace("sha-256", "sha-384"), "sha-256"),
        (SMALL.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "RTP/AVP"),
        (SMALL.replace("VP8/90000", "VP9/90000"), "m-line c offers vp9"),
        (SMALL.replace("opus/48000/2", "PCMU/8000"), "m-line v offers pcmu"),
        (SMALL.replace("a=sendonly", "a=recvonly"), "m-line v is recvonly"),
    ];
    for (text, reason) in cases {
        let said = refusal(&text, Role::Publisher);
        assert!(said.contains(reason), "{said}");
    }
    assert!(refusal(SMALL, Role::Subscriber).contains("m-line v is sendonly"));
}

#[test]
fn what_cannot_be_read_is_malformed_with_the_reason() {
    let cases = [
        ("not a description".to_owned(), ""),
        (SMALL.replace("a=mid:c", "a=mid:v"), "a=mid:v"),
        (SMALL.replace("a=mid:c\r\n", ""), "m-line 1 has no a=mid"),
        (SMALL.replace("a=mid:c", &format!("a=mid:{}", "c".repeat(33))), "a=mid"),
        (SMALL.replace("a=mid:c", "a=mid:c\ra=injected"), "control characters"),
        (SMALL.replace("ice-ufrag:abcd", "ice-ufrag:abc"), "ice-ufrag"),
        (SMALL.replace("a=ice-pwd:abcdefghijklmnopqrstuv\r\n", ""), "ice-pwd"),
        (SMALL.replace(" 00:01:02", " 00:01:zz"), "fingerprint"),
        (SMALL.replace("SAVPF 96", "SAVPF 196"), "payload type"),
        (SMALL.replace("SAVPF 96", "SAVPF 96 96"), "twice"),
        (format!("{SMALL}a=x:{}\r\n", "y".repeat(256 * 1024)), "octets long"),
        (format!("{SMALL}{}", "m=text 0 RTP/AVP 0\r\n".repeat(31)), "33 m-lines"),
    ];
    for (text, reason) in cases {
        let said = complaint(&text);
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn a_reason_stays_short_whatever_was_offered() {
    let long = "x".repeat(10_000);
    let texts = [
        long.clone(),
        SMALL.replace("VP8", &long),
        SMALL.replace("UDP/TLS/RTP/SAVPF", &long),
        SMALL.replace("setup:actpass", &format!("setup:{long}")),
    ];
    for text in texts {
        let reason = answered(&text, Role::Publisher).expect_err("it can't be met").to_string();
        assert!(reason.len() < 300, "{reason}");
    }
}

#[test]
fn simulcast_takes_the_first_alternative_and_paused_streams() {
    let video = |lines: &str| {
        SMALL.replace(
            "a=rtpmap:96",
            &format!("a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n{lines}a=rtpmap:96"),
        )
    };
    let rids = "a=rid:a send\r\na=rid:b send pt=96;max-width=640\r\na=rid:c send\r\na=rid:r recv\r\n";
    let (agreed, answer) = met(&video(&format!("{rids}a=simulcast:recv r send ~b,a;c\r\n")), Role::Publisher);
    assert_eq!(agreed.media[1].rids, ["b", "c"]);
    assert_eq!(values(&answer.media_descriptions[1], "simulcast"), ["recv b;c"]);
    let (agreed, answer) = met(&video("a=rid:only send\r\n"), Role::Publisher);
    assert_eq!(agreed.media[1].rids, ["only"]);
    assert!(!answer.media_descriptions[1].has_attribute("simulcast"));
    let four = video(&format!("{rids}a=rid:d send\r\na=simulcast:send a;b;c;d\r\n"));
    assert!(refusal(&four, Role::Publisher).contains("m-line c has 4 encodings"));
    let many: String = (0..17).map(|n| format!("a=rid:r{n} send\r\n")).collect();
    assert!(complaint(&video(&many)).contains("more than 16 rids"));
    let untold = SMALL.replace("a=rtpmap:96", &format!("{rids}a=simulcast:send a;b\r\na=rtpmap:96"));
    assert!(refusal(&untold, Role::Publisher).contains("rtp-stream-id"));
}

#[test]
fn h264_is_taken_by_profile_in_packetization_mode_1() {
    let offered = |fmtp: &str| SMALL.replace("VP8/90000", &format!("H264/90000\r\na=fmtp:96 {fmtp}"));
    let taken = [
        ("packetization-mode=1", ConstrainedBaseline, "42002a"),
        ("packetization-mode=1;profile-level-id=42E01F", ConstrainedBaseline, "42e02a"),
        ("packetization-mode=1; profile-level-id=4d001f", Main, "4d002a"),
        ("profile-level-id=640c34;packetization-mode=1", High, "640c34"),
    ];
    for (fmtp, profile, answer) in taken {
        let agreed = answered(&offered(fmtp), Role::Publisher).expect("it is taken");
        assert_eq!(agreed.media[1].codecs[0].codec, Codec::H264(profile));
        assert!(agreed.answer.contains(&format!("profile-level-id={answer}\r\n")), "{}", agreed.answer);
    }
    for fmtp in [
        "profile-level-id=42e01f",
        "packetization-mode=1;profile-level-id=58001f",
        "packetization-mode=1;profile-level-id=42",
    ] {
        assert!(refusal(&offered(fmtp), Role::Publisher).contains("offers h264"));
    }
}

#[test]
fn redundancy_is_taken_around_offered_opus_only() {
    let offered = |fmtp: &str| {
        SMALL
            .replace("SAVPF 111", "SAVPF 63 111")
            .replace("a=rtpmap:111", &format!("a=rtpmap:63 red/48000/2\r\n{fmtp}a=rtpmap:111"))
    };
    let (agreed, _) = met(&offered("a=fmtp:63 111/111\r\n"), Role::Publisher);
    assert_eq!(codecs(&agreed.media[0]), [(63, Codec::Red, None), (111, Codec::Opus, None)]);
    for fmtp in ["", "a=fmtp:63 111/0\r\n"] {
        let (agreed, _) = met(&offered(fmtp), Role::Publisher);
        assert_eq!(codecs(&agreed.media[0]), [(111, Codec::Opus, None)]);
    }
}

#[test]
fn fragments_are_read_and_written() {
    let trickled = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=candidate:2 1 udp 1 x.local 9 typ host\r\na=end-of-candidates\r\n";
    let credentials = Some(("EsAw".to_owned(), "P2uYro0UCOQ4zxjKXaWCBui1".to_owned()));
    assert_eq!(parse_fragment(trickled), Ok(Fragment { credentials, candidates: 2 }));
    for bad in
        ["", "a=ice-ufrag:EsAw\r\n", "<html>", "a=mid:0\r\n", "a=ice-ufrag:E\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1"]
    {
        assert!(matches!(parse_fragment(bad), Err(Error::Malformed(_))), "{bad}");
    }
    let candidates = candidates();
    let local = Local {
        ufrag: "abcd",
        password: "0123456789abcdefghijklmn",
        fingerprint: "",
        cname: "",
        candidates: &candidates,
    };
    let written = write_fragment(&local, &["0".into(), "1".into()], true);
    let credentials = Some(("abcd".to_owned(), "0123456789abcdefghijklmn".to_owned()));
    assert_eq!(parse_fragment(&written), Ok(Fragment { credentials, candidates: 3 }));
    assert!(written.contains("a=group:BUNDLE 0 1\r\n") && written.contains("a=mid:0\r\n"));
    assert!(written.contains("a=ice-options:trickle\r\n"));
    assert!(!write_fragment(&local, &[], false).contains("ice-options"));
}

/// One change to the lines of an offer.
#[derive(Debug, Clone)]
enum Change {
    Drop(prop::sample::Index),
    Double(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Put(prop::sample::Index, prop::sample::Index, String),
    Cut(prop::sample::Index, prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Change::Drop),
        index().prop_map(Change::Double),
        (index(), index()).prop_map(|(a, b)| Change::Swap(a, b)),
        (index(), index(), "[ -~\\r\u{80}-\u{ff}师]{0,4}")
            .prop_map(|(line, place, text)| Change::Put(line, place, text)),
        (index(), index()).prop_map(|(line, place)| Change::Cut(line, place)),
    ]
}

fn apply(lines: &mut Vec<String>, change: &Change) {
    if lines.is_empty() {
        return;
    }
    match change {
        Change::Drop(line) => drop(lines.remove(line.index(lines.len()))),
        Change::Double(line) => lines.push(line.get(lines).clone()),
        Change::Swap(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
        Change::Put(line, place, text) => {
            let line = line.index(lines.len());
            let place = lines[line].floor_char_boundary(place.index(lines[line].len() + 1));
            lines[line].insert_str(place, text);
        }
        Change::Cut(line, place) => {
            let line = line.index(lines.len());
            let place = lines[line].floor_char_boundary(place.index(lines[line].len() + 1));
            lines[line].truncate(place);
        }
    }
}

proptest! {
    #[test]
    fn changed_offers_are_met_or_refused(fixture in prop::sample::select(FIXTURES.as_slice()), changes in prop::collection::vec(change(), 1..8)) {
        let mut lines: Vec<String> = fixture.lines().map(str::to_owned).collect();
        for change in &changes {
            apply(&mut lines, change);
        }
        let text = lines.join("\r\n") + "\r\n";
        for role in [Role::Publisher, Role::Subscriber] {
            if let Ok(agreed) = answered(&text, role) {
                // Whatever came in, the answer is a description with a line for each line of the offer.
                let answer = read(&agreed.answer);
                prop_assert_eq!(answer.media_descriptions.len(), read(&text).media_descriptions.len());
                prop_assert_eq!(agreed.answer.matches("a=setup:passive\r\n").count(), agreed.media.len());
            }
        }
    }

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        let _ = Offer::parse(&text);
        let _ = Offer::parse(&format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na={text}\r\n"));
        let _ = parse_fragment(&text);
    }
}
