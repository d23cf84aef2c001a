// The measuring instruments against a page whose delays are known.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch, openDevice } from './support/browser.mjs';
import { agreeing, longestGap, median, sleep, until } from './support/figures.mjs';
import { encodeSlide, encodeTime } from './support/time-code.mjs';
import { burst } from './support/tone.mjs';

const PICTURES_LATE_BY = 120;

/** Draws a time code that is late by a known amount, and plays tone bursts on the second, all through a loop of two peers. */
const PAGE = `<!doctype html><video data-testid="slides-video" autoplay muted playsinline></video><audio autoplay></audio>
<script type="module">
${encodeTime.toString()} ${encodeSlide.toString()} ${burst.toString()}
const TIME_BITS = 28, TIME_RANGE = 2 ** 28, BURST_SECONDS = 0.02;
const bitsOf = (value, count) => Array.from({ length: count }, (_, i) => Math.floor(value / 2 ** (count - 1 - i)) % 2 === 1);
const pitchOf = (second) => 3000 + 250 * (second % 8);
function checksum(bits) { const sum = [false, false, false, false]; bits.forEach((bit, i) => (sum[i % 4] = sum[i % 4] !== bit)); return sum; }
const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
const context = canvas.getContext('2d');
let shown = 0;
function row(cells, y) { cells.forEach((on, i) => { context.fillStyle = on ? '#ebebeb' : '#101010'; context.fillRect(i * 16, y, 16, 16); }); }
function draw() {
  context.fillStyle = '#446'; context.fillRect(0, 0, 640, 360);
  row(encodeSlide(Math.floor(++shown / 20)), 328); row(encodeTime(Date.now() - ${PICTURES_LATE_BY}), 344);
}
setInterval(draw, 40);
const audio = new AudioContext({ sampleRate: 48000 });
const voice = audio.createMediaStreamDestination();
// A voice is never quite silent; a stream that falls silent between bursts isn't sent steadily.
const room = audio.createBufferSource();
room.buffer = audio.createBuffer(1, 48000, 48000);
room.buffer.copyToChannel(Float32Array.from({ length: 48000 }, () => 0.004 * (Math.random() - 0.5)), 0);
room.loop = true;
room.connect(voice);
room.start();
function beep(second) {
  const source = audio.createBufferSource();
  source.buffer = audio.createBuffer(1, 960, 48000);
  source.buffer.copyToChannel(burst(second, 48000, 0.2), 0);
  source.connect(voice);
  source.start(audio.currentTime + (second * 1000 - Date.now()) / 1000);
  setTimeout(() => beep(second + 1), second * 1000 + 500 - Date.now());
}
beep(Math.ceil(Date.now() / 1000) + 1);
const [from, to] = [new RTCPeerConnection(), new RTCPeerConnection()];
from.onicecandidate = ({ candidate }) => to.addIceCandidate(candidate);
to.onicecandidate = ({ candidate }) => from.addIceCandidate(candidate);
to.ontrack = ({ track }) => { document.querySelector(track.kind).srcObject = new MediaStream([track]); };
for (const track of [...canvas.captureStream(25).getTracks(), ...voice.stream.getTracks()]) from.addTrack(track);
await from.setLocalDescription(); await to.setRemoteDescription(from.localDescription);
await to.setLocalDescription(); await from.setRemoteDescription(to.localDescription);
</script>`;

let server, browser, page;
before(async () => {
  server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(PAGE));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  browser = await launch();
  page = await openDevice(browser);
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await until('pictures', 10, () => page.evaluate(() => window.probe.frames.slides.length > 10));
});
after(async () => {
  await browser?.close();
  server?.close();
});

test('the time code is read from every frame, and its age is what the page made it', async (t) => {
  await sleep(3000);
  const frames = (await page.evaluate(() => window.probe.frames.slides)).slice(-60);
  const legible = frames.filter(({ age }) => age !== null);
  assert.ok(legible.length >= 0.95 * frames.length, `${legible.length} of ${frames.length} legible`);
  assert.ok(frames.filter(({ moved }) => moved).length >= 0.9 * frames.length);
  assert.ok(legible.at(-1).slide > legible[0].slide, 'the slide number goes up');
  const age = median(legible.map((frame) => frame.age));
  t.diagnostic(`age ${age.toFixed(0)} ms, longest gap ${longestGap(frames).toFixed(0)} ms`);
  assert.ok(age >= PICTURES_LATE_BY && age < PICTURES_LATE_BY + 200, `${age} ms`);
});

test('tone bursts are heard, and their delay is that of the loop', async (t) => {
  const { delays, latency, tracks } = await page.evaluate(() => window.probe.hearBursts(8));
  const heard = agreeing(delays, 25);
  t.diagnostic(`${heard.length} of ${delays.length} bursts, delay ${median(heard).toFixed(0)} ms, latency ${latency.toFixed(0)} ms`);
  assert.equal(tracks, 1);
  assert.ok(heard.length >= 5, `${delays}`);
  assert.ok(median(heard) < 250, `${median(heard)} ms`);
});
