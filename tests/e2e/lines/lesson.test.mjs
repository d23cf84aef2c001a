// A lesson on a school's weak line, in short: the voice has no gap, slides come, and what was lost comes back. How well it does all that
// is measured by `make linklab`; here the margins are wide, so that only what is broken fails.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hold } from '../support/course.mjs';
import { figure } from '../support/figures.mjs';
import * as judge from '../support/judge.mjs';
import { makeLine } from '../support/line.mjs';

const M = 1_000_000;

/** Holds the lesson and gives what came of it, or skips the test where there can be no line. */
async function held(t, scenario) {
  const { machines: line, why } = makeLine(scenario.rooms);
  if (!line) {
    t.skip(why);
    return null;
  }
  try {
    const result = await hold(line, scenario);
    assert.equal(result.larger, 0, 'packets came to the school in one piece that no line carries');
    return result;
  } finally {
    line.remove();
  }
}

const percent = (share) => `${(100 * share).toFixed(2)} %`;

/** What must hold of every room whenever there is a line: the voice goes on, and each new slide comes. */
function goesOn(t, { rooms }, windows) {
  rooms.forEach((room, i) => {
    const { concealed, silence } = judge.voice(room.moments, windows);
    const delays = judge.slideDelays(room.slides, windows);
    figure(t, `room ${i + 1}: ${percent(concealed)} of the voice concealed, ${silence} ms without; slides after ${delays.map(Math.round).join(', ')} ms; camera frozen ${percent(judge.frozen(room.camera, windows))}`);
    assert.ok(concealed < 0.05, `${percent(concealed)} of the voice was made up in room ${i + 1}`);
    assert.ok(silence < 1000, `room ${i + 1} heard nothing for ${silence} ms`);
    assert.ok(delays.length > 0 && Math.max(...delays) < 5000, `room ${i + 1} saw slides after ${delays} ms`);
  });
}

test('three classrooms share 4M and lose every twentieth packet', async (t) => {
  const result = await held(t, { rooms: 3, rate: 4 * M, loss: 0.05, course: [{ seconds: 20 }] });
  if (!result) return;
  goesOn(t, result, result.windows);
  const shares = result.rooms.map(({ stats }) => stats.reduce((sum, { bytesReceived = 0 }) => sum + bytesReceived, 0));
  assert.ok(judge.fairness(shares) > 0.7, `the rooms received ${shares} octets`);
});

test('a line falls from 10M to 1M and becomes 4M', async (t) => {
  const result = await held(t, { rooms: 1, rate: 10 * M, settle: 4, course: [{ seconds: 6 }, { seconds: 15, rate: M }, { seconds: 20, rate: 4 * M }] });
  if (!result) return;
  const [before, narrow, wide] = result.windows;
  goesOn(t, result, [before, { ...narrow, from: narrow.from + 3000 }, wide]);
  const waiting = judge.queue(result.looks, [{ ...narrow, from: narrow.from + 5000 }]);
  const shown = judge.layerOf(result.rooms[0].camera, wide);
  figure(t, `at 1M the queue stands at ${waiting.toFixed(0)} ms; at 4M the camera is ${shown.height}p at ${shown.rate.toFixed(0)} pictures a second`);
  assert.ok(waiting < 180, `the queue stood at ${waiting} ms`);
  assert.ok(shown.height > 0 && shown.rate > 5, 'the camera came back');
});

test('a line is cut for ten seconds', async (t) => {
  const result = await held(t, { rooms: 1, rate: 4 * M, settle: 4, course: [{ seconds: 5 }, { seconds: 10, cut: true }, { seconds: 20 }] });
  if (!result) return;
  const [before, cut, after] = result.windows;
  const [room] = result.rooms;
  const again = { voice: judge.voiceAgain(room.moments, cut.to), slides: judge.picturesAgain(room.slides, cut.to), camera: judge.picturesAgain(room.camera, cut.to) };
  figure(t, `back after ${JSON.stringify(again)} ms`);
  for (const [what, ms] of Object.entries(again)) assert.ok(ms < 10_000, `${what} came back after ${ms} ms`);
  goesOn(t, result, [before, { ...after, from: cut.to + Math.max(...Object.values(again)) }]);
});
