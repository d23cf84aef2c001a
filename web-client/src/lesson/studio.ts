import type { ClientMessage, Lesson, Line, Participant, Publication, ServerMessage } from '../api/types';
import { Backoff, earlier } from './backoff';
import { trouble } from './line-grade';
import { SocketKeeper, afterClose } from './socket-keeper';

export type StudioPhase =
  | 'opening'
  | 'preparing'
  | 'going_on_air'
  | 'on_air'
  | 'reconnecting'
  | 'replaced'
  | 'ended'
  | 'refused';

export type StudioObstacle = 'link_expired' | 'no_such_lesson' | 'offer_refused' | 'no_webrtc';

/** That this page was on air, for itself after a reload. */
export interface OnAirMemory {
  /** The server's name for the connection that sent last. */
  connection: string | null;
  /** Another page had taken over. */
  replaced: boolean;
}

export type StudioEvent =
  | { type: 'entered'; canSend: boolean; before: OnAirMemory | null }
  | { type: 'admitted'; lesson: Lesson }
  | { type: 'admission_failed'; reason: 'unreachable' | StudioObstacle }
  | { type: 'devices_ready'; ready: boolean }
  | { type: 'go' }
  | { type: 'take_back' }
  | { type: 'end' }
  | { type: 'lesson_changed'; lesson: Lesson }
  | { type: 'call_failed'; call: 'start' | 'end' }
  | { type: 'socket_opened' }
  | { type: 'socket_closed'; code: number }
  | { type: 'message'; message: ServerMessage }
  | { type: 'answered'; key: number; connection: string }
  | { type: 'refused'; key: number; reason: 'unreachable' | 'token' | 'offer_refused' }
  | { type: 'transport'; key: number; state: 'connected' | 'failed' }
  | { type: 'feedback'; key: number; bytesReceived: number }
  | { type: 'online' }
  | { type: 'tick' };

export type StudioEffect =
  | { type: 'admit' }
  | { type: 'start_lesson' }
  | { type: 'end_lesson' }
  | { type: 'open_socket' }
  | { type: 'close_socket' }
  | { type: 'ping' }
  | { type: 'send'; message: ClientMessage }
  | { type: 'build_connection'; key: number }
  | { type: 'drop_connection'; key: number }
  | { type: 'remember_on_air'; memory: OnAirMemory | null };

/** A connection that isn't up by then is given up, in ms. */
const CONNECT_MS = 5000;
/** Feedback comes several times a second while pictures flow; silence this long is a dead uplink, in ms. */
const NO_FEEDBACK_MS = 2500;
const CALL_AGAIN_MS = 1000;
/** How many of the own connections are known again in what the server tells. */
const OWN_REMEMBERED = 32;

interface Outgoing {
  key: number;
  /** The server's name for it, once it has answered. */
  id: string | null;
  builtAt: number;
  connectedAt: number | null;
  feedbackAt: number;
  bytesReceived: number;
}

/** The teaching end of one lesson: going on air, staying there, and getting back by itself. */
export class Studio {
  lesson: Lesson | null = null;
  me: string | null = null;
  readonly socket: SocketKeeper;
  readonly participants = new Map<string, Participant>();
  readonly lines = new Map<string, Line>();

  private obstacle: StudioObstacle | null = null;
  private admission: 'none' | 'asked' | 'held' = 'none';
  private admitAt: number | null = null;
  private readonly admitBackoff: Backoff;
  private onAirWanted = false;
  private devicesReady = false;
  private replaced = false;
  /** Nobody has pressed anything since the page was loaded: it goes on air only where nobody else is. */
  private unasked = false;
  /** The server's names for the connections of this page, the newest last. */
  private own: string[] = [];
  private remembered: OnAirMemory | null = null;
  /** The server has said what there is since the line broke last: among it, who has taken over meanwhile. */
  private welcomed = false;
  private startAt: number | null = null;
  private current: Outgoing | null = null;
  private next: Outgoing | null = null;
  private rebuildAt: number | null = null;
  private readonly rebuildBackoff: Backoff;
  private everOnAir = false;
  private lostAt: number | null = null;
  private lastKey = 0;

  constructor(random: () => number) {
    this.socket = new SocketKeeper(random);
    this.admitBackoff = new Backoff(random);
    this.rebuildBackoff = new Backoff(random);
  }

  handle(event: StudioEvent, now: number): StudioEffect[] {
    const out: StudioEffect[] = [];
    this.apply(event, now, out);
    this.settle(now, out);
    return out;
  }

  deadline(): number | null {
    let at = earlier(this.admitAt, this.socket.deadline());
    if (this.mayBuild()) at = earlier(at, this.rebuildAt);
    at = earlier(at, this.startAt);
    for (const connection of [this.current, this.next]) {
      if (connection?.connectedAt === null) at = earlier(at, connection.builtAt + CONNECT_MS);
    }
    return at;
  }

  get phase(): StudioPhase {
    if (this.obstacle !== null) return 'refused';
    if (this.lesson?.state === 'ended') return 'ended';
    if (this.replaced) return 'replaced';
    if (this.lesson === null) return 'opening';
    if (!this.onAirWanted) return 'preparing';
    if (this.lostAt !== null) return 'reconnecting';
    if (this.current?.connectedAt != null && this.lesson.state === 'live') return 'on_air';
    return this.everOnAir ? 'reconnecting' : 'going_on_air';
  }

  /** The server's name for a connection of ours. */
  idOf(key: number): string | null {
    return [this.current, this.next].find((c) => c?.key === key)?.id ?? null;
  }

  get refusal(): StudioObstacle | null {
    return this.obstacle;
  }

  get keys(): number[] {
    return [this.current, this.next].flatMap((c) => (c === null ? [] : [c.key]));
  }

  /** Seconds since the uplink broke. */
  lostSeconds(now: number): number {
    return this.lostAt === null ? 0 : Math.floor((now - this.lostAt) / 1000);
  }

  /** The classrooms: raised hands first, then the worst lines, then by name. */
  classrooms(): Participant[] {
    const rank = (p: Participant): number => (p.hand_raised ? -1 : trouble(p, this.lines.get(p.id)));
    const name = (p: Participant): string => p.school ?? p.name ?? p.id;
    return [...this.participants.values()]
      .filter((p) => p.role === 'classroom')
      .sort((a, b) => rank(a) - rank(b) || name(a).localeCompare(name(b), 'zh'));
  }

  private apply(event: StudioEvent, now: number, out: StudioEffect[]): void {
    switch (event.type) {
      case 'entered':
        this.onAirWanted = event.before !== null;
        this.everOnAir = this.onAirWanted;
        this.unasked = this.onAirWanted;
        this.replaced = event.before?.replaced ?? false;
        this.own = event.before?.connection != null ? [event.before.connection] : [];
        this.remembered = event.before;
        if (event.canSend) this.admitAt = now;
        else this.obstacle = 'no_webrtc';
        break;
      case 'admitted':
        this.admission = 'held';
        this.admitBackoff.reset();
        this.lesson = event.lesson;
        if (event.lesson.state !== 'live') this.everOnAir = false;
        break;
      case 'admission_failed':
        this.admission = 'asked';
        if (event.reason === 'unreachable') this.admitAt = now + this.admitBackoff.next();
        else this.obstacle = event.reason;
        break;
      case 'devices_ready':
        this.devicesReady = event.ready;
        break;
      case 'go':
        this.onAirWanted = true;
        this.unasked = false;
        break;
      case 'take_back':
        this.replaced = false;
        this.unasked = false;
        this.rebuildAt = now;
        break;
      case 'end':
        out.push({ type: 'end_lesson' });
        break;
      case 'lesson_changed':
        this.lesson = event.lesson;
        break;
      case 'call_failed':
        if (event.call === 'start') this.startAt = now + CALL_AGAIN_MS;
        break;
      default:
        this.lineEvent(event, now, out);
    }
  }

  private lineEvent(event: StudioEvent, now: number, out: StudioEffect[]): void {
    switch (event.type) {
      case 'socket_opened':
        this.welcomed = false;
        this.socket.opened(now);
        break;
      case 'socket_closed':
        this.socketClosed(event.code, now);
        break;
      case 'message':
        this.socket.heard(now);
        this.message(event.message, now);
        break;
      case 'online':
        this.socket.online(now, out);
        this.rebuildBackoff.reset();
        if (this.rebuildAt !== null) this.rebuildAt = now;
        if (this.admitAt !== null) this.admitAt = now;
        break;
      case 'answered':
      case 'refused':
      case 'transport':
      case 'feedback':
        this.connectionEvent(event, now, out);
        break;
      default:
        break;
    }
  }

  private connectionEvent(event: Extract<StudioEvent, { key: number }>, now: number, out: StudioEffect[]): void {
    const connection = [this.current, this.next].find((c) => c?.key === event.key);
    if (!connection) return;
    if (event.type === 'answered') {
      connection.id = event.connection;
      this.own = [...this.own, event.connection].slice(-OWN_REMEMBERED);
    } else if (event.type === 'refused') {
      if (event.reason === 'offer_refused') this.obstacle = 'offer_refused';
      if (event.reason === 'token') this.askAgain(now);
      this.abandon(connection, now, out);
    } else if (event.type === 'transport' && event.state === 'connected') {
      this.unasked = false;
      connection.connectedAt ??= now;
      connection.feedbackAt = now;
    } else if (event.type === 'transport') {
      if (connection === this.current && connection.connectedAt !== null) this.lose(now);
      else this.abandon(connection, now, out);
    } else if (event.type === 'feedback') {
      this.feedback(connection, event.bytesReceived, now);
    }
  }

  private feedback(connection: Outgoing, bytesReceived: number, now: number): void {
    if (bytesReceived > connection.bytesReceived) {
      connection.feedbackAt = now;
      if (connection === this.current) this.lostAt = null;
    }
    connection.bytesReceived = bytesReceived;
    const silent = connection.connectedAt !== null && now - connection.feedbackAt >= NO_FEEDBACK_MS;
    if (silent && connection === this.current) this.lose(now);
  }

  private message(message: ServerMessage, now: number): void {
    switch (message.type) {
      case 'welcome':
        this.me = message.participant;
        this.lesson = message.lesson;
        this.participants.clear();
        for (const participant of message.participants) this.participants.set(participant.id, participant);
        this.welcomed = true;
        for (const { connection } of message.replaced) this.otherTookOver(connection);
        if (this.onAirWanted && this.othersOnAir(message.publications)) this.replaced = true;
        this.uplinkForgotten(message.participants, now);
        break;
      case 'lesson':
        this.lesson = message.lesson;
        break;
      case 'participant':
        this.participants.set(message.participant.id, message.participant);
        break;
      case 'participant_left':
        this.participants.delete(message.id);
        this.lines.delete(message.id);
        break;
      case 'line':
        for (const line of message.lines) {
          if (line.direction === 'down') this.lines.set(line.participant, line);
        }
        break;
      case 'replaced':
        this.otherTookOver(message.connection);
        break;
      case 'pong':
        this.socket.ponged(now);
        break;
      default:
        break;
    }
  }

  /** A restarted server knows nothing of the connection that the browser still takes for alive. */
  private uplinkForgotten(participants: Participant[], now: number): void {
    const me = participants.find((p) => p.id === this.me);
    const settled = this.current?.connectedAt != null && now - this.current.connectedAt > NO_FEEDBACK_MS;
    if (settled && (me?.publishing.length ?? 0) === 0) this.lose(now);
  }

  /**
   * What the own replacement pushed out is no news; what pushed out the newest own connection is another page. One that
   * was never answered pushed out nothing.
   */
  private otherTookOver(connection: string): void {
    const newest = this.next?.id != null ? this.next : this.current;
    if (newest?.id === connection) this.replaced = true;
  }

  /** Whether the camera that classrooms see now is sent by another page. Own connections may linger after a reload. */
  private othersOnAir(publications: Publication[]): boolean {
    return publications.some(({ participant, source, connection }) => {
      const studio = this.participants.get(participant)?.role === 'studio';
      return studio && source === 'camera' && !this.own.includes(connection);
    });
  }

  private askAgain(now: number): void {
    if (this.admission === 'held') this.admitAt = now + this.admitBackoff.next();
    this.admission = 'asked';
  }

  private socketClosed(code: number, now: number): void {
    const after = afterClose(code);
    this.welcomed = false;
    this.socket.closed(now, after === 'again' || after === 'socket_only');
    if (after === 'new_token') this.askAgain(now);
    if (after === 'no_lesson') this.obstacle = 'no_such_lesson';
    if (after === 'ended' && this.lesson) this.lesson = { ...this.lesson, state: 'ended' };
    if (after === 'again' && this.current !== null && this.next === null) this.rebuildAt ??= now + this.rebuildBackoff.next();
  }

  private lose(now: number): void {
    this.lostAt ??= now;
    if (!this.socket.heardSince(this.lostAt)) this.socket.ask(now);
    if (this.next === null) this.rebuildAt ??= now + this.rebuildBackoff.next();
  }

  private abandon(connection: Outgoing, now: number, out: StudioEffect[]): void {
    out.push({ type: 'drop_connection', key: connection.key });
    if (connection === this.next) this.next = null;
    else this.current = null;
    this.rebuildAt = now + this.rebuildBackoff.next();
  }

  private settle(now: number, out: StudioEffect[]): void {
    this.keepLine(now, out);
    const memory = this.onAirWanted ? { connection: this.own[this.own.length - 1] ?? null, replaced: this.replaced } : null;
    const { remembered } = this;
    if (memory?.connection === remembered?.connection && memory?.replaced === remembered?.replaced) return;
    this.remembered = memory;
    out.push({ type: 'remember_on_air', memory });
  }

  private keepLine(now: number, out: StudioEffect[]): void {
    if (this.obstacle !== null || this.lesson?.state === 'ended') {
      this.onAirWanted = false;
      this.socket.stop(out);
      this.dropAll(out);
      this.admitAt = null;
      return;
    }
    if (this.admitAt !== null && now >= this.admitAt) {
      this.admitAt = null;
      this.admission = 'asked';
      out.push({ type: 'admit' });
    }
    if (this.admission === 'held') this.socket.want(now);
    this.socket.settle(now, out);
    this.settleUplink(now, out);
  }

  private settleUplink(now: number, out: StudioEffect[]): void {
    if (this.replaced || !this.onAirWanted || !this.devicesReady || this.admission !== 'held') {
      if (this.replaced || !this.onAirWanted) this.dropAll(out);
      return;
    }
    for (const connection of [this.current, this.next]) {
      if (connection?.connectedAt === null && now - connection.builtAt >= CONNECT_MS) this.abandon(connection, now, out);
    }
    this.promote(out);
    if (this.current === null && this.next === null) this.rebuildAt ??= now;
    // Whoever comes back from a dead line must not push out the machine that took over meanwhile: it asks first.
    if (this.rebuildAt !== null && now >= this.rebuildAt && this.mayBuild()) this.build(now, out);
    this.startWhenUp(now, out);
  }

  private mayBuild(): boolean {
    // A page that was reloaded on air doesn't know what happened meanwhile either.
    if (this.current === null) return !this.unasked || (this.socket.isOpen && this.welcomed);
    const told = this.lostAt === null || this.socket.heardSince(this.lostAt);
    return this.socket.isOpen && this.welcomed && told;
  }

  private promote(out: StudioEffect[]): void {
    if (this.next === null || this.next.connectedAt === null) return;
    if (this.current !== null) out.push({ type: 'drop_connection', key: this.current.key });
    this.current = this.next;
    this.next = null;
    this.lostAt = null;
    this.rebuildBackoff.reset();
  }

  /** The lesson starts once pictures can flow, so that no classroom is let into an empty one. */
  private startWhenUp(now: number, out: StudioEffect[]): void {
    if (this.current?.connectedAt == null) return;
    if (this.lesson?.state === 'live') {
      this.everOnAir = true;
      this.startAt = null;
      return;
    }
    this.startAt ??= now;
    if (now < this.startAt) return;
    this.startAt = now + CALL_AGAIN_MS * 5;
    out.push({ type: 'start_lesson' });
  }

  private build(now: number, out: StudioEffect[]): void {
    this.rebuildAt = null;
    if (this.next !== null) out.push({ type: 'drop_connection', key: this.next.key });
    this.lastKey += 1;
    const connection = { key: this.lastKey, id: null, builtAt: now, connectedAt: null, feedbackAt: now, bytesReceived: 0 };
    if (this.current === null) this.current = connection;
    else this.next = connection;
    out.push({ type: 'build_connection', key: connection.key });
  }

  private dropAll(out: StudioEffect[]): void {
    for (const key of this.keys) out.push({ type: 'drop_connection', key });
    this.current = null;
    this.next = null;
    this.rebuildAt = null;
    this.startAt = null;
    this.lostAt = null;
  }
}
