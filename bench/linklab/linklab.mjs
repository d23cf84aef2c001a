// The laboratory of weak lines: `make linklab`. It holds a lesson on each line, prints the tables and, where all was asked for, writes them to
// bench/results/linklab.md. `make linklab ARGS="4M-3 steps"` holds the scenarios whose ids begin so, `ARGS=janus` the peer's alone.
// Needs root, for network namespaces. With LINKLAB_KEEP=FOLDER everything that was noted is kept there, a file for each lesson, and a
// lesson that is kept there isn't held again: a run that was broken off goes on.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { hold } from '../../tests/e2e/support/course.mjs';
import { makeLine } from '../../tests/e2e/support/line.mjs';
import { janus, version } from './janus.mjs';
import { PEERS, chosen } from './scenarios.mjs';
import { figuresOf, peerFiguresOf, peerTable, table } from './table.mjs';

const RESULTS = new URL('../results/linklab.md', import.meta.url);
const KEEP = process.env.LINKLAB_KEEP;

const said = (program, ...words) => execFileSync(program, words, { encoding: 'utf8' }).trim();

function heading(load) {
  const cpu = /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown processor';
  const profile = /\/release\//.test(process.env.MINGSHI_BINARY ?? '') ? 'release' : 'debug';
  return `# Lessons on weak lines, ${said('date', '+%F')}

- Machine: ${cpu}, ${said('nproc')} cores, Linux ${said('uname', '-r')}, which runs the server, the demonstration lesson and all classrooms at once
- ${said('chromium', '--version')}; the server in the ${profile} profile, commit ${said('git', 'rev-parse', '--short', 'HEAD')}
- Command: \`make linklab\`
- Load average before: ${load.map((value) => value.toFixed(2)).join(' ')}

Every line is shaped to its rate on the way to the school, with a queue of 200 ms, and has a round trip of 80 ms unless it says otherwise;
all classrooms of a school share it behind one address. Each is a Chromium that shows the classroom's page. What they see and when is read
from the time code in the pictures (docs/time-code.md), what they hear from the browser's own counters, every 50 ms. The worst room counts.
A figure that misses its goal is bold. *Machine busy* is the median second, *stalled* the longest time for which nothing ran that should have:
where either is bold, the row says more of this machine than of the line.`;
}

async function holdOn(scenario, name, options = {}) {
  const file = KEEP && join(KEEP, `${name}.json`);
  if (file && existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  const { machines: line, why } = makeLine(scenario.rooms);
  if (!line) throw new Error(why);
  try {
    const result = await hold(line, scenario, { say: (text) => console.error(`  ${text}`), ...options });
    if (file) writeFileSync(file, JSON.stringify({ scenario, ...result }));
    return result;
  } finally {
    line.remove();
  }
}

/** The figures of one lesson, told as they come; one that can't be held has none, and the run goes on. */
async function measured(name, measure) {
  console.error(name);
  try {
    const figures = await measure();
    for (const [key, { text, holds }] of Object.entries(figures)) console.error(`  ${key}: ${text}${holds === false ? '  ✗' : ''}`);
    return figures;
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
    return {};
  }
}

const names = process.argv.slice(2);
const scenarios = names.join() === 'janus' ? [] : chosen(names.filter((name) => name !== 'janus'));
const peers = names.length === 0 || names.includes('janus') ? PEERS : [];
const load = loadavg();

const rows = [];
for (const scenario of scenarios) {
  const figures = await measured(scenario.id, async () => figuresOf(scenario, await holdOn(scenario, scenario.id)));
  rows.push({ scenario, figures });
}
const parts = rows.length > 0 ? [table(rows)] : [];

if (peers.length > 0 && version() === null) parts.push('Janus is not installed here (Debian: janus), so nothing is held against it.');
else if (peers.length > 0) {
  const compared = [];
  for (const { scenario, bitrate } of peers) {
    const name = `janus-${scenario.id}-${bitrate / 1000}k`;
    const figures = await measured(name, async () => peerFiguresOf(scenario, await holdOn(scenario, name, { lesson: janus(bitrate) })));
    const ours = rows.find((row) => row.scenario === scenario);
    if (ours && !compared.some((row) => row.scenario === scenario)) compared.push({ ...ours, who: 'mingshi, with slides' });
    compared.push({ scenario, who: `Janus, ${bitrate / 1e6} Mbit/s`, figures });
  }
  parts.push(
    `## The same lines under Janus ${version()}\n\nIts streaming plugin sends one picture of 720p at 15 pictures a second and a voice of 32 kbit/s to every room, and no slides.`,
    peerTable(compared),
  );
}

const text = parts.join('\n\n');
console.log(text);
if (names.length === 0) writeFileSync(RESULTS, `${heading(load)}\n\n${text}\n`);
