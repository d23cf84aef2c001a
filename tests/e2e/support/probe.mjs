// Runs inside every page under test: keeps a record of each frame that its video elements put on screen, and
// listens to its voices. browser.mjs puts it into the page, with time-code.mjs and tone.mjs beside it.
import { ageOf, cellsOf, decodeSlide, decodeTime } from './time-code.mjs';
import { delayOf, findBursts } from './tone.mjs';

const CELL = 4;
const STRIP_WIDTH = 40 * CELL;
const LONGEST_RECORD = 4000;

/** The part of a frame that tests look at: the two bottom rows of cells, and a thumbnail to see motion by. */
function look(context, video) {
  const cell = video.videoWidth / 40;
  context.drawImage(video, 0, video.videoHeight - 2 * cell, video.videoWidth, 2 * cell, 0, 0, STRIP_WIDTH, 2 * CELL);
  context.drawImage(video, 0, 2 * CELL, STRIP_WIDTH, 90);
  const strip = context.getImageData(0, 0, STRIP_WIDTH, 2 * CELL).data;
  const thumbnail = context.getImageData(0, 2 * CELL, STRIP_WIDTH, 90).data;
  let print = 0;
  for (let i = 0; i < thumbnail.length; i += 4) print = (Math.imul(print, 31) + thumbnail[i] + (thumbnail[i + 1] << 8)) | 0;
  return { code: decodeTime(cellsOf(strip, CELL, 1)), slide: decodeSlide(cellsOf(strip, CELL, 0)), print };
}

function record(video, frames) {
  const canvas = Object.assign(document.createElement('canvas'), { width: STRIP_WIDTH, height: 2 * CELL + 90 });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  let print = null;
  const onFrame = (_, metadata) => {
    const at = performance.timeOrigin + metadata.expectedDisplayTime;
    const seen = look(context, video);
    const { videoWidth: width, videoHeight: height } = video;
    const age = seen.code === null ? null : ageOf(seen.code, at);
    frames.push({ at, age, slide: seen.slide, moved: seen.print !== print, width, height });
    if (frames.length > LONGEST_RECORD) frames.shift();
    print = seen.print;
    video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback(onFrame);
}

/** Follows what `selectors` (by name) show, also when a page puts another element there. */
export function watchVideos(selectors) {
  const records = {};
  const recorded = new WeakSet();
  for (const name of Object.keys(selectors)) records[name] = [];
  setInterval(() => {
    for (const [name, selector] of Object.entries(selectors)) {
      const video = document.querySelector(selector);
      if (!(video instanceof HTMLVideoElement) || recorded.has(video)) continue;
      recorded.add(video);
      record(video, records[name]);
    }
  }, 20);
  return records;
}

const TAP = `registerProcessor('tap', class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length > 0) this.port.postMessage({ frame: currentFrame, wall: Date.now(), samples: input[0].slice() });
    return true;
  }
});`;

/** The samples of one track over `seconds`, from the Unix time (ms) at which the first was handed out. */
async function recordTrack(context, track, seconds) {
  const tap = new AudioWorkletNode(context, 'tap', { numberOfOutputs: 1, outputChannelCount: [1] });
  const samples = new Float32Array(seconds * context.sampleRate);
  let [first, startsAt] = [null, Infinity];
  const full = new Promise((resolve) => {
    tap.port.onmessage = ({ data }) => {
      first ??= data.frame;
      const at = data.frame - first;
      if (at + data.samples.length > samples.length) return resolve();
      samples.set(data.samples, at);
      // The message that was handed out with the least delay tells best when the first sample was.
      startsAt = Math.min(startsAt, data.wall - (1000 * at) / context.sampleRate);
    };
    setTimeout(resolve, 2000 * seconds);
  });
  const source = context.createMediaStreamSource(new MediaStream([track]));
  source.connect(tap).connect(context.destination);
  await full;
  source.disconnect();
  return { samples, startsAt };
}

function tracksPlaying() {
  const players = [...document.querySelectorAll('audio, video')].filter((player) => player.srcObject && !player.muted);
  return players.flatMap((player) => player.srcObject.getAudioTracks()).filter((track) => !track.muted);
}

/** The delays in ms of all tone bursts heard on the page within `seconds`, and the machine's share in them. */
export async function hearBursts(seconds) {
  const context = new AudioContext({ sampleRate: 48000, latencyHint: 'interactive' });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([TAP], { type: 'text/javascript' })));
  const recordings = await Promise.all(tracksPlaying().map((track) => recordTrack(context, track, seconds)));
  const latency = 1000 * (context.baseLatency + (context.outputLatency || 0));
  await context.close();
  const delays = recordings.flatMap(({ samples, startsAt }) =>
    findBursts(samples, 48000).map(({ pitch, second }) => delayOf(pitch, startsAt + 1000 * second)),
  );
  return { delays, latency, tracks: recordings.length };
}
