// Whatever goes away comes back, and the pages heal without a touch.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, openDevice } from './support/browser.mjs';
import { figure } from './support/figures.mjs';
import { goOnAir, hears, movesAgain, reaches, stoodStill, watch } from './support/pages.mjs';
import { Server } from './support/server.mjs';

const HEALED_WITHIN = 15;
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;

async function isWhole(page, since) {
  const camera = await movesAgain(page, 'camera', since, HEALED_WITHIN);
  const slides = await movesAgain(page, 'slides', since, HEALED_WITHIN);
  await hears(page, HEALED_WITHIN);
  await reaches(page, ['live', 'weak'], 5);
  return Math.max(camera, slides);
}

describe('with a teacher in the studio page', () => {
  let server, browser, lesson, studio, classroom;
  before(async () => {
    server = await Server.serve();
    browser = await launch();
    lesson = await server.createLesson('四年级语文 观潮');
    [studio, classroom] = [await openDevice(browser), await openDevice(browser)];
    await goOnAir(studio, lesson.studio);
    await watch(classroom, server.base, lesson.code);
    await hears(classroom);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  test('a classroom that is reloaded is in the lesson again', async (t) => {
    const since = Date.now();
    await classroom.reload();
    figure(t, `pictures again ${seconds(await isWhole(classroom, since))} after the reload`);
  });

  test('a studio that is reloaded is on air again, and the classroom with it', async (t) => {
    const since = Date.now();
    await studio.reload();
    await reaches(studio, ['on_air'], HEALED_WITHIN);
    await isWhole(classroom, Date.now());
    figure(t, `the camera stood still in the classroom for ${seconds(await stoodStill(classroom, 'camera', since))}`);
  });

  test('after kill -9 and a restart of the server, studio and classroom come back', async (t) => {
    await server.kill();
    const killed = Date.now();
    await reaches(classroom, ['reconnecting'], 10);
    figure(t, `the classroom says that it reconnects ${seconds(Date.now() - killed)} after the kill`);
    const restarted = Date.now();
    await server.start();
    const ready = Date.now();
    await reaches(studio, ['on_air'], HEALED_WITHIN);
    const whole = await isWhole(classroom, restarted);
    figure(t, `pictures again ${seconds(whole)} after the process was started anew (it was ready after ${seconds(ready - restarted)})`);
  });
});

describe('with the demonstration lesson', () => {
  let server, browser, classroom;
  before(async () => {
    server = await Server.demo();
    browser = await launch();
    classroom = await openDevice(browser);
    await watch(classroom, server.base, server.code);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  test('after kill -9 and a restart it goes on, under the same code', async (t) => {
    const { classroom: address } = server.demo;
    await server.kill();
    const restarted = Date.now();
    await server.start();
    assert.equal(server.demo.classroom, address);
    figure(t, `pictures again ${seconds(await isWhole(classroom, restarted))} after the process was started anew`);
  });
});
