// Arithmetic on what was measured, waiting, and saying what came out.
import { appendFileSync, mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const OUTPUT = new URL('../output/', import.meta.url).pathname;

export { sleep };

/** The value below which `share` of `values` lie. */
export function quantile(values, share) {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

export const median = (values) => quantile(values, 0.5);

/** The delays that agree with most others to within `tolerance`: chance hits of a detector don't. */
export function agreeing(delays, tolerance) {
  const around = (centre) => delays.filter((delay) => Math.abs(delay - centre) <= tolerance);
  return delays.map(around).reduce((best, group) => (group.length > best.length ? group : best), []);
}

/** The longest time between two frames shown one after the other, in ms. */
export function longestGap(frames) {
  return frames.slice(1).reduce((longest, frame, i) => Math.max(longest, frame.at - frames[i].at), 0);
}

/** Keeps a line in a file of output/. */
export function keep(file, line) {
  mkdirSync(OUTPUT, { recursive: true });
  appendFileSync(`${OUTPUT}${file}`, `${line}\n`);
}

/** Prints a figure with its test and keeps it in output/figures.txt. */
export function figure(t, text) {
  keep('figures.txt', `${t.name}: ${text}`);
  t.diagnostic(text);
}

/** Asks `question` until its answer is truthy, and gives that; fails saying `what` after `seconds`. */
export async function until(what, seconds, question) {
  const end = Date.now() + 1000 * seconds;
  let [last, trouble] = [undefined, undefined];
  while (Date.now() < end) {
    try {
      last = await question();
      if (last) return last;
    } catch (error) {
      trouble = error;
    }
    await sleep(100);
  }
  throw new Error(`after ${seconds} s still not: ${what}`, { cause: trouble ?? last });
}
