/**
 * How a picture keeps up with the sound it belongs to. One element has the sound and is the clock; every picture in
 * an element of its own follows it, by playing a little faster or slower, or by jumping where it is far off.
 */

/** Nearer than this a picture counts as in step. */
export const IN_STEP_MS = 20;
/** From here on it is corrected: wider than `IN_STEP_MS`, or the rate would change with every look. */
export const CORRECT_FROM_MS = 40;
/** Farther off than this it jumps: at 5 % it would take more than 6 s to catch up. */
export const JUMP_FROM_MS = 300;
/** Just after a start or a move by hand it jumps from here on: nobody sees a jump there, and a nudge would take seconds. */
export const JUMP_WHEN_FRESH_MS = 100;
/** The first of these jumps learns how late jumps land, the second makes use of it. */
const JUMPS_WHEN_FRESH = 2;
/** No picture plays more than 5 % faster or slower than the sound. */
export const MOST_NUDGE = 0.05;
/** A jump takes a while to show what it does; until then no other is made. */
const JUMP_SETTLES_MS = 1500;
/** How much of a miss is taken back per second. */
const PULL_PER_SECOND = 1.5;
/** A jump lands late by the time it takes; no more than this is expected of it. */
const MOST_LEAD_MS = 1500;

export interface Sight {
  /** Where the sound is, in lesson milliseconds. */
  clockMs: number;
  /** Where the picture is; null while it has nothing to show. */
  pictureMs: number | null;
  /** Whether the picture's track has anything at the sound's place. */
  holds: boolean;
  /** Whether the picture is busy finding a place or waiting for octets. */
  busy: boolean;
  /** The rate of the sound; 0 while it stands. */
  rate: number;
  nowMs: number;
}

/** What to do with the picture's element. */
export type Step =
  | { do: 'hide' }
  | { do: 'jump'; toMs: number; rate: number }
  | { do: 'play'; rate: number }
  | { do: 'leave' };

/** Follows one picture; holds what it learnt of how late jumps land. */
export class Follower {
  private jumpedAt = Number.NEGATIVE_INFINITY;
  private correcting = false;
  private leadMs = 0;
  private judged = true;
  private freshJumps = JUMPS_WHEN_FRESH;

  /** What to do now. Rate 0 means: stand still. */
  look(sight: Sight): Step {
    if (!sight.holds) {
      this.correcting = false;
      this.jumpedAt = Number.NEGATIVE_INFINITY;
      return { do: 'hide' };
    }
    if (sight.pictureMs === null) return this.jump(sight);
    const ahead = sight.pictureMs - sight.clockMs;
    const settled = sight.nowMs - this.jumpedAt >= JUMP_SETTLES_MS;
    if (sight.busy) return settled && Math.abs(ahead) > 10 * JUMP_FROM_MS ? this.jump(sight) : { do: 'leave' };
    if (!this.judged) this.judge(ahead, sight.rate);
    if (Math.abs(ahead) > (this.freshJumps > 0 ? JUMP_WHEN_FRESH_MS : JUMP_FROM_MS) && settled) return this.jump(sight);
    if (sight.rate > 0 && settled) this.freshJumps = 0;
    return { do: 'play', rate: sight.rate * this.nudge(ahead) };
  }

  /** The sound was moved by hand: the picture goes along at once. */
  moved(): void {
    this.jumpedAt = Number.NEGATIVE_INFINITY;
    this.judged = true;
    this.freshJumps = JUMPS_WHEN_FRESH;
  }

  private nudge(ahead: number): number {
    const off = Math.abs(ahead);
    if (off >= CORRECT_FROM_MS) this.correcting = true;
    if (off <= IN_STEP_MS) this.correcting = false;
    if (!this.correcting) return 1;
    const wanted = (-ahead / 1000) * PULL_PER_SECOND;
    return 1 + Math.min(MOST_NUDGE, Math.max(-MOST_NUDGE, wanted));
  }

  private jump(sight: Sight): Step {
    if (sight.nowMs - this.jumpedAt < JUMP_SETTLES_MS) return { do: 'leave' };
    this.jumpedAt = sight.nowMs;
    this.judged = false;
    this.freshJumps -= 1;
    return { do: 'jump', toMs: Math.round(sight.clockMs + this.leadMs * sight.rate), rate: sight.rate };
  }

  /** How late the last jump landed is how much earlier the next one aims. */
  private judge(ahead: number, rate: number): void {
    if (rate === 0) return;
    this.judged = true;
    if (Math.abs(ahead) < 3000) this.leadMs = Math.min(MOST_LEAD_MS, Math.max(0, this.leadMs - ahead / rate));
  }
}
