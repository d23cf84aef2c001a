// A school with its router and firewall, made of network namespaces: a classroom's machine behind them, and beyond them the server's and
// a TURN server's.
import { Machines, SERVER, machinesOrWhy, run } from './machines.mjs';

export const RELAY = { ipv4: '203.0.113.1' };
/** Seen by the server as where the classroom is, once its router translates. */
export const PUBLIC = '198.51.100.254';
const CLASSROOM = { ipv4: '10.20.0.2', network: '10.20.0.0/24', ipv6: '2001:db8:20::2' };
const GATEWAYS = {
  classroom: { ipv4: '10.20.0.254', ipv6: '2001:db8:20::fe' },
  server: { ipv4: PUBLIC, ipv6: '2001:db8:51::fe' },
  relay: { ipv4: '203.0.113.254' },
};

export class School extends Machines {
  /** Makes all machines; throws where namespaces can't be made. */
  constructor() {
    super(['pupils', 'router', 'relay']);
    [this.classroom, this.router, this.relay] = this.others;
    this.orRemove(() => {
      run(...this.within(this.router), 'sysctl', '-q', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
      this.#connect('classroom', [CLASSROOM.ipv4, CLASSROOM.ipv6]);
      this.#connect('server', [SERVER.ipv4, SERVER.second, SERVER.ipv6]);
      this.#connect('relay', [RELAY.ipv4]);
    });
  }

  #connect(what, addresses) {
    const [machine, gateway] = [this[what], GATEWAYS[what]];
    run('ip', '-n', machine, 'link', 'add', 'line', 'type', 'veth', 'peer', 'name', what, 'netns', this.router);
    for (const address of addresses) this.address(machine, address);
    for (const address of Object.values(gateway)) this.address(this.router, address, what);
    run('ip', '-n', this.router, 'link', 'set', what, 'up');
    run('ip', '-n', machine, 'link', 'set', 'line', 'up');
    run('ip', '-n', machine, 'route', 'add', 'default', 'via', gateway.ipv4);
    if (gateway.ipv6) run('ip', '-n', machine, '-6', 'route', 'add', 'default', 'via', gateway.ipv6);
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
}

/** A school, or the reason why there can be none here. */
export const makeSchool = () => machinesOrWhy(() => new School());
