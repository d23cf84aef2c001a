import type { Participant } from '../api/types';

/** How good a line is, as bars from 1 (very weak) to 4 (good); 0 when nothing is known. */
export type Bars = 0 | 1 | 2 | 3 | 4;

export interface LineSample {
  /** Part of the packets that were lost, 0 to 1. */
  loss: number;
  roundTripMs: number | null;
}

const STEPS: { bars: Bars; loss: number; roundTripMs: number }[] = [
  { bars: 4, loss: 0.01, roundTripMs: 200 },
  { bars: 3, loss: 0.03, roundTripMs: 400 },
  { bars: 2, loss: 0.08, roundTripMs: 800 },
];

/** The bars of one measurement. */
export function barsOf(sample: LineSample): Bars {
  const roundTrip = sample.roundTripMs ?? 0;
  return STEPS.find((step) => sample.loss <= step.loss && roundTrip <= step.roundTripMs)?.bars ?? 1;
}

/** How a line is, in a word. */
export type LineWord = NonNullable<Participant['line']>;

/** The word of a line: what the classroom's page measured says more than the loss that the server sees. */
export function wordOf(measured: LineWord | null, bars: Bars): LineWord | null {
  if (measured !== null || bars === 0) return measured;
  return bars >= 3 ? 'good' : bars === 2 ? 'weak' : 'bad';
}

/** Better news is believed after this long, so that the bars don't dance. */
const BETTER_AFTER_MS = 4000;

/** Bars over time: one bad sample alone says nothing, a worse line is shown on the second, a better one after 4 s. */
export class Signal {
  bars: Bars = 0;
  private worse = 0;
  private betterSince: number | null = null;

  add(sample: LineSample, now: number): void {
    const bars = barsOf(sample);
    if (this.bars === 0) this.bars = bars;
    if (bars >= this.bars) this.worse = 0;
    if (bars <= this.bars) this.betterSince = null;
    if (bars < this.bars) {
      this.worse += 1;
      if (this.worse >= 2) this.settleOn(bars);
    } else if (bars > this.bars) {
      this.betterSince ??= now;
      if (now - this.betterSince >= BETTER_AFTER_MS) this.settleOn(bars);
    }
  }

  reset(): void {
    this.settleOn(0);
  }

  private settleOn(bars: Bars): void {
    this.bars = bars;
    this.worse = 0;
    this.betterSince = null;
  }
}
