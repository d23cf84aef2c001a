// A lesson that is recorded: published by the demonstration's publisher, ended, and its recording fetched as staff get it.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BINARY } from './server.mjs';
import { until } from './figures.mjs';

const MEDIA = process.env.MINGSHI_MEDIA ?? BINARY.replace(/mingshi$/, 'mingshi-media');

/** The processes that `pid` started whose command line has all of `words`. */
export function childrenOf(pid, ...words) {
  return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).map(Number).filter((child) => {
    try {
      const [, parent] = /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${child}/status`, 'utf8'));
      const line = readFileSync(`/proc/${child}/cmdline`, 'utf8').split('\0');
      return Number(parent) === pid && words.every((word) => line.some((part) => part.includes(word)));
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
}

/** Publishes the demonstration into a lesson until `stop()`, whatever happens to the server. */
export class Studio {
  log = [];

  constructor(server, lesson, token, codec = 'h264') {
    const words = ['demo', '--exit-with-stdin', '--codec', codec, '--whip', `${server.base}/whip/${lesson}`];
    this.process = spawn(MEDIA, words, { env: { ...process.env, MINGSHI_TOKEN: token }, stdio: ['pipe', 'ignore', 'pipe'] });
    this.process.stderr.on('data', (chunk) => this.log.push(String(chunk)));
    this.exited = new Promise((resolve) => this.process.once('exit', resolve));
  }

  /** Whether it was told that it is connected. */
  isOnAir() {
    return this.log.some((line) => line.includes('on air resource'));
  }

  async stop() {
    this.process.kill('SIGTERM');
    await this.exited;
  }
}

/** A lesson that has begun, and the token of its studio. */
export async function begin(server, title) {
  const token = await server.operator();
  const { id } = await server.call('POST', '/api/v1/lessons', { token, body: { title, teacher: '主讲教师', subject: '英语', grade: '五年级' } });
  await server.call('POST', `/api/v1/lessons/${id}/start`, { token });
  const studio = await server.call('POST', `/api/v1/lessons/${id}/tokens`, { token, body: { role: 'studio', publish: ['*'] } });
  return { id, token: studio.token };
}

/** Ends a lesson. */
export async function end(server, lesson) {
  await server.call('POST', `/api/v1/lessons/${lesson}/end`, { token: await server.operator() });
}

/** The recording of a lesson that has ended, once it can be seen; fails where it never can. */
export async function recordingOf(server, lesson, seconds = 60) {
  const token = await server.operator();
  let last = null;
  const seen = async () => {
    const { status, text } = await server.ask('GET', `/api/v1/recordings/${lesson}`, { token });
    last = text;
    if (status !== 200) return false;
    const recording = JSON.parse(text);
    if (recording.state === 'failed') throw new Error(text);
    return ['ready', 'repaired'].includes(recording.state) && recording;
  };
  return until('the recording is ready', seconds, seen).catch((error) => {
    throw new Error(`${error.message}\n${last}\n${server.log.slice(-40).join('\n')}`);
  });
}

/** Fetches a file of a lesson's recording as a browser would; gives where it is then. */
export async function fetchFile(server, lesson, file) {
  const response = await fetch(new URL(file.url, server.base));
  if (!response.ok) throw new Error(`${file.url}: ${response.status} ${await response.text()}`);
  const folder = join(server.folder, 'fetched', lesson);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, file.name);
  writeFileSync(path, Buffer.from(await response.arrayBuffer()));
  return path;
}
