import type { SlotState } from '../api/types';

/** What a classroom does that isn't live, as the studio is told. */
export type Mode = 'catching_up' | 'paused' | 'again';

/** A time of which nothing was kept, or in which nothing came, in ms of the lesson. */
export interface Gap {
  from: number;
  to: number;
}

/** What the server keeps of the running lesson. Times of the lesson are ms since its recording began. */
export interface Recording {
  /** Time of the lesson less this page's clock, in ms. */
  offset: number;
  /** Up to where it can be played. */
  edge: number;
  gaps: readonly Gap[];
}

/** What the player of the recording does. */
export interface RecordingSample {
  position: number;
  edge: number;
  /** Whether the sound runs, or waits for octets. */
  running: boolean;
}

export type CatchUpEvent =
  /** How the live line does; told four times a second at least. */
  | { type: 'line'; brokenSince: number | null; connected: boolean; stuck: boolean; onStage: boolean }
  /** What the server keeps, or that it keeps nothing that could be played. */
  | { type: 'recording'; recording: Recording | null }
  | ({ type: 'recording_plays' } & RecordingSample)
  | { type: 'recording_failed' }
  /** How far the live voice is behind what is said, in ms, and pictures decoded and yet to come on the live connection. */
  | { type: 'live_plays'; lag: number; framesDecoded: number; coming: boolean }
  | { type: 'pause' }
  | { type: 'resume' }
  | { type: 'again' }
  | { type: 'go_live' }
  | { type: 'accept' }
  | { type: 'socket_opened' }
  | { type: 'ended' };

export type CatchUpEffect =
  /** Ask what is kept; the answer is `recording`. */
  | { type: 'ask' }
  | { type: 'play'; at: number; rate: number }
  | { type: 'rate'; rate: number }
  | { type: 'hold' }
  | { type: 'close' }
  | { type: 'tell'; behindMs: number | null; mode: Mode | null };

/** Why what was missed can't be seen. */
export type Notice = 'nothing_kept' | 'failed' | 'too_slow';

/** Moments are of this page's clock: when what is meant was said. */
type State =
  | { kind: 'live' }
  | { kind: 'offered'; from: number; missed: number; since: number }
  | { kind: 'paused'; at: number }
  /** `at` is null for the end of what is kept, `over` is what is on screen meanwhile. */
  | { kind: 'opening'; at: number | null; until: number | null; over: 'live' | 'held'; broke: boolean; began: number | null; sentBack?: true }
  /** `until`: up to there it is seen again, and as it was said. */
  | { kind: 'playing'; at: number; until: number | null }
  | { kind: 'crossing'; at: number; since: number; frames: number | null }
  | { kind: 'late'; at: number };

export type Kind = State['kind'];

/** A break that is shorter is no loss worth going back for. */
const BREAK_MS = 3000;
/** After a longer one the lesson is elsewhere: the classroom is asked. */
const LONG_BREAK_MS = 15 * 60_000;
/** Of what came before a break, so much is played again: the last word may have been cut. */
const OVERLAP_MS = 500;
const OFFERED_FOR_MS = 60_000;
/** Less than this of what was missed is nothing to begin with. */
const LEAST_MS = 1500;
/** A player that begins so much too late is sent back. */
const ASTRAY_MS = 2000;
const AGAIN_MS = 30_000;
/** A recording that brings nothing for so long has stalled. */
const STALL_MS = 5000;
const STALLS = 2;
/** Live and recording are taken for being at the same word. */
const IN_STEP_MS = 150;
/** So near to live, its pictures are asked for. */
const CROSS_AT_MS = 1000;
/** How long the two may be brought together before the rest is skipped. */
const CROSSING_MS = 12_000;
/** What live pictures may take to be decoded. */
const PICTURES_MS = 5000;
/** So little before the end of what is kept, playing faster would only stall. */
const EDGE_MS = 700;
const CLEAR_OF_EDGE_MS = 1500;
/** A player that waits for octets so near to the end waits for them to be written: playlists tell of them late. */
const STARVED_AT_EDGE_MS = 4000;
/** Nothing more is to be gained by waiting at the end of what is kept. */
const AT_EDGE_MS = 2000;
/** Nor where the way to live, when it is as short as this, hasn't become shorter for so long. */
const NO_NEARER_MS = 6000;
const SHORT_WAY_MS = 10_000;
/** How far from the end of what is kept a classroom plays that gets nothing else. */
const LATE_MS = 4000;
const FASTER = 1.2;
const SLOWER = 0.9;
/** How far live is held back to meet the recording, which is always some seconds late; browsers keep no more voice. */
const HELD_BACK_MS = 3000;
const TELL_EVERY_MS = 5000;
const NOTICE_MS = 8000;
const ASK_EVERY_MS = 30_000;
const LATE_AGAIN_MS = 30_000;

/** Pictures that the server has promised and not sent. */
export function picturesComing(slots: readonly SlotState[]): boolean {
  return slots.some((slot) => slot.slot !== 'voice' && (slot.paused === 'capped' || slot.paused === 'waiting_for_keyframe'));
}

/** The part of `from` to `to` of which something was kept, in ms. */
export function keptWithin(from: number, to: number, gaps: readonly Gap[]): number {
  const lost = gaps.map((gap) => Math.max(0, Math.min(to, gap.to) - Math.max(from, gap.from)));
  return Math.max(0, to - from - lost.reduce((sum, ms) => sum + ms, 0));
}

/**
 * Where in the lesson a classroom is: live, held by its teacher, or behind and on its way back. It knows no clock, player
 * or connection; `now` is in ms of any steady clock.
 */
export class CatchUp {
  private state: State = { kind: 'live' };
  private recording: Recording | null = null;
  private askAt: number | null = null;
  private asked = false;

  private brokenSince: number | null = null;
  private connected = false;
  private stuck = false;
  private onStage = false;
  private connectedAt: number | null = null;
  private lag = 300;
  private live = { framesDecoded: 0, coming: false };

  private sample: RecordingSample | null = null;
  private movedAt = 0;
  private stalls = 0;
  private atEdgeSince: number | null = null;
  /** How near to live it came, and when. */
  private nearest = { apart: Infinity, at: 0 };
  private rate = 1;
  private ended = false;
  private notNextLate = -Infinity;

  private said: { notice: Notice; at: number } | null = null;
  private told: { mode: Mode | null; behind: boolean; at: number } | null = null;

  /** Takes in one event and gives everything that now has to be done. */
  handle(event: CatchUpEvent, now: number): CatchUpEffect[] {
    const out: CatchUpEffect[] = [];
    this.apply(event, now, out);
    this.settle(now, out);
    this.tell(now, out);
    return out;
  }

  get kind(): Kind {
    return this.state.kind;
  }

  /** Whether there is a recording to go back to: without one nothing is offered. */
  get available(): boolean {
    return this.recording !== null && !this.onStage;
  }

  /** What is on screen: live pictures, the last one of something, or the recording. */
  get shows(): 'live' | 'held' | 'recording' {
    return this.heardOrSeen('held');
  }

  get hears(): 'live' | 'nothing' | 'recording' {
    return this.heardOrSeen('nothing');
  }

  /** Whether live pictures are worth their part of the line. */
  get wantsLivePictures(): boolean {
    const { kind } = this.state;
    return kind === 'live' || kind === 'offered' || kind === 'crossing' || (kind === 'opening' && this.state.over === 'live');
  }

  /** How long what arrives live waits before it is played, in ms; null = as ever. */
  get heldBack(): number | null {
    return (this.state.kind === 'playing' || this.state.kind === 'crossing') && !this.ended ? HELD_BACK_MS : null;
  }

  get mode(): Mode | null {
    switch (this.state.kind) {
      case 'paused':
        return 'paused';
      case 'opening':
        return this.state.at === null ? null : this.state.until === null ? 'catching_up' : 'again';
      case 'playing':
        return this.state.until === null ? 'catching_up' : 'again';
      case 'crossing':
        return 'catching_up';
      default:
        return null;
    }
  }

  get playingRate(): number {
    return this.rate;
  }

  /** How far what is seen is behind what is said, in ms; null while that is live. */
  behind(now: number): number | null {
    const { state } = this;
    if (state.kind === 'live') return null;
    if (state.kind === 'offered') return state.missed;
    if (state.at === null) return this.recording === null ? null : Math.max(0, this.lessonNow(now) - this.recording.edge);
    return Math.max(0, now - state.at);
  }

  notice(now: number): Notice | null {
    return this.said !== null && now - this.said.at < NOTICE_MS ? this.said.notice : null;
  }

  private heardOrSeen<Held>(held: Held): 'live' | 'recording' | Held {
    switch (this.state.kind) {
      case 'live':
      case 'offered':
        return 'live';
      case 'paused':
        return held;
      case 'opening':
        return this.state.over === 'live' ? 'live' : held;
      default:
        return 'recording';
    }
  }

  private apply(event: CatchUpEvent, now: number, out: CatchUpEffect[]): void {
    switch (event.type) {
      case 'line':
        this.line(event, now, out);
        break;
      case 'recording':
        this.asked = false;
        this.recording = event.recording;
        this.askAt = event.recording === null ? now + ASK_EVERY_MS : null;
        this.answered(now, out);
        break;
      case 'recording_plays':
        this.plays(event, now, out);
        break;
      case 'recording_failed':
        this.failed(now, out);
        break;
      case 'live_plays':
        this.lag = event.lag;
        this.live = event;
        break;
      case 'pause':
        this.pause(now, out);
        break;
      case 'resume':
        if (this.state.kind === 'paused') this.playFrom(this.state.at, null, 'held', now, out);
        break;
      case 'again':
        this.again(now, out);
        break;
      case 'go_live':
        this.goLive(now, out);
        break;
      case 'accept':
        if (this.state.kind === 'offered') this.playFrom(this.state.from, null, 'live', now, out);
        break;
      case 'socket_opened':
        this.told = null;
        break;
      case 'ended':
        this.ended = true;
        if (this.state.kind === 'offered') this.goLive(now, out);
        break;
    }
  }

  private line(event: Extract<CatchUpEvent, { type: 'line' }>, now: number, out: CatchUpEffect[]): void {
    const before = this.brokenSince;
    // A voice that is back says so a moment before the page is: until both are there, the break lasts.
    this.brokenSince = event.brokenSince ?? (event.connected ? null : before);
    this.connected = event.connected;
    this.stuck = event.stuck;
    this.onStage = event.onStage;
    // Who talks with the teacher has to be where the teacher is.
    if (event.onStage && event.connected && this.state.kind !== 'live') this.goLive(now, out);
    if (event.brokenSince === null && event.connected) {
      // The voice may have been silent by intent for long before the line broke.
      const from = before === null || this.connectedAt === null ? null : Math.max(before, this.connectedAt - 2000);
      this.connectedAt = now;
      if (from !== null) this.backAfter(from, now, out);
      if (this.state.kind === 'late') this.state = { kind: 'playing', at: this.state.at, until: null };
      if (this.recording === null && this.askAt === null && !this.asked) this.ask(out);
      return;
    }
    if (event.stuck && this.state.kind === 'live' && now >= this.notNextLate) {
      // Nothing gets through but pages: from where the lesson broke off, or its end.
      const from = before !== null && this.connectedAt !== null ? this.connectedAt : null;
      this.playFrom(from === null || now - from > LONG_BREAK_MS ? null : from, null, 'held', now, out);
    }
  }

  /** The line is back. What was behind before goes on where it was. */
  private backAfter(from: number, now: number, out: CatchUpEffect[]): void {
    const missed = now - from;
    if (this.state.kind === 'opening') {
      this.ask(out);
      this.movedAt = now;
      return;
    }
    if (this.state.kind !== 'live' || missed < BREAK_MS || this.ended || this.onStage) return;
    // Whoever was told already that nothing is kept isn't kept waiting for the same.
    if (this.recording === null && this.askAt !== null) return;
    if (missed > LONG_BREAK_MS) this.state = { kind: 'offered', from, missed, since: now };
    else this.playFrom(from - OVERLAP_MS, null, 'held', now, out, true);
  }

  private pause(now: number, out: CatchUpEffect[]): void {
    const { state } = this;
    if (state.kind === 'paused' || this.onStage) return;
    const at = state.kind === 'live' || state.kind === 'offered' ? now - this.lag : (state.at ?? now);
    if (this.shows === 'recording') out.push({ type: 'hold' });
    else if (state.kind === 'opening') this.letGo(out);
    this.state = { kind: 'paused', at };
  }

  /** What is being opened isn't wanted any more. */
  private letGo(out: CatchUpEffect[]): void {
    this.sample = null;
    out.push({ type: 'close' });
  }

  private again(now: number, out: CatchUpEffect[]): void {
    const { state } = this;
    if (this.onStage) return;
    const isLive = state.kind === 'live' || state.kind === 'offered';
    const at = isLive ? now - this.lag : (state.at ?? now);
    const earlier = state.kind === 'opening' || state.kind === 'playing' ? state.until : null;
    this.playFrom(at - AGAIN_MS, Math.max(at, earlier ?? at), isLive ? 'live' : 'held', now, out);
  }

  private playFrom(at: number | null, until: number | null, over: 'live' | 'held', now: number, out: CatchUpEffect[], broke = false): void {
    this.stalls = 0;
    this.movedAt = now;
    this.said = null;
    this.atEdgeSince = null;
    this.nearest = { apart: Infinity, at: now };
    if (this.sample !== null && this.recording !== null && at !== null) {
      // The player is there: it only has to go elsewhere.
      const place = this.placeOf(at, this.recording);
      this.sample = { ...this.sample, position: place };
      this.rate = until === null ? FASTER : 1;
      this.state = { kind: 'playing', at: place - this.recording.offset, until };
      out.push({ type: 'play', at: place, rate: this.rate });
      return;
    }
    this.state = { kind: 'opening', at, until, over, broke, began: null };
    this.ask(out);
  }

  private ask(out: CatchUpEffect[]): void {
    if (!this.asked) out.push({ type: 'ask' });
    this.asked = true;
  }

  /** The server said what it keeps. */
  private answered(now: number, out: CatchUpEffect[]): void {
    const { state, recording } = this;
    if (state.kind !== 'opening' || state.began !== null) return;
    if (recording === null) {
      this.giveUp('nothing_kept', now, out);
      return;
    }
    const from = state.at === null ? recording.edge - LATE_MS : state.at + recording.offset;
    // In a restart of the server nobody missed anything, and what writes the recording may not be up again.
    const kept = keptWithin(from, this.lessonNow(now), recording.gaps);
    if (state.broke && (kept < BREAK_MS || recording.edge < from + LEAST_MS)) {
      this.goLive(now, out);
      return;
    }
    const at = this.placeOf(from - recording.offset, recording);
    this.rate = state.at === null || state.until !== null ? 1 : FASTER;
    this.state = { ...state, began: at };
    out.push({ type: 'play', at, rate: this.rate });
  }

  private plays(sample: RecordingSample, now: number, out: CatchUpEffect[]): void {
    const { state, recording } = this;
    if (recording === null || state.kind === 'live' || state.kind === 'offered' || state.kind === 'paused') return;
    const moved = this.sample === null || sample.position > this.sample.position;
    const began = state.kind !== 'opening' || (state.began !== null && sample.position > state.began);
    if (moved && began) this.movedAt = now;
    this.sample = sample;
    if (!began) return;
    if (state.kind === 'opening' && state.began !== null && !state.sentBack && sample.position > state.began + ASTRAY_MS) {
      // A player that has yet to learn where its pieces lie may begin a piece too late.
      this.sample = { ...sample, position: state.began };
      this.state = { ...state, sentBack: true };
      out.push({ type: 'play', at: state.began, rate: this.rate });
      return;
    }
    const at = sample.position - recording.offset;
    if (state.kind === 'opening') {
      this.stalls = 0;
      this.state = state.at === null ? { kind: 'late', at } : { kind: 'playing', at, until: state.until };
    } else {
      state.at = at;
    }
    const left = sample.edge - sample.position;
    if (left < EDGE_MS || (!sample.running && left < STARVED_AT_EDGE_MS)) this.atEdgeSince ??= now;
    else if (left > CLEAR_OF_EDGE_MS) this.atEdgeSince = null;
    this.leapGap(sample, recording, out);
  }

  /** Nothing is to be seen in a gap. */
  private leapGap(sample: RecordingSample, recording: Recording, out: CatchUpEffect[]): void {
    const gap = recording.gaps.find((g) => sample.position >= g.from && sample.position < g.to - CROSS_AT_MS && g.to < sample.edge);
    if (gap) out.push({ type: 'play', at: gap.to, rate: this.rate });
  }

  private failed(now: number, out: CatchUpEffect[]): void {
    const { state } = this;
    this.letGo(out);
    if (state.kind === 'live' || state.kind === 'offered' || state.kind === 'paused') return;
    if (this.brokenSince !== null && !this.stuck) {
      // The line took it: from here, when it is back.
      const until = state.kind === 'opening' || state.kind === 'playing' ? state.until : null;
      this.state = { kind: 'opening', at: state.at, until, over: 'held', broke: false, began: null };
      this.asked = false;
      return;
    }
    this.giveUp('failed', now, out);
  }

  private settle(now: number, out: CatchUpEffect[]): void {
    const { state } = this;
    if (state.kind === 'live' || state.kind === 'paused') {
      if (state.kind === 'live' && this.askAt !== null && now >= this.askAt && this.connected && !this.ended) {
        this.askAt = null;
        this.ask(out);
      }
      return;
    }
    if (state.kind === 'offered') {
      if (now - state.since >= OFFERED_FOR_MS) this.goLive(now, out);
      return;
    }
    if (this.stalled(now, out)) return;
    if (state.kind === 'opening') return;
    if (this.ended && this.atEdgeSince !== null && now - this.atEdgeSince >= AT_EDGE_MS) {
      this.goLive(now, out);
      return;
    }
    if (state.kind === 'playing') this.near(state, now);
    if (this.state.kind === 'crossing') this.cross(this.state, now, out);
    this.settleRate(now, out);
  }

  /** A recording that stalls twice is no way to catch up. Where there is nothing else, and while the line is dead, it is waited for. */
  private stalled(now: number, out: CatchUpEffect[]): boolean {
    if (this.brokenSince !== null || now - this.movedAt < STALL_MS) return false;
    this.movedAt = now;
    this.stalls += 1;
    if (this.stalls < STALLS) return false;
    if (this.ended || this.connected || this.state.kind === 'opening') this.giveUp('too_slow', now, out);
    return true;
  }

  /** Near enough to live, or as near as the recording gets. */
  private near(state: Extract<State, { kind: 'playing' }>, now: number): void {
    if (state.until !== null && state.at >= state.until) state.until = null;
    const apart = this.apart(state.at, now);
    if (state.until !== null || apart < this.nearest.apart - IN_STEP_MS) this.nearest = { apart, at: now };
    const noNearer = this.noNearer(apart, now);
    if (!this.connected) {
      if (noNearer && this.stuck) this.state = { kind: 'late', at: state.at };
      return;
    }
    if (this.ended) return;
    if (state.until === null && (noNearer || apart <= CROSS_AT_MS)) {
      this.state = { kind: 'crossing', at: state.at, since: now, frames: null };
    }
  }

  private cross(state: Extract<State, { kind: 'crossing' }>, now: number, out: CatchUpEffect[]): void {
    if (!this.connected) {
      this.state = { kind: 'playing', at: state.at, until: null };
      return;
    }
    state.frames ??= this.live.framesDecoded;
    const decoded = this.live.framesDecoded > state.frames + 1 && !this.live.coming;
    const waited = now - state.since;
    if (!decoded && waited < PICTURES_MS) return;
    const apart = this.apart(state.at, now);
    if (Math.abs(apart) <= IN_STEP_MS || this.noNearer(apart, now) || waited >= CROSSING_MS) this.goLive(now, out);
  }

  /** The recording is written only so soon: the rest of the way would be waiting. */
  private noNearer(apart: number, now: number): boolean {
    if (this.atEdgeSince !== null && now - this.atEdgeSince >= AT_EDGE_MS) return true;
    return apart <= SHORT_WAY_MS && now - this.nearest.at >= NO_NEARER_MS;
  }

  /** How much later the recording would have to be, to be at the word that is heard live, in ms. */
  private apart(at: number, now: number): number {
    return now - this.lag - at;
  }

  private settleRate(now: number, out: CatchUpEffect[]): void {
    const rate = this.rateNow(now);
    if (rate === this.rate) return;
    this.rate = rate;
    out.push({ type: 'rate', rate });
  }

  private rateNow(now: number): number {
    const { state } = this;
    if (state.kind === 'playing') return state.until !== null || this.atEdgeSince !== null ? 1 : FASTER;
    if (state.kind !== 'crossing') return this.state.kind === 'live' ? this.rate : 1;
    const apart = this.apart(state.at, now);
    if (apart > IN_STEP_MS) return this.atEdgeSince === null ? FASTER : 1;
    return apart < -IN_STEP_MS ? SLOWER : 1;
  }

  private giveUp(notice: Notice, now: number, out: CatchUpEffect[]): void {
    this.goLive(now, out);
    this.said = { notice, at: now };
    this.notNextLate = now + LATE_AGAIN_MS;
  }

  private goLive(now: number, out: CatchUpEffect[]): void {
    const { kind } = this.state;
    if (kind !== 'live' && kind !== 'offered') out.push({ type: 'close' });
    if (this.stuck) this.notNextLate = now + LATE_AGAIN_MS;
    this.state = { kind: 'live' };
    this.sample = null;
    this.atEdgeSince = null;
    this.said = null;
    this.rate = 1;
  }

  private tell(now: number, out: CatchUpEffect[]): void {
    const isBehind = this.state.kind !== 'live' && this.state.kind !== 'offered';
    const behindMs = isBehind ? this.behind(now) : null;
    const mode = behindMs === null ? null : this.mode;
    const behind = behindMs !== null;
    const same = this.told !== null && this.told.mode === mode && this.told.behind === behind;
    if (same && (!behind || now - (this.told?.at ?? now) < TELL_EVERY_MS)) return;
    this.told = { mode, behind, at: now };
    out.push({ type: 'tell', behindMs: behindMs === null ? null : Math.round(behindMs), mode });
  }

  /** The place in the recording where something is that was said then; outside of gaps, and never before the beginning. */
  private placeOf(at: number, recording: Recording): number {
    const place = Math.max(0, at + recording.offset);
    return recording.gaps.find((gap) => place >= gap.from && place < gap.to)?.to ?? place;
  }

  private lessonNow(now: number): number {
    return now + (this.recording?.offset ?? 0);
  }
}
