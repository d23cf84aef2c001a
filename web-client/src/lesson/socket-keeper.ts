import { Backoff, earlier } from './backoff';

export type SocketEffect =
  | { type: 'open_socket' }
  | { type: 'close_socket' }
  | { type: 'ping' };

/** Where effects go: anything that takes at least these. */
export interface Outbox {
  push(effect: SocketEffect): unknown;
}

/** What a close code of the lesson websocket asks for. */
export type AfterClose = 'again' | 'socket_only' | 'new_token' | 'no_lesson' | 'ended';

export function afterClose(code: number): AfterClose {
  switch (code) {
    case 4001:
      return 'new_token';
    case 4004:
      return 'no_lesson';
    case 4008:
      return 'socket_only';
    case 4010:
      return 'ended';
    default:
      return 'again';
  }
}

const PING_EVERY_MS = 2500;
/** Longer than two pings and two `line` messages: a socket this quiet is a cable that was pulled. */
const QUIET_IS_LOST_MS = 6000;
const OPENING_MS = 4000;
/** What wasn't answered for so long, and was begun on a line that was broken, may be repeated by the browser only seconds later. */
export const HUNG_MS = 1000;

/** Keeps the lesson websocket open: when to open it, to ask whether it lives, to give it up. */
export class SocketKeeper {
  private state: 'closed' | 'opening' | 'open' = 'closed';
  private since: number | null = null;
  private retryAt: number | null = null;
  private heardAt = 0;
  private pingedAt = 0;
  /** How long the last ping took to be answered, in ms. */
  roundTripMs: number | null = null;
  private readonly backoff: Backoff;

  constructor(random: () => number) {
    this.backoff = new Backoff(random);
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  /** Since when there is no open socket, in ms; null while there is one or none is wanted. */
  get lostAt(): number | null {
    return this.state === 'open' ? null : this.since;
  }

  want(now: number): void {
    if (this.state !== 'closed' || this.retryAt !== null) return;
    this.since ??= now;
    this.retryAt = now;
  }

  opened(now: number): void {
    this.state = 'open';
    this.since = null;
    this.heardAt = now;
    // Asked at once: the answer tells how the line is before the lesson has begun.
    this.pingedAt = now - PING_EVERY_MS;
  }

  heard(now: number): void {
    this.heardAt = now;
    this.backoff.reset();
  }

  /** Whether the server has said anything since then. */
  heardSince(at: number): boolean {
    return this.state === 'open' && this.heardAt >= at;
  }

  /** The next ping is due now. */
  ask(now: number): void {
    this.pingedAt = Math.min(this.pingedAt, now - PING_EVERY_MS);
  }

  /** The server answered a ping. */
  ponged(now: number): void {
    this.roundTripMs = now - this.pingedAt;
  }

  /** The socket is gone; `retry` false leaves it so until it is wanted again. */
  closed(now: number, retry: boolean): void {
    const hung = this.state === 'opening' ? now - this.heardAt : 0;
    this.state = 'closed';
    this.since ??= now;
    this.retryAt = retry ? now + this.backoff.next(hung) : null;
  }

  /** The browser says that the line is back: what looks open may be dead, and waiting is over. */
  online(now: number, out: Outbox): void {
    if (this.state === 'open' && now - this.heardAt > PING_EVERY_MS) this.giveUp(now, out);
    this.hurry(now, out);
  }

  /** The line carries: what is being opened may hang, and waiting is over. */
  hurry(now: number, out: Outbox): void {
    if (this.state === 'opening' && now - this.heardAt > HUNG_MS) this.giveUp(now, out);
    this.backoff.reset();
    if (this.retryAt !== null) this.retryAt = now;
  }

  stop(out: Outbox): void {
    if (this.state !== 'closed') out.push({ type: 'close_socket' });
    this.state = 'closed';
    this.since = null;
    this.retryAt = null;
  }

  settle(now: number, out: Outbox): void {
    if (this.state === 'open' && now - this.heardAt >= QUIET_IS_LOST_MS) this.giveUp(now, out);
    if (this.state === 'opening' && now - this.heardAt >= OPENING_MS) this.giveUp(now, out);
    if (this.state === 'closed' && this.retryAt !== null && now >= this.retryAt) {
      this.state = 'opening';
      this.retryAt = null;
      this.heardAt = now;
      out.push({ type: 'open_socket' });
    }
    if (this.state === 'open' && now - this.pingedAt >= PING_EVERY_MS) {
      this.pingedAt = now;
      out.push({ type: 'ping' });
    }
  }

  deadline(): number | null {
    if (this.state === 'closed') return this.retryAt;
    if (this.state === 'opening') return this.heardAt + OPENING_MS;
    const ping = this.pingedAt + PING_EVERY_MS;
    return earlier(ping, this.heardAt + QUIET_IS_LOST_MS);
  }

  private giveUp(now: number, out: Outbox): void {
    out.push({ type: 'close_socket' });
    this.closed(now, true);
  }
}
