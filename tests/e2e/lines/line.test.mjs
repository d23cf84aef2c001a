// The laboratory's own line: whether it carries, delays and loses as told. What else is measured on it means nothing otherwise.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { figure, median, sleep } from '../support/figures.mjs';
import { makeLine } from '../support/line.mjs';

const { machines: line, why } = makeLine(1);
const options = { skip: why };

before(async () => {
  if (!line) return;
  await line.open();
  line.narrow(4e6);
});
after(() => line?.remove());

const roundTrips = async (count) => {
  const times = [];
  while (times.length < count) times.push(await line.roundTrip());
  return times;
};

test('what comes from several sends at once is lost one by one', options, async (t) => {
  line.lose(0.05);
  const count = 3000;
  const arrived = new Set(await line.numbered(count));
  line.lose(0);
  const lost = Array.from({ length: count }, (_, number) => number).filter((number) => !arrived.has(number));
  const runs = lost.filter((number) => lost.includes(number + 1)).length;
  figure(t, `${lost.length} of ${count} lost, ${runs} of them before another`);
  assert.ok(lost.length > 0.03 * count && lost.length < 0.07 * count, `${lost.length} lost`);
  // By chance every twentieth; four of five where five are lost as one.
  assert.ok(runs < 0.15 * lost.length, `${runs} of ${lost.length} losses come before another`);
  assert.equal(line.larger(), 0);
});

test('packets take as long as told', options, async (t) => {
  line.delay({ down: 40, up: 40 });
  await sleep(100);
  const steady = await roundTrips(5);
  line.delay({ down: 100, up: 40, jitter: 30 });
  const wandering = await roundTrips(12);
  line.delay({ down: 0, up: 0 });
  figure(t, `${steady.map(Math.round)} ms of 80; ${wandering.map(Math.round)} ms of 140 ± 30`);
  assert.ok(median(steady) >= 79 && median(steady) < 110);
  assert.ok(Math.min(...wandering) >= 109 && Math.max(...wandering) - Math.min(...wandering) > 10);
});

test('a download takes all of the line, and its queue fills', options, async (t) => {
  line.delay({ down: 20, up: 20 });
  const looks = line.watch();
  await line.download();
  await sleep(5000);
  line.endDownload();
  const [first, last] = [looks.find(({ at }) => at > looks[0].at + 2000), looks.at(-1)];
  const rate = (8000 * (last.bytes - first.bytes)) / (last.at - first.at);
  figure(t, `${(rate / 1e6).toFixed(2)} Mbit/s; the queue stood at up to ${Math.max(...looks.map(({ waiting }) => waiting)).toFixed(0)} ms`);
  assert.ok(rate > 3.5e6 && rate < 4.2e6, `${rate}`);
  assert.ok(Math.max(...looks.map(({ waiting }) => waiting)) > 100);
});
