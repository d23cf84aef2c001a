// The recordings of the stand-in server: their list, their files and, while a lesson runs, its playlists.
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { extname, join, normalize } from 'node:path';
import { SECONDS, gaps, master, playlist, recordedLesson, slideChanges, timeline } from './recordings.mjs';

const TYPES = { '.mp4': 'video/mp4', '.m4s': 'video/iso.segment', '.m3u8': 'application/vnd.apple.mpegurl', '.jpg': 'image/jpeg', '.json': 'application/json' };
const recordings = new Map();
/** What pages told of playing, for tests to read. */
export const views = [];
/** What the list does instead of answering: `slow`, `refuse`, or nothing. */
export const mood = { list: null };

/** A recording as the API lists it; `startedMs` ago its lesson began, for one that still runs. */
export function addRecording(fields, mock = {}) {
  const lesson = fields.lesson ?? `r${String(recordings.size + 1).padStart(12, '0')}`;
  const recording = {
    title: '', teacher: null, subject: null, grade: null, school: null, state: 'ready', reason: null, lesson_state: 'ended',
    begun_at: new Date().toISOString(), duration_ms: SECONDS * 1000, bytes: 23_400_000, complete: true, kept: false, ...fields, lesson,
  };
  recordings.set(lesson, { recording, zeroMs: Date.parse(recording.begun_at), ...mock });
  return recording;
}

export const changeRecording = (lesson, fields, mock = {}) => {
  const entry = recordings.get(lesson);
  Object.assign(entry.recording, fields);
  Object.assign(entry, mock);
};

const grown = (entry) => Math.min(SECONDS * 1000, Date.now() - entry.zeroMs);
const isLive = (entry) => entry.recording.state === 'recording';
const posterOf = ({ recording, poster = true }) => (poster && recording.state !== 'failed' ? `/recordings/${recording.lesson}/poster.jpg?ticket=x` : null);

function listed(entry) {
  const live = isLive(entry);
  return { ...entry.recording, duration_ms: live ? grown(entry) : entry.recording.duration_ms, poster: posterOf(entry) };
}

function detailed(entry, download) {
  const address = (name) => `/recordings/${entry.recording.lesson}/${name}?ticket=x`;
  const done = entry.recording.state === 'ready' || entry.recording.state === 'repaired';
  const file = (track, variant, name, codec) => ({
    name, track, variant, whole: true, video: { codec, width: 960, height: 540 }, audio: { codec: variant === 'compatible' ? 'aac' : 'opus' }, bytes: 11_700_000, sha256: '0'.repeat(64),
    duration_ms: SECONDS * 1000, url: address(name), download_url: download ? `${address(name)}&download=1` : null,
  });
  const slidesCodec = entry.av1 ? file('slides', 'original', 'slides-av1.mp4', 'av1') : file('slides', 'original', 'slides.mp4', 'h264');
  return {
    ...listed(entry), zero_unix_ms: entry.zeroMs, expires_at: new Date(Date.now() + 7_200_000).toISOString(), main: null, may_download: download,
    files: done ? [file('camera', 'original', 'camera.mp4', 'h264'), slidesCodec, file('camera', 'compatible', 'camera-compatible.mp4', 'h264'), file('slides', 'compatible', 'slides-compatible.mp4', 'h264')] : [],
    slides: done ? slideChanges((number) => address(`slide-${String(number).padStart(4, '0')}.jpg`)) : [],
    gaps: done ? gaps : [], missing: [], views: download ? { views: 12, viewers: 9, watched_ms: 9_000_000 } : null,
  };
}

function list(query) {
  const has = (value, word) => !word || (value ?? '').includes(word);
  const found = [...recordings.values()].map(listed).filter((one) =>
    ['subject', 'grade', 'teacher', 'school'].every((key) => has(one[key], query.get(key)))
    && has([one.title, one.teacher, one.subject].join(' '), query.get('q'))
    && (!query.get('from') || one.begun_at >= query.get('from')) && (!query.get('to') || one.begun_at < query.get('to')));
  found.sort((a, b) => b.begun_at.localeCompare(a.begun_at));
  const start = Number(query.get('cursor') ?? 0);
  const end = start + Number(query.get('limit') ?? 24);
  return { recordings: found.slice(start, end), next: end < found.length ? String(end) : null };
}

const json = (response, body, status = 200) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
const no = (response, status, code) => json(response, { type: 'about:blank', title: code, title_zh: code, status, code }, status);

/** Answers what belongs to recordings; gives whether it did. */
export async function answerRecording(request, response, text, claims) {
  const url = new URL(request.url, 'http://mock');
  const [, id, rest] = /^\/api\/v1\/recordings(?:\/(\w+))?(\/\w+)?$/.exec(url.pathname)?.map((part) => part ?? '') ?? [];
  if (id === '' && request.method === 'GET') {
    if (mood.list === 'refuse') return no(response, 503, 'busy'), true;
    if (mood.list === 'slow') await new Promise((resolve) => setTimeout(resolve, 3500));
    return json(response, mood.list === 'empty' ? { recordings: [], next: null } : list(url.searchParams)), true;
  }
  const dvr = /^\/api\/v1\/lessons\/(\w+)\/dvr$/.exec(url.pathname);
  const entry = recordings.get(id || dvr?.[1]);
  if (id !== undefined || dvr) {
    if (!claims) return no(response, 401, 'token_expired'), true;
    if (!entry) return no(response, 404, 'no_such_recording'), true;
    return json(response, ...answerOf(entry, request.method, rest, dvr, text, claims)), true;
  }
  return serveRecorded(request, response, url);
}

function answerOf(entry, method, rest, dvr, text, claims) {
  const { lesson } = entry.recording;
  if (dvr) return [{ base: `/lessons/${lesson}/dvr/x/`, expires_at: new Date(Date.now() + 7_200_000).toISOString(), timeline: entry.noDvr ? null : timelineOf(entry) }];
  if (rest === '/links') return [{ url: `/#/replay/${lesson}?token=${entry.token ?? 'x'}`, expires_at: new Date(Date.now() + JSON.parse(text).hours * 3_600_000).toISOString() }, 201];
  if (rest === '/views') return [(views.push({ lesson, ...JSON.parse(text) }), {})];
  if (method === 'DELETE') return [(recordings.delete(lesson), {})];
  if (rest === '/kept') return [(Object.assign(entry.recording, JSON.parse(text)), JSON.parse(text))];
  return [detailed(entry, claims.role === 'operator')];
}

const timelineOf = (entry) => timeline(entry.recording.lesson, { zeroMs: entry.zeroMs, durationMs: grown(entry), live: isLive(entry) });

function serveRecorded(request, response, url) {
  const live = /^\/lessons\/(\w+)\/dvr\/\w+\/(.+)$/.exec(url.pathname);
  const file = /^\/recordings\/(\w+)\/(.+)$/.exec(url.pathname);
  const entry = recordings.get((live ?? file)?.[1]);
  if (!entry) return false;
  const path = normalize((live ?? file)[2]);
  const folder = join(recordedLesson(), live ? 'dvr' : 'files');
  if (live && path === 'timeline.json') return json(response, timelineOf(entry)), true;
  if (live && /^\w+\.m3u8$/.test(path)) return response.writeHead(200, { 'Content-Type': TYPES['.m3u8'] }).end(master(path.replace('.m3u8', ''))), true;
  if (path.startsWith('..') || !existsSync(join(folder, path))) return no(response, 404, 'no_such_file'), true;
  if (path.endsWith('.m3u8')) {
    const text = playlist(readFileSync(join(folder, path), 'utf8'), { zeroMs: entry.zeroMs, untilMs: grown(entry), over: !isLive(entry), hole: path.startsWith('camera') });
    return response.writeHead(200, { 'Content-Type': TYPES['.m3u8'] }).end(text), true;
  }
  return sendRange(request, response, join(folder, path)), true;
}

function sendRange(request, response, path) {
  const { size } = statSync(path);
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const headers = { 'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream', 'Accept-Ranges': 'bytes', 'Cache-Control': 'private' };
  const start = Number(first ?? 0);
  const end = last ? Math.min(Number(last), size - 1) : size - 1;
  if (first !== undefined) headers['Content-Range'] = `bytes ${start}-${end}/${size}`;
  response.writeHead(first === undefined ? 200 : 206, { ...headers, 'Content-Length': end - start + 1 });
  createReadStream(path, { start, end }).on('error', () => response.destroy()).pipe(response);
}
