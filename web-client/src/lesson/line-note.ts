import type { Line, SlotState } from '../api/types';

/** What a line takes from a classroom, the worst last. */
export type Cutting = 'none' | 'lowered' | 'stage' | 'camera' | 'pictures';

const WORSE: Cutting[] = ['none', 'lowered', 'stage', 'camera', 'pictures'];
const rank = (cutting: Cutting): number => WORSE.indexOf(cutting);

/** What the line takes at present, from what the server says of the slots. */
export function cuttingOf(slots: readonly SlotState[]): Cutting {
  const slotOf = (name: SlotState['slot']): SlotState | undefined => slots.find((s) => s.slot === name && s.index === 0);
  const cut = (name: SlotState['slot']): boolean => slotOf(name)?.paused === 'no_room';
  if (cut('slides')) return 'pictures';
  if (cut('camera')) {
    // Where there are no slides to go on with, the voice is all there is.
    return slotOf('slides')?.paused === null ? 'camera' : 'pictures';
  }
  if (cut('stage')) return 'stage';
  return slots.some((s) => s.paused === null && s.held !== null) ? 'lowered' : 'none';
}

/** The same, from what the studio is told of a classroom's line. */
export function cuttingOfLine(line: Line | undefined): Cutting {
  const cut = line?.cut ?? [];
  const paused = (name: SlotState['slot']): boolean => cut.some((c) => c.slot === name && c.index === 0 && c.paused);
  if (paused('slides')) return 'pictures';
  if (paused('camera')) return 'camera';
  if (paused('stage')) return 'stage';
  return cut.length > 0 ? 'lowered' : 'none';
}

/** How long a note is shown at least, so that it can be read. */
const SHOWN_MS = 6000;
/** Better news is believed after this long. */
const BETTER_AFTER_MS = 4000;
/** A classroom that lost only pictures beside the slides reads that for so long; then the picture's own place says it. */
const LOUD_MS = 12_000;

/** The note about the line over time: worse is said at once, better when it lasts, and nothing flickers. */
export class LineNote {
  private shown: Cutting = 'none';
  private since = -Infinity;
  private betterSince: number | null = null;

  take(cutting: Cutting, now: number): void {
    if (rank(cutting) >= rank(this.shown)) this.betterSince = null;
    if (rank(cutting) > rank(this.shown)) {
      this.say(cutting, now);
    } else if (rank(cutting) < rank(this.shown)) {
      this.betterSince ??= now;
      if (now - this.betterSince >= BETTER_AFTER_MS && now - this.since >= SHOWN_MS) this.say(cutting, now);
    }
  }

  get cutting(): Cutting {
    return this.shown;
  }

  /** What is worth a word over the pictures: all of them gone, or something else just now. */
  loud(now: number): Cutting | null {
    if (this.shown === 'pictures') return this.shown;
    const quiet = this.shown === 'none' || this.shown === 'lowered' || now - this.since >= LOUD_MS;
    return quiet ? null : this.shown;
  }

  private say(cutting: Cutting, now: number): void {
    this.shown = cutting;
    this.since = now;
    this.betterSince = null;
  }
}
