import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CELLS, ageOf, cellsOf, decodeSlide, decodeTime, encodeSlide, encodeTime } from './support/time-code.mjs';
import { burst, delayOf, findBursts, pitchOf } from './support/tone.mjs';

const RATE = 48000;

/** Two rows of cells as RGBA pixels: the slide number above, the time below. */
function draw(rows, side, black, white) {
  const pixels = new Uint8ClampedArray(4 * CELLS * side * rows.length * side);
  rows.forEach((cells, row) =>
    cells.forEach((on, cell) => {
      for (let y = row * side; y < (row + 1) * side; y++) {
        for (let x = cell * side; x < (cell + 1) * side; x++) pixels.fill(on ? white : black, 4 * (y * CELLS * side + x), 4 * (y * CELLS * side + x) + 4);
      }
    }),
  );
  return pixels;
}

/** Noise with most of its energy below 2 kHz, as speech has. */
function speechLike(seconds, amplitude) {
  let state = 1;
  let smooth = 0;
  return Float32Array.from({ length: seconds * RATE }, () => {
    state = (state * 48271) % 2147483647;
    smooth += 0.1 * ((state / 2147483647) * 2 - 1 - smooth);
    return smooth * amplitude * 4;
  });
}

test('a time survives the way through cells and pixels', () => {
  for (const ms of [0, 1, 268435455, 1795000000123]) {
    const pixels = draw([new Array(CELLS).fill(false), encodeTime(ms)], 4, 30, 220);
    assert.equal(decodeTime(cellsOf(pixels, 4, 1)), ms % 2 ** 28);
  }
});

test('one wrong cell anywhere makes the picture illegible', () => {
  const cells = encodeTime(1795000000123);
  for (let wrong = 0; wrong < CELLS; wrong++) {
    assert.equal(decodeTime(cells.map((cell, i) => (i === wrong ? !cell : cell))), null, `cell ${wrong}`);
  }
});

test('a slide number is read beside the time, and nothing is read from a grey picture', () => {
  const row = [...encodeSlide(4095), ...new Array(CELLS - 16).fill(true)];
  const pixels = draw([row, encodeTime(5)], 8, 16, 235);
  assert.equal(decodeSlide(cellsOf(pixels, 8, 0)), 4095);
  const grey = draw([new Array(CELLS).fill(true)], 4, 0, 120);
  assert.equal(decodeTime(cellsOf(grey, 4, 0)), null);
});

test('the age of a picture is right across the wrap of its code', () => {
  const now = 7 * 2 ** 28 + 40;
  assert.equal(ageOf((now - 100) % 2 ** 28, now), 100);
  assert.equal(ageOf((now + 5) % 2 ** 28, now), -5);
});

test('bursts are found in speech to within 3 ms, each with its pitch', () => {
  const samples = speechLike(9, 0.2);
  for (let second = 0; second < 8; second++) {
    burst(second, RATE, 0.1).forEach((value, i) => (samples[Math.round((second + 0.3) * RATE) + i] += value));
  }
  const bursts = findBursts(samples, RATE);
  assert.deepEqual(bursts.map(({ pitch }) => pitch), [0, 1, 2, 3, 4, 5, 6, 7]);
  for (const { pitch, second } of bursts) assert.ok(Math.abs(second - pitch - 0.3) <= 0.003, `${second}`);
});

test('speech alone holds no burst', () => {
  assert.deepEqual(findBursts(speechLike(5, 0.5), RATE), []);
});

test('a pitch says which second it was, and so the delay', () => {
  assert.equal(pitchOf(1795000003), 3000 + 250 * (1795000003 % 8));
  assert.equal(delayOf(1795000003 % 8, 1795000003180), 180);
});
