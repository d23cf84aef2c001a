// What a classroom's page tells of what it shows, what the server makes of it, and what is on record afterwards.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { launch, openDevice } from './support/browser.mjs';
import { until } from './support/figures.mjs';
import { frames, goOnAir, movesAgain, reaches } from './support/pages.mjs';
import { BINARY, Server } from './support/server.mjs';

let server, browser, lesson, school, studio, page;
const told = [];
before(async () => {
  server = await Server.serve();
  browser = await launch();
  lesson = await server.createLesson('五年级英语 第三单元');
  school = await server.call('POST', '/api/v1/schools', { token: lesson.operator, body: { name: '河棚镇中心小学', tier: '4M' } });
  studio = await openDevice(browser);
  await goOnAir(studio, lesson.studio);
  page = await openDevice(browser);
  page.on('websocket', (socket) =>
    socket.on('framesent', ({ payload }) => {
      const message = JSON.parse(payload);
      if (message.type === 'shown') told.push({ ...message, at: Date.now() });
    }),
  );
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const last = (slot) => told.filter((message) => message.slot === slot).at(-1);
const slotOf = (name) => page.evaluate((slot) => window.__mingshi.slots().find((s) => s.slot === slot && s.index === 0), name);

test('a link names the school, and the studio sees it by its name', async () => {
  await page.goto(`${server.base}/#/c/${lesson.code}?school=${school.id}`);
  await reaches(page, ['live', 'weak']);
  const row = studio.getByTestId('participant').filter({ hasText: '河棚镇中心小学' });
  await until('the school is on the wall', 5, () => row.count());
});

test('the page tells how large it shows slides and camera, and again after a swap', async () => {
  await until('both are told', 5, () => last('slides') && last('camera'));
  const [slides, camera] = [last('slides'), last('camera')];
  assert.ok(slides.width > 2 * camera.width && camera.width > 100, JSON.stringify(told));
  await page.mouse.move(400, 300);
  await page.getByTestId('swap').click();
  await until('the swap is told', 5, () => last('camera').width > last('slides').width);
  await page.getByTestId('swap').click();
  await until('it is as before', 5, () => last('slides').width === slides.width);
});

test('in the background a page is sent no camera, and has it back when it is looked at', async () => {
  const look = (state) =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'visibilityState', { configurable: true, value });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  await look('hidden');
  await until('nothing is shown', 5, () => last('camera').width === 0 && last('slides').width === 0);
  await until('the camera is paused', 5, async () => (await slotOf('camera')).paused === 'capped');
  assert.equal((await slotOf('slides')).paused, null, 'slides go on');
  const back = Date.now();
  await look('visible');
  await movesAgain(page, 'camera', back, 10);
});

test('pages tell of a slot once a second at most', async () => {
  for (const slot of ['slides', 'camera']) {
    const times = told.filter((message) => message.slot === slot).map(({ at }) => at);
    const gaps = times.slice(1).map((at, index) => at - times[index]);
    assert.ok(gaps.every((gap) => gap > 900), `${slot}: ${gaps}`);
  }
  assert.ok((await frames(page, 'camera')).length > 0);
});

test('why is on record while the server runs, for people and for programs', async () => {
  const explain = async (...more) =>
    (await promisify(execFile)(BINARY, ['lesson', 'explain', lesson.id, ...more], { env: { ...process.env, ...server.environment } })).stdout;
  const decisions = await until('a decision is on record', 10, async () => {
    const lines = (await explain('--json', '--participant', '河棚')).trim();
    return lines !== '' && lines.split('\n').map((line) => JSON.parse(line));
  });
  assert.ok(decisions.some(({ slot, reason, to }) => slot === 'camera' && reason === 'small' && to === null), JSON.stringify(decisions));
  assert.match(await explain(), /河棚镇中心小学 .*教师画面 camera\/0/);
  assert.match(await explain('--participant', '没有这个人'), /没有记录/);
});
