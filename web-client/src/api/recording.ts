import { call } from './rest';

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
