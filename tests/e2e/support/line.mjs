// A school's line, made of network namespaces: the server — the provider's network — the school's router — its classrooms. What
// makes a line weak (rate, queue, loss, delay, jitter, a cut, others' downloads) can be set in mid-lesson.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { Machines, SERVER, machinesOrWhy, run } from './machines.mjs';

const PROVIDER = { server: '198.51.100.253', school: '192.0.2.1' };
/** The school's one public address, which all of its classrooms have in common. */
export const SCHOOL = '192.0.2.2';
const INSIDE = '192.0.2.0/24';
const gatewayOf = (room) => `10.20.${room}.254`;
const addressOf = (room) => `10.20.${room}.2`;

/** What may pass at once beyond the rate, and how long the provider's queue is, as that of a cheap router. */
const BURST = '16kb';
const QUEUE_MS = 200;
const DOWNLOAD_PORT = 9000;
/** One of those that media leaves from: what loses media loses these. */
const NUMBERED_PORT = 20999;
const here = (name) => new URL(name, import.meta.url).pathname;

export class Line extends Machines {
  #delay;
  #download = [];
  programs = [];
  /** The bits that the line carries in a second. */
  rate = null;

  /** Makes the machines of a school with as many classrooms; throws where that can't be. */
  constructor(classrooms) {
    super(['provider', 'school', ...Array.from({ length: classrooms }, (_, i) => `room${i + 1}`)]);
    [this.provider, this.school, ...this.rooms] = this.others;
    this.orRemove(() => {
      for (const router of [this.provider, this.school]) {
        // Packets come back from the device that delays them, which no route leads to.
        run(...this.within(router), 'sysctl', '-q', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0');
      }
      this.#connect(this.server, SERVER.ipv4, this.provider, PROVIDER.server, 'server');
      this.#connect(this.school, SCHOOL, this.provider, PROVIDER.school, 'school');
      this.rooms.forEach((room, i) => this.#connect(room, addressOf(i), this.school, gatewayOf(i), `room${i}`));
      this.#nft(this.school, `table ip translation {
        chain out { type nat hook postrouting priority 100; oifname "line" masquerade; }
      }`);
      // A veth device hands on what a program sent at once as one packet, which would be queued or lost as one.
      for (const [machine, device] of [[this.server, 'line'], [this.provider, 'school']]) run('ip', '-n', machine, 'link', 'set', device, 'gso_max_segs', '1');
      this.#nft(this.school, `table ip whole {
        counter larger {}
        chain through { type filter hook forward priority -5; iifname "line" meta length > 1500 counter name larger; }
      }`);
    });
  }

  #connect(machine, address, router, gateway, device) {
    run('ip', '-n', machine, 'link', 'add', 'line', 'type', 'veth', 'peer', 'name', device, 'netns', router);
    this.address(machine, address);
    this.address(router, gateway, device);
    run('ip', '-n', router, 'link', 'set', device, 'up');
    run('ip', '-n', machine, 'link', 'set', 'line', 'up');
    run('ip', '-n', machine, 'route', 'add', 'default', 'via', gateway);
  }

  #nft(machine, text) {
    run(...this.within(machine), 'nft', text);
  }

  /** Has every packet go through what delays it. */
  async open() {
    const [program, ...words] = this.within(this.provider);
    // It has to be in time however busy the machine is: what it does late would count against the line.
    this.#delay = this.#keep(spawn(program, [...words, 'chrt', '--rr', '20', 'python3', here('delay.py'), 'delay', INSIDE], { stdio: ['pipe', 'pipe', 'inherit'] }));
    await once(createInterface(this.#delay.stdout), 'line');
    const ip = (...rest) => run('ip', '-n', this.provider, ...rest);
    ip('link', 'set', 'delay', 'up');
    ip('route', 'add', 'default', 'dev', 'delay', 'table', '100');
    for (const device of ['server', 'school']) ip('rule', 'add', 'iif', device, 'lookup', '100');
  }

  /** One-way delays in ms: down to the school, with by how much it wanders and the share (0 to 1) that is overtaken, and up. */
  delay({ down, up, jitter = 0, late = 0 }) {
    this.#delay.stdin.write(`down ${down} ${jitter} ${late}\nup ${up} 0 0\n`);
  }

  /** What the line carries down in bits a second. */
  narrow(rate) {
    const verb = this.rate === null ? 'add' : 'change';
    run(...this.within(this.provider), 'tc', 'qdisc', verb, 'dev', 'school', 'root', 'tbf', 'rate', `${rate}bit`, 'burst', BURST, 'latency', `${QUEUE_MS}ms`);
    this.rate = rate;
  }

  /** Loses this share (0 to 1) of the media that comes to the school, each packet by its own chance. */
  lose(share) {
    this.#nft(this.school, 'add table ip loss; delete table ip loss');
    if (share === 0) return;
    this.#nft(this.school, `table ip loss {
      chain through {
        type filter hook forward priority 0;
        iifname "line" udp sport 20000-21000 numgen random mod 1000 < ${Math.round(1000 * share)} drop
      }
    }`);
  }

  /** Nothing comes through any more, either way, and nobody is told. */
  cut() {
    this.#nft(this.provider, 'table ip cut { chain through { type filter hook forward priority -10; policy drop; }; }');
  }

  mend() {
    this.#nft(this.provider, 'delete table ip cut');
  }

  /** Somebody in the school's office downloads from the server's machine, as fast as TCP can. */
  async download() {
    const [, ...server] = this.within(this.server);
    const [program, ...school] = this.within(this.school);
    const sender = spawn(program, [...server, 'python3', here('sender.py'), SERVER.ipv4, DOWNLOAD_PORT], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(createInterface(sender.stdout), 'line');
    const taker = spawn(program, [...school, 'curl', '--silent', '--output', '/dev/null', `http://${SERVER.ipv4}:${DOWNLOAD_PORT}/`], { stdio: 'ignore' });
    this.#download = [this.#keep(taker), this.#keep(sender)];
  }

  endDownload() {
    for (const child of this.#download.splice(0)) child.kill();
  }

  /** Looks at the queue every `ms` from now on; gives where the looks are kept: `{at, bytes, waiting, dropped}`, the first and the
   *  last of them counted since the line is there, `waiting` being what stands in the queue, in ms at the rate of that moment. */
  watch(ms = 50) {
    const looks = [];
    const [program, ...words] = this.within(this.provider);
    const watcher = this.#keep(spawn(program, [...words, 'tc', '-statistics', '-json', '-force', '-batch', '-'], { stdio: ['pipe', 'pipe', 'inherit'] }));
    createInterface(watcher.stdout).on('line', (line) => {
      const [queue] = JSON.parse(line).filter(({ kind }) => kind === 'tbf');
      if (queue) looks.push({ at: Date.now(), bytes: queue.bytes, waiting: (8000 * queue.backlog) / this.rate, dropped: queue.drops });
    });
    const ask = setInterval(() => watcher.stdin.write('qdisc show dev school\n'), ms);
    watcher.on('exit', () => clearInterval(ask));
    watcher.stdin.on('error', () => clearInterval(ask));
    return looks;
  }

  /** Packets that came to the school larger than a line can carry them: what loses or queues them would treat several as one. */
  larger() {
    const text = run(...this.within(this.school), 'nft', '--json', 'list', 'counter', 'ip', 'whole', 'larger');
    return JSON.parse(text).nftables.find(({ counter }) => counter).counter.packets;
  }

  /** The ms that it takes from a classroom to the server and back: by how soon a port is refused that nobody listens on. */
  async roundTrip(room = this.rooms[0]) {
    const [program, ...words] = this.within(room);
    const knock = `import socket, time
began = time.monotonic()
socket.socket().connect_ex(("${SERVER.ipv4}", 9))
print(1000 * (time.monotonic() - began))`;
    const { stdout } = await promisify(execFile)(program, [...words, 'python3', '-c', knock], { timeout: 5000 });
    return Number(stdout);
  }

  /** Sends numbered datagrams to a classroom the way servers do, several at once; gives those that arrive. */
  async numbered(count, room = this.rooms[0]) {
    const [program, ...server] = this.within(this.server);
    const sender = spawn(program, [...server, 'python3', here('numbered.py'), 'send', NUMBERED_PORT, count], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(createInterface(sender.stdout), 'line');
    const words = [...this.within(room).slice(1), 'python3', here('numbered.py'), 'receive', SERVER.ipv4, NUMBERED_PORT];
    const { stdout } = await promisify(execFile)(program, words, { timeout: 60_000 });
    return JSON.parse(stdout);
  }

  /** Has a program end with the line. */
  #keep(child) {
    this.programs.push(child);
    return child;
  }

  remove() {
    // Where no machines could be made, this is called before there is a list of programs.
    for (const child of this.programs ?? []) child.kill();
    super.remove();
  }
}

/** A line to as many classrooms, or the reason why there can be none here. */
export const makeLine = (classrooms) => machinesOrWhy(() => new Line(classrooms));
