import { iceServers } from './ice-servers';
import type {
  Invitation,
  Joined,
  Lesson,
  NewLesson,
  ParticipantToken,
  Problem,
  Role,
  Token,
} from './types';

/** A request that hung longer than this counts as lost: a dead line must not hold up the next try. */
const PATIENCE_MS = 4000;

/** The server answered, and said no. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
    readonly retryAfterSeconds: number | null,
  ) {
    super(problem.detail ?? problem.title ?? `status ${status}`);
  }

  get code(): string {
    return this.problem.code ?? '';
  }
}

/** Nobody answered: no line, no server, or too slow. */
export class Unreachable extends Error {}

export interface Exchange {
  method: string;
  token?: string | null;
  type?: string;
  body?: string;
  keepalive?: boolean;
}

/** One request to our own server. Throws `Refusal` or `Unreachable`, nothing else. */
export async function request(path: string, exchange: Exchange): Promise<Response> {
  const headers: Record<string, string> = {};
  if (exchange.token) headers['Authorization'] = `Bearer ${exchange.token}`;
  if (exchange.type) headers['Content-Type'] = exchange.type;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), PATIENCE_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      method: exchange.method,
      headers,
      body: exchange.body ?? null,
      keepalive: exchange.keepalive ?? false,
      cache: 'no-store',
      signal: abort.signal,
    });
  } catch (error) {
    throw new Unreachable(String(error));
  } finally {
    clearTimeout(timer);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response: Response): Promise<Refusal> {
  const seconds = Number(response.headers.get('Retry-After') ?? NaN);
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  return new Refusal(response.status, problem, Number.isFinite(seconds) ? seconds : null);
}

/** As `call`, where a token comes with the TURN servers that are for its holder. */
async function entry<T>(path: string, token: string | null | undefined, body: unknown): Promise<T> {
  const response = await ask('POST', path, token, body);
  iceServers.tell(response, performance.now());
  return read(response);
}

export async function call<T>(method: string, path: string, token?: string | null, body?: unknown): Promise<T> {
  return read(await ask(method, path, token, body));
}

function ask(method: string, path: string, token?: string | null, body?: unknown): Promise<Response> {
  const exchange: Exchange = { method };
  if (token) exchange.token = token;
  if (body !== undefined) {
    exchange.type = 'application/json';
    exchange.body = JSON.stringify(body);
  }
  return request(path, exchange);
}

async function read<T>(response: Response): Promise<T> {
  try {
    return (await response.json()) as T;
  } catch (error) {
    throw new Unreachable(String(error));
  }
}

export const exchangeOperatorKey = (key: string): Promise<Token> =>
  call('POST', '/api/v1/operator', null, { key });

export const createLesson = (token: string, lesson: NewLesson): Promise<Lesson> =>
  call('POST', '/api/v1/lessons', token, lesson);

/** Lessons planned (or created, where no time was given) between two moments in RFC 3339, and all that are live. */
export async function listLessons(token: string, from: string, to: string): Promise<Lesson[]> {
  const list = async (query: Record<string, string>): Promise<Lesson[]> => {
    const path = `/api/v1/lessons?${new URLSearchParams(query)}`;
    return (await call<{ lessons: Lesson[] }>('GET', path, token)).lessons;
  };
  const [planned, live] = await Promise.all([list({ from, to }), list({ state: 'live' })]);
  const known = new Set(planned.map((lesson) => lesson.id));
  return [...planned, ...live.filter((lesson) => !known.has(lesson.id))];
}

export const readLesson = (token: string, lesson: string): Promise<Lesson> =>
  call('GET', `/api/v1/lessons/${lesson}`, token);

export const startLesson = (token: string, lesson: string): Promise<Lesson> =>
  call('POST', `/api/v1/lessons/${lesson}/start`, token);

export const endLesson = (token: string, lesson: string): Promise<Lesson> =>
  call('POST', `/api/v1/lessons/${lesson}/end`, token);

export const invite = (token: string, lesson: string, role: Role, name?: string): Promise<Invitation> =>
  call('POST', `/api/v1/lessons/${lesson}/tokens`, token, name ? { role, name } : { role });

/**
 * Enters a lesson by its six digits. `before` is who this device was before a reload; its token, however old,
 * proves that to a server that knows it on stage.
 */
export const join = (
  code: string,
  name: string,
  school: string | null,
  before: { participant: string; token: string | null } | null,
): Promise<Joined> =>
  entry('/api/v1/join', before?.token, {
    code,
    ...(name ? { name } : {}),
    ...(school ? { school } : {}),
    ...(before ? { participant: before.participant } : {}),
  });

export const renewToken = (token: string): Promise<ParticipantToken> =>
  entry('/api/v1/token', token, {});

export interface Claims {
  sub: string;
  role: Role;
  lesson: string | null;
  /** Unix seconds. */
  exp: number;
}

/** What a token says of itself. It is read for convenience; only the server can tell whether it is true. */
export function readClaims(token: string): Claims | null {
  const part = token.split('.')[1];
  if (!part) return null;
  try {
    const text = atob(part.replace(/-/g, '+').replace(/_/g, '/'));
    const claims = JSON.parse(decodeURIComponent(escapeBytes(text))) as Partial<Claims>;
    if (typeof claims.sub !== 'string' || typeof claims.exp !== 'number' || !claims.role) return null;
    return { sub: claims.sub, role: claims.role, lesson: claims.lesson ?? null, exp: claims.exp };
  } catch {
    return null;
  }
}

function escapeBytes(binary: string): string {
  let escaped = '';
  for (const char of binary) escaped += `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  return escaped;
}
