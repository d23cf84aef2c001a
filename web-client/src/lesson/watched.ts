import type { Viewed } from '../api/recording';

/** What was watched is told in pieces of this much playing. */
export const TELL_EVERY_MS = 15_000;
/** A place that moved by more than this between two looks was sent there, not played. */
const JUMPED_MS = 3000;
/** Less than this isn't worth a message. */
const LEAST_MS = 1000;

export type Stretch = Omit<Viewed, 'view'>;

/** Gathers what is played into stretches without a jump in them. */
export class Watched {
  private fromMs: number | null = null;
  private toMs = 0;
  private rate = 1;

  /** The place at one look; gives a stretch when one is whole. */
  look(ms: number, running: boolean, rate: number): Stretch | null {
    if (!running) return this.finish();
    if (this.fromMs === null) {
      this.begin(ms, rate);
      return null;
    }
    if (ms < this.toMs - 500 || ms > this.toMs + JUMPED_MS * rate || rate !== this.rate) {
      const stretch = this.finish();
      this.begin(ms, rate);
      return stretch;
    }
    this.toMs = Math.max(ms, this.toMs);
    if ((this.toMs - this.fromMs) / rate < TELL_EVERY_MS) return null;
    const stretch = this.finish();
    this.begin(ms, rate);
    return stretch;
  }

  /** What is open yet, when playing stops. */
  finish(): Stretch | null {
    const { fromMs, toMs, rate } = this;
    this.fromMs = null;
    if (fromMs === null || toMs - fromMs < LEAST_MS) return null;
    return { from_ms: Math.round(fromMs), to_ms: Math.round(toMs), rate };
  }

  private begin(ms: number, rate: number): void {
    this.fromMs = ms;
    this.toMs = ms;
    this.rate = rate;
  }
}
