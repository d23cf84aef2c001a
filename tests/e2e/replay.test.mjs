// A lesson is watched again: from its beginning while it runs, from its files afterwards, by a link without signing in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openDevice } from './support/browser.mjs';
import { figure, sleep, until } from './support/figures.mjs';
import { goOnAir, reaches } from './support/pages.mjs';
import { Server } from './support/server.mjs';

const IN_STEP_MS = 80;

let server, browser, lesson, studio, page;
before(async () => {
  server = await Server.serve();
  browser = await launch();
  lesson = await server.createLesson('五年级英语 第三单元');
  studio = await openDevice(browser);
  page = await openDevice(browser);
  await goOnAir(studio, lesson.studio);
  await sleep(20_000);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const state = () => page.evaluate(() => window.__mingshi?.state() ?? {});
const recording = () => server.call('GET', `/api/v1/recordings/${lesson.id}`, { token: lesson.operator });

/** How far the pictures were from the sound at most, over so many seconds; every picture has to be there. */
async function farthestOff(seconds, pictures) {
  let farthest = 0;
  for (let look = 0; look < seconds * 4; look += 1) {
    await sleep(250);
    const { offMs } = await state();
    assert.equal(offMs.length, pictures, `${offMs.length} of ${pictures} pictures are there`);
    farthest = Math.max(farthest, ...offMs.map(Math.abs));
  }
  return farthest;
}

test('a lesson that runs is watched from its beginning, pictures in step with the sound', async (t) => {
  await page.goto(`${server.base}/#/operator/${server.operatorKey}`);
  await until('the operator is signed in', 10, () => page.getByTestId('open-library').count());
  await page.getByTestId('open-library').click();
  await page.getByTestId('watch').first().click();
  await reaches(page, ['playing']);
  await until('it plays', 20, async () => (await state()).placeMs > 3000);
  const { source, placeMs } = await state();
  assert.equal(source, 'dvr');
  assert.ok(placeMs < 15_000, `it began at its beginning, and is at ${placeMs} ms`);
  const off = await farthestOff(5, 2);
  figure(t, `pictures at most ${Math.round(off)} ms from the sound while the lesson runs`);
  assert.ok(off <= IN_STEP_MS, `${off} ms`);
});

test('it goes to the newest moment and stays near it', async (t) => {
  await page.getByTestId('to-live').click();
  await sleep(4000);
  const { status, placeMs } = await state();
  assert.ok(['playing', 'buffering'].includes(status), status);
  const { duration_ms } = (await server.call('GET', `/api/v1/lessons/${lesson.id}/dvr`, { token: lesson.operator })).timeline;
  figure(t, `${((duration_ms - placeMs) / 1000).toFixed(1)} s behind what is kept`);
  assert.ok(duration_ms - placeMs < 20_000);
});

test('when the lesson is over, the page goes on with its files', async (t) => {
  await page.getByTestId('time-bar').click({ position: { x: 60, y: 22 } });
  await server.call('POST', `/api/v1/lessons/${lesson.id}/end`, { token: lesson.operator });
  const ended = Date.now();
  await until('the files are made', 90, async () => (await recording()).files.length > 0);
  figure(t, `files ${((Date.now() - ended) / 1000).toFixed(1)} s after the end`);
  await until('the page plays them', 30, async () => (await state()).source === 'files');
});

test('a link opens at its second, without signing in and without the right to keep the files', async (t) => {
  const { url } = await server.call('POST', `/api/v1/recordings/${lesson.id}/links`, { token: lesson.operator, body: { download: false, hours: 24 } });
  const { hash } = new URL(url, server.base);
  await page.context().close();
  page = await openDevice(browser);
  await page.goto(`${server.base}/${hash}&t=8`);
  await reaches(page, ['playing']);
  await until('it plays', 20, async () => (await state()).placeMs > 9500);
  const { placeMs } = await state();
  assert.ok(placeMs < 20_000, `${placeMs} ms`);
  // Two jumps at most after the start; then it has to hold.
  await sleep(3500);
  const off = await farthestOff(5, 1);
  figure(t, `the second picture at most ${Math.round(off)} ms from the sound in the files`);
  assert.ok(off <= IN_STEP_MS, `${off} ms`);
  assert.equal(await page.getByTestId('download').count(), 0);
});

test('keys steer it, and the place is remembered', async () => {
  await page.keyboard.press('k');
  await reaches(page, ['paused']);
  const { placeMs } = await state();
  await page.keyboard.press('ArrowLeft');
  await until('it went back', 5, async () => Math.abs((await state()).placeMs - Math.max(0, placeMs - 5000)) < 300);
  await page.keyboard.press('>');
  assert.equal((await state()).rate, 1.25);
  const remembered = await page.evaluate((id) => localStorage.getItem(`mingshi.stopped.${id}`), lesson.id);
  assert.ok(Number(remembered) > 0, `${remembered}`);
});

test('what was watched is counted', async () => {
  await page.keyboard.press('k');
  await sleep(3000);
  await page.goto('about:blank');
  await until('the view is counted', 10, async () => (await recording()).views?.views > 0);
});
