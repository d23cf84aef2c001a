// In mid-lesson the disk of the data folder is really full, then somebody holds the database: the lesson goes on.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, rmdirSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, openDevice } from '../support/browser.mjs';
import { sleep, until } from '../support/figures.mjs';
import { hears, movesAgain, reaches } from '../support/pages.mjs';
import { goesOn, running } from '../support/running.mjs';
import { Server } from '../support/server.mjs';
import { row } from '../support/faults-table.mjs';

/** `scripts/faults.sh` takes longer than every change can wait for. */
const LONG = process.env.FAULTS === 'all';

/** A small file system of its own, or why there can be none. */
function smallDisk() {
  const folder = mkdtempSync(join(tmpdir(), 'mingshi-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], { stdio: 'pipe' });
    return { disk: folder };
  } catch (error) {
    rmdirSync(folder);
    return { why: `no small file system can be mounted here (root is needed): ${error.stderr || error.message}` };
  }
}

const { disk, why } = smallDisk();
const options = { skip: why };

let server, browser, lesson, classroom;
before(async () => {
  if (!disk) return;
  server = await Server.serve({ MINGSHI_SERVER_DATA: disk });
  browser = await launch();
  ({ lesson, classroom } = await running(server, browser));
});
after(async () => {
  await browser?.close();
  await server?.stop();
  if (disk) {
    execFileSync('umount', [disk]);
    rmdirSync(disk);
  }
});

const ready = async (status) =>
  until(`/readyz says ${status}`, 15, async () => (await server.ask('GET', '/readyz')).status === status);

const writable = async () => {
  const { text } = await server.ask('GET', '/metrics');
  return Number(/^mingshi_database_writable (\d)/m.exec(text)[1]);
};

/** What a page and an operator go through while nothing can be written; `status` and `code` are what they are told. */
async function unwritable(t, fault, seconds, { breaks, heals, status, code, words }) {
  const began = Date.now();
  const state = await breaks();
  const broken = Date.now();
  await ready(status);
  assert.equal(await writable(), 0);
  const refused = await server.ask('POST', '/api/v1/lessons', { token: lesson.operator, body: { title: '数学' } });
  const problem = JSON.parse(refused.text);
  assert.deepEqual([refused.status, problem.code], [status, code]);
  assert.match(problem.detail_zh, words);

  const late = await openDevice(browser);
  const typed = Date.now();
  await late.goto(`${server.base}/#/c/${lesson.code}`);
  const joined = await movesAgain(late, 'camera', typed);
  await reaches(late, ['live', 'weak']);
  await hears(late);
  await late.context().close();

  await sleep(Math.max(0, broken + 1000 * seconds - Date.now()));
  await heals(state);
  const healed = Date.now();
  await ready(200);
  const recovered = Date.now() - healed;
  assert.equal(await writable(), 1);
  await server.call('POST', '/api/v1/lessons', { token: lesson.operator, body: { title: '数学' } });
  row(t, {
    fault: `${fault} for ${Math.round((healed - broken) / 1000)} s`,
    figures: { ...(await goesOn(classroom, began)), 'a new classroom’s first picture': joined, 'writable again after': recovered },
    said: [`HTTP ${status} ${problem.detail_zh}`],
  });
}

/** Writes until there is no room for another octet. */
function fill() {
  const path = join(disk, 'filler');
  const file = openSync(path, 'w');
  for (let size = 65_536; size >= 1; ) {
    try {
      writeSync(file, Buffer.alloc(size));
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error;
      size = Math.floor(size / 2);
    }
  }
  closeSync(file);
  assert.equal(statfsSync(disk).bavail, 0);
  return path;
}

test('the disk is full', options, (t) =>
  unwritable(t, 'disk full', LONG ? 30 : 4, { breaks: fill, heals: rmSync, status: 507, code: 'disk_full', words: /磁盘/ }));

const HOLD = `import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute('BEGIN EXCLUSIVE')
print('held', flush=True)
sys.stdin.read()`;

test('another process holds the database', options, (t) =>
  unwritable(t, 'database locked', LONG ? 30 : 4, {
    async breaks() {
      const holder = spawn('python3', ['-c', HOLD, join(disk, 'mingshi.db')], { stdio: ['pipe', 'pipe', 'inherit'] });
      await once(holder.stdout, 'data');
      return holder;
    },
    async heals(holder) {
      holder.stdin.end();
      await once(holder, 'exit');
    },
    status: 503,
    code: 'database_busy',
    words: /数据库/,
  }));
