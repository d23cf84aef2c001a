// Pictures of every page at the sizes of a classroom PC, a big screen and a phone, for people to look at.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { launch, openDevice } from './support/browser.mjs';
import { OUTPUT, sleep } from './support/figures.mjs';
import { reaches, watch } from './support/pages.mjs';
import { Server } from './support/server.mjs';

const SIZES = [
  { width: 1366, height: 768 },
  { width: 1920, height: 1080 },
  { width: 390, height: 844 },
];

let server, browser;
before(async () => {
  mkdirSync(OUTPUT, { recursive: true });
  server = await Server.demo();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Opens a page at every size, waits until `ready`, and keeps a picture of it; nothing may stick out sideways. */
async function shoot(name, address, ready) {
  for (const size of SIZES) {
    const page = await openDevice(browser, size);
    await page.goto(address);
    await ready(page);
    await page.screenshot({ path: `${OUTPUT}${name}-${size.width}.png` });
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    await page.context().close();
    assert.ok(sideways <= 0, `${name} at ${size.width}: ${sideways} px too wide`);
  }
}

const operatorLink = () => `${server.base}/#/operator/${server.operatorKey}`;

test('the start page', () => shoot('start', server.base, (page) => page.getByTestId('code-pad').waitFor()));

test('the classroom, live', () =>
  shoot('classroom', server.demo.classroom, async (page) => {
    await watch(page, server.base, server.code);
    await sleep(3000);
    await page.mouse.move(200, 200);
  }));

test('the classroom, with a code that no lesson has', () =>
  shoot('wrong-code', `${server.base}/#/c/000000`, (page) => reaches(page, ['cannot_play'])));

test('the operator’s lessons', () => shoot('operator', operatorLink(), (page) => page.getByTestId('lesson-list').waitFor()));

test('the classroom before the lesson, and the studio before it goes on air', async () => {
  const lesson = await server.createLesson('五年级英语 第三单元 What would you like?');
  await shoot('waiting', `${server.base}/#/c/${lesson.code}`, (page) => reaches(page, ['waiting']));
  await shoot('studio', lesson.studio, async (page) => {
    await reaches(page, ['preparing']);
    await sleep(1500);
  });
});
