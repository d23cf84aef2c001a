//! The demonstration lesson, published to a WHIP server on loopback and looked at packet by packet.

mod answerer;
mod decoding;

use std::time::Duration;

use answerer::{Answerer, Seen, Stream};
use mingshi_media::clock::{Clock, instant};
use mingshi_media::demo::Demo;
use mingshi_media::demo::ladder::{LAYERS, Layer, Source, VideoCodec};
use mingshi_media::demo::time_code;
use mingshi_media::publish::Publisher;
use mingshi_media::publish::whip::Whip;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use tokio::sync::{Mutex, watch};

/// One lesson at a time: three would measure each other's load.
static STUDIO: Mutex<()> = Mutex::const_new(());

struct Lesson {
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

impl Lesson {
    async fn on_air(answerer: &Answerer, codec: VideoCodec) -> Self {
        let clock = Clock::start();
        let endpoint = answerer.address.parse().expect("an address");
        let whip = Whip::new(endpoint, "token".to_owned(), None).expect("an HTTP client");
        let demo =
            tokio::task::spawn_blocking(move || Demo::start(codec, clock)).await.expect("no panic").expect("a lesson");
        let publisher = Publisher::new(whip, codec, clock);
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(async move { publisher.run(&demo, stopped).await });
        Self { stop, running }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.running.await.expect("the publisher ends without a panic");
    }
}

fn mid(source: Source) -> &'static str {
    match source {
        Source::Voice => "0",
        Source::Camera => "1",
        Source::Slides => "2",
    }
}

/// Of several connections' streams, the one with the most packets: a lost connection may leave a straggler behind.
fn stream<'a>(seen: &'a Seen, source: Source, rid: &str) -> Option<&'a Stream> {
    let same = |stream: &&Stream| stream.mid == mid(source) && stream.rid == rid && stream.repaired_rid.is_empty();
    seen.streams.values().filter(same).max_by_key(|stream| stream.packets.len())
}

fn layer_stream<'a>(seen: &'a Seen, layer: &Layer) -> Option<&'a Stream> {
    stream(seen, layer.source, layer.rid)
}

/// NTP time of an RTP timestamp, in milliseconds since the Unix epoch, by the stream's last report.
fn unix_millis(stream: &Stream, timestamp: u32, rate: f64) -> f64 {
    let report = stream.reports.last().expect("a sender report");
    let at_report = ((report.ntp_time >> 32) - 2_208_988_800) as f64 * 1e3
        + (report.ntp_time & 0xffff_ffff) as f64 * 1e3 / 2f64.powi(32);
    at_report + f64::from(timestamp.wrapping_sub(report.rtp_time) as i32) * 1e3 / rate
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_arrives_whole_and_every_time_code_agrees_with_the_sender_reports() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    let _studio = STUDIO.lock().await;
    for codec in [VideoCodec::H264, VideoCodec::Vp8] {
        let answerer = Answerer::start().await;
        let lesson = Lesson::on_air(&answerer, codec).await;
        let whole = |seen: &Seen| {
            let voice = stream(seen, Source::Voice, "")
                .is_some_and(|voice| voice.packets.len() > 150 && !voice.reports.is_empty());
            let heard = |layer: &Layer| {
                layer_stream(seen, layer).is_some_and(|s| s.packets.len() > 15 && !s.reports.is_empty())
            };
            voice && LAYERS.iter().all(heard)
        };
        answerer.until("six streams with reports", Duration::from_secs(15), whole).await;
        lesson.end().await;
        let seen = answerer.seen.lock().expect("no panic while locked");
        for layer in &LAYERS {
            let stream = layer_stream(&seen, layer).expect("it arrived");
            let pictures = decoding::pictures(codec, stream);
            assert!(pictures.len() >= 10, "{layer:?}: {} pictures", pictures.len());
            for (timestamp, picture) in pictures {
                assert_eq!((picture.width(), picture.height()), (layer.width, layer.height));
                let code = time_code::read(&picture).unwrap_or_else(|| panic!("{layer:?} has no legible time code"));
                let reported = unix_millis(stream, timestamp, 90_000.0).round() as u64 % (1 << 28);
                let apart = reported.abs_diff(u64::from(code));
                assert!(apart <= 2, "{layer:?}: picture says {code}, reports say {reported}");
            }
        }
        let voice = stream(&seen, Source::Voice, "").expect("it arrived");
        let steps = voice
            .packets
            .windows(2)
            .skip(1)
            .map(|pair| pair[1].1.header.timestamp.wrapping_sub(pair[0].1.header.timestamp));
        assert!(steps.into_iter().all(|step| step % 960 == 0), "voice packets lie 20 ms apart to the sample");
        let (timestamp, onset) = decoding::burst_onset(voice).expect("three seconds have a burst in them");
        let at = unix_millis(voice, timestamp, 48_000.0) + onset.as_secs_f64() * 1e3;
        let off = (at + 500.0).rem_euclid(1_000.0) - 500.0;
        assert!(off.abs() < 1.0, "the burst begins {off:.1} ms from the whole second");
        let forward = seen
            .transport_sequence
            .windows(2)
            .filter(|pair| (1..1_000).contains(&pair[1].wrapping_sub(pair[0])))
            .count();
        assert_eq!(forward + 1, seen.transport_sequence.len(), "transport-wide numbers count up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_sent_again_and_a_keyframe_request_is_answered_with_the_next_frame_of_that_layer() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    let _studio = STUDIO.lock().await;
    let answerer = Answerer::start().await;
    let lesson = Lesson::on_air(&answerer, VideoCodec::H264).await;
    let (camera, slides) = (&LAYERS[2], &LAYERS[3]);
    answerer
        .until("camera and slides", Duration::from_secs(10), |seen| {
            [camera, slides].iter().all(|layer| layer_stream(seen, layer).is_some_and(|s| s.packets.len() > 20))
        })
        .await;
    // The keyframes of the beginning are over, and with them the pause that must lie between two.
    tokio::time::sleep(Duration::from_millis(1_000)).await;

    let ssrc = answerer.ssrc(mid(camera.source), camera.rid).expect("it arrived");
    let keyframes = |seen: &Seen, layer: &Layer| decoding::keyframes(layer_stream(seen, layer).expect("it arrived"));
    let before = LAYERS.map(|layer| keyframes(&answerer.seen.lock().expect("no panic while locked"), &layer));
    let asked = instant();
    answerer.feedback(Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc: ssrc })).await;
    answerer.until("a keyframe", Duration::from_millis(250), |seen| keyframes(seen, camera) > before[2]).await;
    eprintln!("keyframe {:?} after the request", instant() - asked);
    let after = LAYERS.map(|layer| keyframes(&answerer.seen.lock().expect("no panic while locked"), &layer));
    assert_eq!([after[0], after[1], after[3], after[4]], [before[0], before[1], before[3], before[4]], "other layers");

    let lost = answerer.seen.lock().expect("no panic while locked").streams[&ssrc].packets[5].1.clone();
    let nack = NackPair { packet_id: lost.header.sequence_number, lost_packets: 0 };
    answerer.feedback(Box::new(TransportLayerNack { sender_ssrc: 1, media_ssrc: ssrc, nacks: vec![nack] })).await;
    let repaired = |seen: &Seen| {
        let mut repairs = seen
            .streams
            .values()
            .filter(|stream| stream.repaired_rid == camera.rid && stream.mid == mid(camera.source));
        repairs.any(|stream| stream.packets[0].1.payload[2..] == lost.payload)
    };
    answerer.until("a retransmission", Duration::from_millis(250), repaired).await;
    lesson.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lesson_whose_connection_is_lost_is_on_air_again_at_once_and_one_that_ends_says_so() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    let _studio = STUDIO.lock().await;
    let answerer = Answerer::start().await;
    let lesson = Lesson::on_air(&answerer, VideoCodec::H264).await;
    let flows =
        |seen: &Seen| LAYERS.iter().all(|layer| layer_stream(seen, layer).is_some_and(|s| s.packets.len() > 10));
    answerer.until("the lesson", Duration::from_secs(10), flows).await;
    for (end, how) in [Answerer::cut_the_line, Answerer::hang_up].into_iter().zip(["silence", "hanging up"]) {
        end(&answerer);
        answerer.seen.lock().expect("no panic while locked").streams.clear();
        let lost = instant();
        answerer.until("the lesson again", Duration::from_secs(5), flows).await;
        eprintln!("on air again {:?} after {how}", instant() - lost);
    }
    let deletes = answerer.seen.lock().expect("no panic while locked").deletes;
    lesson.end().await;
    let seen = answerer.seen.lock().expect("no panic while locked");
    assert_eq!((seen.offers.len(), seen.deletes), (3, deletes + 1));
}
