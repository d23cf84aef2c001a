// What a crash left unfinished is finished by `mingshi recover`, without a server.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sleep, until } from '../support/figures.mjs';
import { Studio, begin, childrenOf, recordingOf } from '../support/recorded-lesson.mjs';
import { probe } from '../support/recorded.mjs';
import { BINARY, Server } from '../support/server.mjs';

let server;
before(async () => {
  server = await Server.serve();
});
after(() => server?.stop());

/** Runs `mingshi recover` on the server's data folder: its exit code, and what it printed. */
async function recover() {
  const child = spawn(BINARY, ['recover'], { env: { ...process.env, ...server.environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  const [told, said] = [[], []];
  child.stdout.on('data', (chunk) => told.push(chunk));
  child.stderr.on('data', (chunk) => said.push(chunk));
  const [code] = await once(child, 'close');
  return { code, told: Buffer.concat(told).toString(), said: Buffer.concat(said).toString() };
}

/** Writes to the database as nobody does while a server runs. */
async function write(sql, ...values) {
  const script = 'import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as database: database.execute(sys.argv[2], sys.argv[3:])';
  const child = spawn('python3', ['-c', script, join(server.folder, 'mingshi.db'), sql, ...values.map(String)], { stdio: 'inherit' });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
}

test('a lesson whose server and media process were killed becomes a recording by `mingshi recover` alone', async () => {
  const lesson = await begin(server, '断电');
  const studio = new Studio(server, lesson.id, lesson.token);
  await until('the studio is on air', 30, () => studio.isOnAir());
  await sleep(6000);
  const inUse = await recover();
  assert.equal(inUse.code, 3, `while the server runs the folder is its own: ${inUse.said}`);

  const recorders = childrenOf(server.process.pid, 'record');
  assert.equal(recorders.length, 1);
  await server.kill();
  // Without its server it ends by itself, unless it is killed before.
  recorders.forEach((pid) => {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  });
  await studio.stop();
  const live = await recover();
  assert.deepEqual([live.code, live.told.includes(`- ${lesson.id}`)], [0, true], `a lesson that goes on is left to the server: ${live.told}`);

  await write("UPDATE lesson SET state = 'ended', ended_at = ? WHERE id = ?", Date.now(), lesson.id);
  const done = await recover();
  assert.deepEqual([done.code, done.told.includes(`✓ ${lesson.id}`)], [0, true], done.told + done.said);
  const folder = join(server.folder, 'recordings', lesson.id);
  const manifest = JSON.parse(readFileSync(join(folder, 'files/manifest.json'), 'utf8'));
  assert.equal(manifest.complete, true);
  for (const track of ['camera', 'slides']) {
    const file = manifest.files.find((one) => one.track === track && one.variant === 'original');
    assert.ok(file.whole && file.duration_ms > 5000, JSON.stringify(file));
    const { streams } = await probe(join(folder, 'files', file.name));
    assert.deepEqual(streams.map(({ codec_type: type }) => type).filter((type) => type !== 'data').toSorted(), ['audio', 'video']);
  }
  const again = await recover();
  assert.equal(again.code, 0);
  assert.match(again.told, /nothing had to be repaired/);

  await server.start();
  const recording = await recordingOf(server, lesson.id, 10);
  const main = await fetch(new URL(recording.main, server.base));
  const camera = recording.files.find(({ track, variant }) => track === 'camera' && variant === 'original');
  assert.deepEqual([main.status, (await main.arrayBuffer()).byteLength], [200, camera.bytes], 'the teacher as they were sent');
  await server.terminate();

  await write("UPDATE recording SET state = 'finishing', complete = 0 WHERE lesson = ?", lesson.id);
  rmSync(join(folder, 'journal'), { recursive: true });
  const failed = await recover();
  assert.deepEqual([failed.code, failed.told.includes(`✗ ${lesson.id}`)], [1, true], failed.told + failed.said);
  await server.start();
});
