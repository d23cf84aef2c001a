// How a lesson on a weak line came through: arithmetic on what rooms and the line's queue noted. Pure; every time is Unix ms, and a
// window is `{from, to}`.
import { median, quantile } from './figures.mjs';

/** A new slide comes every so many ms (docs/time-code.md), and may take this long to be there. */
const SLIDE_MS = 6000;
const SLIDE_GRACE = 1500;
const FREEZE = 500;
const STEP = 50;
const QUEUE_GOAL = 60;

const within = ({ from, to }) => ({ at }) => at >= from && at < to;
const lengthOf = (windows) => windows.reduce((sum, { from, to }) => sum + to - from, 0);
const slideAt = (time) => Math.floor(time / SLIDE_MS) % 4096;

/** Of the voice: the share of it that was made up for what was lost, the longest time in ms without any of it. */
export function voice(moments, windows) {
  let [heard, concealed, silence] = [0, 0, 0];
  for (const window of windows) {
    const noted = moments.filter(within(window));
    if (noted.length === 0) return { concealed: 1, silence: Infinity };
    heard += noted.at(-1).heard - noted[0].heard;
    concealed += noted.at(-1).concealed - noted[0].concealed;
    silence = Math.max(silence, silenceOf(noted, window));
  }
  return { concealed: concealed / Math.max(1, heard + concealed), silence };
}

function silenceOf(noted, { from, to }) {
  let [longest, before, last] = [0, noted[0].heard, from];
  for (const { at, heard } of noted) {
    if (heard > before) last = at;
    before = heard;
    longest = Math.max(longest, at - last);
  }
  return Math.max(longest, to - last);
}

/** The share of the time in which the slide on screen could be read and was the lesson's, or had been until just now. */
export function legible(frames, windows) {
  let [looks, fine, next] = [0, 0, 0];
  for (const { from, to } of windows) {
    for (let time = from; time < to; time += STEP) {
      while (next < frames.length && frames[next].at <= time) next += 1;
      const shown = frames[next - 1]?.slide;
      const before = time % SLIDE_MS < SLIDE_GRACE ? slideAt(time - SLIDE_MS) : null;
      looks += 1;
      if (shown === slideAt(time) || (before !== null && shown === before)) fine += 1;
    }
  }
  return fine / Math.max(1, looks);
}

/** The ms from each change of the slide until the new one was on screen and could be read; Infinity for one that never came. */
export function slideDelays(frames, windows) {
  const delays = [];
  for (const { from, to } of windows) {
    for (let change = Math.ceil(from / SLIDE_MS) * SLIDE_MS; change + SLIDE_MS / 2 < to; change += SLIDE_MS) {
      const first = frames.find(({ at, slide }) => at >= change && at < change + SLIDE_MS && slide === slideAt(change));
      delays.push(first ? first.at - change : Infinity);
    }
  }
  return delays;
}

/** The share of the time in which a picture stood still that should have moved: everything between two pictures further than half a
 *  second apart. */
export function frozen(frames, windows) {
  let still = 0;
  for (const { from, to } of windows) {
    const shown = frames.filter(({ moved }) => moved).filter(within({ from, to }));
    // The times are of the screen as it was planned, which isn't always kept to.
    const times = [from, ...shown.map(({ at }) => at), to].sort((a, b) => a - b);
    for (let i = 1; i < times.length; i++) if (times[i] - times[i - 1] > FREEZE) still += times[i] - times[i - 1];
  }
  return still / Math.max(1, lengthOf(windows));
}

/** What was shown at the end of a window: the height in pixels most of the last pictures had, and how many came in a second. */
export function layerOf(frames, { to }, seconds = 6) {
  const last = frames.filter(within({ from: to - 1000 * seconds, to }));
  return { height: median(last.map(({ height }) => height)) || 0, rate: last.length / seconds };
}

/** How much later, in ms, the voice is than a picture: positive where the voice comes later. */
export function offset(moments, frames, windows) {
  const ages = (noted) => windows.flatMap((window) => noted.filter(within(window))).map(({ age }) => age).filter((age) => age !== null);
  return median(ages(moments)) - median(ages(frames));
}

/** How much was carried, as a share of what the line could. */
export function use(looks, { from, to }, rate) {
  const seen = looks.filter(within({ from, to }));
  if (seen.length < 2) return NaN;
  const [first, last] = [seen[0], seen.at(-1)];
  return (8000 * (last.bytes - first.bytes)) / (last.at - first.at) / rate;
}

/** The ms below which the queue stood for 95 % of the time. */
export const queue = (looks, windows) => quantile(windows.flatMap((window) => looks.filter(within(window))).map(({ waiting }) => waiting), 0.95);

/** How long the queue stays short once a line has settled. What stands in it later is no after-effect: that is in {@link queue}. */
const SETTLED_MS = 5000;

/** The ms from `from` until the queue stays short: half of each second below the goal, for five seconds or to the end of the window. */
export function drained(looks, { from, to }) {
  for (let time = from; time + 1000 <= to; time += 100) {
    const rest = [];
    for (let second = time; second + 1000 <= Math.min(to, time + SETTLED_MS); second += 500) rest.push(median(looks.filter(within({ from: second, to: second + 1000 })).map(({ waiting }) => waiting)));
    if (rest.every((waiting) => waiting < QUEUE_GOAL)) return time - from;
  }
  return Infinity;
}

/** The ms from `from` until as much is carried as at the end of the window, within 15 %. */
export function climbed(looks, { from, to }) {
  const carried = (begin, ms) => {
    const seen = looks.filter(within({ from: begin, to: begin + ms }));
    return seen.length < 2 ? 0 : (seen.at(-1).bytes - seen[0].bytes) / (seen.at(-1).at - seen[0].at);
  };
  const goal = 0.85 * carried(to - 10_000, 10_000);
  for (let time = from; time + 2000 <= to; time += 200) if (carried(time, 2000) >= goal) return time - from;
  return Infinity;
}

/** Jain's index: 1 where all have the same, 1/n where one has all. */
export function fairness(shares) {
  const sum = shares.reduce((all, share) => all + share, 0);
  const squares = shares.reduce((all, share) => all + share * share, 0);
  return squares === 0 ? NaN : (sum * sum) / (shares.length * squares);
}

/** The ms from `since` until one that was made after it is shown. */
export function picturesAgain(frames, since) {
  const first = frames.find(({ at, age, moved }) => moved && at > since && (age === null || at - age > since));
  return first ? first.at - since : Infinity;
}

/** The ms from `since` until a tenth of a second of voice has been heard. */
export function voiceAgain(moments, since) {
  const noted = moments.filter(({ at }) => at >= since);
  const first = noted.find(({ heard }) => heard - noted[0].heard >= 4800);
  return first ? first.at - since : Infinity;
}
