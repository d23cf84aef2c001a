// Whatever is killed at whatever instant of a lesson: there is one recording, on the lesson's time line, that lacks a second at most.
// `RECORDING_KILLS=100` holds more of them.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { OUTPUT, figure, sleep, until } from '../support/figures.mjs';
import { Studio, begin, childrenOf, end, fetchFile, recordingOf } from '../support/recorded-lesson.mjs';
import { heldBy, longestHole } from '../support/recorded.mjs';
import { Server } from '../support/server.mjs';

const KILLS = Number(process.env.RECORDING_KILLS ?? 20);
const AT_ONCE = 4;
const VICTIMS = ['server', 'media process', 'both'];
/** Where the publisher's clock stands is known by what comes, and what comes from a busy computer comes late. */
const LATE_AT_MOST = 1500;
/** Of picture and voice. */
const APART_AT_MOST = 80;
/** What may be missing of what was received: journals are on the disk within this time, and a picture or two more are on their way. */
const LOST_AT_MOST = { server: 1000, 'media process': 200, both: 1000 };

let server;
before(async () => {
  server = await Server.serve();
});
after(() => server?.stop());

const random = (from, to) => from + Math.random() * (to - from);

async function kill(victim) {
  const recorders = childrenOf(server.process.pid, 'record');
  const when = Date.now();
  if (victim !== 'media process') server.process.kill('SIGKILL');
  if (victim !== 'server') recorders.forEach((pid) => process.kill(pid, 'SIGKILL'));
  if (victim !== 'media process') {
    await server.exited;
    await server.start();
  }
  return when;
}

/** What the recording of one lesson lacks around the instant of a kill. */
async function judge(lesson, victim, when, over) {
  const recording = await recordingOf(server, lesson.id);
  const originals = recording.files.filter(({ variant }) => variant === 'original');
  assert.deepEqual(originals.map(({ track }) => track).toSorted(), ['camera', 'slides'], JSON.stringify(recording));
  const found = [];
  for (const file of originals) {
    const held = await heldBy(await fetchFile(server, lesson.id, file), recording.zero_unix_ms);
    const lastBefore = Math.max(...held.moments.filter((at) => at <= when));
    const lost = victim === 'media process' ? longestHole(held.moments, when - 2000, over - 3000).length : when - lastBefore;
    const went = held.moments.some((at) => at > when + 2000);
    found.push({ track: file.track, lost, late: held.late, apart: held.apart, bursts: held.bursts, unread: held.unread, went });
  }
  return { found, gaps: recording.gaps, recording };
}

for (let round = 0; round * AT_ONCE < KILLS; round++) {
  const victim = VICTIMS[round % VICTIMS.length];
  const lessons = Math.min(AT_ONCE, KILLS - round * AT_ONCE);
  test(`round ${round + 1}: ${victim} killed in ${lessons} lessons at once`, async (t) => {
    const begun = [];
    for (let number = 0; number < lessons; number++) {
      const lesson = await begin(server, `被杀 ${round}-${number}`);
      begun.push({ ...lesson, studio: new Studio(server, lesson.id, lesson.token) });
      await sleep(random(0, 400));
    }
    for (const { studio } of begun) await until('the studio is on air', 30, () => studio.isOnAir());
    await sleep(random(4000, 7000));
    const when = await kill(victim);
    await sleep(7000);
    const over = Date.now();
    for (const lesson of begun) {
      await end(server, lesson.id);
      await lesson.studio.stop();
    }
    let worst = 0;
    for (const lesson of begun) {
      // Whoever looks into a failure needs what was recorded.
      const keep = (error) => {
        cpSync(join(server.folder, 'recordings', lesson.id), join(OUTPUT, `recording-${lesson.id}`), { recursive: true });
        throw error;
      };
      await look(lesson).catch(keep);
    }
    async function look(lesson) {
      const { found, gaps } = await judge(lesson, victim, when, over);
      for (const { track, lost, late, apart, bursts, unread, went } of found) {
        const what = `${track} of ${lesson.id}: ${JSON.stringify({ lost, late, apart, bursts, unread, gaps })}`;
        assert.ok(lost <= LOST_AT_MOST[victim], `lost too much: ${what}`);
        assert.ok(went, `nothing after the kill: ${what}`);
        assert.equal(unread, 0, `pictures that can't be read: ${what}`);
        assert.ok(late.most < LATE_AT_MOST && late.least > -LATE_AT_MOST / 3, `pictures leave the time line: ${what}`);
        assert.ok(bursts > 5, `the voice isn't there: ${what}`);
        assert.ok(track === 'slides' || apart < APART_AT_MOST, `voice and camera apart: ${what}`);
        worst = Math.max(worst, lost);
      }
      if (victim !== 'media process') assert.ok(gaps.some(({ why }) => why === 'server_down' || why === 'studio_away'), `the gap isn't marked: ${JSON.stringify(gaps)}`);
    }
    figure(t, `lost at most ${Math.round(worst)} ms`);
  });
}
