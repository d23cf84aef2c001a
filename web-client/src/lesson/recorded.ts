import type { Gap, RecordedFile, RecordingDetails, SlideChange, Timeline } from '../api/recording';

/** What of a recording is played, and where one is in it. Nothing here knows an element or a clock. */

/** The two pictures a page shows; a lesson may have one of them, or neither. */
export const PICTURES = ['slides', 'camera'] as const;
export type Picture = (typeof PICTURES)[number];

export type Source =
  | { kind: 'dvr'; pictures: Picture[] }
  /** `sound` is the file whose sound is heard: it is one of the pictures', or one with sound alone. */
  | { kind: 'files'; sound: RecordedFile; pictures: Partial<Record<Picture, RecordedFile>> };

/** Which codecs this browser plays, by the names in a recording. */
export type Decodes = (codec: string) => boolean;

/**
 * The file of a track to play: the original where the browser can, the compatible one where it can't or has failed.
 * A track that changed its codec has an original for each, and none of them is the whole of it.
 */
export function fileOf(files: RecordedFile[], track: string, decodes: Decodes, refused: ReadonlySet<string>): RecordedFile | null {
  const playable = (file: RecordedFile): boolean =>
    !refused.has(file.name) && [file.video?.codec, file.audio?.codec].every((codec) => codec === undefined || decodes(codec));
  const mine = files.filter((file) => file.track === track && playable(file));
  const original = mine.find((file) => file.variant === 'original' && file.whole);
  return original ?? mine.find((file) => file.variant === 'compatible') ?? mine[0] ?? null;
}

/** What to play of a finished recording; null where the browser can play none of it. */
export function filesOf(details: RecordingDetails, decodes: Decodes, refused: ReadonlySet<string>): Source | null {
  const pictures: Partial<Record<Picture, RecordedFile>> = {};
  for (const picture of PICTURES) {
    const file = fileOf(details.files, picture, decodes, refused);
    if (file) pictures[picture] = file;
  }
  const sound = [pictures.camera, pictures.slides, fileOf(details.files, 'voice', decodes, refused)].find((file) => file?.audio) ?? pictures.camera ?? pictures.slides;
  return sound ? { kind: 'files', sound, pictures } : null;
}

/** What to play of a lesson that has no files yet. */
export function dvrOf(timeline: Timeline): Source | null {
  if (timeline.tracks.length === 0) return null;
  return { kind: 'dvr', pictures: PICTURES.filter((picture) => timeline.tracks.some((track) => track.name === picture)) };
}

/** A place near the beginning isn't worth coming back to, nor one near the end. */
const WORTH_MS = 15_000;

/** Where to begin: at the second of the link, where one stopped, or at the beginning. */
export function beginning(linkMs: number | null, stoppedMs: number | null, durationMs: number): { ms: number; resumed: boolean } {
  if (linkMs !== null) return { ms: Math.min(Math.max(0, linkMs), Math.max(0, durationMs - 1000)), resumed: false };
  if (stoppedMs !== null && stoppedMs > WORTH_MS && stoppedMs < durationMs - WORTH_MS) return { ms: stoppedMs, resumed: true };
  return { ms: 0, resumed: false };
}

/** The number of the slide that is shown at a moment, or -1 before the first. */
export function slideAt(slides: readonly SlideChange[], ms: number): number {
  let at = -1;
  while ((slides[at + 1]?.at_ms ?? Number.POSITIVE_INFINITY) <= ms) at += 1;
  return at;
}

/** Someone who is this far into a slide and goes back wants its beginning. */
const INTO_SLIDE_MS = 3000;

/** Where the next or the last slide begins. */
export function besideSlide(slides: readonly SlideChange[], ms: number, by: 1 | -1): number | null {
  const at = slideAt(slides, ms);
  const into = ms - (slides[at]?.at_ms ?? 0);
  const target = by === 1 ? at + 1 : into > INTO_SLIDE_MS ? at : at - 1;
  return slides[target]?.at_ms ?? (by === -1 && at >= 0 ? 0 : null);
}

/** Why something is missing, as far as pages have words for it. */
export const GAP_REASONS = ['studio_away', 'server_down', 'not_kept', 'damaged'] as const;

export const reasonOf = (gap: Gap): (typeof GAP_REASONS)[number] => GAP_REASONS.find((one) => one === gap.why) ?? 'not_kept';

/** The hole that a picture is in, if it is in one. */
export function gapAt(gaps: readonly Gap[], track: string, ms: number): Gap | null {
  return gaps.find((gap) => (gap.track === null || gap.track === track) && gap.from_ms <= ms && ms < gap.to_ms) ?? null;
}

export const RATES = [0.5, 0.75, 1, 1.25, 1.5, 2] as const;

export function besideRate(rate: number, by: 1 | -1): number {
  const at = RATES.findIndex((one) => one >= rate);
  return RATES[Math.min(RATES.length - 1, Math.max(0, (at === -1 ? RATES.length : at) + by))] ?? 1;
}

export type KeyAction =
  | { do: 'toggle' | 'fullscreen' | 'swap' | 'mute' }
  | { do: 'skip'; ms: number }
  | { do: 'volume' | 'slide' | 'rate'; by: 1 | -1 }
  | { do: 'part'; tenth: number };

const KEYS: Record<string, KeyAction> = {
  ' ': { do: 'toggle' },
  k: { do: 'toggle' },
  j: { do: 'skip', ms: -10_000 },
  l: { do: 'skip', ms: 10_000 },
  arrowleft: { do: 'skip', ms: -5_000 },
  arrowright: { do: 'skip', ms: 5_000 },
  arrowup: { do: 'volume', by: 1 },
  arrowdown: { do: 'volume', by: -1 },
  pageup: { do: 'slide', by: -1 },
  pagedown: { do: 'slide', by: 1 },
  f: { do: 'fullscreen' },
  m: { do: 'mute' },
  s: { do: 'swap' },
  '<': { do: 'rate', by: -1 },
  '>': { do: 'rate', by: 1 },
};

/** What a key on the player's page does, as people know it from other players. */
export function keyAction(key: string): KeyAction | null {
  if (/^\d$/.test(key)) return { do: 'part', tenth: Number(key) };
  return KEYS[key.toLowerCase()] ?? null;
}
