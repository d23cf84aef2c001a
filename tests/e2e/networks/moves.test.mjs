// Addresses that change in mid-lesson: a router that forgets, as routers of schools do; Chromium on machines made of namespaces.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { executable, launch, openDevice } from '../support/browser.mjs';
import { figure, median, sleep } from '../support/figures.mjs';
import { PUBLIC, SERVER, line } from '../support/namespaces.mjs';
import { hears, joinLesson, pair, voiceGap } from '../support/pages.mjs';
import { Server } from '../support/server.mjs';

const { line: school, why } = line();
const options = { skip: why };

let server, browser;
before(async () => {
  if (!school) return;
  server = await Server.demoWithin(school.within(school.server), {
    MINGSHI_SERVER_HTTP: '127.0.0.1:8080',
    MINGSHI_SERVER_HTTPS: '[::]:443',
    MINGSHI_MEDIA_UDP_PORT: '20000',
    MINGSHI_MEDIA_PUBLIC_ADDRESSES: SERVER.ipv4,
  });
  browser = await launch({ program: school.browser(executable()) });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  school?.remove();
});

const code = () => server.demo.classroom.split('/').at(-1);

test('the school’s router forgets its mapping, again and again', options, async (t) => {
  const page = await openDevice(browser);
  school.translate(30000);
  await joinLesson(page, SERVER.ipv4, code());
  assert.equal((await pair(page)).remote.protocol, 'udp');
  const gaps = [];
  for (let round = 1; round <= 6; round += 1) {
    await hears(page);
    // Browsers check their line every two and a half seconds: the moments between are to be different ones.
    await sleep(1000 + 430 * round);
    const gap = voiceGap(page, 6);
    school.translate(30000 + 1000 * round);
    gaps.push(await gap);
  }
  figure(t, `voice missing at the classroom: ${gaps.map((ms) => ms.toFixed(0)).join(', ')} ms; median ${median(gaps).toFixed(0)} ms`);
  await page.context().close();
  school.translateNoMore();
});
