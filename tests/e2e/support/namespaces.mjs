// Machines with lines between them, made of network namespaces: the server's, and those of classrooms and studios.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Of documentation (RFC 5737, RFC 3849): browsers take them for public ones, and refuse media on port 443 at private ones.
export const SERVER = { ipv4: '198.51.100.1', ipv6: '2001:db8:51::1' };
const addressesOf = (number) => ({ ipv4: `198.51.100.${number + 2}`, ipv6: `2001:db8:51::${number + 2}` });

const run = (...command) => execFileSync(command[0], command.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** The server's machine with a switch in it, and a line from there to each of the others. */
export class Network {
  /** Makes all machines; throws where namespaces can't be made. */
  constructor(names) {
    this.server = `mingshi-server-${process.pid}`;
    this.others = names.map((name) => `mingshi-${name}-${process.pid}`);
    this.folder = mkdtempSync(join(tmpdir(), 'mingshi-line-'));
    try {
      for (const machine of [this.server, ...this.others]) {
        run('ip', 'netns', 'add', machine);
        run('ip', '-n', machine, 'link', 'set', 'lo', 'up');
      }
      this.#onServer('link', 'add', 'line', 'type', 'bridge');
      this.#address(this.server, SERVER);
      this.others.forEach((machine, number) => {
        const port = `port${number}`;
        this.#onServer('link', 'add', port, 'type', 'veth', 'peer', 'name', 'line', 'netns', machine);
        this.#onServer('link', 'set', port, 'master', 'line', 'up');
        this.#address(machine, addressesOf(number));
        run('ip', '-n', machine, 'route', 'add', 'default', 'via', SERVER.ipv4);
      });
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  #onServer(...words) {
    run('ip', '-n', this.server, ...words);
  }

  #address(machine, { ipv4, ipv6 }) {
    run('ip', '-n', machine, 'address', 'add', `${ipv4}/24`, 'dev', 'line');
    run('ip', '-n', machine, 'address', 'add', `${ipv6}/64`, 'dev', 'line', 'nodad');
    run('ip', '-n', machine, 'link', 'set', 'line', 'up');
  }

  /** The words that run a command on one of the machines. */
  within(machine) {
    return ['ip', 'netns', 'exec', machine];
  }

  /** A program that is the browser, on one of the machines but the server's. */
  browser(executable, number = 0) {
    const path = join(this.folder, `browser-${number}`);
    writeFileSync(path, `#!/bin/sh\nexec ${this.within(this.others[number]).join(' ')} '${executable}' "$@"\n`);
    chmodSync(path, 0o755);
    return path;
  }

  /** Nothing comes through a machine's line any more, either way, and nobody is told: as when it is cut beyond the school's router. */
  cut(number = 0) {
    for (const [machine, device] of this.#ends(number)) {
      run(...this.within(machine), 'nft', `table netdev cut-${device} {
        chain arrivals {
          type filter hook ingress device "${device}" priority 0; policy drop;
          meta protocol arp accept
          icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }
      }`);
    }
  }

  /** What was cut is whole again. */
  mend(number = 0) {
    for (const [machine, device] of this.#ends(number)) run(...this.within(machine), 'nft', `delete table netdev cut-${device}`);
  }

  /** The cable is pulled out of a machine, which sees that; `plug` puts it back. */
  unplug(number = 0) {
    this.#onServer('link', 'set', `port${number}`, 'down');
  }

  plug(number = 0) {
    this.#onServer('link', 'set', `port${number}`, 'up');
  }

  #ends(number) {
    return [
      [this.server, `port${number}`],
      [this.others[number], 'line'],
    ];
  }

  remove() {
    for (const machine of [this.server, ...this.others]) {
      try {
        run('ip', 'netns', 'delete', machine);
      } catch {
        // It was not made.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A network of the server and these machines, or the reason why there can be none here. */
export function network(...names) {
  try {
    return { network: new Network(names) };
  } catch (error) {
    return { why: `network namespaces can't be made here (root and iproute2 are needed): ${error.stderr || error.message}` };
  }
}
