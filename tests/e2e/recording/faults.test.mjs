// What else goes wrong while a lesson is recorded: nothing is lost but what there is no room for, and the recording says so.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { figure, sleep, until } from '../support/figures.mjs';
import { Studio, begin, childrenOf, end, fetchFile, recordingOf } from '../support/recorded-lesson.mjs';
import { heldBy, longestHole } from '../support/recorded.mjs';
import { Server } from '../support/server.mjs';

/** Publishes a lesson while `during` breaks things and heals them, and gives its recording and the slides that are in it. */
async function recorded(server, title, during) {
  const lesson = await begin(server, title);
  const studio = new Studio(server, lesson.id, lesson.token);
  await until('the studio is on air', 30, () => studio.isOnAir());
  const from = Date.now();
  await during(lesson);
  const to = Date.now();
  await end(server, lesson.id);
  await studio.stop();
  const recording = await recordingOf(server, lesson.id);
  const file = recording.files.find(({ track, variant }) => track === 'slides' && variant === 'original');
  const held = await heldBy(await fetchFile(server, lesson.id, file), recording.zero_unix_ms);
  assert.equal(held.unread, 0);
  return { recording, hole: longestHole(held.moments, from + 2000, to - 1000) };
}

const HOLD = `import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute('BEGIN EXCLUSIVE')
print('held', flush=True)
sys.stdin.read()`;

test('while somebody holds the database, what is received is kept, and the catalogue catches up', async (t) => {
  const server = await Server.serve();
  try {
    const { recording, hole } = await recorded(server, '数据库被占用', async ({ id }) => {
      await sleep(2000);
      const holder = spawn('python3', ['-c', HOLD, join(server.folder, 'mingshi.db')], { stdio: ['pipe', 'pipe', 'inherit'] });
      await once(holder.stdout, 'data');
      await sleep(9000);
      holder.stdin.end();
      await once(holder, 'exit');
      const token = await server.operator();
      const length = async () => (await server.call('GET', `/api/v1/recordings/${id}`, { token })).duration_ms;
      await until('the catalogue knows how long it is', 25, async () => (await length()) > 9000);
    });
    assert.ok(hole.length < 1000, `a hole of ${hole.length} ms`);
    assert.deepEqual(recording.gaps, []);
    figure(t, `the longest hole has ${Math.round(hole.length)} ms`);
  } finally {
    await server.stop();
  }
});

test('a media process that hangs is killed and started again, and nothing is lost', async (t) => {
  const server = await Server.serve();
  try {
    const { hole } = await recorded(server, '媒体进程停住', async () => {
      const [stopped] = await until('the media process runs', 10, () => childrenOf(server.process.pid, 'record'));
      await sleep(3000);
      process.kill(stopped, 'SIGSTOP');
      const at = Date.now();
      await until('another takes its place', 60, () => childrenOf(server.process.pid, 'record').some((pid) => pid !== stopped));
      figure(t, `replaced after ${Math.round((Date.now() - at) / 1000)} s`);
      await sleep(4000);
    });
    assert.ok(hole.length < 1000, `a hole of ${hole.length} ms`);
  } finally {
    await server.stop();
  }
});

/** A disk whose size can be changed, or why there can be none. */
function disk(size) {
  const folder = mkdtempSync(join(tmpdir(), 'mingshi-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { stdio: 'pipe' });
  } catch (error) {
    rmdirSync(folder);
    return { why: `no small file system can be mounted here (root is needed): ${error.stderr || error.message}` };
  }
  const resize = (to) => execFileSync('mount', ['-o', `remount,size=${to}`, folder]);
  // The server's media processes may still be ending.
  const unmounted = () => {
    execFileSync('umount', [folder], { stdio: 'pipe' });
    return true;
  };
  const remove = async () => {
    await until('the disk is free', 20, unmounted);
    rmdirSync(folder);
  };
  return { folder, resize, remove };
}

const small = disk('4g');

test('a disk without room stops the recording and not the lesson, and the recording says what it lacks', { skip: small.why }, async (t) => {
  const marks = { MINGSHI_RECORDING_WARN_FREE_GB: '2', MINGSHI_RECORDING_STOP_FREE_GB: '1' };
  const server = await Server.serve({ MINGSHI_SERVER_DATA: small.folder, ...marks });
  try {
    const [full, lasts] = [{ from: 0, to: 0 }, 6000];
    const { recording, hole } = await recorded(server, '磁盘已满', async ({ id }) => {
      await sleep(4000);
      small.resize('800m');
      full.from = Date.now();
      await sleep(lasts);
      const { status } = await server.ask('GET', '/readyz');
      assert.equal(status, 200, 'lessons go on');
      const token = await server.operator();
      const overview = () => server.call('GET', '/api/v1/recordings/overview', { token });
      await until('operators are told that the disk is full', 15, async () => (await overview()).nearly_full);
      const { participants } = await server.call('GET', `/api/v1/lessons/${id}/participants`, { token });
      assert.ok(participants.length > 0, 'the studio is there still');
      small.resize('4g');
      full.to = Date.now();
      await sleep(7000);
    });
    assert.ok(hole.length > lasts - 2500 && hole.length < full.to - full.from + 5000, `a hole of ${hole.length} ms`);
    const zero = recording.zero_unix_ms;
    const told = recording.gaps.some(({ from_ms, to_ms, why }) => why === 'not_kept' && zero + from_ms < full.to && zero + to_ms > full.from);
    assert.ok(told, `the gap isn't told: ${JSON.stringify(recording.gaps)}`);
    const tracks = recording.gaps.map(({ track }) => track);
    assert.equal(new Set(tracks).size, tracks.length, `each track's is told once: ${JSON.stringify(recording.gaps)}`);
    assert.ok(recording.missing.some(({ zh, en }) => zh.includes('课件画面') && en.includes("the server's disk was full")), JSON.stringify(recording.missing));
    figure(t, `no room for ${full.to - full.from} ms, a hole of ${Math.round(hole.length)} ms`);
  } finally {
    await server.stop().catch(() => {});
    await small.remove();
  }
});
