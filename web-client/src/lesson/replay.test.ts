import { describe, expect, it } from 'vitest';
import type { DvrAddress, RecordedFile, RecordingDetails, RecordingState } from '../api/recording';
import { Replay, type ReplayEffect, type ReplayEvent } from './replay';
import { Watched } from './watched';

const file = (track: string, variant: 'original' | 'compatible'): RecordedFile => ({
  name: `${track}-${variant}.mp4`, track, variant, whole: true, video: { codec: 'h264', width: 1, height: 1 }, audio: { codec: 'opus' }, bytes: 1, sha256: '', duration_ms: 600_000, url: `/${track}`, download_url: null,
});
const FILES = [file('camera', 'original'), file('slides', 'original'), file('slides', 'compatible')];
const details = (state: RecordingState, files: RecordedFile[] = FILES): RecordingDetails => ({
  lesson: 'a', lesson_state: 'ended', zero_unix_ms: 0, expires_at: '', main: null, may_download: false, title: '周长', teacher: null, subject: null, grade: null, school: null, state, reason: null, begun_at: '', duration_ms: 600_000, bytes: 1, complete: true, kept: false, poster: null, views: null,
  files, slides: [0, 60_000, 120_000].map((at_ms) => ({ at_ms, picture: null })), gaps: [], missing: [],
});
const dvr = (live: boolean, duration_ms: number): DvrAddress => ({
  base: '/x/', expires_at: '',
  timeline: { version: 1, lesson: 'a', zero_unix_ms: 0, live, duration_ms, gaps: [], slides: [], tracks: ['voice', 'camera', 'slides'].map((name) => ({ name, kind: name === 'voice' ? 'audio' : 'video', renditions: [] })) },
});

/** A visit, told what happens at which moment. */
class Visit {
  readonly replay: Replay;
  now = 0;

  constructor(options: { playsDvr?: boolean; linkMs?: number; stoppedMs?: number; decodes?: boolean } = {}) {
    this.replay = new Replay(() => options.decodes ?? true, options.playsDvr ?? true);
    this.does({ type: 'entered', linkMs: options.linkMs ?? null, stoppedMs: options.stoppedMs ?? null });
  }

  does(event: ReplayEvent): ReplayEffect[] {
    return this.replay.handle(event, this.now);
  }

  /** Plays for so long, looked at four times a second. */
  plays(seconds: number): ReplayEffect[] {
    const out: ReplayEffect[] = [];
    for (let i = 0; i < seconds * 4; i += 1) {
      this.now += 250;
      out.push(...this.does({ type: 'seen', ms: this.replay.placeMs + 250 * this.replay.rate, running: true, atEnd: false }));
    }
    return out;
  }

  get kind(): string {
    return this.replay.status(this.now).kind;
  }
}

const kinds = (effects: ReplayEffect[]): string[] => effects.map((effect) => effect.type);

describe('a replay', () => {
  it('opens the files of a finished lesson at the second of the link, and plays', () => {
    const visit = new Visit({ linkMs: 75_000, stoppedMs: 300_000 });
    const [open] = visit.does({ type: 'read', details: details('ready'), dvr: null });
    expect(open).toMatchObject({ type: 'open', atMs: 75_000, play: true, source: { kind: 'files' } });
    expect(visit.replay.resumedMs).toBeNull();
  });

  it('goes on where one stopped, and says so for ten seconds', () => {
    const visit = new Visit({ stoppedMs: 300_000 });
    visit.does({ type: 'read', details: details('ready'), dvr: null });
    expect(visit.replay.resumedMs).toBe(300_000);
    visit.plays(11);
    expect(visit.replay.resumedMs).toBeNull();
  });

  it('remembers the place every five seconds and when it is left, and forgets it at the end', () => {
    const visit = new Visit();
    visit.does({ type: 'read', details: details('ready'), dvr: null });
    expect(visit.plays(11).filter((effect) => effect.type === 'remember')).toHaveLength(2);
    expect(visit.does({ type: 'left' })).toContainEqual({ type: 'remember', ms: 11_000 });
    expect(visit.does({ type: 'seen', ms: 599_900, running: false, atEnd: true })).toContainEqual({ type: 'remember', ms: null });
    expect(visit.kind).toBe('over');
    expect(visit.does({ type: 'left' })).not.toContainEqual({ type: 'remember', ms: 599_900 });
  });

  it('plays a lesson that still runs from its beginning, and its files once they are made, from the same place', () => {
    const visit = new Visit();
    const [open] = visit.does({ type: 'read', details: details('recording', []), dvr: dvr(true, 400_000) });
    expect(open).toMatchObject({ type: 'open', atMs: 0, source: { kind: 'dvr' } });
    expect(visit.replay.live).toBe(true);
    visit.plays(20);
    visit.does({ type: 'timeline', timeline: { ...dvr(false, 600_000).timeline! } });
    expect(visit.replay.live).toBe(false);
    visit.now = visit.replay.deadline() ?? 0;
    expect(kinds(visit.does({ type: 'tick' }))).toEqual(['read']);
    expect(visit.does({ type: 'read', details: details('finishing', []), dvr: dvr(false, 600_000) })).toEqual([]);
    visit.now = visit.replay.deadline() ?? 0;
    visit.does({ type: 'tick' });
    const [switched] = visit.does({ type: 'read', details: details('ready'), dvr: null });
    expect(switched).toMatchObject({ type: 'open', atMs: 20_000, play: true, source: { kind: 'files' } });
  });

  it('waits for the files of a lesson that is being finished where nothing else can be played', () => {
    const visit = new Visit({ playsDvr: false });
    expect(visit.does({ type: 'read', details: details('finishing', []), dvr: dvr(false, 600_000) })).toEqual([]);
    expect(visit.kind).toBe('finishing');
    expect(visit.replay.deadline()).not.toBeNull();
  });

  it('waits for the file that every browser plays where it can’t play the others, and gives up once all are made', () => {
    const visit = new Visit({ decodes: false });
    visit.does({ type: 'read', details: { ...details('ready'), complete: false }, dvr: null });
    expect(visit.kind).toBe('finishing');
    expect(visit.replay.deadline()).not.toBeNull();
    visit.does({ type: 'read', details: details('ready'), dvr: null });
    expect(visit.replay.status(0)).toMatchObject({ kind: 'obstacle', obstacle: 'cannot_decode' });
  });

  it('asks again while the server can’t be reached, and gives up on a link that is over', () => {
    const visit = new Visit();
    visit.does({ type: 'read_failed', reason: 'unreachable' });
    visit.now = visit.replay.deadline() ?? 0;
    expect(kinds(visit.does({ type: 'tick' }))).toEqual(['read']);
    visit.does({ type: 'read_failed', reason: 'link_expired' });
    expect(visit.replay.status(0)).toMatchObject({ kind: 'obstacle', obstacle: 'link_expired' });
  });

  it('says why a recording failed', () => {
    const visit = new Visit();
    visit.does({ type: 'read', details: { ...details('failed', []), reason: { zh: '磁盘满了', en: 'the disk was full' } }, dvr: null });
    expect(visit.replay.status(0)).toMatchObject({ obstacle: 'failed', reason: { zh: '磁盘满了' } });
  });

  it('asks for a touch where the browser plays no sound without one, and plays after it', () => {
    const visit = new Visit();
    visit.does({ type: 'read', details: details('ready'), dvr: null });
    visit.does({ type: 'play_refused' });
    expect(visit.kind).toBe('need_touch');
    expect(kinds(visit.does({ type: 'toggle' }))).toEqual(['play']);
    visit.does({ type: 'play_allowed' });
    expect(visit.kind).toBe('playing');
  });

  it('takes newer addresses when a file stops late, and another file when it stops at once', () => {
    const visit = new Visit();
    visit.does({ type: 'read', details: details('ready'), dvr: null });
    visit.plays(60);
    expect(kinds(visit.does({ type: 'track_failed', opening: 1, name: 'slides-original.mp4', why: 'gone' }))).toEqual(['read']);
    const [anew] = visit.does({ type: 'read', details: details('ready'), dvr: null });
    expect(anew).toMatchObject({ opening: 2, atMs: 60_000, source: { pictures: { slides: { name: 'slides-original.mp4' } } } });
    visit.does({ type: 'track_failed', opening: 1, name: 'slides-original.mp4', why: 'gone' });
    visit.does({ type: 'track_failed', opening: 2, name: 'slides-original.mp4', why: 'gone' });
    const [other] = visit.does({ type: 'read', details: details('ready'), dvr: null });
    expect(other).toMatchObject({ opening: 3, source: { pictures: { slides: { name: 'slides-compatible.mp4' } } } });
  });

  it('goes on with the slides where the camera of a running lesson can’t be decoded', () => {
    const visit = new Visit();
    visit.does({ type: 'read', details: details('recording', []), dvr: dvr(true, 400_000) });
    visit.does({ type: 'track_failed', opening: 1, name: 'camera', why: 'codec' });
    expect(visit.replay.pictures).toEqual(['slides']);
    expect(visit.kind).toBe('playing');
  });

  it('says that it waits only when a stop lasts', () => {
    const visit = new Visit();
    visit.does({ type: 'read', details: details('ready'), dvr: null });
    visit.plays(2);
    visit.does({ type: 'seen', ms: 2000, running: false, atEnd: false });
    visit.now += 300;
    expect(visit.kind).toBe('playing');
    visit.now += 300;
    expect(visit.kind).toBe('buffering');
  });

  it('plays again from the beginning after the end, and from elsewhere when sent there', () => {
    const visit = new Visit();
    visit.does({ type: 'read', details: details('ready'), dvr: null });
    visit.does({ type: 'seen', ms: 599_900, running: false, atEnd: true });
    expect(visit.does({ type: 'toggle' })).toEqual([{ type: 'seek', ms: 0 }, { type: 'play' }]);
    visit.does({ type: 'seen', ms: 599_900, running: false, atEnd: true });
    expect(visit.does({ type: 'seek', ms: 30_000 })).toEqual([{ type: 'seek', ms: 30_000 }, { type: 'play' }]);
  });

  it('jumps by slide and never before the beginning or behind the end', () => {
    const visit = new Visit({ linkMs: 70_000 });
    visit.does({ type: 'read', details: details('ready'), dvr: null });
    expect(visit.does({ type: 'slide', by: 1 })).toContainEqual({ type: 'seek', ms: 120_000 });
    expect(visit.does({ type: 'skip', ms: -500_000 })).toContainEqual({ type: 'seek', ms: 0 });
    expect(visit.does({ type: 'seek', ms: 9_000_000 })).toContainEqual({ type: 'seek', ms: 599_400 });
  });
});

describe('what was watched', () => {
  const play = (watched: Watched, from: number, seconds: number, rate = 1): unknown[] =>
    Array.from({ length: seconds * 4 + 1 }, (_, i) => watched.look(from + i * 250 * rate, true, rate)).filter(Boolean);

  it('is told every 15 seconds of playing', () => {
    expect(play(new Watched(), 0, 31)).toEqual([{ from_ms: 0, to_ms: 15_000, rate: 1 }, { from_ms: 15_000, to_ms: 30_000, rate: 1 }]);
    expect(play(new Watched(), 0, 16, 2)).toEqual([{ from_ms: 0, to_ms: 30_000, rate: 2 }]);
  });

  it('leaves out what was jumped over, and what was too short to count', () => {
    const watched = new Watched();
    play(watched, 0, 4);
    expect(watched.look(500_000, true, 1)).toEqual({ from_ms: 0, to_ms: 4000, rate: 1 });
    watched.look(500_500, true, 1);
    expect(watched.look(500_500, false, 1)).toBeNull();
  });
});
