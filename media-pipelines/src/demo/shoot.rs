//! The camera, the screen and the microphone: threads that make raw pictures and samples on time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::ladder::{FRAME_RATE, LAYERS, Layer, Source, VOICE_PACKET_MS};
use super::pipeline::Encoders;
use super::scene::Scene;
use super::slides::Slides;
use super::voice::Voice;
use crate::clock::{Clock, UnixTime, instant};

/// What the lesson consists of, drawn and decoded.
#[derive(Debug)]
pub struct Material {
    /// What the camera sees.
    pub scene: Scene,
    /// What the screen shows.
    pub slides: Slides,
    /// What the microphone hears.
    pub voice: Voice,
}

/// The threads that record the lesson; they end when it is dropped.
#[derive(Debug)]
pub struct Shoot {
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Shoot {
    /// Begin to record.
    #[must_use]
    pub fn start(material: Material, encoders: &Arc<Encoders>, clock: Clock) -> Self {
        let Material { scene, slides, voice } = material;
        let over = Arc::new(AtomicBool::new(false));
        let (camera, screen, microphone) = (Arc::clone(encoders), Arc::clone(encoders), Arc::clone(encoders));
        let packet_rate = 1000 / VOICE_PACKET_MS;
        let threads = vec![
            on_ticks(clock, FRAME_RATE, &over, move |tick, time| film(&camera, &scene, tick, time)),
            on_ticks(clock, FRAME_RATE, &over, move |tick, time| show(&screen, &slides, tick, time)),
            // A packet is complete when its last sample has been heard, one tick after its first.
            on_ticks(clock, packet_rate, &over, move |tick, _| {
                let first = UnixTime::at_tick(tick - 1, packet_rate);
                microphone.push_voice(voice.packet(first), first);
            }),
        ];
        Self { over, threads }
    }
}

impl Drop for Shoot {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

/// Call `work` at every tick of a clock of `rate` hertz that starts at the Unix epoch.
///
/// After a hold-up of less than half a second the missed ticks are made up for, because a voice must have no holes;
/// after a longer one they are skipped.
fn on_ticks<F>(clock: Clock, rate: u32, over: &Arc<AtomicBool>, work: F) -> thread::JoinHandle<()>
where
    F: Fn(u64, UnixTime) + Send + 'static,
{
    let over = Arc::clone(over);
    thread::spawn(move || {
        let mut tick = clock.unix(instant()).ticks(rate) + 1;
        while !over.load(Ordering::Relaxed) {
            let time = UnixTime::at_tick(tick, rate);
            let now = instant();
            let late = now.saturating_duration_since(clock.instant_of(time));
            if late > Duration::from_millis(500) {
                tick = clock.unix(now).ticks(rate) + 1;
                continue;
            }
            thread::sleep(clock.instant_of(time).saturating_duration_since(now));
            work(tick, time);
            tick += 1;
        }
    })
}

fn film(encoders: &Encoders, scene: &Scene, tick: u64, time: UnixTime) {
    let large = scene.at(time);
    let middle = large.halved();
    let small = middle.halved();
    for picture in [small, middle, large] {
        let height = picture.height();
        let planes = Arc::new(picture.into_planes());
        push(encoders, &planes, tick, time, |layer| layer.source == Source::Camera && layer.height == height);
    }
}

fn show(encoders: &Encoders, slides: &Slides, tick: u64, time: UnixTime) {
    let planes = Arc::new(slides.at(time).into_planes());
    push(encoders, &planes, tick, time, |layer| layer.source == Source::Slides);
}

fn push(encoders: &Encoders, planes: &Arc<Vec<u8>>, tick: u64, time: UnixTime, wanted: impl Fn(&Layer) -> bool) {
    for (index, layer) in LAYERS.iter().enumerate().filter(|(_, layer)| wanted(layer)) {
        if tick.is_multiple_of(u64::from(FRAME_RATE / layer.frame_rate)) {
            encoders.push_picture(index, planes, time, instant());
        }
    }
}
