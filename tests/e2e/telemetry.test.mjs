// What a real classroom measures of itself reaches the server: its list of participants, its metrics, the studio's page.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openDevice } from './support/browser.mjs';
import { figure, until } from './support/figures.mjs';
import { hears, watch } from './support/pages.mjs';
import { Server } from './support/server.mjs';

let server, browser, lesson;
before(async () => {
  server = await Server.demo();
  browser = await launch();
  const page = await openDevice(browser);
  await page.goto(server.demo.classroom);
  await watch(page, server.base, server.code);
  await hears(page);
  lesson = server.demo.lesson;
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const classrooms = async () => {
  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ key: server.operatorKey }) };
  const { token } = await (await fetch(`${server.base}/api/v1/operator`, post)).json();
  const answer = await fetch(`${server.base}/api/v1/lessons/${lesson}/participants`, { headers: { authorization: `Bearer ${token}` } });
  const { participants } = await answer.json();
  return participants.filter(({ participant }) => participant.role === 'classroom');
};

test('a classroom tells what it receives, and its line is good', async (t) => {
  // The first measurement covers the time before everything flowed.
  const [classroom] = await until('a settled measurement', 30, async () => {
    const all = await classrooms();
    return all[0]?.participant.line === 'good' && all[0].stats.slots.some(({ samples }) => samples > 0) ? all : null;
  });
  const { stats } = classroom;
  const slot = (name) => stats.slots.find((entry) => entry.slot === name);
  assert.equal(stats.path.transport, 'udp');
  assert.equal(slot('voice').codec, 'opus');
  assert.ok(slot('voice').received > 20 * (stats.over_ms / 1000), JSON.stringify(slot('voice')));
  assert.ok(slot('camera').frames_decoded > 5 * (stats.over_ms / 1000), JSON.stringify(slot('camera')));
  assert.ok(slot('camera').width > 0 && slot('slides').width > 0, JSON.stringify(stats.slots));
  assert.ok(stats.over_ms >= 4000 && stats.over_ms <= 12_000, `${stats.over_ms} ms`);
  const { received, samples, concealed, jitter_buffer_ms: buffer } = slot('voice');
  figure(t, `voice: ${received} packets in ${stats.over_ms} ms, ${((100 * concealed) / samples).toFixed(2)} % made up, ${buffer} ms in the jitter buffer`);
});

test('the metrics know the classroom and its voice', async () => {
  const text = await (await fetch(`${server.base}/metrics`)).text();
  const value = (series) => Number(text.split('\n').find((line) => line.startsWith(`${series} `))?.split(' ').at(-1));
  assert.equal(value(`mingshi_lesson_classrooms{lesson="${lesson}",line="good"}`), 1);
  assert.ok(value(`mingshi_lesson_bytes_total{lesson="${lesson}",direction="down"}`) > 100_000);
  assert.ok(value(`mingshi_lesson_voice_concealed_ratio{lesson="${lesson}",of="most"}`) < 0.03);
  assert.ok(value('mingshi_voice_concealed_ratio_count') >= 1);
});
