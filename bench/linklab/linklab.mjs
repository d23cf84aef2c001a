// The laboratory of weak lines: `make linklab`, or `make linklab ARGS=4M-3` for the scenarios that begin so. It holds a lesson on each
// line, prints the table and, where all were asked for, writes it to bench/results/linklab.md. Needs root, for network namespaces.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { hold } from '../../tests/e2e/support/course.mjs';
import { makeLine } from '../../tests/e2e/support/line.mjs';
import { chosen } from './scenarios.mjs';
import { figuresOf, table } from './table.mjs';

const RESULTS = new URL('../results/linklab.md', import.meta.url);
const names = process.argv.slice(2);

const said = (program, ...words) => execFileSync(program, words, { encoding: 'utf8' }).trim();

function heading(load) {
  const cpu = /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown processor';
  const cores = said('nproc');
  return [
    `# Lessons on weak lines, ${said('date', '+%F')}`,
    '',
    `- Machine: ${cpu}, ${cores} cores, Linux ${said('uname', '-r')}, which runs the server, the demonstration and all classrooms at once`,
    `- ${said('chromium', '--version')}; commit ${said('git', 'rev-parse', '--short', 'HEAD')}`,
    '- Command: `make linklab`',
    `- Load average before: ${load.map((value) => value.toFixed(2)).join(' ')}`,
  ].join('\n');
}

async function measure(scenario) {
  const { machines: line, why } = makeLine(scenario.rooms);
  if (!line) throw new Error(why);
  try {
    const result = await hold(line, scenario, { say: (text) => console.error(`  ${text}`) });
    return { result, figures: figuresOf(scenario, result) };
  } finally {
    line.remove();
  }
}

const load = loadavg();
const rows = [];
for (const scenario of chosen(names)) {
  console.error(scenario.id);
  const { result, figures } = await measure(scenario);
  if (process.env.LINKLAB_KEEP) writeFileSync(`${process.env.LINKLAB_KEEP}/${scenario.id}.json`, JSON.stringify(result));
  rows.push({ scenario, figures });
  for (const [name, { text, holds }] of Object.entries(figures)) console.error(`  ${name}: ${text}${holds === false ? '  ✗' : ''}`);
}
const text = table(rows);
console.log(text);
if (names.length === 0) writeFileSync(RESULTS, `${heading(load)}\n\n${text}\n`);
