// A classroom that reaches the lesson's media through the operator's TURN server only, in Chromium, with coturn.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { executable, launch, openDevice } from '../support/browser.mjs';
import { Coturn } from '../support/coturn.mjs';
import { sleep } from '../support/figures.mjs';
import { SERVER } from '../support/machines.mjs';
import { RELAY, makeSchool } from '../support/school.mjs';
import { joinLesson, movesAgain, pair } from '../support/pages.mjs';
import { row } from '../support/networks-table.mjs';
import { Server } from '../support/server.mjs';

const { machines: school, why } = makeSchool();
const options = { skip: why };

// Pages come from an address that no media is announced at, as from a web proxy: what passes for HTTPS carries no media.
const PAGES = SERVER.second;
const PAGES_ONLY = `ip daddr ${PAGES} tcp dport 443`;

let server, browser, turn;
before(async () => {
  if (!school) return;
  turn = new Coturn(school);
  await turn.start();
  server = await Server.demoWithin(school.within(school.server), {
    MINGSHI_SERVER_HTTP: '127.0.0.1:8080',
    MINGSHI_SERVER_HTTPS: '[::]:443',
    MINGSHI_MEDIA_UDP_PORT: '20000',
    MINGSHI_MEDIA_PUBLIC_ADDRESSES: SERVER.ipv4,
    MINGSHI_TURN_URLS: turn.urls.join(','),
    MINGSHI_TURN_SECRET: turn.secret,
  });
  // Chromium checks the certificate of a TURN server, and coturn's here is of its own making.
  browser = await launch({ program: school.browser(executable()), flags: ['--ignore-certificate-errors'] });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await turn?.kill();
  school?.remove();
});

for (const [id, condition, relayProtocol] of [
  ['turn-udp', `ip daddr ${RELAY.ipv4} udp dport 3478`, 'udp'],
  ['turn-tcp', `ip daddr ${RELAY.ipv4} tcp dport 3478`, 'tcp'],
  ['turn-tls', `ip daddr ${RELAY.ipv4} tcp dport 443`, 'tls'],
]) {
  row(id, options, async (figure) => {
    school.allow(PAGES_ONLY, condition);
    const page = await openDevice(browser);
    const joined = await joinLesson(page, PAGES, server.code);
    const { local } = await pair(page);
    figure(`join ${joined.toFixed(0)} ms, through a ${local.type} over ${local.relayProtocol}`);
    assert.deepEqual(local, { type: 'relay', relayProtocol });
    await page.context().close();
  });
}

row('turn-restarted', options, async (figure) => {
  school.allow(PAGES_ONLY, `ip daddr ${RELAY.ipv4} udp dport 3478`);
  const page = await openDevice(browser);
  await joinLesson(page, PAGES, server.code);
  // With the answer to an offer, or before it where what is known is a minute old.
  const told = [];
  page.on('response', (response) => /OPTIONS|POST/.test(response.request().method()) && told.push(response.headers().link ?? ''));
  await turn.kill();
  await sleep(1000);
  await turn.start();
  const since = Date.now();
  const back = await movesAgain(page, 'camera', since, 40);
  figure(`pictures move ${back.toFixed(0)} ms after the TURN server is back`);
  assert.equal((await pair(page)).local.type, 'relay');
  assert.match(told.at(-1) ?? 'nothing was told', /rel="ice-server"; username="\d+:/);
  await page.context().close();
});

row('turn-credentials', options, async (figure) => {
  school.allow();
  const now = Math.floor(Date.now() / 1000);
  const good = turn.credentials(now + 60);
  assert.equal(turn.refusal(good), null, 'what the secret signs is taken');
  for (const [why, credentials] of [
    ['another secret', turn.credentials(now + 60, 'a guess')],
    ['a later end than was signed', { ...good, username: turn.credentials(now + 3600).username }],
    ['over since a minute', turn.credentials(now - 60)],
  ]) {
    assert.match(turn.refusal(credentials) ?? 'taken', /Cannot complete Allocation/, why);
  }
  const forbidden = turn.refusal(turn.credentials(now + 60), SERVER.second);
  assert.match(forbidden ?? 'relayed', /403 \(Forbidden IP\)/);
  figure('forged, altered, expired: no allocation; another address than the server: 403');
});

row('turn-down', options, async (figure) => {
  const host = SERVER.ipv4;
  const joins = async (what, rounds) => {
    const times = [];
    for (let round = 0; round < rounds; round += 1) {
      const page = await openDevice(browser);
      times.push(await joinLesson(page, host, server.code));
      assert.notEqual((await pair(page)).local.type, 'relay');
      await page.context().close();
    }
    times.sort((a, b) => a - b);
    figure(`${what}: joins ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    return times;
  };
  school.allow();
  await joins('the TURN server is up', 2);
  // Nothing comes back from it, not even that it isn't there.
  school.allow(`ip daddr ${SERVER.ipv4}`);
  const [best] = await joins('the TURN server is silent', 3);
  assert.ok(best <= 3000, `${best} ms`);
});
