// The table of networks: what network a school has, and what must hold there. Every row is a test; `node support/networks-table.mjs` prints
// what came of them as the table of bench/results/networks.md, and fails where one is missing.
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { OUTPUT, figure, keep } from './figures.mjs';

const ROWS = {
  open: ['open', 'UDP; joins within 3 s'],
  'udp-blocked': ['UDP blocked', 'joins within 3 s over TCP'],
  'only-443-ipv4': ['everything but TCP 443 blocked, IPv4', 'joins within 3 s'],
  'only-443-ipv6': ['everything but TCP 443 blocked, IPv6', 'joins within 3 s'],
  'udp-443': ['everything but port 443 blocked, UDP too', 'joins within 3 s over UDP'],
  'udp-ends': ['UDP is blocked in mid-lesson', 'goes on over TCP'],
  'udp-returns': ['UDP is open again in mid-lesson', 'goes on'],
  'slow-tcp': ['TCP only, 400 kbit/s in mid-lesson', 'pictures are dropped, the voice goes on'],
  'two-addresses': ['a server with two addresses, one of them blocked', 'each is enough; moves in mid-lesson'],
  'another-network': ['the classroom’s machine gets another address', 'goes on'],
  'classroom-mapping': ['the classroom’s router forgets its mapping', 'voice is back within 2 s'],
  'studio-mapping': ['the studio’s router forgets its mapping', 'voice is back within 2 s'],
  'ice-restart': ['a client of another make restarts ICE', 'the voice goes on'],
  'one-address': ['40 classrooms behind one public address', 'told apart; all found again when their router forgets'],
  'turn-udp': ['media reaches a TURN server alone, UDP 3478', 'joins through it'],
  'turn-tcp': ['media reaches a TURN server alone, TCP 3478', 'joins through it'],
  'turn-tls': ['media reaches a TURN server alone, TLS on 443', 'joins through it'],
  'turn-restarted': ['the TURN server is started again in mid-lesson', 'found again, with new credentials'],
  'turn-credentials': ['a TURN credential forged, altered or too old', 'refused; no other address is relayed to'],
  'turn-down': ['the TURN server is down', 'delays nobody who needs none'],
};
const RESULTS = 'networks.jsonl';

/** The test of one row; `run` is given what says a figure. */
export function row(id, options, run) {
  const [network, holds] = ROWS[id];
  test(`${network}: ${holds}`, options, async (t) => {
    const figures = [];
    await run((text) => {
      figures.push(text);
      figure(t, text);
    });
    keep(RESULTS, JSON.stringify({ id, figures }));
  });
}

function table() {
  const lines = readFileSync(OUTPUT + RESULTS, 'utf8').trim().split('\n');
  const came = new Map(lines.map((line) => JSON.parse(line)).map(({ id, figures }) => [id, figures]));
  const missing = Object.keys(ROWS).filter((id) => !came.has(id));
  if (missing.length > 0) throw new Error(`nothing is known of ${missing.join(', ')}`);
  const rows = Object.entries(ROWS).map(([id, [network, holds]]) => `| ${network} | ${holds} | ${came.get(id).join('; ')} |`);
  return ['| network | what must hold | measured |', '|---|---|---|', ...rows].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(table());
