// A stand-in for the server, for drawing pages: lessons in memory, states on demand, media answered by a browser page.
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { answerRecording } from './catalogue.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const DIST = join(HERE, '..', 'dist');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const CSP =
  "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self' ws:; media-src 'self' blob: mediastream:; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'";

const lessons = new Map();
const sockets = new Set();
const waiting = new Map();
let answerer = null;
let lastId = 0;

const id = () => String((lastId += 1)).padStart(13, '0');
export const token = (claims) => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part({ exp: Math.floor(Date.now() / 1000) + 43200, ...claims })}.x`;
};
const claimsOf = (text) => {
  try {
    return JSON.parse(Buffer.from(text.split('.')[1], 'base64url').toString());
  } catch {
    return null;
  }
};

/** A lesson as the API gives it; `mock` is what the pages are to be told about it. */
export function addLesson(fields, mock = {}) {
  const lesson = {
    id: id(), title: '', teacher: null, subject: null, grade: null, school: null, state: 'scheduled', starts_at: null,
    created_at: new Date().toISOString(), started_at: null, ended_at: null, join_code: String(100000 + lastId), ...fields,
  };
  lessons.set(lesson.id, { lesson, participants: [], lines: [], paused: { stage: 'no_source' }, ...mock });
  return lesson;
}

export function change(lessonId, fields) {
  const entry = lessons.get(lessonId);
  Object.assign(entry, fields);
  if (fields.state) Object.assign(entry.lesson, { state: fields.state, started_at: entry.lesson.started_at ?? new Date().toISOString() });
  for (const socket of sockets) {
    if (socket.lesson !== lessonId) continue;
    tell(socket, { type: 'lesson', lesson: entry.lesson });
    for (const participant of entry.participants) tell(socket, { type: 'participant', participant });
    for (const connection of entry.connections ?? []) tell(socket, { type: 'slots', connection, slots: slotsOf(entry, connection) });
  }
}

/** The line breaks: websockets drop, media stops, nothing new is let in. */
export function cut(lessonId) {
  const entry = lessons.get(lessonId);
  Object.assign(entry, { mediaRefused: true, cut: true });
  for (const connection of entry.connections ?? []) if (answerer) tell(answerer, { connection, kind: 'close' });
  for (const socket of sockets) if (socket.lesson === lessonId) socket.terminate();
}

export function mend(lessonId) {
  Object.assign(lessons.get(lessonId), { mediaRefused: false, cut: false });
}

/** A message to every page of a lesson. */
export function say(lessonId, message) {
  for (const socket of sockets) if (socket.lesson === lessonId) tell(socket, message);
}

function tell(socket, message) {
  socket.send(JSON.stringify(message));
}

function slotsOf(entry, connection) {
  return ['voice', 'slides', 'camera', 'stage'].map((slot, mid) => ({
    connection, slot, index: 0, mid: String(mid), publication: null, source: null,
    participant: slot === 'stage' ? (entry.participants.find((p) => p.on_stage)?.id ?? null) : null,
    layer: 0, paused: entry.paused[slot] ?? null, held: entry.held?.[slot] ?? null,
  }));
}

const problem = (status, code, title_zh) => ({ status, body: { type: 'about:blank', title: code, title_zh, status, code } });

const routes = [
  ['POST', /^\/api\/v1\/operator$/, ({ body }) =>
    body.key === 'wrong' ? problem(401, 'key_refused', '钥匙不对') : { body: { token: token({ sub: id(), role: 'operator' }), expires_at: '' } }],
  ['GET', /^\/api\/v1\/lessons$/, () => ({ body: { lessons: [...lessons.values()].map((e) => e.lesson) } })],
  ['POST', /^\/api\/v1\/lessons$/, ({ body }) => ({ status: 201, body: addLesson(body) })],
  ['GET', /^\/api\/v1\/lessons\/(\w+)$/, ({ entry }) => ({ body: entry.lesson })],
  ['POST', /^\/api\/v1\/lessons\/(\w+)\/(start|end)$/, ({ entry, match }) => {
    change(entry.lesson.id, { state: match[2] === 'start' ? 'live' : 'ended' });
    return { body: entry.lesson };
  }],
  ['POST', /^\/api\/v1\/lessons\/(\w+)\/tokens$/, ({ entry, body }) => {
    const participant = id();
    return { status: 201, body: { token: token({ sub: participant, role: body.role, lesson: entry.lesson.id }), participant, expires_at: '', url: '' } };
  }],
  ['POST', /^\/api\/v1\/join$/, ({ body }) => {
    const entry = [...lessons.values()].find((e) => e.lesson.join_code === body.code);
    if (!entry) return problem(404, 'unknown_code', '没有这个号码');
    const participant = body.participant ?? id();
    return { body: { lesson: entry.lesson, participant, token: token({ sub: participant, role: 'classroom', lesson: entry.lesson.id }), expires_at: '' } };
  }],
  ['POST', /^\/api\/v1\/token$/, ({ bearer }) => {
    const claims = claimsOf(bearer);
    return claims ? { body: { token: token(claims), participant: claims.sub, expires_at: '' } } : problem(401, 'token_refused', '令牌不对');
  }],
  ['POST', /^\/(whip|whep)\/(\w+)$/, async ({ entry, match, text }) => {
    if (!answerer || entry.mediaRefused) return problem(503, 'busy', '太忙');
    const connection = id();
    const answer = await new Promise((resolve) => {
      waiting.set(connection, resolve);
      tell(answerer, { connection, kind: match[1], offer: text });
    });
    entry.connections = [...(entry.connections ?? []), connection];
    setTimeout(() => say(entry.lesson.id, { type: 'slots', connection, slots: slotsOf(entry, connection) }), 20);
    return { status: 201, text: answer, headers: { Location: `/${match[1]}/${entry.lesson.id}/c/${connection}`, ETag: '"1"' } };
  }],
  ['DELETE', /^\/(whip|whep)\/(\w+)\/c\/(\w+)$/, ({ match }) => {
    if (answerer) tell(answerer, { connection: match[3], kind: 'close' });
    return { body: {} };
  }],
];

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://mock');
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  if (await answerRecording(request, response, text, claimsOf((request.headers.authorization ?? '').replace('Bearer ', '')))) return;
  for (const [method, pattern, handle] of routes) {
    const match = pattern.exec(pathname);
    if (!match || method !== request.method) continue;
    const lessonId = match.slice(1).find((part) => lessons.has(part));
    const entry = lessons.get(lessonId);
    const bearer = (request.headers.authorization ?? '').replace('Bearer ', '');
    const body = request.headers['content-type'] === 'application/json' ? JSON.parse(text) : {};
    const needsLesson = pattern.source.includes('(\\w+)');
    const result = needsLesson && !entry ? problem(404, 'no_such_lesson', '没有这节课') : await handle({ match, entry, body, text, bearer });
    response.writeHead(result.status ?? 200, { 'Content-Type': result.text ? 'application/sdp' : 'application/json', ...result.headers });
    return response.end(result.text ?? JSON.stringify(result.body));
  }
  serveFile(pathname, response);
}

function serveFile(pathname, response) {
  const inMock = pathname.startsWith('/mock/');
  const path = inMock ? join(HERE, normalize(pathname.slice(6))) : join(DIST, normalize(pathname === '/' ? '/index.html' : pathname));
  if (!existsSync(path)) return response.writeHead(404).end();
  const headers = { 'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream' };
  if (!inMock) headers['Content-Security-Policy'] = CSP;
  response.writeHead(200, headers);
  createReadStream(path).pipe(response);
}

function accept(socket, request) {
  if (request.url.startsWith('/mock/answerer')) {
    answerer = socket;
    socket.on('message', (data) => {
      const message = JSON.parse(data);
      waiting.get(message.connection)?.(message.answer);
      waiting.delete(message.connection);
    });
    return;
  }
  const lessonId = request.url.split('/')[4];
  const entry = lessons.get(lessonId);
  const claims = claimsOf((request.headers['sec-websocket-protocol'] ?? '').split('bearer.')[1] ?? '');
  if (!entry) return socket.close(4004);
  if (!claims) return socket.close(4001);
  if (entry.cut) return socket.terminate();
  socket.lesson = lessonId;
  sockets.add(socket);
  const slots = (entry.connections ?? []).flatMap((connection) => slotsOf(entry, connection));
  tell(socket, {
    type: 'welcome', participant: claims.sub, lesson: entry.lesson, participants: entry.participants, publications: [], replaced: [],
    slots, server_time: new Date().toISOString(),
  });
  const lines = setInterval(() => tell(socket, { type: 'line', lines: entry.lines }), 1000);
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.type === 'ping') tell(socket, { type: 'pong', server_time: new Date().toISOString() });
  });
  socket.on('close', () => {
    clearInterval(lines);
    sockets.delete(socket);
  });
}

export function listen(port) {
  const server = createServer((request, response) => answer(request, response).catch((error) => response.writeHead(500).end(String(error))));
  const upgrades = new WebSocketServer({ server, handleProtocols: (offered) => [...offered][0] });
  upgrades.on('connection', accept);
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve({ server, sockets })));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  addLesson({ title: '五年级英语 Unit 3', teacher: '王敏', subject: '英语', grade: '五年级', state: 'live', started_at: new Date().toISOString() });
  await listen(8080);
  console.log('http://127.0.0.1:8080/#/operator/any');
}
