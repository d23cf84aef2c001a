// The server's machine with a switch in it, and a line from there to each of the others: classrooms' and studios'.
import { Machines, SERVER, machinesOrWhy, run } from './machines.mjs';

const addressesOf = (number) => [`198.51.100.${number + 2}`, `2001:db8:51::${number + 2}`];

export class Network extends Machines {
  /** Makes all machines; throws where namespaces can't be made. */
  constructor(names) {
    super(names);
    this.orRemove(() => {
      this.#onServer('link', 'add', 'line', 'type', 'bridge');
      this.#comesUp(this.server, [SERVER.ipv4, SERVER.ipv6]);
      this.others.forEach((machine, number) => {
        const port = `port${number}`;
        this.#onServer('link', 'add', port, 'type', 'veth', 'peer', 'name', 'line', 'netns', machine);
        this.#onServer('link', 'set', port, 'master', 'line', 'up');
        this.#comesUp(machine, addressesOf(number));
        run('ip', '-n', machine, 'route', 'add', 'default', 'via', SERVER.ipv4);
      });
    });
  }

  #onServer(...words) {
    run('ip', '-n', this.server, ...words);
  }

  #comesUp(machine, addresses) {
    for (const address of addresses) this.address(machine, address);
    run('ip', '-n', machine, 'link', 'set', 'line', 'up');
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
}

/** A network of the server and these machines, or the reason why there can be none here. */
export const network = (...names) => machinesOrWhy(() => new Network(names));
