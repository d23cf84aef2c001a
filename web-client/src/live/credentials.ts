import { Refusal, Unreachable, invite, join, readClaims, readLesson, renewToken } from '../api/rest';
import type { Lesson } from '../api/types';
import type { Obstacle } from '../lesson/classroom';
import type { StudioObstacle } from '../lesson/studio';
import { memory } from './memory';

export interface Admission {
  lesson: string;
  token: string;
  known: Lesson | null;
}

/** How a classroom comes into a lesson: by its six digits, or by a link with a token. */
export async function enterClassroom(code: string | null, urlToken: string | null, school: string | null): Promise<Admission> {
  // A link that names the school is opened once; the device stands there ever after.
  if (school !== null) memory.rememberSchool(school);
  if (urlToken !== null) return enterByLink(code, urlToken);
  const remembered = memory.classroom();
  const participant = remembered?.code === code ? remembered.participant : null;
  const before = participant === null ? null : { participant, token: remembered?.token ?? null };
  const joined = await join(code ?? '', memory.classroomName(), memory.school(), before);
  memory.rememberClassroom({ code, lesson: joined.lesson.id, participant: joined.participant, token: joined.token });
  return { lesson: joined.lesson.id, token: joined.token, known: joined.lesson };
}

/** The token that was renewed last outlives the one in the link. */
async function enterByLink(code: string | null, urlToken: string): Promise<Admission> {
  const lesson = readClaims(urlToken)?.lesson;
  if (!lesson) throw new Refusal(401, { code: 'token_invalid' }, null);
  const remembered = memory.classroom();
  const candidates = [urlToken];
  if (remembered?.lesson === lesson && remembered.token) candidates.unshift(remembered.token);
  const renewed = await firstAccepted(candidates, renewToken);
  memory.rememberClassroom({ code, lesson, participant: renewed.participant, token: renewed.token });
  return { lesson, token: renewed.token, known: null };
}

/** How a studio page comes into its lesson: its link, what it remembers, or an operator at this browser. */
export async function enterStudio(lesson: string, urlToken: string | null): Promise<{ token: string; lesson: Lesson }> {
  const held = [memory.studioToken(lesson), urlToken].filter((token): token is string => token !== null);
  let token: string;
  try {
    token = (await firstAccepted(held, renewToken)).token;
  } catch (error) {
    const operator = memory.operatorToken();
    if (error instanceof Unreachable || operator === null) throw error;
    token = (await invite(operator, lesson, 'studio')).token;
  }
  memory.rememberStudioToken(lesson, token);
  return { token, lesson: await readLesson(token, lesson) };
}

/** Tries tokens in turn; gives what the first that the server takes brought. Throws the last refusal. */
export async function firstAccepted<T>(tokens: string[], attempt: (token: string) => Promise<T>): Promise<T> {
  let refusal = new Refusal(401, { code: 'token_missing' }, null);
  for (const token of tokens) {
    try {
      return await attempt(token);
    } catch (error) {
      if (!(error instanceof Refusal) || error.status >= 500) throw error;
      refusal = error;
    }
  }
  throw refusal;
}

/** What a failed entry means for the classroom; a server in trouble counts as one that can't be reached. */
export function classroomObstacle(error: unknown, byCode: boolean, knownBefore: boolean): 'unreachable' | Obstacle {
  if (!(error instanceof Refusal) || error.status >= 500) return 'unreachable';
  if (error.status === 429 && error.code !== 'too_many_tries') return 'unreachable';
  if (error.status === 429) return knownBefore ? 'unreachable' : 'too_many_tries';
  if (byCode) return 'unknown_code';
  return error.status === 404 ? 'no_such_lesson' : 'link_expired';
}

export function studioObstacle(error: unknown): 'unreachable' | StudioObstacle {
  if (!(error instanceof Refusal) || error.status >= 500 || error.status === 429) return 'unreachable';
  return error.status === 404 ? 'no_such_lesson' : 'link_expired';
}

/** What a refused offer means: only an offer that can't be met is final. */
export function offerRefusal(error: unknown): 'unreachable' | 'token' | 'offer_refused' {
  if (!(error instanceof Refusal)) return error instanceof Unreachable ? 'unreachable' : 'offer_refused';
  if (error.status === 401 || error.status === 403) return 'token';
  return error.status === 400 || error.status === 406 || error.status === 415 || error.status === 422
    ? 'offer_refused'
    : 'unreachable';
}
