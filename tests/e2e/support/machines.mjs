// Machines made of network namespaces, and a folder for what their programs need. What lies between them is for others to say.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Of documentation (RFC 5737, RFC 3849): browsers take them for public ones, and refuse media on port 443 at private ones.
export const SERVER = { ipv4: '198.51.100.1', ipv6: '2001:db8:51::1', second: '198.51.100.2' };

export const run = (...command) => execFileSync(command[0], command.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

export class Machines {
  #all;

  /** Makes the server's machine and these; throws where namespaces can't be made. */
  constructor(names) {
    const name = (what) => `mingshi-${what}-${process.pid}`;
    this.server = name('server');
    this.others = names.map(name);
    this.#all = [this.server, ...this.others];
    this.folder = mkdtempSync(join(tmpdir(), 'mingshi-machines-'));
    this.orRemove(() => {
      for (const machine of this.#all) {
        run('ip', 'netns', 'add', machine);
        run('ip', '-n', machine, 'link', 'set', 'lo', 'up');
        // Else a link-local address arrives a second or two after its link came up, and a browser starts its requests anew at that.
        run('ip', 'netns', 'exec', machine, 'sysctl', '-q', '-w', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0');
      }
    });
  }

  /** Makes what belongs to the machines; where that fails, nothing is left of them. */
  orRemove(make) {
    try {
      make();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Gives a device of a machine this address. */
  address(machine, address, device = 'line') {
    const words = address.includes(':') ? [`${address}/64`, 'dev', device, 'nodad'] : [`${address}/24`, 'dev', device];
    run('ip', '-n', machine, 'address', 'add', ...words);
  }

  /** The words that run a command on one of the machines. */
  within(machine) {
    return ['ip', 'netns', 'exec', machine];
  }

  /** A program that is the browser, on the first of the machines beside the server's, or another. */
  browser(executable, machine = this.others[0]) {
    const path = join(this.folder, `browser-${machine}`);
    writeFileSync(path, `#!/bin/sh\nexec ${this.within(machine).join(' ')} '${executable}' "$@"\n`);
    chmodSync(path, 0o755);
    return path;
  }

  remove() {
    for (const machine of this.#all) {
      try {
        run('ip', 'netns', 'delete', machine);
      } catch {
        // It was not made.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What `make` makes of machines, or the reason why there can be none here. */
export function machinesOrWhy(make) {
  try {
    return { machines: make() };
  } catch (error) {
    return { why: `network namespaces can't be made here (root and iproute2 are needed): ${error.stderr || error.message}` };
  }
}
