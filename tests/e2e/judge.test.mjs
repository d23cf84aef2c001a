import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as judge from './support/judge.mjs';

/** A time at which a slide changes, and its number. */
const CHANGE = 6000 * 4096 * 70 + 6000 * 17;
const SLIDE = 17;

/** Frames every `every` ms from `from` on, made `age` ms before. */
function shown(from, to, { every = 100, age = 100, height = 360, slide = SLIDE } = {}) {
  return Array.from({ length: Math.floor((to - from) / every) }, (_, i) => ({ at: from + i * every, age, slide, moved: true, height }));
}

/** What is noted every 50 ms of a voice that is heard, but for a silence. */
function noted(from, to, silence = { from: to, to }) {
  let [heard, concealed] = [0, 0];
  return Array.from({ length: (to - from) / 50 }, (_, i) => {
    const at = from + 50 * i;
    if (at > silence.from && at <= silence.to) concealed += 2400;
    else heard += 2400;
    return { at, heard, concealed, age: 150 };
  });
}

test('a slide that comes late is told by its delay, and counts as illegible from a second and a half on', () => {
  const frames = [...shown(CHANGE - 6000, CHANGE + 2000, { slide: SLIDE - 1 }), ...shown(CHANGE + 2000, CHANGE + 6000)];
  const window = { from: CHANGE - 3000, to: CHANGE + 6000 };
  assert.deepEqual(judge.slideDelays(frames, [window]), [2000]);
  assert.ok(Math.abs(judge.legible(frames, [window]) - (1 - 500 / 9000)) < 0.01);
});

test('a slide that never comes has no delay that can be told', () => {
  const frames = shown(CHANGE - 6000, CHANGE + 6000, { slide: SLIDE - 1 });
  assert.deepEqual(judge.slideDelays(frames, [{ from: CHANGE - 1000, to: CHANGE + 5900 }]), [Infinity]);
});

test('a slide that stands still without new pictures is legible', () => {
  const frames = shown(CHANGE, CHANGE + 300);
  assert.equal(judge.legible(frames, [{ from: CHANGE + 500, to: CHANGE + 6000 }]), 1);
});

test('of what stands still, only pauses of more than half a second count, the last one too', () => {
  const frames = [...shown(0, 2000), ...shown(2300, 3000), ...shown(4000, 5000)];
  assert.ok(Math.abs(judge.frozen(frames, [{ from: 0, to: 6000 }]) - (1100 + 1100) / 6000) < 0.001);
});

test('a silence is found to within a look, and made-up voice is no voice', () => {
  const { concealed, silence } = judge.voice(noted(0, 10_000, { from: 4000, to: 4500 }), [{ from: 0, to: 10_000 }]);
  assert.ok(Math.abs(concealed - 0.05) < 0.001, `${concealed}`);
  assert.equal(silence, 500);
});

test('a voice that never comes back is silent to the end', () => {
  assert.equal(judge.voice(noted(0, 5000, { from: 2000, to: 5000 }), [{ from: 0, to: 5000 }]).silence, 3000);
});

test('the queue settles when it stays short, and the line has climbed when it carries what it will', () => {
  const looks = Array.from({ length: 400 }, (_, i) => {
    const at = 50 * i;
    return { at, waiting: at < 3000 ? 200 : 10, bytes: at < 8000 ? 20 * at : 160_000 + 100 * (at - 8000) };
  });
  const window = { from: 0, to: 20_000 };
  assert.ok(Math.abs(judge.drained(looks, window) - 3000) <= 1000);
  const slide = looks.map((look) => (look.at >= 14_000 && look.at < 14_800 ? { ...look, waiting: 110 } : look));
  assert.equal(judge.drained(slide, window), judge.drained(looks, window), 'a new slide, long after, is another matter');
  assert.ok(Math.abs(judge.climbed(looks, window) - 8000) <= 2000);
  assert.ok(Math.abs(judge.use(looks, { from: 10_000, to: 20_000 }, 1_000_000) - 0.8) < 0.02);
});

test('an index of one is for equal shares alone', () => {
  assert.equal(judge.fairness([5, 5, 5]), 1);
  assert.ok(Math.abs(judge.fairness([3, 0, 0]) - 1 / 3) < 1e-9);
});

test('back is what was made after the line came back', () => {
  const frames = [...shown(1000, 2000, { age: 1500 }), ...shown(2000, 3000)];
  assert.equal(judge.picturesAgain(frames, 1000), 1000);
  const moments = noted(0, 5000, { from: 1000, to: 2500 });
  assert.ok(Math.abs(judge.voiceAgain(moments, 1000) - 1600) <= 50);
});

test('the voice is later than the picture by the difference of their ages', () => {
  assert.equal(judge.offset(noted(0, 1000), shown(0, 1000), [{ from: 0, to: 1000 }]), 50);
});
