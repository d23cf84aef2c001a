import { call, request } from './rest';
import type { components } from './schema';
import type { Whole } from './types';

type Schemas = components['schemas'];

/** A hole in what was kept, on the time line of the lesson; of one track, or of all where that is null. */
export type Gap = Whole<Schemas['RecordingGap']>;
export type SlideChange = Whole<Schemas['RecordingSlide']>;
/** What of a lesson can be played by now: `timeline.json` beside its playlists. Zero is the same for every track. */
export type Timeline = Whole<Schemas['Timeline']>;
/** Where the playlists of a lesson are, for as long as the ticket in the address holds. */
export type DvrAddress = Whole<Schemas['Dvr']>;
export type RecordingState = Schemas['RecordingState'];
/** One recording as the library lists it. */
export type Recording = Whole<Schemas['Recording']>;
export type Words = Schemas['Words'];
export type RecordedFile = Whole<Schemas['RecordingFile']>;
export type RecordingDetails = Whole<Schemas['RecordingDetails']>;
export type RecordingPage = Whole<Schemas['RecordingList']>;
/** Some seconds that were watched. `view` is one visit of the page. */
export type Viewed = Schemas['View'];
export type ReplayLink = Schemas['ReplayLink'];

export const readDvr = (token: string, lesson: string): Promise<DvrAddress> =>
  call('GET', `/api/v1/lessons/${lesson}/dvr`, token);

/** What can be played by now; `base` has a ticket in it, and needs no token. Throws `Refusal` or `Unreachable`. */
export const readTimeline = (base: string): Promise<Timeline> => call('GET', `${base}timeline.json`);

export const listRecordings = (token: string, query: Record<string, string>): Promise<RecordingPage> =>
  call('GET', `/api/v1/recordings?${new URLSearchParams(query)}`, token);

export const readRecording = (token: string, lesson: string): Promise<RecordingDetails> =>
  call('GET', `/api/v1/recordings/${lesson}`, token);

export const keepRecording = (token: string, lesson: string, kept: boolean): Promise<Schemas['KeptRecording']> =>
  call('PUT', `/api/v1/recordings/${lesson}/kept`, token, { kept });

export async function deleteRecording(token: string, lesson: string): Promise<void> {
  await request(`/api/v1/recordings/${lesson}`, { method: 'DELETE', token });
}

export const linkTo = (token: string, lesson: string, wish: { download: boolean; hours: number }): Promise<ReplayLink> =>
  call('POST', `/api/v1/recordings/${lesson}/links`, token, wish);

/** `keepalive` lets the last seconds be told when the page is left. */
export async function reportView(token: string, lesson: string, viewed: Viewed): Promise<void> {
  const body = JSON.stringify(viewed);
  await request(`/api/v1/recordings/${lesson}/views`, { method: 'POST', token, type: 'application/json', body, keepalive: true });
}
