import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Scripts, Styles } from './compatibility.mjs';
import { inScript, inStyleSheet, ownNames, treeOf } from './findings.mjs';

const OLDEST = { chrome: 87 };
const [scripts, styles] = [new Scripts(OLDEST), new Styles(OLDEST)];

const script = (text) => {
  const tree = treeOf(text);
  return inScript(tree, scripts, ownNames([tree])).map(({ what }) => what);
};
const sheet = (text) => inStyleSheet(text, styles).map(({ what }) => what);

test.each([
  ['structuredClone(x)', ['structuredClone']],
  ['new RTCRtpScriptTransform(w)', ['RTCRtpScriptTransform']],
  ['crypto.randomUUID()', ['.randomUUID']],
  ['AbortSignal.timeout(5)', ['AbortSignal.timeout']],
  ['Object.hasOwn(a, b)', ['Object.hasOwn']],
  ['Promise.withResolvers()', ['Promise.withResolvers']],
  ['a.at(-1)', ['.at']],
  ['a.findLast(f)', ['.findLast']],
  ['a.toSorted()', ['.toSorted']],
  ['new Intl.DurationFormat("zh")', ['Intl.DurationFormat']],
  ['class A { static { f(); } }', ['classes.static.initialization_blocks']],
  ['class A { #x; has(o) { return #x in o; } }', ['classes.private_class_fields_in']],
  ['await f()', ['operators.await.top_level']],
  ['/a/d', ['builtins.RegExp.hasIndices']],
])('a script with %s is too new', (text, found) => expect(script(text)).toEqual(found));

test.each([
  ['a?.b ?? c'],
  ['x ||= 1'],
  ['class A { #x = 1; y = 2; get() { return this.#x; } }'],
  ['typeof structuredClone'],
  ['peer.setCodecPreferences?.(x); a.toSorted?.()'],
  ['(f = a.toSorted) == null || f.call(a)'],
  ['a.flatMap(f).includes(1); "a".replaceAll("b", "c"); Promise.any([])'],
  ['new Intl.DateTimeFormat("zh").format(d)'],
  ['const list = { at: (n) => n }; list.at(1)'],
  ['async () => { await f(); }'],
  ['new RTCPeerConnection().getStats(); video.requestVideoFrameCallback(f); performance.now()'],
])('a script with %s is old enough', (text) => expect(script(text)).toEqual([]));

test.each([
  ['a { aspect-ratio: 16 / 9 }', ['aspect-ratio']],
  ['a { height: 100dvh }', ['dvh']],
  ['a { color: color-mix(in srgb, red, blue) }', ['color-mix()']],
  ['a:has(b) { color: red }', [':has']],
  ['a { b { color: red } }', ['nesting']],
  ['@layer x { a { color: red } }', ['@layer']],
  ['@container (width > 1px) { a { color: red } }', ['@container']],
  ['@media (width >= 600px) { a { color: red } }', ['@media with a range']],
  ['a { accent-color: red }', ['accent-color']],
  ['a { overflow: clip }', ['overflow: clip']],
])('a style sheet with %s is too new', (text, found) => expect(sheet(text)).toEqual(found));

test.each([
  ['a { display: grid; gap: 1px; inset: 0 }'],
  ['a { height: 100vh; height: 100dvh }'],
  ['a:focus-visible::before { content: "x" }'],
  ['@media (min-width: 600px) and (prefers-reduced-motion: reduce) { a { width: calc(1px + 2em) } }'],
  ['a { width: clamp(1px, 2vw, 3px); color: var(--x, rgb(1 2 3 / 50%)) }'],
])('a style sheet with %s is old enough', (text) => expect(sheet(text)).toEqual([]));

test('built files with something newer are refused, with the file, what it is and since when it is there', () => {
  const folder = mkdtempSync(join(tmpdir(), 'built-'));
  try {
    writeFileSync(join(folder, 'page.js'), 'const newest = list.toSorted();');
    const run = () => execFileSync(process.execPath, [new URL('built.mjs', import.meta.url).pathname, folder], { stdio: 'pipe' });
    expect(run).toThrow(/page\.js: \.toSorted is too new \(chrome 110 > 87, firefox 115 > 102\)/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
