import type { ClientMessage, Lesson, Participant, Publication, ServerMessage, SlotState } from '../api/types';
import { Backoff, earlier } from './backoff';
import { Incoming, type IncomingSample } from './incoming';
import { LineNote, cuttingOf } from './line-note';
import { type Bars, type LineSample, Signal } from './signal';
import { HUNG_MS, SocketKeeper, afterClose } from './socket-keeper';

/** Why a classroom can't be in the lesson at all. */
export type Obstacle =
  | 'unknown_code'
  | 'too_many_tries'
  | 'link_expired'
  | 'no_such_lesson'
  | 'offer_refused'
  | 'no_webrtc';

export type Status =
  /** `stuck`: the lesson answers, but no media gets through, as behind a firewall that lets the page through and no media. */
  | { kind: 'connecting'; stuck: boolean }
  | { kind: 'waiting' }
  | { kind: 'live' }
  | { kind: 'weak' }
  | { kind: 'reconnecting'; seconds: number }
  | { kind: 'ended' }
  | { kind: 'cannot_play'; obstacle: Obstacle }
  | { kind: 'need_touch' };

export type ClassroomEvent =
  | { type: 'entered'; canReceive: boolean }
  | { type: 'joined'; lesson: Lesson | null }
  | { type: 'join_failed'; reason: 'unreachable' | Obstacle }
  | { type: 'socket_opened' }
  | { type: 'socket_closed'; code: number }
  | { type: 'message'; message: ServerMessage }
  | { type: 'answered'; key: number; connection: string }
  | { type: 'refused'; key: number; reason: 'unreachable' | 'token' | 'offer_refused' }
  | { type: 'transport'; key: number; state: 'connected' | 'failed' }
  | { type: 'sample'; key: number; incoming: IncomingSample; line: LineSample | null }
  | { type: 'play_refused' }
  | { type: 'play_allowed' }
  | { type: 'hand'; raised: boolean }
  | { type: 'online' }
  | { type: 'tick' };

export type ClassroomEffect =
  | { type: 'join' }
  | { type: 'open_socket' }
  | { type: 'close_socket' }
  | { type: 'send'; message: ClientMessage }
  | { type: 'ping' }
  | { type: 'build_connection'; key: number }
  | { type: 'drop_connection'; key: number };

const STUCK_MS = 12000;

const SETTLED_MS = 2000;

/** How often media is tried where something else is seen meanwhile. */
const UNHURRIED_MS = 20_000;

/** What the replacement connections of a whole county are spread over when they all lose the same server. */
const REBUILD_SPREAD_MS = 200;

/**
 * A classroom's end of one lesson: what happened goes in, what the page shall do comes out.
 * It knows no clock, socket or element; `now` is in ms of any steady clock.
 */
export class Classroom {
  lesson: Lesson | null = null;
  handRaised = false;
  /** The lesson is seen without media: no need to try for them all the time. */
  unhurried = false;
  readonly signal = new Signal();
  readonly lineNote = new LineNote();
  readonly socket: SocketKeeper;
  readonly participants = new Map<string, Participant>();
  readonly publications = new Map<string, Publication>();

  private me: string | null = null;
  /** What was last done with the hand here; the server forgets it in a restart, and may in a break of the line. */
  private handWanted: boolean | null = null;
  private obstacle: Obstacle | null = null;
  private joinState: 'none' | 'asked' | 'held' = 'none';
  private joinAt: number | null = null;
  private readonly joinBackoff: Backoff;

  private current: Incoming | null = null;
  private next: Incoming | null = null;
  private rebuildAt: number | null = null;
  private readonly rebuildBackoff: Backoff;
  private readonly slots = new Map<string, SlotState[]>();
  private lastKey = 0;

  private enteredAt: number | null = null;
  private lostAt: number | null = null;
  private touchNeeded = false;
  private everWorked = false;
  private liveAt: number | null = null;

  constructor(private readonly random: () => number) {
    this.socket = new SocketKeeper(random);
    this.joinBackoff = new Backoff(random);
    this.rebuildBackoff = new Backoff(random);
  }

  /** Takes in one event and gives everything that now has to be done. */
  handle(event: ClassroomEvent, now: number): ClassroomEffect[] {
    const out: ClassroomEffect[] = [];
    this.apply(event, now, out);
    this.settle(now, out);
    this.lineNote.take(cuttingOf(this.shownSlots), now);
    return out;
  }

  /** When `tick` is due, whatever else happens. */
  deadline(): number | null {
    if (this.obstacle !== null) return null;
    let at = earlier(this.joinAt, this.socket.deadline());
    at = earlier(at, this.rebuildAt);
    for (const connection of [this.current, this.next]) {
      at = earlier(at, connection?.fruitlessAt() ?? null);
    }
    return at;
  }

  /** Whether the connection on screen has brought anything yet. */
  get showing(): boolean {
    return this.current !== null && (this.current.pictureAt !== null || this.current.voiceAt !== null);
  }

  /** The connection whose picture is on screen. */
  get pictureKey(): number | null {
    return this.current?.key ?? null;
  }

  /** The connection whose voice is heard: a replacement that already brings it goes before the old picture does. */
  voiceKey(now: number): number | null {
    const next = this.next;
    if (next?.hearing(now) && !this.current?.hearing(now)) return next.key;
    return this.current?.key ?? null;
  }

  get keys(): number[] {
    return [this.current, this.next].flatMap((c) => (c === null ? [] : [c.key]));
  }

  /** The server's name for a connection of ours. */
  idOf(key: number): string | null {
    return [this.current, this.next].find((c) => c?.key === key)?.id ?? null;
  }

  /** The slots of the connection on screen. */
  get shownSlots(): SlotState[] {
    return this.current?.slots ?? [];
  }

  /** When the last word came before the break that lasts; null while there is none. */
  get brokenSince(): number | null {
    return this.lostAt;
  }

  get onStage(): boolean {
    return this.me !== null && this.participants.get(this.me)?.on_stage === true;
  }

  get bars(): Bars {
    if (this.lostAt !== null) return 0;
    // Pictures that are missing are no good line, however whole the rest comes.
    const most = this.lineNote.cutting === 'none' || this.lineNote.cutting === 'lowered' ? 4 : 2;
    return this.signal.bars > most ? most : this.signal.bars;
  }

  status(now: number): Status {
    if (this.obstacle !== null) return { kind: 'cannot_play', obstacle: this.obstacle };
    if (this.lesson?.state === 'ended') return { kind: 'ended' };
    const lost = this.lostSince(now);
    if (lost !== null) return { kind: 'reconnecting', seconds: Math.floor((now - lost) / 1000) };
    if (this.lesson === null) return { kind: 'connecting', stuck: false };
    if (this.lesson.state === 'scheduled') return { kind: 'waiting' };
    if (this.touchNeeded) return { kind: 'need_touch' };
    if (!this.current?.works(now) && this.current?.voiceAt == null) {
      return { kind: 'connecting', stuck: this.stuck(now) };
    }
    return this.signal.bars === 1 ? { kind: 'weak' } : { kind: 'live' };
  }

  private stuck(now: number): boolean {
    return !this.everWorked && this.socket.isOpen && this.liveAt !== null && now - this.liveAt >= STUCK_MS;
  }

  /** Since when nothing reaches this classroom. A short wait at the start is connecting, not a break. */
  private lostSince(now: number): number | null {
    const patience = 3000;
    if (this.lesson?.state === 'live' && this.lostAt !== null) return this.lostAt;
    if (this.lesson?.state === 'live' && this.current?.hearing(now)) return null;
    const since = this.lesson === null ? this.enteredAt : this.socket.lostAt;
    return since !== null && now - since >= patience && this.joinState !== 'none' ? since : null;
  }

  private apply(event: ClassroomEvent, now: number, out: ClassroomEffect[]): void {
    switch (event.type) {
      case 'entered':
        this.enteredAt = now;
        if (event.canReceive) this.joinAt = now;
        else this.obstacle = 'no_webrtc';
        break;
      case 'joined':
        this.joinState = 'held';
        this.joinBackoff.reset();
        this.lesson = event.lesson ?? this.lesson;
        this.socket.want(now);
        break;
      case 'join_failed':
        this.joinFailed(event.reason, now);
        break;
      case 'socket_opened':
        this.socket.opened(now);
        this.hurry(now, out);
        break;
      case 'socket_closed':
        this.socketClosed(event.code, now);
        break;
      case 'message':
        this.socket.heard(now);
        this.message(event.message, now, out);
        break;
      case 'hand':
        this.handRaised = event.raised;
        this.handWanted = event.raised;
        out.push({ type: 'send', message: { type: 'hand', raised: event.raised } });
        break;
      case 'play_refused':
        this.touchNeeded = true;
        break;
      case 'play_allowed':
        this.touchNeeded = false;
        break;
      case 'online':
        this.backOnline(now, out);
        break;
      case 'tick':
        break;
      default:
        this.connectionEvent(event, now, out);
    }
  }

  private connectionEvent(
    event: Extract<ClassroomEvent, { key: number }>,
    now: number,
    out: ClassroomEffect[],
  ): void {
    const connection = [this.current, this.next].find((c) => c?.key === event.key);
    if (!connection) return;
    switch (event.type) {
      case 'answered':
        connection.answered(event.connection, now);
        connection.slots = this.slots.get(event.connection) ?? [];
        break;
      case 'refused':
        if (event.reason === 'offer_refused') this.obstacle = 'offer_refused';
        if (event.reason === 'token') this.askForToken(now);
        this.abandon(connection, now, out);
        break;
      case 'transport':
        if (event.state === 'connected') connection.connectedAt ??= now;
        else if (connection === this.current && connection.connectedAt !== null) this.lose(now);
        else this.abandon(connection, now, out);
        break;
      case 'sample':
        if (connection.sample(event.incoming, now)) this.voiceBegan(connection, now, out);
        if (event.line && connection.hearing(now)) this.signal.add(event.line, now);
        break;
    }
  }

  private voiceBegan(connection: Incoming, now: number, out: ClassroomEffect[]): void {
    this.rebuildBackoff.reset();
    if (this.everWorked) this.socket.hurry(now, out);
    this.everWorked = true;
    if (connection !== this.current) return;
    // The line came back by itself before the replacement did.
    this.rebuildAt = null;
    if (this.next !== null) out.push({ type: 'drop_connection', key: this.next.key });
    this.next = null;
  }

  private message(message: ServerMessage, now: number, out: ClassroomEffect[]): void {
    switch (message.type) {
      case 'welcome':
        this.welcome(message, now, out);
        break;
      case 'lesson':
        this.lesson = message.lesson;
        break;
      case 'participant':
        this.participants.set(message.participant.id, message.participant);
        if (message.participant.id === this.me) this.handRaised = this.handWanted = message.participant.hand_raised;
        break;
      case 'participant_left':
        this.participants.delete(message.id);
        break;
      case 'publication':
        this.publications.set(message.publication.id, message.publication);
        break;
      case 'publication_ended':
        this.publications.delete(message.id);
        break;
      case 'slots':
        this.slotsChanged(message.connection, message.slots, now);
        break;
      case 'pong':
        this.socket.ponged(now);
        break;
      default:
        break;
    }
  }

  private welcome(message: Extract<ServerMessage, { type: 'welcome' }>, now: number, out: ClassroomEffect[]): void {
    this.me = message.participant;
    this.lesson = message.lesson;
    this.participants.clear();
    for (const participant of message.participants) this.participants.set(participant.id, participant);
    const me = this.participants.get(message.participant);
    const told = me?.hand_raised ?? false;
    // Who was called up meanwhile needs its hand no longer.
    if (me?.on_stage) this.handWanted = told;
    this.handRaised = this.handWanted ?? told;
    if (this.handRaised !== told) out.push({ type: 'send', message: { type: 'hand', raised: this.handRaised } });
    this.publications.clear();
    for (const publication of message.publications) this.publications.set(publication.id, publication);
    const known = new Set(message.slots.map((slot) => slot.connection));
    for (const id of known) {
      this.slotsChanged(id, message.slots.filter((slot) => slot.connection === id), now);
    }
    // A server that was restarted has forgotten the connection, whatever the browser still believes of it.
    // One that has only just come up may not be known to this end of the server yet.
    const id = this.current?.id ?? null;
    const settled = this.current?.connectedAt != null && now - this.current.connectedAt >= SETTLED_MS;
    if (id !== null && settled && !known.has(id)) this.lose(now);
  }

  /** No slots at all: the server has closed that connection. */
  private slotsChanged(id: string, slots: SlotState[], now: number): void {
    if (slots.length > 0) this.slots.set(id, slots);
    else this.slots.delete(id);
    if (slots.length === 0 && this.current?.id === id) this.lose(now);
    for (const connection of [this.current, this.next]) {
      if (connection?.id === id && slots.length > 0) connection.slots = slots;
    }
  }

  private joinFailed(reason: 'unreachable' | Obstacle, now: number): void {
    this.joinState = 'asked';
    if (reason === 'unreachable') this.joinAt = now + this.joinBackoff.next();
    else this.obstacle = reason;
  }

  private askForToken(now: number): void {
    if (this.joinState === 'held') this.joinAt = now + this.joinBackoff.next();
    this.joinState = 'asked';
  }

  private socketClosed(code: number, now: number): void {
    const after = afterClose(code);
    this.socket.closed(now, after === 'again' || after === 'socket_only');
    if (after === 'new_token') this.askForToken(now);
    if (after === 'no_lesson') this.obstacle = 'no_such_lesson';
    if (after === 'ended' && this.lesson) this.lesson = { ...this.lesson, state: 'ended' };
    // Whatever took the websocket may have taken the media too; a replacement costs little and waiting may cost a sentence.
    if (after === 'again' && this.current !== null && this.next === null) this.planRebuild(now);
  }

  private backOnline(now: number, out: ClassroomEffect[]): void {
    this.socket.online(now, out);
    this.joinBackoff.reset();
    this.rebuildBackoff.reset();
    if (this.joinAt !== null) this.joinAt = now;
    if (this.rebuildAt !== null) this.rebuildAt = now;
  }

  /** The line carries again, and it was the websocket that noticed: an offer that hangs is made anew, and none waits. */
  private hurry(now: number, out: ClassroomEffect[]): void {
    const connections = [this.current, this.next];
    if (!this.everWorked || connections.some((c) => c?.hearing(now))) return;
    this.rebuildBackoff.reset();
    const hung = connections.find((c) => c !== null && c.unanswered(now) > HUNG_MS);
    if (hung) this.abandon(hung, now, out);
    if (this.rebuildAt !== null) this.planSoon(now);
  }

  /** The connection on screen broke: a replacement, and the old picture stays meanwhile. */
  private lose(now: number): void {
    this.lostAt ??= this.current?.voiceAt ?? now;
    if (this.next === null) this.planRebuild(now);
  }

  private planRebuild(now: number): void {
    if (this.rebuildAt === null) this.planSoon(now);
  }

  private planSoon(now: number): void {
    this.rebuildAt = now + this.random() * REBUILD_SPREAD_MS;
  }

  private abandon(connection: Incoming, now: number, out: ClassroomEffect[]): void {
    out.push({ type: 'drop_connection', key: connection.key });
    if (connection === this.next) this.next = null;
    else this.current = null;
    const needless = this.current?.hearing(now) === true && this.socket.isOpen;
    this.rebuildAt = needless ? null : now + this.rebuildBackoff.next(connection.unanswered(now));
    if (this.unhurried && this.rebuildAt !== null) this.rebuildAt = Math.max(this.rebuildAt, now + UNHURRIED_MS);
  }

  private settle(now: number, out: ClassroomEffect[]): void {
    const over = this.obstacle !== null || this.lesson?.state === 'ended';
    if (over) {
      this.socket.stop(out);
      this.dropAll(out);
      this.joinAt = null;
      return;
    }
    if (this.joinAt !== null && now >= this.joinAt) {
      this.joinAt = null;
      this.joinState = 'asked';
      out.push({ type: 'join' });
    }
    if (this.joinState === 'held') this.socket.want(now);
    this.socket.settle(now, out);
    if (this.lesson?.state === 'live') {
      this.liveAt ??= now;
      this.settleConnections(now, out);
    } else this.dropAll(out);
  }

  private settleConnections(now: number, out: ClassroomEffect[]): void {
    for (const connection of [this.current, this.next]) {
      if (connection?.fruitless(now)) this.abandon(connection, now, out);
    }
    this.promote(now, out);
    this.watchVoice(now);
    if (this.current === null && this.next === null) this.planFirst(now);
    if (this.rebuildAt !== null && now >= this.rebuildAt && this.joinState === 'held') this.build(now, out);
  }

  private planFirst(now: number): void {
    this.rebuildAt ??= now;
  }

  /** The replacement takes over as soon as it has something to show. */
  private promote(now: number, out: ClassroomEffect[]): void {
    if (this.next === null || !this.next.readyToShow(now)) return;
    if (this.current !== null) out.push({ type: 'drop_connection', key: this.current.key });
    this.current = this.next;
    this.next = null;
    this.rebuildBackoff.reset();
    this.signal.reset();
  }

  private watchVoice(now: number): void {
    const heard = [this.current, this.next].some((c) => c?.hearing(now));
    const quietByIntent = this.current?.works(now) === true && !this.current.voiceExpected && this.socket.isOpen;
    if (heard || quietByIntent) {
      this.lostAt = null;
    }
    if (!heard && this.current?.stalled(now)) this.lose(now);
  }

  private build(now: number, out: ClassroomEffect[]): void {
    this.rebuildAt = null;
    if (this.next !== null) out.push({ type: 'drop_connection', key: this.next.key });
    this.lastKey += 1;
    const connection = new Incoming(this.lastKey, now);
    if (this.current === null) this.current = connection;
    else this.next = connection;
    out.push({ type: 'build_connection', key: connection.key });
  }

  private dropAll(out: ClassroomEffect[]): void {
    for (const key of this.keys) out.push({ type: 'drop_connection', key });
    this.current = null;
    this.next = null;
    this.rebuildAt = null;
    this.lostAt = null;
  }
}
