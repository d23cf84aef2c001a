// Two machines with a line between them, made of network namespaces: the server's and a classroom's.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Of documentation (RFC 5737, RFC 3849): browsers take them for public ones, and refuse media on port 443 at private ones.
export const SERVER = { ipv4: '198.51.100.1', ipv6: '2001:db8:51::1' };
const CLASSROOM = { ipv4: '198.51.100.2', ipv6: '2001:db8:51::2' };

const run = (...command) => execFileSync(command[0], command.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

export class Line {
  /** Makes both machines; throws where namespaces can't be made. */
  constructor() {
    this.server = `mingshi-server-${process.pid}`;
    this.classroom = `mingshi-class-${process.pid}`;
    this.folder = mkdtempSync(join(tmpdir(), 'mingshi-line-'));
    try {
      for (const name of [this.server, this.classroom]) run('ip', 'netns', 'add', name);
      run('ip', '-n', this.server, 'link', 'add', 'line', 'type', 'veth', 'peer', 'name', 'line', 'netns', this.classroom);
      for (const [name, own] of [[this.server, SERVER], [this.classroom, CLASSROOM]]) {
        run('ip', '-n', name, 'link', 'set', 'lo', 'up');
        run('ip', '-n', name, 'address', 'add', `${own.ipv4}/24`, 'dev', 'line');
        run('ip', '-n', name, 'address', 'add', `${own.ipv6}/64`, 'dev', 'line', 'nodad');
        run('ip', '-n', name, 'link', 'set', 'line', 'up');
      }
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** The words that run a command on one of the machines. */
  within(machine) {
    return ['ip', 'netns', 'exec', machine];
  }

  /** A program that is the browser, on the classroom's machine. */
  browser(executable) {
    const path = join(this.folder, 'browser');
    writeFileSync(path, `#!/bin/sh\nexec ${this.within(this.classroom).join(' ')} '${executable}' "$@"\n`);
    chmodSync(path, 0o755);
    return path;
  }

  /** What the school's firewall lets through to the server: nftables conditions, or everything. */
  allow(...conditions) {
    const nft = (text) => run(...this.within(this.server), 'nft', text);
    nft('add table inet school; delete table inet school');
    if (conditions.length === 0) return;
    nft(`table inet school {
      chain into {
        type filter hook input priority 0; policy accept;
        iifname "line" meta l4proto ipv6-icmp accept
        ${conditions.map((condition) => `iifname "line" ${condition} accept`).join('\n')}
        iifname "line" drop
      }
      chain out_of {
        type filter hook output priority 0; policy accept;
        oifname "line" meta l4proto ipv6-icmp accept
        ${conditions.map((condition) => `oifname "line" ${condition.replace('dport', 'sport')} accept`).join('\n')}
        oifname "line" drop
      }
    }`);
  }

  remove() {
    for (const name of [this.server, this.classroom]) {
      try {
        run('ip', 'netns', 'delete', name);
      } catch {
        // It was not made.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A line, or the reason why there can be none here. */
export function line() {
  try {
    return { line: new Line() };
  } catch (error) {
    return { why: `network namespaces can't be made here (root and iproute2 are needed): ${error.stderr || error.message}` };
  }
}
