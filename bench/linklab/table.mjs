// What came of a scenario, held against the goals, as a row of one table.
import { readFileSync } from 'node:fs';
import { quantile } from '../../tests/e2e/support/figures.mjs';
import * as judge from '../../tests/e2e/support/judge.mjs';

/** Of a line's rate, what lessons may use, by the name of its tier. */
const SHARES = new Map(
  readFileSync(new URL('../../config/tiers.toml', import.meta.url), 'utf8')
    .split('[[tier]]')
    .slice(1)
    .map((text) => [/^name = "(.*)"/m.exec(text)[1], Number(/^share = ([\d.]+)/m.exec(text)[1])]),
);
/** A machine that is busier than this, in the median second, measures itself and not the line. */
const BUSIEST = 0.9;
/** What stops for so long (ms) looks like a queue to whoever measures the line. */
const LONGEST_STALL = 150;
const LOOKS = 50;
/** After the line's rate fell or the line came back, the queue and the pictures may take this long (ms) before they are judged. */
const SETTLING = 2000;

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
const seconds = (ms) => (Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : 'never');
const whole = (value) => (Number.isFinite(value) ? value.toFixed(0) : 'never');
const worst = (values) => Math.max(...values);
/** A figure: as it is told, and whether it reaches its goal; `null` = there is no goal. */
const figure = (text, holds = null) => ({ text, holds });
const NONE = figure('–');

/** The parts of the course that can be judged by themselves: the line isn't cut, and has been as it is for a moment. */
function settled(windows) {
  return windows
    .filter(({ phase }) => !phase.cut)
    .map((window, i, all) => {
      const index = windows.indexOf(window);
      const before = windows[index - 1]?.phase;
      const changed = before && (before.cut || before.rate !== window.phase.rate || before.download !== window.phase.download);
      return changed ? { ...window, from: window.from + SETTLING } : window;
    });
}

function voice({ rooms }, windows) {
  const all = rooms.map(({ moments }) => judge.voice(moments, windows));
  const [concealed, silence] = [worst(all.map((one) => one.concealed)), worst(all.map((one) => one.silence))];
  // Looked at every 50 ms.
  return { concealed: figure(percent(concealed, 2), concealed < 0.005), silence: figure(`${whole(silence)} ms`, silence <= 250) };
}

function slides({ rooms }, windows) {
  const share = Math.min(...rooms.map((room) => judge.legible(room.slides, windows)));
  const delays = rooms.flatMap((room) => judge.slideDelays(room.slides, windows));
  return {
    legible: figure(percent(share), share >= 0.99),
    change: figure(`${seconds(quantile(delays, 0.5))} / ${seconds(worst(delays))}`, worst(delays) <= 1500),
  };
}

function camera({ rooms }, windows) {
  const moving = windows.filter(({ phase }) => phase.camera !== false);
  const share = worst(rooms.map((room) => judge.frozen(room.camera, moving)));
  return { frozen: figure(percent(share), share < 0.01) };
}

/** How many pictures of the teacher came in a second of the last phase. */
function pictures({ rooms, windows }) {
  const end = windows.at(-1);
  const rates = rooms.map((room) => judge.layerOf(room.camera, end, (end.to - end.from) / 1000).rate);
  return { pictures: figure(`${Math.min(...rates).toFixed(1)}/s`) };
}

/** What is shown at the end, in the room that is worst off. */
function layers({ rooms, windows }, expects) {
  const end = windows.at(-1);
  const shown = rooms.map((room) => ({ camera: judge.layerOf(room.camera, end), slides: judge.layerOf(room.slides, end) }));
  const height = Math.min(...shown.map((one) => one.camera.height));
  const rate = Math.min(...shown.map((one) => one.slides.rate));
  // Pictures that come together are shown as one, the more so the busier the machine is.
  const holds = height >= expects.camera && rate >= 0.6 * expects.slides;
  return { shown: figure(`${height ? `${height}p` : '–'} + ${rate.toFixed(0)}/s`, holds), holds };
}

function line({ looks, windows }, calm, { tier }, expected) {
  const shares = windows.filter(({ phase }) => !phase.cut).map((window) => judge.use(looks, { ...window, from: window.from + SETTLING }, window.phase.rate));
  const least = Math.min(...shares);
  // Where all get what is planned for the line, the next step of all of them doesn't fit, or nobody wants more.
  const use = figure(`${shares.map((share) => percent(share, 0)).join(', ')}`, expected || least >= 0.85 * SHARES.get(tier));
  const others = calm.filter(({ phase }) => !phase.download);
  const standing = judge.queue(looks, others);
  return { use, queue: figure(`${whole(standing)} ms`, standing < 60) };
}

function settling({ looks, windows }) {
  const [down, up] = [[], []];
  windows.forEach((window, i) => {
    const before = windows[i - 1]?.phase;
    if (!before || window.phase.cut || before.cut) return;
    if (window.phase.rate < before.rate) down.push(judge.drained(looks, window));
    if (window.phase.rate > before.rate) up.push(judge.climbed(looks, window));
  });
  const told = (times, most) => (times.length ? figure(times.map(seconds).join(', '), worst(times) <= most) : NONE);
  return { down: told(down, 2000), up: told(up, 10_000) };
}

function back({ rooms, windows }) {
  const cut = windows.findIndex(({ phase }) => phase.cut);
  if (cut < 0) return { back: NONE };
  const since = windows[cut].to;
  const times = rooms.map((room) => Math.max(judge.voiceAgain(room.moments, since), judge.picturesAgain(room.slides, since)));
  return { back: figure(seconds(worst(times)), worst(times) <= 2000) };
}

function fairness({ rooms }) {
  if (rooms.length < 2) return { fair: NONE };
  const index = judge.fairness(rooms.map(({ stats }) => stats.reduce((sum, { bytesReceived = 0 }) => sum + bytesReceived, 0)));
  return { fair: figure(index.toFixed(3), index >= 0.95) };
}

function offsets({ rooms }, windows) {
  const of = (name) => rooms.map((room) => judge.offset(room.moments, room[name], windows)).reduce((most, ms) => (Math.abs(ms) > Math.abs(most) ? ms : most), 0);
  const [lips, pointer] = [of('camera'), of('slides')];
  const told = (ms) => (Number.isNaN(ms) ? '–' : ms.toFixed(0));
  return { offsets: figure(`${told(lips)} / ${told(pointer)} ms`, Math.abs(lips) <= 80 && Math.abs(pointer) <= 300) };
}

/** How busy the machine was while it was judged, without what has low priority. */
export function busy({ busy: all, windows }) {
  const seen = all.filter(({ at }) => at >= windows[0].from && at <= windows.at(-1).to);
  return quantile(seen.map((second) => second.busy), 0.5);
}

/** The longest time, in ms, for which this machine did nothing of what it should have: by the looks at the queue, which are 50 ms apart. */
function stalled({ looks, windows }) {
  const seen = looks.filter(({ at }) => at >= windows[0].from && at <= windows.at(-1).to);
  return seen.slice(1).reduce((longest, { at }, i) => Math.max(longest, at - seen[i].at - LOOKS), 0);
}

/** Every figure of one scenario, by the column's name. */
export function figuresOf(scenario, result) {
  if (result.larger > 0) throw new Error(`${result.larger} packets came to the school in one piece that no line carries: queue and loss treat several as one`);
  const calm = settled(result.windows);
  const shown = layers(result, scenario.expects);
  const joined = quantile(result.joins, 0.95);
  const [load, stalls] = [busy(result), stalled(result)];
  return {
    ...voice(result, calm),
    ...slides(result, calm),
    ...camera(result, calm),
    ...pictures(result),
    shown: shown.shown,
    ...line(result, calm, scenario, shown.holds),
    ...settling(result),
    join: figure(`${whole(joined)} ms`, joined <= 1000),
    ...fairness(result),
    ...back(result),
    ...offsets(result, calm.slice(-1)),
    busy: figure(percent(load, 0), load < BUSIEST ? null : false),
    stalled: figure(`${whole(stalls)} ms`, stalls < LONGEST_STALL ? null : false),
  };
}

export const COLUMNS = {
  concealed: ['voice concealed', '< 0.5 %'],
  silence: ['longest gap', '≤ 200 ms'],
  legible: ['slide legible', '≥ 99 %'],
  change: ['new slide after, median / worst', '≤ 1.5 s'],
  frozen: ['camera frozen', '< 1 %'],
  shown: ['camera + slides at the end', 'as planned'],
  use: ['line used, by phase', '≥ 85 % of the share, or as planned'],
  queue: ['queue p95', '< 60 ms'],
  down: ['settles down', '≤ 2 s'],
  up: ['settles up', '≤ 10 s'],
  join: ['join, p95', '≤ 1 s'],
  fair: ['fairness', '≥ 0.95'],
  back: ['back after', '≤ 2 s'],
  offsets: ['voice – camera / slides', '≤ 80 / 300 ms'],
  busy: ['machine busy', ''],
  stalled: ['machine stalled at most', ''],
};

/** Of a lesson of pictures without slides, what can be said. */
export function peerFiguresOf(scenario, result) {
  const calm = settled(result.windows);
  const { use, queue } = line(result, calm, scenario, true);
  return {
    ...voice(result, calm),
    ...camera(result, calm),
    ...pictures(result),
    use,
    queue,
    join: figure(`${whole(quantile(result.joins, 0.95))} ms`),
    ...fairness(result),
    busy: figure(percent(busy(result), 0)),
  };
}

const PEER_COLUMNS = {
  concealed: 'voice concealed',
  silence: 'longest gap',
  frozen: 'camera frozen',
  pictures: 'pictures of the camera, worst room',
  use: 'line used',
  queue: 'queue p95',
  join: 'join, p95',
  fair: 'fairness',
  busy: 'machine busy',
};

/** The table of peers; `rows` are `{scenario, who, figures}`. */
export function peerTable(rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const columns = Object.entries(PEER_COLUMNS);
  return [
    line(['line', 'what', ...columns.map(([, title]) => title)]),
    line(['---', '---', ...columns.map(() => '---')]),
    ...rows.map(({ scenario, who, figures }) => line([nameOf(scenario), who, ...columns.map(([key]) => (figures[key] ?? NONE).text)])),
  ].join('\n');
}

const nameOf = ({ rate, rooms, what }) => `${rate / 1e6}M, ${rooms} ${rooms === 1 ? 'room' : 'rooms'}, ${what}`;

const cell = ({ text, holds }) => (holds === false ? `**${text}** ✗` : text);

/** The whole table; `rows` are `{scenario, figures}`. */
export function table(rows) {
  const columns = Object.entries(COLUMNS);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [
    line(['line', ...columns.map(([, [title]]) => title)]),
    line(['---', ...columns.map(() => '---')]),
    line(['*goal*', ...columns.map(([, [, goal]]) => goal)]),
    ...rows.map(({ scenario, figures }) => line([nameOf(scenario), ...columns.map(([key]) => cell(figures[key] ?? NONE))])),
  ].join('\n');
}
