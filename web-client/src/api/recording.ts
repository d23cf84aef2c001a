import { call, request } from './rest';

/** A hole in what was kept, on the time line of the lesson. */
export interface Gap {
  from_ms: number;
  to_ms: number;
  /** The track that has nothing there; null for all of them. */
  track: string | null;
  why: 'studio_away' | 'server_down' | 'not_kept' | 'damaged';
}

export interface SlideChange {
  at_ms: number;
  /** Its picture, under the same base as the rest. */
  picture: string | null;
}

export interface Rendition {
  name: 'high' | 'low' | 'audio';
  codec: string;
  width: number;
  height: number;
  bits_per_second: number;
  end_ms: number;
}

export interface Track {
  name: string;
  kind: 'video' | 'audio';
  renditions: Rendition[];
}

/** What of a lesson can be played by now: `timeline.json` beside its playlists. Zero is the same for every track. */
export interface Timeline {
  version: number;
  lesson: string;
  zero_unix_ms: number;
  live: boolean;
  duration_ms: number;
  tracks: Track[];
  gaps: Gap[];
  slides: SlideChange[];
}

/** Where the playlists of a lesson are, for as long as the ticket in the address holds. */
export interface DvrAddress {
  base: string;
  expires_at: string;
  timeline: Timeline | null;
}

export const readDvr = (token: string, lesson: string): Promise<DvrAddress> =>
  call('GET', `/api/v1/lessons/${lesson}/dvr`, token);

export type RecordingState = 'recording' | 'finishing' | 'ready' | 'repaired' | 'failed';

/** One recording as the library lists it. */
export interface Recording {
  lesson: string;
  title: string;
  teacher: string | null;
  subject: string | null;
  grade: string | null;
  school: string | null;
  state: RecordingState;
  /** Why it failed, in words. */
  reason: Words | null;
  begun_at: string;
  duration_ms: number;
  bytes: number;
  /** Whether all its files are there, those that are made afterwards too. */
  complete: boolean;
  /** Whether it stays, whatever the rules of cleaning up say. */
  kept: boolean;
  /** Address of its picture, with a ticket in it. */
  poster: string | null;
}

export interface Words {
  zh: string;
  en: string;
}

export interface RecordedFile {
  name: string;
  track: string;
  variant: 'original' | 'compatible';
  video: { codec: string; width: number; height: number } | null;
  audio: { codec: string } | null;
  bytes: number;
  duration_ms: number;
  /** Where it is played from, with a ticket in it. */
  url: string;
  /** Where it is saved from; null for those who may only watch. */
  download_url: string | null;
}

export interface RecordingDetails extends Recording {
  files: RecordedFile[];
  slides: SlideChange[];
  gaps: Gap[];
  /** What it lacks, in words. */
  missing: Words[];
  /** How much it was watched; for operators and the studio. */
  views: { views: number; viewers: number; watched_ms: number } | null;
}

export interface RecordingPage {
  recordings: Recording[];
  /** Where the next page begins. */
  next: string | null;
}

/** Some seconds that were watched. `view` is one visit of the page. */
export interface Viewed {
  view: string;
  from_ms: number;
  to_ms: number;
  rate: number;
}

export const listRecordings = (token: string, query: Record<string, string>): Promise<RecordingPage> =>
  call('GET', `/api/v1/recordings?${new URLSearchParams(query)}`, token);

export const readRecording = (token: string, lesson: string): Promise<RecordingDetails> =>
  call('GET', `/api/v1/recordings/${lesson}`, token);

export const keepRecording = (token: string, lesson: string, kept: boolean): Promise<{ kept: boolean }> =>
  call('PUT', `/api/v1/recordings/${lesson}/kept`, token, { kept });

export async function deleteRecording(token: string, lesson: string): Promise<void> {
  await request(`/api/v1/recordings/${lesson}`, { method: 'DELETE', token });
}

export const linkTo = (token: string, lesson: string, wish: { download: boolean; hours: number }): Promise<{ url: string; expires_at: string }> =>
  call('POST', `/api/v1/recordings/${lesson}/links`, token, wish);

/** `keepalive` lets the last seconds be told when the page is left. */
export async function reportView(token: string, lesson: string, viewed: Viewed): Promise<void> {
  const body = JSON.stringify(viewed);
  await request(`/api/v1/recordings/${lesson}/views`, { method: 'POST', token, type: 'application/json', body, keepalive: true });
}
