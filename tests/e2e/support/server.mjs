// The server under test: a process of its own, on ports and in a folder of its own, that can be killed and come back.
import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { sleep, until } from './figures.mjs';

export const BINARY = process.env.MINGSHI_BINARY ?? new URL('../../../target/debug/mingshi', import.meta.url).pathname;
const WORKERS = 2;
const LINES_KEPT = 400;

async function freeTcpPort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  return port;
}

async function isFree(port) {
  const probe = createSocket('udp4');
  const [outcome] = await Promise.race([
    once(probe.bind(port), 'listening').then(() => [true]),
    once(probe, 'error').then(() => [false]),
  ]);
  probe.close();
  return outcome;
}

/** The first of as many free UDP ports in a row as there are workers. */
async function freeUdpPorts() {
  for (;;) {
    const first = 20000 + 10 * Math.floor(1000 * Math.random());
    const free = await Promise.all(Array.from({ length: WORKERS }, (_, i) => isFree(first + i)));
    if (free.every(Boolean)) return first;
  }
}

export class Server {
  /** What the process printed, both streams, oldest first. */
  log = [];
  process = null;

  constructor(command, folder, environment, within) {
    Object.assign(this, { command, folder, environment, within, base: `http://${environment.MINGSHI_SERVER_HTTP}` });
  }

  /** `mingshi serve`, ready. */
  static serve(environment) {
    return Server.#make(['serve'], environment);
  }

  /** `mingshi demo`, its lesson on air; `server.demo` holds the addresses it printed. */
  static demo(...options) {
    return Server.#make(['demo', '--json', ...options]);
  }

  /** `mingshi demo` on a machine of its own; `within` are the words that run a command there. */
  static demoWithin(within, environment) {
    return Server.#make(['demo', '--json'], environment, within);
  }

  /** `mingshi serve` on a machine of its own. */
  static serveWithin(within, environment) {
    return Server.#make(['serve'], environment, within);
  }

  /** The join code of the demonstration's lesson. */
  get code() {
    return this.demo.classroom.split('/').at(-1);
  }

  static async #make(command, environment = {}, within = []) {
    const folder = mkdtempSync(join(tmpdir(), 'mingshi-e2e-'));
    const own = {
      MINGSHI_SERVER_DATA: folder,
      MINGSHI_SERVER_HTTP: `127.0.0.1:${await freeTcpPort()}`,
      MINGSHI_SERVER_HTTPS: `127.0.0.1:${await freeTcpPort()}`,
      MINGSHI_MEDIA_UDP_PORT: String(await freeUdpPorts()),
      MINGSHI_MEDIA_WORKERS: String(WORKERS),
    };
    const data = command[0] === 'demo' ? ['--data', folder] : [];
    const server = new Server([...command, ...data], folder, { ...own, ...environment }, within);
    await server.start();
    return server;
  }

  /** Starts the process, again or for the first time, and waits until it is ready. */
  async start() {
    const [program, ...words] = [...this.within, BINARY, ...this.command];
    this.process = spawn(program, words, {
      env: { ...process.env, ...this.environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.exited = once(this.process, 'exit').catch((error) => [error]);
    let firstLine = null;
    const keep = (line) => {
      this.log.push(line);
      if (this.log.length > LINES_KEPT) this.log.shift();
    };
    createInterface(this.process.stderr).on('line', keep);
    createInterface(this.process.stdout).on('line', (line) => {
      firstLine ??= line;
      keep(line);
    });
    const isReady = async () => {
      if (this.process.exitCode !== null) return 'exited';
      if (this.command[0] === 'demo' && firstLine === null) return false;
      return (await this.ask('GET', '/readyz')).status === 200 && 'ready';
    };
    const outcome = await until('the server is ready', 30, isReady).catch((error) => this.#fail(error.message));
    if (outcome === 'exited') this.#fail(`the server ended with ${this.process.exitCode}`);
    if (this.command[0] === 'demo') this.demo = JSON.parse(firstLine);
    // The link is printed once, at the first start, and may be read a moment after the server answers.
    this.operatorKey ??= await until('the operator’s link is printed', 10, () => this.#operatorKey());
  }

  #fail(what) {
    throw new Error(`${what}\n${this.log.join('\n')}`);
  }

  #operatorKey() {
    const link = this.log.map((line) => /#\/operator\/([\w-]+)/.exec(line)).find(Boolean);
    return link?.[1];
  }

  /** Ends the process without a word, as a power cut does. */
  async kill() {
    this.process.kill('SIGKILL');
    await this.exited;
  }

  /** Ends the process as systemd does, and waits until it is gone. */
  async terminate() {
    this.process.kill('SIGTERM');
    await this.exited;
  }

  /** Ends the process and removes its folder. */
  async stop() {
    this.process.kill('SIGTERM');
    const ended = await Promise.race([this.exited, sleep(10_000)]);
    if (!ended) await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A request, and its `{status, headers, text}`. Where the server is on another machine, it is made there. */
  async ask(method, path, { token, body } = {}) {
    const headers = { ...(token && { authorization: `Bearer ${token}` }), ...(body && { 'content-type': 'application/json' }) };
    if (this.within.length === 0) {
      const response = await fetch(this.base + path, { method, headers, body: body && JSON.stringify(body) });
      return { status: response.status, headers: response.headers, text: await response.text() };
    }
    const words = [...this.within, 'curl', '--silent', '--show-error', '--include', '--max-time', '10', '--request', method, this.base + path];
    for (const [name, value] of Object.entries(headers)) words.push('--header', `${name}: ${value}`);
    if (body) words.push('--data-binary', JSON.stringify(body));
    const { stdout } = await promisify(execFile)(words[0], words.slice(1), { maxBuffer: 2 ** 24 });
    const [head, ...rest] = stdout.split('\r\n\r\n');
    const [first, ...lines] = head.split('\r\n');
    const pairs = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
    return { status: Number(first.split(' ')[1]), headers: new Headers(pairs), text: rest.join('\r\n\r\n') };
  }

  /** A request to the API; fails with what the problem document says. */
  async call(method, path, options) {
    const { status, text } = await this.ask(method, path, options);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** Why each slot of the demonstration's lesson got what it got: the lines of `mingshi lesson explain --json`. */
  async explain() {
    const environment = { ...process.env, ...this.environment, MINGSHI_SERVER_DATA: this.folder };
    const words = ['lesson', 'explain', this.demo.lesson, '--json'];
    const { stdout } = await promisify(execFile)(BINARY, words, { env: environment, maxBuffer: 2 ** 26 });
    return stdout.trim().split('\n');
  }

  /** An operator's token. */
  async operator() {
    return (await this.call('POST', '/api/v1/operator', { body: { key: this.operatorKey } })).token;
  }

  /** A new lesson, with the operator's token and the studio's address, on `site` where pages reach the server there. */
  async createLesson(title, site = this.base) {
    const token = await this.operator();
    const lesson = await this.call('POST', '/api/v1/lessons', { token, body: { title, teacher: '主讲教师' } });
    const studio = await this.call('POST', `/api/v1/lessons/${lesson.id}/tokens`, { token, body: { role: 'studio', publish: ['*'] } });
    const address = `${site}/#/studio/${lesson.id}?token=${studio.token}`;
    return { id: lesson.id, code: lesson.join_code, operator: token, studio: address };
  }
}
