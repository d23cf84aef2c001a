/** The longest wait before each try, in ms: the first is at once, the sixth and all later ones within 5 s. */
const LONGEST_MS = [0, 500, 1000, 2000, 4000, 5000];

/** What a whole county's classrooms spread their first try over when a server restarts under them. */
const FIRST_SPREAD_MS = 150;

/** Jittered waits between tries, growing until something works. */
export class Backoff {
  private tries = 0;

  /** `random` gives numbers from 0 up to 1. */
  constructor(private readonly random: () => number) {}

  /** How long to wait before the next try, in ms. `hung` is how long nobody answered the last one: that was waiting, too. */
  next(hung = 0): number {
    const longest = LONGEST_MS[Math.min(this.tries, LONGEST_MS.length - 1)] ?? 0;
    this.tries += 1;
    const spread = this.random() * FIRST_SPREAD_MS;
    return longest === 0 ? spread : Math.max(spread, longest * (0.5 + 0.5 * this.random()) - hung);
  }

  reset(): void {
    this.tries = 0;
  }
}

/** The earlier of two moments, of which either may not be. */
export function earlier(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  if (b === null) return a;
  return Math.min(a, b);
}
