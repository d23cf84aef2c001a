// A classroom behind firewalls that let less and less through, in Chromium, on two machines made of namespaces.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { executable, launch, openDevice } from '../support/browser.mjs';
import { figure, until } from '../support/figures.mjs';
import { SERVER, network } from '../support/namespaces.mjs';
import { hears, movesAgain, reaches, stats } from '../support/pages.mjs';
import { Server } from '../support/server.mjs';

const { network: school, why } = network('class');
const options = { skip: why };

let server, browser;
before(async () => {
  if (!school) return;
  server = await Server.demoWithin(school.within(school.server), {
    MINGSHI_SERVER_HTTP: '127.0.0.1:8080',
    MINGSHI_SERVER_HTTPS: '[::]:443',
    MINGSHI_MEDIA_UDP_PORT: '20000',
  });
  browser = await launch({ program: school.browser(executable()) });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  school?.remove();
});

const code = () => server.demo.classroom.split('/').at(-1);

/** The pair that media flows over. */
async function pair(page) {
  const all = await stats(page);
  const transport = all.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
  const chosen = all.find(({ id }) => id === transport?.selectedCandidatePairId);
  const { protocol, address, ip, port } = all.find(({ id }) => id === chosen?.remoteCandidateId) ?? {};
  return { protocol, address: address ?? ip, port };
}

/** Opens the lesson; gives the page and the ms until a picture moves that was made after the address was typed. */
async function join(host) {
  const page = await openDevice(browser);
  const began = Date.now();
  await page.goto(`https://${host}/#/c/${code()}`);
  const joined = await movesAgain(page, 'camera', began);
  await reaches(page, ['live', 'weak']);
  await hears(page);
  return { page, joined };
}

/** Joins within 3 s; a machine that is busy with other things may need another try. */
async function joins(t, host, what, allowed, expected) {
  school.allow(...allowed);
  const times = [];
  while (times.length < 3 && !(Math.min(...times) <= 3000)) {
    const { page, joined } = await join(host);
    times.push(joined);
    const { protocol, address, port } = await pair(page);
    figure(t, `${what}: first moving picture ${joined.toFixed(0)} ms after the address was typed, over ${protocol} ${address} ${port}`);
    assert.deepEqual({ protocol, port: expected.port ?? port }, { protocol: expected.protocol, port });
    await page.context().close();
  }
  assert.ok(Math.min(...times) <= 3000, `${times} ms`);
}

test('an open network: UDP', options, (t) =>
  joins(t, SERVER.ipv4, 'open', [], { protocol: 'udp' }));

test('UDP blocked: joins within 3 s over TCP', options, (t) =>
  joins(t, SERVER.ipv4, 'UDP blocked', ['meta l4proto tcp'], { protocol: 'tcp' }));

test('everything but TCP 443 blocked, on IPv4: joins within 3 s', options, (t) =>
  joins(t, SERVER.ipv4, 'only TCP 443, IPv4 only', ['meta nfproto ipv4 tcp dport 443'], { protocol: 'tcp', port: 443 }));

test('everything but TCP 443 blocked, on IPv6: joins within 3 s', options, (t) =>
  joins(t, `[${SERVER.ipv6}]`, 'only TCP 443, IPv6 only', ['meta nfproto ipv6 tcp dport 443'], { protocol: 'tcp', port: 443 }));

test('UDP is blocked in mid-lesson: the lesson goes on over TCP', options, async (t) => {
  school.allow();
  const { page } = await join(SERVER.ipv4);
  assert.equal((await pair(page)).protocol, 'udp');
  const blocked = Date.now();
  school.allow('tcp dport 443');
  await until('media flows over TCP', 20, async () => (await pair(page)).protocol === 'tcp');
  const again = await movesAgain(page, 'camera', Date.now());
  figure(t, `pictures move over TCP ${Date.now() - blocked} ms after UDP was blocked (${again} ms of it after the browser had chosen)`);
  await hears(page);
  await page.context().close();
});
