// A school with its router and firewall, made of network namespaces: a classroom's machine behind them, and beyond them the server's and
// a TURN server's.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Of documentation (RFC 5737, RFC 3849): browsers take them for public ones, and refuse media on port 443 at private ones.
export const SERVER = { ipv4: '198.51.100.1', ipv6: '2001:db8:51::1', second: '198.51.100.2' };
export const RELAY = { ipv4: '203.0.113.1' };
/** Seen by the server as where the classroom is, once its router translates. */
export const PUBLIC = '198.51.100.254';
const CLASSROOM = { ipv4: '10.20.0.2', network: '10.20.0.0/24', ipv6: '2001:db8:20::2' };
const GATEWAYS = {
  classroom: { ipv4: '10.20.0.254', ipv6: '2001:db8:20::fe' },
  server: { ipv4: PUBLIC, ipv6: '2001:db8:51::fe' },
  relay: { ipv4: '203.0.113.254' },
};

const run = (...command) => execFileSync(command[0], command.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

export class School {
  /** Makes all machines; throws where namespaces can't be made. */
  constructor() {
    const name = (what) => `mingshi-${what}-${process.pid}`;
    Object.assign(this, { router: name('router'), server: name('server'), classroom: name('pupils'), relay: name('relay') });
    this.folder = mkdtempSync(join(tmpdir(), 'mingshi-school-'));
    try {
      for (const machine of this.#machines()) {
        run('ip', 'netns', 'add', machine);
        run('ip', '-n', machine, 'link', 'set', 'lo', 'up');
      }
      run(...this.within(this.router), 'sysctl', '-q', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
      this.#connect('classroom', [CLASSROOM.ipv4, CLASSROOM.ipv6]);
      this.#connect('server', [SERVER.ipv4, SERVER.second, SERVER.ipv6]);
      this.#connect('relay', [RELAY.ipv4]);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  #machines() {
    return [this.router, this.server, this.classroom, this.relay];
  }

  #connect(what, addresses) {
    const [machine, gateway] = [this[what], GATEWAYS[what]];
    const add = (name, address, device) =>
      run('ip', '-n', name, 'address', 'add', ...(address.includes(':') ? [`${address}/64`, 'dev', device, 'nodad'] : [`${address}/24`, 'dev', device]));
    run('ip', '-n', machine, 'link', 'add', 'line', 'type', 'veth', 'peer', 'name', what, 'netns', this.router);
    for (const address of addresses) add(machine, address, 'line');
    for (const address of Object.values(gateway)) add(this.router, address, what);
    run('ip', '-n', this.router, 'link', 'set', what, 'up');
    run('ip', '-n', machine, 'link', 'set', 'line', 'up');
    run('ip', '-n', machine, 'route', 'add', 'default', 'via', gateway.ipv4);
    if (gateway.ipv6) run('ip', '-n', machine, '-6', 'route', 'add', 'default', 'via', gateway.ipv6);
  }

  /** The words that run a command on one of the machines. */
  within(machine) {
    return ['ip', 'netns', 'exec', machine];
  }

  /** A program that is the browser, on the classroom's machine or another. */
  browser(executable, machine = this.classroom) {
    const path = join(this.folder, `browser-${machine}`);
    writeFileSync(path, `#!/bin/sh\nexec ${this.within(machine).join(' ')} '${executable}' "$@"\n`);
    chmodSync(path, 0o755);
    return path;
  }

  #nft(text) {
    run(...this.within(this.router), 'nft', text);
  }

  /** What the school's firewall lets through to the world and back: nftables conditions, or everything. It keeps no state,
   *  so that what it forbids in mid-lesson ends at once. */
  allow(...conditions) {
    this.#nft('add table inet school; delete table inet school');
    if (conditions.length === 0) return;
    const back = (condition) => condition.replaceAll('dport', 'sport').replaceAll('daddr', 'saddr');
    this.#nft(`table inet school {
      chain through {
        type filter hook forward priority 0; policy accept;
        ${conditions.map((condition) => `iifname "classroom" ${condition} accept`).join('\n')}
        ${conditions.map((condition) => `oifname "classroom" ${back(condition)} accept`).join('\n')}
        iifname "classroom" drop
        oifname "classroom" drop
      }
    }`);
  }

  /** What the line to the classroom carries, such as `400kbit`; everything without a word. */
  narrow(rate) {
    const tc = (...words) => run(...this.within(this.router), 'tc', 'qdisc', ...words);
    if (rate) tc('replace', 'dev', 'classroom', 'root', 'tbf', 'rate', rate, 'burst', '8kb', 'latency', '300ms');
    else tc('delete', 'dev', 'classroom', 'root');
  }

  /** The router puts its own address and one of the ports from `first` on in place of the classroom's; what flows moves there. */
  translate(first) {
    this.#nft('add table ip translation; delete table ip translation');
    this.#nft(`table ip translation {
      chain out {
        type nat hook postrouting priority 100; policy accept;
        oifname "server" ip saddr ${CLASSROOM.network} meta l4proto { tcp, udp } snat to ${PUBLIC}:${first}-${first + 999}
      }
    }`);
    this.#forget();
  }

  /** The router stops translating. */
  translateNoMore() {
    this.#nft('add table ip translation; delete table ip translation');
    this.#forget();
  }

  /** The classroom's machine gets another address, as from another network. */
  readdress() {
    const [before, now] = [CLASSROOM.ipv4, '10.20.0.77'];
    run('ip', '-n', this.classroom, 'address', 'del', `${before}/24`, 'dev', 'line');
    run('ip', '-n', this.classroom, 'address', 'add', `${now}/24`, 'dev', 'line');
    run('ip', '-n', this.classroom, 'route', 'replace', 'default', 'via', GATEWAYS.classroom.ipv4);
  }

  /** It forgets what it knew of UDP, as a router does that was restarted; of TCP it would break what flows. */
  #forget() {
    try {
      run(...this.within(this.router), 'conntrack', '--delete', '--proto', 'udp');
    } catch (error) {
      // It fails where there is nothing to delete.
      if (!/0 flow entries/.test(error.stderr)) throw error;
    }
  }

  remove() {
    for (const machine of this.#machines()) {
      try {
        run('ip', 'netns', 'delete', machine);
      } catch {
        // It was not made.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A school, or the reason why there can be none here. */
export function makeSchool() {
  try {
    return { school: new School() };
  } catch (error) {
    return { why: `network namespaces can't be made here (root and iproute2 are needed): ${error.stderr || error.message}` };
  }
}
