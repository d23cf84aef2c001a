// The time code of the demonstration lesson (docs/time-code.md), pure: cells in, time out. The strip's cells are
// booleans from the left, white = true. Also runs inside pages, so it imports nothing.

export const CELLS = 40;
const TIME_BITS = 28;
const TIME_RANGE = 2 ** TIME_BITS;
const SLIDE_CELLS = 16;

const bitsOf = (value, count) => Array.from({ length: count }, (_, i) => Math.floor(value / 2 ** (count - 1 - i)) % 2 === 1);
const valueOf = (bits) => bits.reduce((value, bit) => value * 2 + (bit ? 1 : 0), 0);
const begins = (cells, pattern) => pattern.every((bit, i) => cells[i] === (bit === 1));

function checksum(bits) {
  const sum = [false, false, false, false];
  bits.forEach((bit, i) => (sum[i % 4] = sum[i % 4] !== bit));
  return sum;
}

/** The 40 cells that say `ms`, Unix time in milliseconds. */
export function encodeTime(ms) {
  const time = bitsOf(ms % TIME_RANGE, TIME_BITS);
  return [true, false, true, false, ...time, ...checksum(time), false, true, false, true];
}

/** The milliseconds modulo 2^28 that 40 cells say, or null where they aren't legible. */
export function decodeTime(cells) {
  if (!begins(cells, [1, 0, 1, 0]) || !begins(cells.slice(36), [0, 1, 0, 1])) return null;
  const time = cells.slice(4, 4 + TIME_BITS);
  if (checksum(time).some((bit, i) => bit !== cells[32 + i])) return null;
  return valueOf(time);
}

/** The 16 cells that say the slide change counter. */
export function encodeSlide(counter) {
  return [true, false, ...bitsOf(counter % 4096, 12), false, true];
}

/** The counter that the first 16 cells say, or null where they aren't legible. */
export function decodeSlide(cells) {
  if (!begins(cells, [1, 0]) || !begins(cells.slice(SLIDE_CELLS - 2), [0, 1])) return null;
  return valueOf(cells.slice(2, SLIDE_CELLS - 2));
}

/** How old, in ms, a picture with this code is at Unix time `now`; negative where it is from the future. */
export function ageOf(code, now) {
  const age = (((now - code) % TIME_RANGE) + TIME_RANGE) % TIME_RANGE;
  return age > TIME_RANGE / 2 ? age - TIME_RANGE : age;
}

/** The cells of row `row` in RGBA pixels of two rows of cells, each `side` pixels wide and high. */
export function cellsOf(pixels, side, row) {
  const width = CELLS * side;
  const y = row * side + Math.floor(side / 2);
  return Array.from({ length: CELLS }, (_, cell) => {
    const at = 4 * (y * width + cell * side + Math.floor(side / 2));
    return 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2] > 128;
  });
}
