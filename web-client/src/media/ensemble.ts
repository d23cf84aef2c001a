import { Follower } from '../lesson/follow';

/** One track in one element, with its place told in milliseconds of the lesson. */
export interface Part {
  readonly element: HTMLMediaElement;
  /** Where it is; null before anything of it is known. */
  positionMs(): number | null;
  /** Whether the track has something at this place. */
  holds(ms: number): boolean;
  seek(ms: number): void;
  close(): void;
}

const LOOK_MS = 100;
/** What is looked at when it happens rather than at the next look: a picture that starts late has to catch up. */
const AT_ONCE = ['playing', 'waiting', 'pause', 'seeked', 'canplay'] as const;

/** A sound and the pictures that follow it. `Follower` decides, this one turns the knobs. */
export class Ensemble {
  private readonly followers: { part: Part; follower: Follower }[];
  private readonly timer: number;
  private readonly now = (): void => this.look();
  private rate = 1;
  private wanted = false;

  /** `clock` is the part with the sound; every other one is muted. */
  constructor(readonly clock: Part, pictures: Part[]) {
    this.followers = pictures.map((part) => ({ part, follower: new Follower() }));
    for (const { part } of this.followers) part.element.muted = true;
    for (const part of [clock, ...pictures]) for (const type of AT_ONCE) part.element.addEventListener(type, this.now);
    this.timer = window.setInterval(() => this.look(), LOOK_MS);
  }

  positionMs(): number | null {
    return this.clock.positionMs();
  }

  /** How far each picture is ahead of the sound, in milliseconds; for tests and the curious. */
  offMs(): number[] {
    const clock = this.positionMs();
    return this.followers.flatMap(({ part }) => {
      const at = part.positionMs();
      return clock === null || at === null || !part.holds(clock) ? [] : [at - clock];
    });
  }

  /** Whether the sound is there and running. */
  get running(): boolean {
    const { element } = this.clock;
    return !element.paused && !element.ended && !element.seeking && element.readyState >= 3;
  }

  /** Gives whether the browser lets the page play with sound. */
  async play(): Promise<boolean> {
    this.wanted = true;
    try {
      await this.clock.element.play();
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotAllowedError') {
        this.wanted = false;
        return false;
      }
      // Anything else is a load that was overtaken by the next one; the looks below go on trying.
    }
    return true;
  }

  pause(): void {
    this.wanted = false;
    this.clock.element.pause();
    this.look();
  }

  seek(ms: number): void {
    this.clock.seek(ms);
    for (const { part, follower } of this.followers) {
      follower.moved();
      if (part.holds(ms)) part.seek(ms);
    }
  }

  setRate(rate: number): void {
    this.rate = rate;
    this.clock.element.defaultPlaybackRate = rate;
    this.clock.element.playbackRate = rate;
    this.look();
  }

  close(): void {
    clearInterval(this.timer);
    for (const part of [this.clock, ...this.followers.map((one) => one.part)]) {
      for (const type of AT_ONCE) part.element.removeEventListener(type, this.now);
      part.element.pause();
      part.close();
    }
  }

  private look(): void {
    const clockMs = this.positionMs();
    if (clockMs === null) return;
    // A load of another stretch stops an element without anybody having asked for it.
    const { element } = this.clock;
    if (this.wanted && element.paused && !element.ended && element.readyState >= 3) void element.play().catch(() => undefined);
    for (const { part, follower } of this.followers) this.lead(part, follower, clockMs);
  }

  private lead(part: Part, follower: Follower, clockMs: number): void {
    const { element } = part;
    const step = follower.look({
      clockMs,
      pictureMs: part.positionMs(),
      holds: part.holds(clockMs),
      busy: element.seeking || element.readyState < 2,
      rate: this.running ? this.rate : 0,
      nowMs: performance.now(),
    });
    if (step.do === 'jump') part.seek(step.toMs);
    if (step.do === 'hide') element.pause();
    if (step.do !== 'jump' && step.do !== 'play') return;
    if (step.rate === 0) {
      element.pause();
      return;
    }
    if (Math.abs(element.playbackRate - step.rate) > 0.002) element.playbackRate = step.rate;
    if (element.paused && !element.ended) void element.play().catch(() => undefined);
  }
}

/** What every player of an ensemble can do. */
export abstract class EnsemblePlayer {
  protected abstract readonly ensemble: Ensemble;

  protected constructor(private lastMs: number) {}

  /** Where the sound is, in milliseconds of the lesson; the place it was sent to as long as nothing has come. */
  position(): number {
    this.lastMs = this.ensemble.positionMs() ?? this.lastMs;
    return this.lastMs;
  }

  seek(ms: number): void {
    this.lastMs = ms;
    this.ensemble.seek(ms);
  }

  setRate(rate: number): void {
    this.ensemble.setRate(rate);
  }

  /** Gives whether the browser lets the page play with sound; if not, call it again from a touch. */
  play(): Promise<boolean> {
    return this.ensemble.play();
  }

  pause(): void {
    this.ensemble.pause();
  }

  get running(): boolean {
    return this.ensemble.running;
  }

  offMs(): number[] {
    return this.ensemble.offMs();
  }

  close(): void {
    this.ensemble.close();
  }
}
