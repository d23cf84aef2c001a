import type { Fragment, default as HlsPlayer, LevelDetails, LoaderCallbacks, LoaderConfiguration, LoaderContext, PlaylistLoaderConstructor } from 'hls.js';
import { type Timeline, readTimeline } from '../api/recording';
import { Refusal } from '../api/rest';
import { Ensemble, EnsemblePlayer, type Part } from './ensemble';

/**
 * Plays what the server has kept of a lesson that may still be running: HLS through Media Source Extensions.
 *
 * Every track plays in an element of its own: the voice, which is the clock, and pictures that follow it. What holds them
 * together is the wall clock of the playlists (`EXT-X-PROGRAM-DATE-TIME`), counted from the lesson's zero: an
 * element's own time starts wherever its first segment was, and says nothing across holes and new parameters.
 *
 * hls.js comes in a chunk of its own when it is asked for. It runs without a worker, which would need
 * `worker-src blob:` in the content security policy and saves nothing where segments needn't be repacked.
 */

/** The track with the teacher's voice, by its name in the time line. */
export const VOICE = 'voice';

/** A track that begins within this of where we want to be counts as being there. */
const EDGE_MS = 250;
const TIMELINE_EVERY_MS = 2000;
/** Nearer than this to the end of what is kept, playlists are asked for this often, in seconds; by itself the library waits for as long
 *  as a segment lasts, and whoever catches up would stand still for so long. */
const NEAR_EDGE_MS = 10_000;
const RELOAD_S = { voice: 1, picture: 2 };
/** At most this often a new ticket is asked for. */
const RENEW_EVERY_MS = 5000;

/** The best rendition of a track that may be taken; `low` is at most 500 kbit/s. */
export type Cap = 'high' | 'low';
/** By the track's name; what isn't named may be `high`. */
export type Caps = Readonly<Record<string, Cap | undefined>>;

export type DvrEvent =
  /** The sound runs, or runs again. */
  | { type: 'going' }
  /** The sound has nothing to play and waits for octets. */
  | { type: 'stalled' }
  /** The first picture of a track is on its element: from now on it can be shown without a black frame. */
  | { type: 'picture'; track: string }
  /** The lesson has grown, or is over. */
  | { type: 'timeline'; timeline: Timeline }
  /** A track can't be played here at all; the others go on. */
  | { type: 'track_failed'; track: string; why: 'codec' | 'gone' };

export interface DvrOptions {
  /** Folder of the playlists, with a slash at its end. */
  base: string;
  timeline: Timeline;
  /** An element for each track that is to be played, by the track's name. Tracks that the time line lacks are left out. */
  elements: ReadonlyMap<string, HTMLMediaElement>;
  startMs: number;
  rate?: number;
  caps?: Caps;
  /** Gives a new base when the ticket in the old one is over. */
  renew?: () => Promise<string>;
  told?: (event: DvrEvent) => void;
}

export interface Dvr {
  /** Where the sound is, in milliseconds of the lesson; the place it was sent to as long as nothing has come. */
  position(): number;
  seek(ms: number): void;
  setRate(rate: number): void;
  /** Gives whether the browser lets the page play with sound; if not, call it again from a touch. */
  play(): Promise<boolean>;
  pause(): void;
  /** The newest moment that can be played, in milliseconds of the lesson. */
  liveEdge(): number;
  /** Other caps, from the next segment on. */
  setCaps(caps: Caps): void;
  /** Whether the sound is running right now. */
  readonly running: boolean;
  /** How far each picture is ahead of the sound, in milliseconds. */
  offMs(): number[];
  close(): void;
}

/** Whether this browser can play the DVR at all. */
export const canPlayDvr = (): boolean => typeof MediaSource !== 'undefined';

/** Fetches the player ahead of time: after a break of a thin line everything else wants to be fetched at once. */
export async function loadDvr(): Promise<void> {
  await import('hls.js/light');
}

/** Opens a lesson's DVR at `startMs`, standing still until `play()`. Throws where the player itself can't be loaded or nothing is there to play. */
export async function openDvr(options: DvrOptions): Promise<Dvr> {
  const { default: Hls } = await import('hls.js/light');
  return new DvrPlayer(Hls, options);
}

/** The address that is asked for in place of one whose ticket is over. */
class Address {
  private renewedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly first: string, private readonly renew: (() => Promise<string>) | undefined) {
    this.base = first;
  }

  base: string;

  current(url: string): string {
    const first = new URL(this.first, location.href).href;
    return url.startsWith(first) ? new URL(this.base, location.href).href + url.slice(first.length) : url;
  }

  async refused(): Promise<void> {
    const now = performance.now();
    if (!this.renew || now - this.renewedAt < RENEW_EVERY_MS) return;
    this.renewedAt = now;
    this.base = await this.renew().catch(() => this.base);
  }
}

/** Loads playlists and has them say that they are renewed every so many seconds; null = as they say themselves. */
function impatient(Hls: typeof HlsPlayer, seconds: () => number | null): PlaylistLoaderConstructor {
  return class extends Hls.DefaultConfig.loader {
    override load(context: LoaderContext, config: LoaderConfiguration, callbacks: LoaderCallbacks<LoaderContext>): void {
      const onSuccess: typeof callbacks.onSuccess = (response, ...rest) => {
        const every = seconds();
        if (every !== null && typeof response.data === 'string') {
          response.data = response.data.replace(/^#EXT-X-TARGETDURATION:\d+/m, `#EXT-X-TARGETDURATION:${every}`);
        }
        callbacks.onSuccess(response, ...rest);
      };
      super.load(context, config, { ...callbacks, onSuccess });
    }
  } as unknown as PlaylistLoaderConstructor;
}

class HlsPart implements Part {
  readonly hls: HlsPlayer;
  private details: LevelDetails | null = null;
  private targetMs: number | null;
  private failures = 0;

  constructor(
    Hls: typeof HlsPlayer,
    readonly track: string,
    readonly element: HTMLMediaElement,
    private readonly zeroMs: number,
    private readonly address: Address,
    startMs: number,
    cap: Cap,
    failed: (why: 'codec' | 'gone') => void,
  ) {
    this.targetMs = startMs;
    this.hls = new Hls({
      enableWorker: false,
      startPosition: startMs / 1000,
      maxBufferLength: 15,
      maxMaxBufferLength: 30,
      backBufferLength: 30,
      xhrSetup: (request, url) => request.open('GET', address.current(url)),
      pLoader: impatient(Hls, () => (this.nearEdge() ? (track === VOICE ? RELOAD_S.voice : RELOAD_S.picture) : null)),
    });
    this.setCap(cap);
    this.hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => this.learn(details));
    this.hls.on(Hls.Events.FRAG_BUFFERED, () => (this.failures = 0));
    this.hls.on(Hls.Events.ERROR, (_, error) => {
      const status = error.response?.code ?? 0;
      if (status === 401 || status === 403 || status === 404) void this.address.refused();
      if (!error.fatal) return;
      if (error.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR || error.details === Hls.ErrorDetails.BUFFER_ADD_CODEC_ERROR) failed('codec');
      else this.again(error.type === Hls.ErrorTypes.MEDIA_ERROR, failed);
    });
    this.hls.loadSource(`${address.base}${track}.m3u8`);
    this.hls.attachMedia(element);
  }

  positionMs(): number | null {
    if (this.targetMs !== null) return null;
    const at = this.fragmentAt(this.element.currentTime);
    return at === null ? null : this.begins(at) + (this.element.currentTime - at.start) * 1000;
  }

  holds(ms: number): boolean {
    if (this.details === null) return true;
    const at = this.fragmentOf(ms);
    return at !== null && !at.gap && ms <= this.begins(at) + at.duration * 1000 + EDGE_MS;
  }

  seek(ms: number): void {
    const at = this.fragmentOf(ms);
    if (at === null || this.details === null) {
      this.targetMs = ms;
      return;
    }
    this.targetMs = null;
    // A hair inside, or rounding would show the segment before.
    const into = Math.min(Math.max(0, (ms - this.begins(at)) / 1000), Math.max(0, at.duration - 0.02));
    this.element.currentTime = at.start + into + 0.001;
  }

  setCap(cap: Cap): void {
    // Levels come sorted by their rates.
    this.hls.autoLevelCapping = cap === 'low' ? 0 : -1;
  }

  edgeMs(): number {
    const last = this.details?.fragmentHint ?? this.details?.fragments[this.details.fragments.length - 1];
    return last ? this.begins(last) + last.duration * 1000 : 0;
  }

  close(): void {
    this.hls.destroy();
    this.element.removeAttribute('src');
    this.element.load();
  }

  private learn(details: LevelDetails): void {
    this.details = details;
    // The place was only guessed from the playlist's own time before the playlist was there.
    if (this.targetMs !== null && this.element.readyState > 0) this.seek(this.targetMs);
    else if (this.targetMs !== null) this.element.addEventListener('loadedmetadata', () => this.settle(), { once: true });
  }

  private settle(): void {
    if (this.targetMs !== null) this.seek(this.targetMs);
  }

  private nearEdge(): boolean {
    const at = this.positionMs();
    return at !== null && this.edgeMs() - at < NEAR_EDGE_MS;
  }

  private begins(fragment: Fragment): number {
    return fragment.programDateTime === null ? fragment.start * 1000 : fragment.programDateTime - this.zeroMs;
  }

  private get pieces(): Fragment[] {
    if (this.details === null) return [];
    return this.details.fragmentHint ? [...this.details.fragments, this.details.fragmentHint] : this.details.fragments;
  }

  /** The segment that an element's time lies in, or the last one that began before it. */
  private fragmentAt(time: number): Fragment | null {
    return lastThat(this.pieces, (piece) => piece.start <= time + 0.002);
  }

  /** The segment that began last before a moment of the lesson. */
  private fragmentOf(ms: number): Fragment | null {
    return lastThat(this.pieces, (piece) => this.begins(piece) <= ms + EDGE_MS);
  }

  /** Fatal for the library is a pause for us: the lesson is still there, only the line or the decoder had enough. */
  private again(decoder: boolean, failed: (why: 'gone') => void): void {
    this.failures += 1;
    if (this.failures > 8) {
      failed('gone');
      return;
    }
    window.setTimeout(() => {
      if (decoder) this.hls.recoverMediaError();
      else this.hls.startLoad();
    }, Math.min(500 * 2 ** this.failures, 10_000));
  }
}

function lastThat<T>(sorted: readonly T[], holds: (one: T) => boolean): T | null {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const one = sorted[middle];
    if (one !== undefined && holds(one)) low = middle + 1;
    else high = middle;
  }
  return sorted[low - 1] ?? null;
}

class DvrPlayer extends EnsemblePlayer implements Dvr {
  private readonly parts: HlsPart[];
  protected readonly ensemble: Ensemble;
  private readonly address: Address;
  private readonly poll: number;
  private timeline: Timeline;
  private readonly silences: (() => void)[] = [];

  constructor(Hls: typeof HlsPlayer, private readonly options: DvrOptions) {
    const { base, timeline, elements, startMs, caps = {} } = options;
    super(startMs);
    this.timeline = timeline;
    this.address = new Address(base, options.renew);
    const names = [...elements.keys()].filter((name) => timeline.tracks.some((track) => track.name === name));
    // The voice first: the clock is what can be heard, or the first picture where nothing can.
    names.sort((a, b) => Number(b === VOICE) - Number(a === VOICE));
    this.parts = names.map((track) => {
      const failed = (why: 'codec' | 'gone'): void => options.told?.({ type: 'track_failed', track, why });
      return new HlsPart(Hls, track, elements.get(track) as HTMLMediaElement, timeline.zero_unix_ms, this.address, startMs, caps[track] ?? 'high', failed);
    });
    const [clock, ...pictures] = this.parts;
    if (clock === undefined) throw new Error('the lesson has no track that could be played');
    this.ensemble = new Ensemble(clock, pictures);
    this.tell(clock.element);
    this.setRate(options.rate ?? 1);
    this.poll = window.setInterval(() => void this.refresh(), TIMELINE_EVERY_MS);
  }

  override seek(ms: number): void {
    super.seek(Math.max(0, Math.min(ms, this.liveEdge())));
  }

  liveEdge(): number {
    return Math.max(this.timeline.duration_ms, this.parts[0]?.edgeMs() ?? 0);
  }

  setCaps(caps: Caps): void {
    for (const part of this.parts) part.setCap(caps[part.track] ?? 'high');
  }

  override close(): void {
    clearInterval(this.poll);
    for (const silence of this.silences) silence();
    super.close();
  }

  private tell(sound: HTMLMediaElement): void {
    const told = this.options.told ?? ((): void => undefined);
    const listen = (element: HTMLMediaElement, type: string, event: DvrEvent): void => {
      const listener = (): void => told(event);
      element.addEventListener(type, listener);
      this.silences.push(() => element.removeEventListener(type, listener));
    };
    listen(sound, 'playing', { type: 'going' });
    listen(sound, 'waiting', { type: 'stalled' });
    for (const part of this.parts) if (part.track !== VOICE) listen(part.element, 'loadeddata', { type: 'picture', track: part.track });
  }

  private async refresh(): Promise<void> {
    if (!this.timeline.live) return;
    try {
      this.timeline = await readTimeline(this.address.base);
      this.options.told?.({ type: 'timeline', timeline: this.timeline });
    } catch (error) {
      // The next look comes in two seconds.
      if (error instanceof Refusal && (error.status === 401 || error.status === 403)) await this.address.refused();
    }
  }
}
