//! The teacher's voice: recorded sentences in a loop, with a tone burst on every whole second.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::ladder::VOICE_PACKET_MS;
use super::time_code::{self, BURST, SAMPLE_RATE};
use crate::clock::UnixTime;

/// The sentences, made by assets/make-voice.py.
static RECORDING: &[u8] = include_bytes!("../../assets/voice.ogg");
/// Peak amplitude of the bursts; the speech peaks at 0.5, 12 dB above.
const BURST_AMPLITUDE: f32 = 0.125;
/// Samples in one voice packet.
pub const PACKET_SAMPLES: usize = (SAMPLE_RATE * VOICE_PACKET_MS / 1000) as usize;

/// Why the recording could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// The decoder's pipeline could not be built or run.
    #[error("the voice recording can't be decoded: {0}")]
    Pipeline(String),
    /// It ended before the sentences did.
    #[error("the voice recording gave {samples} samples at 48 kHz, expected {expected}")]
    TooShort {
        /// Decoded.
        samples: usize,
        /// Needed for the loop.
        expected: usize,
    },
}

/// The voice as samples at 48 kHz.
#[derive(Debug)]
pub struct Voice {
    speech: Vec<f32>,
}

impl Voice {
    /// Decode the recording; the loop lasts `seconds`. GStreamer must be initialised.
    ///
    /// # Errors
    /// [`VoiceError`] if decoding fails or the recording is shorter.
    pub fn decode(seconds: u64) -> Result<Self, VoiceError> {
        let expected = seconds as usize * SAMPLE_RATE as usize;
        let mut speech = decode(RECORDING)?;
        if speech.len() < expected {
            return Err(VoiceError::TooShort { samples: speech.len(), expected });
        }
        speech.truncate(expected);
        Ok(Self { speech })
    }

    /// The samples from `time` on, as signed 16-bit little endian: what a microphone would have heard.
    ///
    /// `time` is the moment of the first sample; the loop begins at multiples of its length since the epoch.
    #[must_use]
    pub fn packet(&self, time: UnixTime) -> Vec<u8> {
        let first = time.ticks(SAMPLE_RATE);
        let mut bytes = Vec::with_capacity(2 * PACKET_SAMPLES);
        let mut burst = None;
        for sample in first..first + PACKET_SAMPLES as u64 {
            let within = (sample % u64::from(SAMPLE_RATE)) as usize;
            let speech = self.speech[(sample % self.speech.len() as u64) as usize];
            let tone = if within < BURST {
                let second = sample / u64::from(SAMPLE_RATE);
                burst.get_or_insert_with(|| time_code::burst(second, BURST_AMPLITUDE))[within]
            } else {
                0.0
            };
            let level = ((speech + tone) * f32::from(i16::MAX)).clamp(f32::from(i16::MIN), f32::from(i16::MAX));
            bytes.extend_from_slice(&(level as i16).to_le_bytes());
        }
        bytes
    }
}

fn decode(recording: &'static [u8]) -> Result<Vec<f32>, VoiceError> {
    let failed = |error: &dyn std::fmt::Display| VoiceError::Pipeline(error.to_string());
    let description = "appsrc name=source ! oggdemux ! opusdec ! audioconvert ! audioresample \
         ! audio/x-raw,format=F32LE,rate=48000,channels=1 ! appsink name=sink sync=false";
    let pipeline = gst::parse::launch(description)
        .map_err(|error| failed(&error))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| failed(&"not a pipeline"))?;
    let element = |name| pipeline.by_name(name).ok_or_else(|| failed(&"an element is missing"));
    let source: gst_app::AppSrc = element("source")?.downcast().map_err(|_| failed(&"not an appsrc"))?;
    let sink: gst_app::AppSink = element("sink")?.downcast().map_err(|_| failed(&"not an appsink"))?;
    pipeline.set_state(gst::State::Playing).map_err(|error| failed(&error))?;
    source.push_buffer(gst::Buffer::from_slice(recording)).map_err(|error| failed(&error))?;
    source.end_of_stream().map_err(|error| failed(&error))?;
    let mut samples = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(10)) {
        if let Some(map) = sample.buffer().and_then(|buffer| buffer.map_readable().ok()) {
            samples
                .extend(map.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
        }
    }
    pipeline.set_state(gst::State::Null).map_err(|error| failed(&error))?;
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent_for(seconds: usize) -> Voice {
        Voice { speech: vec![0.0; seconds * SAMPLE_RATE as usize] }
    }

    fn samples(bytes: &[u8]) -> Vec<i16> {
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn a_burst_fills_exactly_the_first_packet_of_every_second() {
        let voice = silent_for(2);
        for packet in 0..100 {
            let time = UnixTime::at_tick(1_795_512_345 * 50 + packet, 50);
            let loud = samples(&voice.packet(time)).iter().any(|sample| sample.unsigned_abs() > 1_000);
            assert_eq!(loud, packet % 50 == 0, "packet {packet} of the second");
        }
    }

    #[test]
    fn the_recording_holds_speech_for_the_whole_loop() {
        gst::init().expect("GStreamer starts");
        let voice = Voice::decode(48).expect("the recording decodes");
        let spoken = voice.speech.chunks(SAMPLE_RATE as usize).filter(|second| second.iter().any(|s| s.abs() > 0.1));
        assert!(spoken.count() > 32, "most seconds have speech in them");
    }
}
