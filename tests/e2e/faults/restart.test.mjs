// The server is restarted in mid-lesson as systemd does it: SIGTERM, and a new process as soon as the old one has ended.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { claimedLive, longestSilence, moments, said } from '../support/break.mjs';
import { launch } from '../support/browser.mjs';
import { until } from '../support/figures.mjs';
import { hears, movesAgain, reaches, stoodStill } from '../support/pages.mjs';
import { running } from '../support/running.mjs';
import { Server } from '../support/server.mjs';
import { row } from '../support/faults-table.mjs';

let server, browser, studio, classroom;
before(async () => {
  server = await Server.serve();
  browser = await launch();
  ({ studio, classroom } = await running(server, browser));
  await classroom.mouse.move(300, 300);
  await classroom.getByTestId('hand').click();
  await studio.locator('[data-testid="participant"].hand').waitFor({ timeout: 5000 });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('SIGTERM and a new process: voice and picture go on, and the hand is still up', async (t) => {
  const told = Date.now();
  await server.terminate();
  const ended = Date.now();
  await server.start();
  const ready = Date.now();
  await movesAgain(classroom, 'camera', ended, 20);
  await reaches(classroom, ['live', 'weak'], 10);
  await hears(classroom);
  await reaches(studio, ['on_air'], 10);
  const silence = await longestSilence(classroom, told);
  const noted = await moments(classroom, told);
  row(t, {
    fault: 'server restarted (SIGTERM)',
    figures: {
      'voice gap': silence,
      'picture gap': await stoodStill(classroom, 'camera', told),
      'old process ended after': ended - told,
      'new one ready after': ready - ended,
      'live without voice at most': claimedLive(noted),
    },
    said: said(noted),
  });
  await until('the hand is up again', 5, () => studio.locator('[data-testid="participant"].hand').count());
  assert.equal(await classroom.getByTestId('hand').getAttribute('aria-pressed'), 'true');
  assert.equal(await studio.getByTestId('participant').count(), 1);
});
