// Slides in AV1, and a classroom whose browser can't decode it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openDevice } from './support/browser.mjs';
import { figure, sleep, until } from './support/figures.mjs';
import { goOnAir, movesAgain, stats, watch } from './support/pages.mjs';
import { Server } from './support/server.mjs';

const FOUR_CORES = "Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => 4 });";
/** A browser of before AV1. */
const OLD = `const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
    const transceiver = add.call(this, kind, init);
    const { codecs } = RTCRtpReceiver.getCapabilities(kind);
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType !== 'video/AV1'));
    return transceiver;
  };`;

let server, browser, lesson, studio, modern;
const told = [];
before(async () => {
  server = await Server.serve();
  browser = await launch();
  lesson = await server.createLesson('六年级数学 圆');
  studio = await openDevice(browser, { init: [FOUR_CORES] });
  studio.on('websocket', (socket) =>
    socket.on('framereceived', ({ payload }) => {
      const message = JSON.parse(payload);
      if (message.type === 'wanted') told.push(message.wanted);
    }),
  );
  modern = await openDevice(browser);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The codecs in which the studio sends its slides now, by what leaves in a second and a half. */
async function slidesSent() {
  const sent = async () => {
    const all = await stats(studio);
    const codec = (id) => all.find((entry) => entry.id === id)?.mimeType;
    const slides = all.filter(({ type, frameWidth, rid }) => type === 'outbound-rtp' && (['lo', 'hi'].includes(rid) || (rid === undefined && frameWidth)));
    return slides.map((entry) => [`${codec(entry.codecId)} ${entry.rid ?? ''}`.trim(), entry.packetsSent ?? 0]);
  };
  const earlier = new Map(await sent());
  await sleep(1500);
  return (await sent()).filter(([name, packets]) => packets > (earlier.get(name) ?? 0)).map(([name]) => name);
}

test('where everybody decodes AV1, slides are sent in nothing else', async (t) => {
  await goOnAir(studio, lesson.studio);
  await watch(modern, server.base, lesson.code);
  await movesAgain(modern, 'slides', Date.now());
  assert.deepEqual(await slidesSent(), ['video/AV1']);
  assert.deepEqual(told, []);
});

test('a classroom that comes without AV1 gets them in H.264, and the others keep theirs', async (t) => {
  const old = await openDevice(browser, { init: [OLD] });
  const began = Date.now();
  await watch(old, server.base, lesson.code);
  figure(t, `slides in H.264 ${((await movesAgain(old, 'slides', began)) / 1000).toFixed(1)} s after the page was opened`);
  assert.deepEqual(told, [true]);
  await movesAgain(modern, 'slides', Date.now());
  const decoded = async (page) => {
    const all = await stats(page);
    const video = all.filter(({ type, kind, framesDecoded }) => type === 'inbound-rtp' && kind === 'video' && framesDecoded > 0);
    return video.map(({ codecId }) => all.find(({ id }) => id === codecId)?.mimeType);
  };
  assert.ok((await decoded(modern)).includes('video/AV1'));
  assert.ok(!(await decoded(old)).includes('video/AV1'));
  await old.context().close();
});

test('when it has left, its codec is no longer sent', async () => {
  await until('nobody needs it', 20, () => told.at(-1) === false);
  await until('only AV1 is sent', 30, async () => (await slidesSent()).join() === 'video/AV1');
  await movesAgain(modern, 'slides', Date.now());
});
