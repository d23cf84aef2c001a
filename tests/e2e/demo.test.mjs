// The demonstration lesson in a classroom, measured by the time code in its pictures and its voice.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openDevice } from './support/browser.mjs';
import { agreeing, figure, longestGap, median, quantile, sleep } from './support/figures.mjs';
import { frames, hears, stats, watch } from './support/pages.mjs';
import { Server } from './support/server.mjs';

const SECONDS = 12;

let server, browser, page;
before(async () => {
  server = await Server.demo();
  browser = await launch();
  page = await openDevice(browser);
  await page.goto(server.demo.classroom);
  await watch(page, server.base, server.code);
  await hears(page);
  // The delay of the voice settles within the first seconds.
  await sleep(5000);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** What came onto the screen while the page listened to the voice for `SECONDS`. */
let measured;
async function measure() {
  if (measured) return measured;
  const began = Date.now();
  const heard = await page.evaluate((seconds) => window.probe.hearBursts(seconds), SECONDS);
  const during = async (name) => (await frames(page, name)).filter(({ at }) => at > began);
  measured = { heard, camera: await during('camera'), slides: await during('slides') };
  return measured;
}

const agesOf = (shown) => shown.filter(({ age }) => age !== null).map(({ age }) => age);

test('camera and slides move, and their time code is legible', async (t) => {
  const { camera, slides } = await measure();
  for (const [name, shown, fewest] of [['camera', camera, 10], ['slides', slides, 3]]) {
    const rate = shown.length / SECONDS;
    const legible = agesOf(shown).length / shown.length;
    const { width, height } = shown.at(-1);
    figure(t, `${name}: ${rate.toFixed(1)} frames/s at ${width}×${height}, ${(100 * legible).toFixed(1)} % legible, longest gap ${longestGap(shown).toFixed(0)} ms`);
    assert.ok(rate >= fewest, `${name}: ${rate} frames/s`);
    assert.ok(legible >= 0.98, `${name}: ${legible} legible`);
  }
  const numbers = slides.map(({ slide }) => slide).filter((number) => number !== null);
  assert.ok(numbers.length >= 0.98 * slides.length, 'the slide number is legible');
  assert.ok(numbers.at(-1) > numbers[0], `the slides change: ${numbers[0]} to ${numbers.at(-1)}`);
});

test('from glass to glass no more than 300 ms', async (t) => {
  const { camera, slides } = await measure();
  for (const [name, shown] of [['camera', camera], ['slides', slides]]) {
    const ages = agesOf(shown);
    figure(t, `${name}: median ${median(ages).toFixed(0)} ms, 95 % within ${quantile(ages, 0.95).toFixed(0)} ms`);
    assert.ok(median(ages) <= 300, `${name}: ${median(ages)} ms`);
  }
});

test('the voice is in time with the camera and the slides', async (t) => {
  const { heard, camera, slides } = await measure();
  const bursts = agreeing(heard.delays.filter((delay) => delay < 2000), 30);
  assert.ok(bursts.length >= SECONDS / 2, `${bursts.length} bursts agree of ${heard.delays}`);
  const voice = median(bursts);
  figure(t, `voice: ${voice.toFixed(0)} ms from mouth to page, by ${bursts.length} tone bursts (the page's sound output adds ${heard.latency.toFixed(0)} ms)`);
  for (const [name, shown, most] of [['camera', camera, 80], ['slides', slides, 300]]) {
    const offset = voice - median(agesOf(shown));
    figure(t, `voice – ${name}: ${offset.toFixed(0)} ms (positive: the voice comes later)`);
    assert.ok(Math.abs(offset) <= most, `voice – ${name}: ${offset} ms`);
  }
});

test('the browser itself says the same from the sender reports', async (t) => {
  const inbound = (await stats(page)).filter(({ type, estimatedPlayoutTimestamp }) => type === 'inbound-rtp' && estimatedPlayoutTimestamp);
  const slots = await page.evaluate(() => window.__mingshi.slots());
  const of = (slot) => {
    const mid = slots.find((state) => state.slot === slot && state.index === 0)?.mid;
    return inbound.find((entry) => entry.mid === mid);
  };
  const [voice, camera] = [of('voice'), of('camera')];
  assert.ok(voice && camera, `${JSON.stringify(slots)} ${inbound.map(({ mid, kind }) => kind + mid)}`);
  const offset = camera.estimatedPlayoutTimestamp - voice.estimatedPlayoutTimestamp;
  figure(t, `voice – camera by estimatedPlayoutTimestamp: ${offset.toFixed(0)} ms; jitter buffers: voice ${(1000 * voice.jitterBufferDelay / voice.jitterBufferEmittedCount).toFixed(0)} ms, camera ${(1000 * camera.jitterBufferDelay / camera.jitterBufferEmittedCount).toFixed(0)} ms`);
  assert.ok(Math.abs(offset) <= 80, `${offset} ms`);
});

test('nothing was lost or frozen on loopback', async (t) => {
  const inbound = (await stats(page)).filter(({ type }) => type === 'inbound-rtp');
  const lost = inbound.reduce((sum, { packetsLost = 0 }) => sum + packetsLost, 0);
  const freezes = inbound.reduce((sum, { freezeCount = 0 }) => sum + freezeCount, 0);
  const voice = inbound.find(({ kind }) => kind === 'audio');
  const concealed = voice.concealedSamples / voice.totalSamplesReceived;
  figure(t, `${lost} packets lost, ${freezes} freezes, ${(100 * concealed).toFixed(2)} % of the voice concealed`);
  assert.equal(lost, 0);
  assert.ok(concealed < 0.02, `${concealed} of the voice concealed`);
});
