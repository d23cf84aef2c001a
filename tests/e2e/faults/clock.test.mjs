// The clock of the server's machine is set in mid-lesson, by an hour and by a day, either way: nobody notices.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, openDevice } from '../support/browser.mjs';
import { sleep, until } from '../support/figures.mjs';
import { hears, reaches, stats, watch } from '../support/pages.mjs';
import { goesOn, running } from '../support/running.mjs';
import { Server } from '../support/server.mjs';
import { row } from '../support/faults-table.mjs';

const HOUR = 3600;

/** The library that lies to a process about the time of day (Debian: libfaketime). */
function liar() {
  const find = (folder) => readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const all = find('/usr/lib').map(({ name }) => `/usr/lib/${name}/faketime`);
  const there = all.find((folder) => {
    try {
      return readdirSync(folder).includes('libfaketimeMT.so.1');
    } catch {
      return false;
    }
  });
  return there && join(there, 'libfaketimeMT.so.1');
}

const library = liar();
const options = { skip: library ? false : 'libfaketime is not installed (Debian: faketime)' };
const folder = mkdtempSync(join(tmpdir(), 'mingshi-clock-'));
const file = join(folder, 'offset');

/** Sets the clock of the server's machine off by so many seconds. */
const set = (seconds) => writeFileSync(file, `${seconds < 0 ? '' : '+'}${seconds}\n`);

let server, browser, lesson, classroom;
before(async () => {
  if (!library) return;
  set(0);
  server = await Server.serve({
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  });
  browser = await launch();
  ({ lesson, classroom } = await running(server, browser));
});
after(async () => {
  await browser?.close();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The sender report of the teacher's voice that came last: how many came so far, and what time it speaks of. */
const report = () => until('a sender report', 10, async () => {
  const reports = (await stats(classroom)).filter(({ type, kind }) => type === 'remote-outbound-rtp' && kind === 'audio');
  return reports.sort((a, b) => b.reportsSent - a.reportsSent)[0];
});

async function jump(t, seconds) {
  const studio = await server.call('POST', `/api/v1/lessons/${lesson.id}/tokens`, { token: lesson.operator, body: { role: 'studio' } });
  const before = await report();
  const began = Date.now();
  set(seconds);
  const { created_at: told } = await server.call('POST', '/api/v1/lessons', { token: lesson.operator, body: { title: '数学' } });
  const off = (Date.parse(told) - Date.now()) / 1000;
  assert.ok(Math.abs(off - seconds) < 60, `the server believes the clock: ${off} s off, ${seconds} were set`);

  const late = await openDevice(browser);
  await watch(late, server.base, lesson.code);
  await hears(late);
  const later = await until('another sender report', 10, async () => {
    const now = await report();
    return now.reportsSent > before.reportsSent + 1 && now;
  });
  const drift = later.remoteTimestamp - before.remoteTimestamp;
  assert.ok(drift > 0 && drift < 60_000, `sender reports went from ${before.remoteTimestamp} to ${later.remoteTimestamp}`);

  // Tokens from before the jump are good, and those from during it are when the clock is right again.
  const renewed = await server.call('POST', '/api/v1/token', { token: studio.token, body: {} });
  set(0);
  await server.call('POST', '/api/v1/token', { token: renewed.token, body: {} });
  await sleep(1000);
  await reaches(late, ['live', 'weak'], 1);
  await late.context().close();
  row(t, { fault: `server’s clock set by ${seconds / HOUR} h and back`, figures: await goesOn(classroom, began) });
}

// All four take longer than every change can wait for: scripts/faults.sh runs them.
for (const hours of process.env.FAULTS === 'all' ? [1, -1, 24, -24] : [1, -24]) test(`by ${hours} h`, options, (t) => jump(t, hours * HOUR));
