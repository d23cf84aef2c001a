/** An answer that took longer than the best by so much says less. */
const WORSE = 1.5;
/** After so long a clock may have drifted, in ms. */
const FORGET_MS = 120_000;

/** The server's time of day by this page's steady clock, from what the server says when it answers. */
export class ServerClock {
  private best: { offset: number; roundTrip: number; at: number } | null = null;

  /** `server` is Unix ms; `roundTrip` is how long the answer took, null where nothing was asked. */
  heard(server: number, roundTrip: number | null, now: number): void {
    if (!Number.isFinite(server)) return;
    const took = roundTrip ?? 1000;
    const { best } = this;
    if (best !== null && took > best.roundTrip * WORSE && now - best.at < FORGET_MS) return;
    this.best = { offset: server + (roundTrip ?? 0) / 2 - now, roundTrip: took, at: now };
  }

  /** Unix ms of the server less this page's clock; null while it has said nothing. */
  get offset(): number | null {
    return this.best?.offset ?? null;
  }
}
