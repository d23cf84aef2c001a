import type { DvrAddress, Gap, RecordingDetails, SlideChange, Timeline, Words } from '../api/recording';
import { type Decodes, type Picture, type Source, RATES, beginning, besideRate, besideSlide, dvrOf, filesOf } from './recorded';
import { type Stretch, Watched } from './watched';

/** Why nothing can be played. */
export type ReplayObstacle = 'link_expired' | 'no_such_recording' | 'not_kept' | 'failed' | 'cannot_decode';

export type ReplayStatus =
  | { kind: 'loading'; slow: boolean }
  /** The lesson has just ended, and nothing of it can be played before its files are made. */
  | { kind: 'finishing' }
  | { kind: 'need_touch' }
  | { kind: 'playing' }
  /** It is to play, and waits for octets. */
  | { kind: 'buffering' }
  | { kind: 'paused' }
  | { kind: 'over' }
  | { kind: 'obstacle'; obstacle: ReplayObstacle; reason: Words | null };

export type ReplayEvent =
  | { type: 'entered'; linkMs: number | null; stoppedMs: number | null }
  | { type: 'read'; details: RecordingDetails; dvr: DvrAddress | null }
  | { type: 'read_failed'; reason: 'unreachable' | 'link_expired' | 'no_such_recording' }
  | { type: 'play_refused' }
  | { type: 'play_allowed' }
  /** A look at the player: where it is, whether it runs, whether it came to its end. */
  | { type: 'seen'; ms: number; running: boolean; atEnd: boolean }
  | { type: 'timeline'; timeline: Timeline }
  /** A track of the player that was opened with this number can't go on; `name` is its file, or the track itself. */
  | { type: 'track_failed'; opening: number; name: string; why: 'codec' | 'gone' }
  | { type: 'toggle' }
  | { type: 'seek'; ms: number }
  | { type: 'skip'; ms: number }
  | { type: 'slide'; by: 1 | -1 }
  | { type: 'rate'; rate: number }
  | { type: 'rate_beside'; by: 1 | -1 }
  | { type: 'left' }
  | { type: 'tick' };

export type ReplayEffect =
  | { type: 'read' }
  | { type: 'open'; opening: number; source: Source; atMs: number; rate: number; play: boolean }
  | { type: 'play' }
  | { type: 'pause' }
  | { type: 'seek'; ms: number }
  | { type: 'set_rate'; rate: number }
  | { type: 'remember'; ms: number | null }
  | { type: 'report'; stretch: Stretch };

const SLOW_MS = 4000;
const READ_AGAIN_MS = 3000;
/** How often a lesson that is being finished is asked whether it is. */
const FINISHED_YET_MS = 8000;
const REMEMBER_EVERY_MS = 5000;
/** A stop shorter than this isn't worth a word. */
const BUFFERING_MS = 500;
/** A file that fails sooner than this after it was asked for anew can't be played; later, its ticket was over. */
const FRESH_MS = 20_000;
/** Nearer to the end than this, a place counts as the end. */
const END_MS = 600;

/** One visit to a recording: what happened goes in, what the player shall do comes out; `now` is in ms of any steady clock. */
export class Replay {
  details: RecordingDetails | null = null;
  dvr: DvrAddress | null = null;
  timeline: Timeline | null = null;
  source: Source | null = null;
  placeMs = 0;
  rate = 1;
  /** Where one stopped the last time, while it is worth saying. */
  resumedMs: number | null = null;
  /** Pictures that this browser can't play. */
  readonly lost = new Set<Picture>();

  private obstacle: { obstacle: ReplayObstacle; reason: Words | null } | null = null;
  private wanted = true;
  private running = false;
  private touchNeeded = false;
  private over = false;
  private awaited = false;
  private startedAt: number | null = null;
  private stoodAt: number | null = null;
  private readAt: number | null = null;
  private openedAt = 0;
  private opening = 0;
  private rememberedAt = 0;
  private link: { linkMs: number | null; stoppedMs: number | null } = { linkMs: null, stoppedMs: null };
  private readonly refused = new Set<string>();
  private readonly watched = new Watched();

  constructor(private readonly decodes: Decodes, private readonly playsDvr: boolean) {}

  /** Takes in one event and gives everything that now has to be done. */
  handle(event: ReplayEvent, now: number): ReplayEffect[] {
    const out: ReplayEffect[] = [];
    this.apply(event, now, out);
    return out;
  }

  /** When `tick` is due. */
  deadline(): number | null {
    return this.readAt;
  }

  status(now: number): ReplayStatus {
    if (this.obstacle !== null) return { kind: 'obstacle', ...this.obstacle };
    if (this.source === null) {
      if (this.details?.state === 'finishing' || this.awaited) return { kind: 'finishing' };
      return { kind: 'loading', slow: this.startedAt !== null && now - this.startedAt > SLOW_MS };
    }
    if (this.touchNeeded) return { kind: 'need_touch' };
    if (this.over) return { kind: 'over' };
    if (!this.wanted) return { kind: 'paused' };
    if (!this.running && this.stoodAt !== null && now - this.stoodAt > BUFFERING_MS) return { kind: 'buffering' };
    return { kind: 'playing' };
  }

  /** Whether the lesson still runs. */
  get live(): boolean {
    return this.source?.kind === 'dvr' && this.timeline?.live === true;
  }

  get durationMs(): number {
    const files = this.source?.kind === 'files' ? this.source.sound.duration_ms : 0;
    return files || this.timeline?.duration_ms || this.details?.duration_ms || 0;
  }

  get gaps(): Gap[] {
    return (this.source?.kind === 'dvr' ? this.timeline?.gaps : this.details?.gaps) ?? [];
  }

  get slides(): SlideChange[] {
    if (this.source?.kind !== 'dvr') return this.details?.slides ?? [];
    const base = this.dvr?.base ?? '';
    return (this.timeline?.slides ?? []).map(({ at_ms, picture }) => ({ at_ms, picture: picture === null ? null : base + picture }));
  }

  get pictures(): Picture[] {
    if (this.source === null) return [];
    const all = this.source.kind === 'dvr' ? this.source.pictures : (Object.keys(this.source.pictures) as Picture[]);
    return all.filter((picture) => !this.lost.has(picture));
  }

  private apply(event: ReplayEvent, now: number, out: ReplayEffect[]): void {
    switch (event.type) {
      case 'entered':
        this.link = { linkMs: event.linkMs, stoppedMs: event.stoppedMs };
        this.startedAt = now;
        out.push({ type: 'read' });
        break;
      case 'read':
        this.read(event.details, event.dvr, now, out);
        break;
      case 'read_failed':
        if (event.reason === 'unreachable') this.readAt = now + READ_AGAIN_MS;
        // What plays goes on playing: an address that is no longer given out says nothing of the one in use.
        else if (this.source === null) this.obstacle = { obstacle: event.reason, reason: null };
        break;
      case 'tick':
        if (this.readAt === null || now < this.readAt) break;
        this.readAt = null;
        out.push({ type: 'read' });
        break;
      case 'play_refused':
        this.touchNeeded = true;
        break;
      case 'play_allowed':
        this.touchNeeded = false;
        break;
      case 'seen':
        this.seen(event.ms, event.running, event.atEnd, now, out);
        break;
      case 'timeline':
        this.grown(event.timeline, now);
        break;
      case 'track_failed':
        if (event.opening === this.opening) this.trackFailed(event.name, event.why, now, out);
        break;
      case 'left':
        this.tell(this.watched.finish(), out);
        this.keep(out);
        break;
      default:
        if (this.source !== null) this.steer(event, now, out);
    }
  }

  private read(details: RecordingDetails, dvr: DvrAddress | null, now: number, out: ReplayEffect[]): void {
    this.details = details;
    this.readAt = null;
    if (dvr !== null) this.dvr = dvr;
    if (dvr?.timeline) this.timeline = dvr.timeline;
    if (details.state === 'failed') {
      this.obstacle = { obstacle: 'failed', reason: details.reason };
      return;
    }
    const done = details.files.length > 0;
    const next = done ? filesOf(details, this.decodes, this.refused) : this.playsDvr && this.timeline ? dvrOf(this.timeline) : null;
    if (next === null) {
      this.nothingYet(done, now);
      return;
    }
    if (!done && !this.timeline?.live) this.readAt = now + FINISHED_YET_MS;
    // The same playlists under a newer ticket change nothing for a player that asks for tickets itself.
    if (this.source?.kind === 'dvr' && next.kind === 'dvr') return;
    this.open(next, now, out);
  }

  private nothingYet(done: boolean, now: number): void {
    // The file that every browser plays is made last.
    this.awaited = done && this.details?.complete === false;
    if (this.awaited) this.readAt = now + FINISHED_YET_MS;
    else if (done) this.obstacle = { obstacle: 'cannot_decode', reason: null };
    else if (this.details?.state === 'ready' || this.details?.state === 'repaired') this.obstacle = { obstacle: 'not_kept', reason: null };
    else this.readAt = now + (this.details?.state === 'finishing' ? FINISHED_YET_MS : READ_AGAIN_MS);
  }

  private open(source: Source, now: number, out: ReplayEffect[]): void {
    const first = this.source === null;
    this.source = source;
    if (first) {
      const { ms, resumed } = beginning(this.link.linkMs, this.link.stoppedMs, this.durationMs);
      this.placeMs = ms;
      this.resumedMs = resumed ? ms : null;
    }
    this.placeMs = Math.min(this.placeMs, Math.max(0, this.durationMs - END_MS));
    this.lost.clear();
    this.opening += 1;
    this.openedAt = now;
    this.stoodAt = now;
    this.running = false;
    const play = this.wanted && !this.over;
    out.push({ type: 'open', opening: this.opening, source, atMs: this.placeMs, rate: this.rate, play });
  }

  private seen(ms: number, running: boolean, atEnd: boolean, now: number, out: ReplayEffect[]): void {
    this.placeMs = ms;
    if (running) this.touchNeeded = false;
    if (running || this.running) this.stoodAt = running ? null : now;
    this.running = running;
    this.tell(this.watched.look(ms, running, this.rate), out);
    if (this.resumedMs !== null && ms > this.resumedMs + 10_000) this.resumedMs = null;
    if (atEnd && !this.live && this.wanted) {
      this.over = true;
      this.wanted = false;
      this.tell(this.watched.finish(), out);
      out.push({ type: 'pause' }, { type: 'remember', ms: null });
    }
    if (running && now - this.rememberedAt >= REMEMBER_EVERY_MS) {
      this.rememberedAt = now;
      this.keep(out);
    }
  }

  private grown(timeline: Timeline, now: number): void {
    const ended = this.timeline?.live === true && !timeline.live;
    this.timeline = timeline;
    // What is left to do is to wait for the files.
    if (ended) this.readAt = now + FINISHED_YET_MS;
  }

  private trackFailed(name: string, why: 'codec' | 'gone', now: number, out: ReplayEffect[]): void {
    if (this.source?.kind === 'dvr') {
      if (name === 'slides' || name === 'camera') this.lost.add(name);
      if (this.pictures.length > 0 && name !== 'voice') return;
      if (why === 'codec') this.obstacle = { obstacle: 'cannot_decode', reason: null };
      else this.beginAnew(now);
      return;
    }
    if (why === 'codec' || now - this.openedAt < FRESH_MS) this.refused.add(name);
    this.stoodAt = now;
    // Newer addresses, and another file where this one was refused.
    out.push({ type: 'read' });
  }

  /** The sound gave up for good, as after a long break of the line: asked for again from where it stood. */
  private beginAnew(now: number): void {
    this.source = null;
    this.link = { linkMs: this.placeMs, stoppedMs: null };
    this.startedAt = now;
    this.readAt = now + READ_AGAIN_MS;
  }

  private steer(event: ReplayEvent, now: number, out: ReplayEffect[]): void {
    if (event.type === 'toggle') this.toggle(now, out);
    if (event.type === 'seek') this.seek(event.ms, now, out);
    if (event.type === 'skip') this.seek(this.placeMs + event.ms, now, out);
    if (event.type === 'rate') this.setRate(event.rate, out);
    if (event.type === 'rate_beside') this.setRate(besideRate(this.rate, event.by), out);
    if (event.type === 'slide') {
      const ms = besideSlide(this.slides, this.placeMs, event.by);
      if (ms !== null) this.seek(ms, now, out);
    }
  }

  private toggle(now: number, out: ReplayEffect[]): void {
    if (this.over) {
      this.over = false;
      this.seek(0, now, out);
    }
    this.wanted = this.touchNeeded || !this.wanted;
    this.stoodAt = now;
    out.push({ type: this.wanted ? 'play' : 'pause' });
    if (!this.wanted) {
      this.tell(this.watched.finish(), out);
      this.keep(out);
    }
  }

  private seek(ms: number, now: number, out: ReplayEffect[]): void {
    this.tell(this.watched.finish(), out);
    this.placeMs = Math.min(Math.max(0, ms), Math.max(0, this.durationMs - END_MS));
    this.stoodAt = now;
    this.running = false;
    this.resumedMs = null;
    out.push({ type: 'seek', ms: this.placeMs });
    if (!this.over) return;
    this.over = false;
    this.wanted = true;
    out.push({ type: 'play' });
  }

  private setRate(rate: number, out: ReplayEffect[]): void {
    this.rate = RATES.find((one) => one === rate) ?? this.rate;
    out.push({ type: 'set_rate', rate: this.rate });
  }

  private tell(stretch: Stretch | null, out: ReplayEffect[]): void {
    if (stretch !== null) out.push({ type: 'report', stretch });
  }

  private keep(out: ReplayEffect[]): void {
    if (this.source !== null && !this.over) out.push({ type: 'remember', ms: Math.round(this.placeMs) });
  }
}
