// Refuses built files with anything newer than the oldest browsers: `node lint/built.mjs [FOLDER]`, by default `dist`.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Scripts, Styles } from './compatibility.mjs';
import { inScript, inStyleSheet, ownNames, treeOf } from './findings.mjs';
import { FALLBACKS, OLDEST, OWN } from './oldest.mjs';

const folder = process.argv[2] ?? 'dist';
const [scripts, styles] = [new Scripts(OLDEST), new Styles(OLDEST)];
const known = [...Object.keys(FALLBACKS), ...OWN];
const unused = new Set(known);
let refused = 0;
const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(js|css)$/.test(name));
const texts = new Map(names.sort().map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
const trees = new Map([...texts].filter(([name]) => name.endsWith('.js')).map(([name, text]) => [name, treeOf(text)]));
const own = ownNames(trees.values());
for (const [name, text] of texts) {
  const findings = trees.has(name) ? inScript(trees.get(name), scripts, own) : inStyleSheet(text, styles);
  for (const { what, why, at } of findings) {
    unused.delete(what);
    if (known.includes(what)) continue;
    refused += 1;
    console.error(`${name}: ${what} is too new (${why}): …${text.slice(Math.max(0, at - 30), at + 60)}…`);
  }
}
for (const what of unused) console.error(`lint/oldest.mjs: ${what} isn't used any more`);
if (texts.size === 0) console.error(`no scripts or style sheets in ${folder}`);
if (refused > 0 || unused.size > 0 || texts.size === 0) process.exit(1);
console.log(`${texts.size} built files need nothing newer than ${Object.entries(OLDEST).map((one) => one.join(' ')).join(', ')}`);
