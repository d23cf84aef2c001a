// A teacher goes on air in the demonstration lesson: it steps back, and is there again when the teacher has gone.
import { after, before, test } from 'node:test';
import { longestSilence, RECORDER } from '../support/break.mjs';
import { launch, openDevice } from '../support/browser.mjs';
import { until } from '../support/figures.mjs';
import { frames, goOnAir, hears, reaches, stoodStill, watch } from '../support/pages.mjs';
import { Server } from '../support/server.mjs';
import { row } from '../support/faults-table.mjs';

let server, browser, classroom;
before(async () => {
  server = await Server.demo();
  browser = await launch();
  classroom = await openDevice(browser, { init: [RECORDER] });
  await watch(classroom, server.base, server.code);
  await hears(classroom);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Waits until every picture of a second is the demonstration's, which has a time code, or none is. */
const shows = (whose, isDemo) =>
  until(`${whose} picture is on screen`, 20, async () => {
    const lately = (await frames(classroom, 'camera')).filter(({ at }) => at > Date.now() - 1000);
    return lately.length > 5 && lately.every(({ age }) => (age !== null) === isDemo);
  });

test('a teacher takes the demonstration lesson over, and gives it back', async (t) => {
  await shows('the demonstration’s', true);
  const came = Date.now();
  const teacher = await openDevice(browser);
  await goOnAir(teacher, server.demo.studio, { slides: false });
  await shows('the teacher’s', false);
  const steppedBack = await longestSilence(classroom, came);
  await hears(classroom);
  const went = Date.now();
  await teacher.context().close();
  await shows('the demonstration’s', true);
  await hears(classroom);
  await reaches(classroom, ['live', 'weak'], 5);
  row(t, {
    fault: 'a teacher goes on air in the demonstration',
    figures: { 'longest silence as the teacher comes': steppedBack, 'picture stood still as the teacher goes': await stoodStill(classroom, 'camera', went) },
  });
});
