// A recording as its viewers get it: decoded by FFmpeg, and read by the time code in its pictures and its sound (docs/time-code.md).
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { agreeing, quantile } from './figures.mjs';
import { CELLS, ageOf, decodeTime } from './time-code.mjs';
import { delayOf, findBursts } from './tone.mjs';

const run = promisify(execFile);
const RATE = 48_000;

/** Runs FFmpeg, and gives what it wrote and said; fails with what it said where it fails. */
async function ffmpeg(words) {
  const child = spawn('ffmpeg', ['-hide_banner', '-nostdin', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, said] = [[], []];
  child.stdout.on('data', (chunk) => out.push(chunk));
  child.stderr.on('data', (chunk) => said.push(chunk));
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  const text = Buffer.concat(said).toString();
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}:\n${text.slice(-2000)}`);
  return { out: Buffer.concat(out), said: text };
}

/** What ffprobe says of a file: its streams, chapters and duration. */
export async function probe(file) {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-show_streams', '-show_chapters', '-show_format', '-of', 'json', file], {
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(stdout);
}

const cellsOf = (row) => Array.from(row, (luma) => luma > 125);

/** Every picture of a file: `{at, code}`, its place in milliseconds and its time code or null. */
async function pictures(file) {
  // The lowest row of cells, a sample for each; what a file says of its own time is told by showinfo.
  const filter = `crop=iw:iw/${CELLS}:0:ih-iw/${CELLS},scale=${CELLS}:1:flags=area,format=gray,showinfo`;
  const { out, said } = await ffmpeg([
    '-copyts', '-i', file, '-map', '0:v:0', '-vf', filter, '-fps_mode', 'passthrough', '-f', 'rawvideo', '-',
  ]);
  const times = [...said.matchAll(/ n: *\d+ .*?pts_time:(-?[\d.]+)/g)].map(([, time]) => Number(time) * 1000);
  if (times.length !== out.length / CELLS) throw new Error(`${times.length} times for ${out.length / CELLS} pictures`);
  return times.map((at, n) => ({ at, code: decodeTime(cellsOf(out.subarray(n * CELLS, (n + 1) * CELLS))) }));
}

/** Every tone burst of a file's sound: `{at, pitch}`, its place in milliseconds. */
async function bursts(file) {
  const { out } = await ffmpeg(['-i', file, '-map', '0:a:0', '-ac', '1', '-ar', String(RATE), '-f', 'f32le', '-']);
  const samples = new Float32Array(out.buffer, out.byteOffset, Math.floor(out.length / 4));
  const { streams } = await probe(file);
  const start = Number(streams.find(({ codec_type: type }) => type === 'audio').start_time) * 1000;
  return findBursts(samples, RATE).map(({ pitch, second }) => ({ pitch, at: start + second * 1000 }));
}

/**
 * What a file holds of a lesson whose recording begins at `zero` (Unix milliseconds): which moments of the lesson are in its pictures and its
 * sound, how many pictures can't be read, by how much pictures stand later than the lesson was and how far the sound stands apart from the
 * picture beside it (milliseconds). The first picture stands from the beginning on, whenever it came, and says nothing of that.
 */
export async function heldBy(file, zero) {
  const { streams } = await probe(file);
  const has = (kind) => streams.some(({ codec_type: type }) => type === kind);
  const shown = has('video') ? await pictures(file) : [];
  const read = shown.filter(({ code }) => code !== null);
  const late = read.map(({ at, code }) => ageOf(code, zero + at));
  const moments = read.map(({ at }, n) => zero + at - late[n]);
  const heard = has('audio') ? await bursts(file) : [];
  const beside = heard.flatMap(({ at, pitch }) => {
    const n = read.findLastIndex((picture) => picture.at <= at);
    if (n < 1 || at - read[n].at > 500) return [];
    const delay = delayOf(pitch, zero + at);
    return [(delay > 4000 ? delay - 8000 : delay) - late[n]];
  });
  const together = agreeing(beside, 40);
  return {
    unread: shown.length - read.length,
    moments,
    late: { median: quantile(late.slice(1), 0.5), least: Math.min(...late.slice(1)), most: Math.max(...late.slice(1)) },
    // Speech now and then has a sound like a burst in it, but not at the second.
    apart: Math.abs(quantile(together, 0.5)),
    bursts: together.length,
  };
}

/** The longest of the stretches of time, within `from` and `to`, of which `moments` have nothing; `{length, from}` in milliseconds. */
export function longestHole(moments, from, to) {
  const inside = [from, ...moments.filter((at) => at > from && at < to).toSorted((a, b) => a - b), to];
  const holes = inside.slice(1).map((at, n) => ({ length: at - inside[n], from: inside[n] }));
  return holes.reduce((longest, hole) => (hole.length > longest.length ? hole : longest));
}
