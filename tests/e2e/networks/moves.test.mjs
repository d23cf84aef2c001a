// Addresses that change in mid-lesson, and many classrooms behind one; Chromium on machines made of namespaces.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { executable, launch, openDevice } from '../support/browser.mjs';
import { median, sleep, until } from '../support/figures.mjs';
import { SERVER } from '../support/machines.mjs';
import { makeSchool } from '../support/school.mjs';
import { goOnAir, hears, joinLesson, movesAgain, pair, reaches, voiceGap } from '../support/pages.mjs';
import { receiversScript } from '../support/receivers.mjs';
import { row } from '../support/networks-table.mjs';
import { Server } from '../support/server.mjs';

const { machines: school, why } = makeSchool();
const options = { skip: why };
const CLASSROOMS = 40;

let server, browser;
before(async () => {
  if (!school) return;
  server = await Server.demoWithin(school.within(school.server), {
    MINGSHI_SERVER_HTTP: '127.0.0.1:8080',
    MINGSHI_SERVER_HTTPS: '[::]:443',
    MINGSHI_MEDIA_UDP_PORT: '443',
    MINGSHI_MEDIA_WORKERS: '1',
    MINGSHI_MEDIA_PUBLIC_ADDRESSES: `${SERVER.ipv4},${SERVER.second}`,
  });
  browser = await launch({ program: school.browser(executable()) });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  school?.remove();
});

const listed = (times) => times.map((ms) => ms.toFixed(0)).join(', ');

/** A page of the server's, for what is no page of its own: many receivers, calls of the operator's. */
async function plainPage() {
  const page = await openDevice(browser, { init: [receiversScript] });
  await page.goto(`https://${SERVER.ipv4}/healthz`);
  return page;
}

row('udp-443', options, async (figure) => {
  school.allow('meta l4proto { tcp, udp } th dport 443');
  const page = await openDevice(browser);
  const joined = await joinLesson(page, SERVER.ipv4, server.code);
  const { protocol, port } = (await pair(page)).remote;
  figure(`join ${joined.toFixed(0)} ms over ${protocol} ${port}`);
  assert.deepEqual({ protocol, port }, { protocol: 'udp', port: 443 });
  await page.context().close();
  school.allow();
});

/** Has the router of the school forget its mapping a few times; gives how long the voice was missing in `page` each time. */
async function forgetting(page) {
  const gaps = [];
  for (let round = 1; round <= 3; round += 1) {
    await hears(page);
    // Browsers check their line every two and a half seconds: the moments between are to be different ones.
    await sleep(600 * round);
    const gap = voiceGap(page, 4);
    school.translate(30000 + 1000 * round);
    gaps.push(await gap);
  }
  return gaps;
}

row('classroom-mapping', options, async (figure) => {
  const page = await openDevice(browser);
  school.translate(30000);
  await joinLesson(page, SERVER.ipv4, server.code);
  assert.equal((await pair(page)).remote.protocol, 'udp');
  const gaps = await forgetting(page);
  figure(`voice missing at the classroom for ${listed(gaps)} ms`);
  assert.ok(median(gaps) < 2000);
  await page.context().close();
  school.translateNoMore();
});

row('studio-mapping', options, async (figure) => {
  const plain = await plainPage();
  const lesson = await plain.evaluate(async (key) => {
    const call = async (path, body, token) => {
      const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
      return (await fetch(`/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json();
    };
    const { token } = await call('/operator', { key });
    const { id, join_code: digits } = await call('/lessons', { title: '搬家', teacher: '王老师' }, token);
    const studio = await call(`/lessons/${id}/tokens`, { role: 'studio', publish: ['*'] }, token);
    return { id, digits, token: studio.token };
  }, server.operatorKey);
  await plain.context().close();
  school.translate(30000);
  const studio = await openDevice(browser);
  await goOnAir(studio, `https://${SERVER.ipv4}/#/studio/${lesson.id}?token=${lesson.token}`, { slides: false });
  // The classroom is elsewhere: only the studio's router forgets.
  const elsewhere = await launch({ program: school.browser(executable(), school.relay) });
  const page = await openDevice(elsewhere);
  await page.goto(`https://${SERVER.ipv4}/#/c/${lesson.digits}`);
  await reaches(page, ['live', 'weak']);
  const gaps = await forgetting(page);
  figure(`voice missing at a classroom elsewhere for ${listed(gaps)} ms`);
  assert.ok(median(gaps) < 2000);
  await elsewhere.close();
  await studio.context().close();
  school.translateNoMore();
});

row('udp-ends', options, async (figure) => {
  const page = await openDevice(browser);
  await joinLesson(page, SERVER.ipv4, server.code);
  assert.equal((await pair(page)).remote.protocol, 'udp');
  const gap = voiceGap(page, 8);
  school.allow('tcp dport 443');
  await until('media flows over TCP', 20, async () => (await pair(page)).remote.protocol === 'tcp');
  const moved = Date.now();
  const pictures = await movesAgain(page, 'camera', moved);
  figure(`voice missing for ${listed([await gap])} ms; pictures move ${pictures.toFixed(0)} ms after the browser has chosen TCP`);
  await hears(page);
  await page.context().close();
});

row('udp-returns', options, async (figure) => {
  school.allow('tcp dport 443');
  const page = await openDevice(browser);
  await joinLesson(page, SERVER.ipv4, server.code);
  assert.equal((await pair(page)).remote.protocol, 'tcp');
  const gap = voiceGap(page, 8);
  school.allow();
  // A browser may stay with the line that works; whatever it does, the lesson goes on.
  const missing = await gap;
  figure(`voice missing for ${listed([missing])} ms; 8 s later media flows over ${(await pair(page)).remote.protocol}`);
  assert.ok(missing < 2000);
  await page.context().close();
});

row('two-addresses', options, async (figure) => {
  const only = (address) => [`ip daddr ${address} udp dport 443`, 'tcp dport 443'];
  school.allow(...only(SERVER.second));
  const page = await openDevice(browser);
  await joinLesson(page, SERVER.ipv4, server.code);
  const { remote } = await pair(page);
  assert.deepEqual([remote.protocol, remote.address], ['udp', SERVER.second]);
  const gap = voiceGap(page, 8);
  school.allow(...only(SERVER.ipv4));
  await until('media flows to the other address', 20, async () => (await pair(page)).remote.address === SERVER.ipv4);
  figure(`the second alone: joined over it; then the first alone: voice missing for ${listed([await gap])} ms`);
  await hears(page);
  await page.context().close();
  school.allow();
});

row('another-network', options, async (figure) => {
  const page = await openDevice(browser);
  await joinLesson(page, SERVER.ipv4, server.code);
  const gap = voiceGap(page, 6);
  const since = Date.now();
  school.readdress();
  const moving = await movesAgain(page, 'camera', since + 500, 20);
  figure(`voice missing for ${listed([await gap])} ms; pictures move ${(moving + 500).toFixed(0)} ms after the change`);
  await hears(page);
  await page.context().close();
});

row('ice-restart', options, async (figure) => {
  const page = await plainPage();
  await page.evaluate((digits) => window.receivers.join(digits, '一'), server.code);
  await until('it hears', 10, async () => (await page.evaluate(() => window.receivers.received()))[0] > 50);
  const gap = page.evaluate(() => window.receivers.gaps(2));
  assert.ok(await page.evaluate(() => window.receivers.restart(0)), 'the credentials are new');
  figure(`voice missing for ${listed(await gap)} ms`);
  assert.ok((await gap)[0] < 1000);
  await page.context().close();
});

row('one-address', options, async (figure) => {
  school.translate(40000);
  const page = await plainPage();
  const began = Date.now();
  const joined = await page.evaluate(([digits, count]) =>
    Promise.all(Array.from({ length: count }, (_, index) => window.receivers.join(digits, `第${index + 1}教室`))), [server.code, CLASSROOMS]);
  assert.equal(new Set(joined).size, CLASSROOMS);
  const received = () => page.evaluate(() => window.receivers.received());
  const hear = async () => {
    const before = await received();
    await until('every classroom hears', 15, async () => (await received()).every((packets, index) => packets > before[index] + 25));
  };
  await hear();
  figure(`all joined at once and heard half a second of voice within ${Date.now() - began} ms`);

  const participants = () => page.evaluate(async ([key, lesson]) => {
    const ask = async (path, options) => (await fetch(path, options)).json();
    const body = JSON.stringify({ key });
    const { token } = await ask('/api/v1/operator', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    return (await ask(`/api/v1/lessons/${lesson}/participants`, { headers: { authorization: `Bearer ${token}` } })).participants;
  }, [server.operatorKey, server.demo.lesson]);
  const present = async () => (await participants()).filter(({ participant }) => joined.includes(participant.id));
  const classrooms = await present();
  assert.equal(classrooms.length, CLASSROOMS);
  assert.equal(new Set(classrooms.map(({ participant }) => participant.name)).size, CLASSROOMS, 'each under its own name');

  const gaps = page.evaluate(() => window.receivers.gaps(4));
  school.translate(50000);
  const missing = await gaps;
  figure(`the router forgets all of them: voice missing for a median of ${median(missing).toFixed(0)} ms, ${Math.max(...missing).toFixed(0)} ms at most`);
  await hear();

  await page.evaluate(() => window.receivers.leave(7, true));
  await page.evaluate(() => window.receivers.leave(11, false));
  await until('who said goodbye is gone from the list', 5, async () => (await present()).length < CLASSROOMS);
  await hear();
  assert.equal((await received()).length, CLASSROOMS - 2);
  await page.context().close();
  school.translateNoMore();
});
