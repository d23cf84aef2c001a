// A lesson that runs, with one studio and one classroom, whose course is recorded.
import assert from 'node:assert/strict';
import { RECORDER, longestSilence, moments } from './break.mjs';
import { openDevice } from './browser.mjs';
import { goOnAir, hears, stoodStill, watch } from './pages.mjs';

export async function running(server, browser) {
  const lesson = await server.createLesson('四年级语文 观潮');
  const studio = await openDevice(browser);
  const classroom = await openDevice(browser, { init: [RECORDER] });
  await goOnAir(studio, lesson.studio, { slides: false });
  await watch(classroom, server.base, lesson.code);
  await hears(classroom);
  return { lesson, studio, classroom };
}

/** Fails unless the classroom has heard and seen the lesson all the time since then; gives the longest gaps in ms. */
export async function goesOn(classroom, since) {
  const gaps = { 'longest silence': await longestSilence(classroom, since), 'picture stood still for at most': await stoodStill(classroom, 'camera', since) };
  const states = [...new Set((await moments(classroom, since)).map(({ state }) => state))];
  assert.ok(states.every((state) => state === 'live' || state === 'weak'), `the classroom said ${states}`);
  // A machine that does much else has gaps of its own; what breaks a lesson takes longer, or shows in what the page says.
  for (const [what, ms] of Object.entries(gaps)) assert.ok(ms < 5000, `${what} ${ms} ms`);
  return gaps;
}
