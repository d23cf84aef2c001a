import { type DvrAddress, type RecordingDetails, readDvr, readRecording } from '../api/recording';
import { Refusal } from '../api/rest';
import type { ReplayEvent } from '../lesson/replay';
import { firstAccepted } from './credentials';
import { memory } from './memory';

export interface ReplayAdmission {
  token: string;
  details: RecordingDetails;
  /** Where the lesson can be played before its files are made; null once they are. */
  dvr: DvrAddress | null;
}

/** How someone comes to see a lesson again: the link, what this device had in the lesson, or an operator at this browser. */
export async function enterReplay(lesson: string, urlToken: string | null): Promise<ReplayAdmission> {
  const classroom = memory.classroom();
  const own = [memory.studioToken(lesson), classroom?.lesson === lesson ? classroom.token : null, memory.operatorToken()];
  const held = [urlToken, ...own].filter((token): token is string => token !== null);
  return firstAccepted(held, async (token) => {
    const details = await readRecording(token, lesson);
    const dvr = details.files.length === 0 ? await readDvr(token, lesson).catch(unlessUnreachable) : null;
    return { token, details, dvr };
  });
}

function unlessUnreachable(error: unknown): null {
  if (!(error instanceof Refusal) || error.status >= 500) throw error;
  return null;
}

/** What a failed look at a recording means for the page. */
export function replayObstacle(error: unknown): Extract<ReplayEvent, { type: 'read_failed' }>['reason'] {
  if (!(error instanceof Refusal) || error.status >= 500 || error.status === 429) return 'unreachable';
  return error.status === 404 ? 'no_such_recording' : 'link_expired';
}
