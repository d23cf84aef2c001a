import { describe, expect, it } from 'vitest';
import type { Lesson, ServerMessage, SlotState } from '../api/types';
import { Classroom, type ClassroomEffect, type ClassroomEvent } from './classroom';

const LESSON: Lesson = {
  id: '0000000000001',
  title: '五年级英语',
  teacher: '王老师',
  school: null,
  subject: '英语',
  grade: '五年级',
  state: 'live',
  starts_at: null,
  created_at: '2026-11-24T01:00:00Z',
  started_at: '2026-11-24T02:00:00Z',
  ended_at: null,
};

function slot(connection: string, kind: SlotState['slot'], paused: SlotState['paused']): SlotState {
  return { connection, slot: kind, index: 0, mid: '0', publication: null, source: null, participant: null, layer: null, paused, held: null };
}

function slots(connection: string, paused: SlotState['paused'] = null): SlotState[] {
  return [slot(connection, 'voice', paused), slot(connection, 'slides', paused), slot(connection, 'camera', paused)];
}

function welcome(lesson: Lesson, known: SlotState[]): ServerMessage {
  return { type: 'welcome', participant: 'me', lesson, participants: [], publications: [], slots: known, replaced: [], server_time: '' };
}

/** A classroom on a line that the scenario controls; time moves in the steps of the real sampler. */
class Room {
  now = 0;
  readonly logic = new Classroom(() => 0.5);
  readonly effects: { at: number; effect: ClassroomEffect }[] = [];
  private voice = new Map<number, number>();
  private frames = new Map<number, number>();
  voiceFlows = new Set<number>();
  pictureFlows = new Set<number>();
  serverTalks = true;

  send(event: ClassroomEvent): ClassroomEffect[] {
    const out = this.logic.handle(event, this.now);
    for (const effect of out) this.effects.push({ at: this.now, effect });
    return out;
  }

  run(ms: number): void {
    for (let passed = 0; passed < ms; passed += 50) {
      this.now += 50;
      if (this.now % 250 === 0) this.sampleAll();
      if (this.serverTalks && this.logic.socket.isOpen && this.now % 2000 === 0) {
        this.send({ type: 'message', message: { type: 'line', lines: [] } });
      }
      const deadline = this.logic.deadline();
      if (deadline !== null && deadline <= this.now) this.send({ type: 'tick' });
    }
  }

  private sampleAll(): void {
    for (const key of this.logic.keys) {
      if (this.voiceFlows.has(key)) this.voice.set(key, (this.voice.get(key) ?? 0) + 12);
      if (this.pictureFlows.has(key)) this.frames.set(key, (this.frames.get(key) ?? 0) + 4);
      const incoming = { voicePackets: this.voice.get(key) ?? 0, framesDecoded: this.frames.get(key) ?? 0 };
      this.send({ type: 'sample', key, incoming, line: { loss: 0, roundTripMs: 30 } });
    }
  }

  count(type: ClassroomEffect['type'], since = 0): number {
    return this.effects.filter((entry) => entry.effect.type === type && entry.at >= since).length;
  }

  times(type: ClassroomEffect['type'], since = 0): number[] {
    return this.effects.filter((e) => e.effect.type === type && e.at >= since).map((e) => e.at - since);
  }

  /** Connection `key` is answered as `id` and comes up. */
  comesUp(key: number, id = `c${key}`): void {
    this.send({ type: 'answered', key, connection: id });
    this.send({ type: 'message', message: { type: 'slots', connection: id, slots: slots(id) } });
    this.send({ type: 'transport', key, state: 'connected' });
    this.voiceFlows.add(key);
    this.pictureFlows.add(key);
  }

  socketUp(lesson = LESSON, known: SlotState[] = []): void {
    this.send({ type: 'socket_opened' });
    this.send({ type: 'message', message: welcome(lesson, known) });
  }

  get status(): string {
    return this.logic.status(this.now).kind;
  }
}

function enter(lesson = LESSON): Room {
  const room = new Room();
  room.send({ type: 'entered', canReceive: true });
  room.send({ type: 'joined', lesson });
  room.socketUp(lesson);
  return room;
}

function live(): Room {
  const room = enter();
  room.comesUp(1);
  room.run(1000);
  expect(room.status).toBe('live');
  return room;
}

describe('coming in', () => {
  it('asks for the lesson, then opens the websocket and the media side by side', () => {
    const room = new Room();
    expect(room.send({ type: 'entered', canReceive: true })).toEqual([{ type: 'join' }]);
    expect(room.status).toBe('connecting');
    expect(room.send({ type: 'joined', lesson: LESSON })).toEqual([
      { type: 'open_socket' },
      { type: 'build_connection', key: 1 },
    ]);
    room.socketUp();
    room.comesUp(1);
    room.run(500);
    expect(room.status).toBe('live');
    expect(room.logic.bars).toBe(4);
    expect(room.count('build_connection')).toBe(1);
  });

  it('waits for a lesson that has not begun, and begins with it', () => {
    const room = enter({ ...LESSON, state: 'scheduled' });
    room.run(4000);
    expect(room.status).toBe('waiting');
    expect(room.count('build_connection')).toBe(0);
    room.send({ type: 'message', message: { type: 'lesson', lesson: LESSON } });
    expect(room.count('build_connection')).toBe(1);
  });

  it('says so when the code is wrong, and asks no more', () => {
    const room = new Room();
    room.send({ type: 'entered', canReceive: true });
    room.send({ type: 'join_failed', reason: 'unknown_code' });
    expect(room.logic.status(room.now)).toEqual({ kind: 'cannot_play', obstacle: 'unknown_code' });
    room.run(60_000);
    expect(room.count('join')).toBe(1);
  });

  it('keeps asking while no server answers, and says for how long', () => {
    const room = new Room();
    room.send({ type: 'entered', canReceive: true });
    for (let tries = 0; tries < 4; tries += 1) {
      room.send({ type: 'join_failed', reason: 'unreachable' });
      room.run(2500);
    }
    expect(room.count('join')).toBeGreaterThanOrEqual(4);
    expect(room.logic.status(room.now)).toEqual({ kind: 'reconnecting', seconds: 10 });
  });

  it('tells a browser without WebRTC at once', () => {
    const room = new Room();
    room.send({ type: 'entered', canReceive: false });
    expect(room.logic.status(0)).toEqual({ kind: 'cannot_play', obstacle: 'no_webrtc' });
    expect(room.count('join')).toBe(0);
  });

  it('explains a firewall when the lesson answers but no media comes', () => {
    const room = enter();
    room.send({ type: 'answered', key: 1, connection: 'c1' });
    room.run(13_000);
    expect(room.logic.status(room.now)).toEqual({ kind: 'connecting', stuck: true });
    expect(room.count('build_connection')).toBeGreaterThan(1);
  });

  it('tries now and then only while the lesson is seen without media', () => {
    const room = enter();
    room.send({ type: 'answered', key: 1, connection: 'c1' });
    room.run(13_000);
    room.logic.unhurried = true;
    const since = room.now;
    for (let second = 0; second < 120; second += 1) {
      const unanswered = room.logic.keys.filter((key) => room.logic.idOf(key) === null);
      for (const key of unanswered) room.send({ type: 'answered', key, connection: `c${key}` });
      room.run(1000);
    }
    expect(room.count('build_connection', since)).toBeGreaterThanOrEqual(4);
    expect(room.count('build_connection', since)).toBeLessThanOrEqual(6);
  });

  it('is final about an offer that the server can not meet', () => {
    const room = enter();
    room.send({ type: 'refused', key: 1, reason: 'offer_refused' });
    expect(room.logic.status(room.now)).toEqual({ kind: 'cannot_play', obstacle: 'offer_refused' });
  });
});

describe('sound', () => {
  it('asks for a touch where the browser refuses to play, and goes on after it', () => {
    const room = live();
    room.send({ type: 'play_refused' });
    expect(room.status).toBe('need_touch');
    room.send({ type: 'play_allowed' });
    expect(room.status).toBe('live');
  });

  it('says that the line is weak only when it stays so', () => {
    const room = live();
    const bad = { type: 'sample', key: 1, line: { loss: 0.2, roundTripMs: 900 } } as const;
    room.send({ ...bad, incoming: { voicePackets: 900, framesDecoded: 9 } });
    expect(room.status).toBe('live');
    room.send({ ...bad, incoming: { voicePackets: 950, framesDecoded: 9 } });
    expect(room.status).toBe('weak');
  });
});

describe('a broken line', () => {
  it('builds a replacement when the voice stops for 1 s, and keeps the old picture until the new one decodes', () => {
    const room = live();
    room.voiceFlows.clear();
    const cut = room.now;
    room.run(1500);
    expect(room.status).toBe('reconnecting');
    expect(room.times('build_connection', cut)[0]).toBeLessThanOrEqual(1450);
    expect(room.logic.pictureKey).toBe(1);
    expect(room.count('drop_connection')).toBe(0);

    room.send({ type: 'answered', key: 2, connection: 'c2' });
    room.send({ type: 'message', message: { type: 'slots', connection: 'c2', slots: slots('c2') } });
    room.send({ type: 'transport', key: 2, state: 'connected' });
    room.voiceFlows.add(2);
    room.run(250);
    expect(room.logic.voiceKey(room.now)).toBe(2);
    expect(room.logic.pictureKey).toBe(1);
    expect(room.status).toBe('live');

    room.pictureFlows.add(2);
    room.run(250);
    expect(room.logic.pictureKey).toBe(2);
    expect(room.effects[room.effects.length - 1]?.effect).toEqual({ type: 'drop_connection', key: 1 });
  });

  it('counts the seconds since the last word was heard', () => {
    const room = live();
    room.voiceFlows.clear();
    room.run(3400);
    expect(room.logic.status(room.now)).toEqual({ kind: 'reconnecting', seconds: 3 });
  });

  it('does not take a voice that the server says is silent for a broken line', () => {
    const room = live();
    room.voiceFlows.clear();
    room.send({ type: 'message', message: { type: 'slots', connection: 'c1', slots: slots('c1', 'source_silent') } });
    room.run(10_000);
    expect(room.count('build_connection')).toBe(1);
    expect(room.status).toBe('live');
  });

  it('goes on with the old connection when its voice comes back first', () => {
    const room = live();
    room.voiceFlows.clear();
    room.run(1500);
    room.send({ type: 'refused', key: 2, reason: 'unreachable' });
    room.voiceFlows.add(1);
    const back = room.now;
    room.run(10_000);
    expect(room.status).toBe('live');
    expect(room.count('build_connection', back)).toBeLessThanOrEqual(1);
  });

  it('drops a replacement that hangs when the old connection brings the voice again, also before the websocket is back', () => {
    const room = live();
    room.voiceFlows.clear();
    room.send({ type: 'socket_closed', code: 1006 });
    room.run(4000);
    expect(room.logic.keys).toEqual([1, 2]);
    const [opened, back] = [room.count('open_socket'), room.now];
    room.voiceFlows.add(1);
    room.run(500);
    expect(room.logic.keys).toEqual([1]);
    expect(room.status).toBe('live');
    expect(room.count('open_socket')).toBe(opened + 1);
    room.run(500);
    room.socketUp(LESSON, slots('c1'));
    room.run(5000);
    expect(room.count('build_connection', back)).toBe(0);
  });

  it('gives an offer that was answered late its time', () => {
    const room = live();
    room.voiceFlows.clear();
    room.send({ type: 'socket_closed', code: 1006 });
    room.run(4500);
    expect(room.logic.keys).toEqual([1, 2]);
    room.send({ type: 'answered', key: 2, connection: 'c2' });
    room.run(3000);
    room.comesUp(2);
    room.run(500);
    expect(room.logic.keys).toEqual([2]);
    expect(room.count('build_connection')).toBe(2);
  });

  it('makes an offer that hangs anew as soon as the websocket is back', () => {
    const room = live();
    room.voiceFlows.clear();
    room.send({ type: 'socket_closed', code: 1006 });
    room.run(3000);
    expect(room.logic.keys).toEqual([1, 2]);
    room.socketUp(LESSON, slots('c1'));
    room.run(250);
    expect(room.logic.keys).toEqual([1, 3]);
  });

  it('waits no longer after a try that hung', () => {
    const room = live();
    room.voiceFlows.clear();
    room.send({ type: 'socket_closed', code: 1006 });
    const cut = room.now;
    for (let tries = 0; tries < 8; tries += 1) {
      room.run(4500);
      const last = Math.max(...room.logic.keys);
      if (last > 1) room.send({ type: 'refused', key: last, reason: 'unreachable' });
    }
    const times = room.times('build_connection', cut);
    const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(4800);
  });

  it('tries again ever more slowly, never later than 5 s', () => {
    const room = live();
    room.voiceFlows.clear();
    room.send({ type: 'socket_closed', code: 1006 });
    const cut = room.now;
    for (let step = 0; step < 900; step += 1) {
      room.run(50);
      for (const key of room.logic.keys.filter((k) => k !== 1)) room.send({ type: 'refused', key, reason: 'unreachable' });
      room.send({ type: 'socket_closed', code: 1006 });
    }
    const times = room.times('build_connection', cut);
    const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
    expect(times[0]).toBeLessThanOrEqual(200);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5100);
    expect(Math.max(...gaps)).toBeGreaterThan(3000);
    expect(gaps.length).toBeLessThan(16);
  });

  it('stops waiting when the browser says that the line is back', () => {
    const room = live();
    room.voiceFlows.clear();
    room.send({ type: 'socket_closed', code: 1006 });
    for (let step = 0; step < 400; step += 1) {
      room.run(50);
      for (const key of room.logic.keys.filter((k) => k !== 1)) room.send({ type: 'refused', key, reason: 'unreachable' });
    }
    const before = room.count('build_connection');
    room.send({ type: 'online' });
    expect(room.count('build_connection')).toBe(before + 1);
  });

  it('notices a cable that was pulled by the silence of the websocket', () => {
    const room = enter({ ...LESSON, state: 'scheduled' });
    room.serverTalks = false;
    room.run(20_000);
    expect(room.count('close_socket')).toBeGreaterThanOrEqual(1);
    expect(room.times('open_socket')[1]).toBeLessThanOrEqual(7000);
    expect(room.status).toBe('reconnecting');
  });
});

describe('a weak line', () => {
  const told = (camera: SlotState['paused']): SlotState[] => [slot('c1', 'voice', null), slot('c1', 'slides', null), slot('c1', 'camera', camera)];

  it('is told in words at once, has no full bars, and is forgotten when it lasts to be better', () => {
    const room = live();
    room.send({ type: 'message', message: { type: 'slots', connection: 'c1', slots: told('no_room') } });
    expect([room.logic.lineNote.loud(room.now), room.logic.bars, room.status]).toEqual(['camera', 2, 'live']);
    room.send({ type: 'message', message: { type: 'slots', connection: 'c1', slots: told(null) } });
    room.run(3000);
    expect(room.logic.lineNote.cutting).toBe('camera');
    room.run(4000);
    expect([room.logic.lineNote.cutting, room.logic.bars]).toEqual(['none', 4]);
  });
});

describe('a server that restarts', () => {
  it('is come back to without a touch, though the browser still believes in the old connection', () => {
    const room = live();
    room.voiceFlows.clear();
    room.send({ type: 'socket_closed', code: 1012 });
    room.run(1000);
    room.socketUp(LESSON, []);
    room.run(200);
    const key = Math.max(...room.logic.keys);
    expect(key).toBeGreaterThan(1);
    room.comesUp(key);
    room.run(500);
    expect(room.status).toBe('live');
    expect(room.logic.keys).toEqual([key]);
  });

  it('leaves the media alone when only the websocket was too slow', () => {
    const room = live();
    room.send({ type: 'socket_closed', code: 4008 });
    room.run(300);
    room.socketUp(LESSON, slots('c1'));
    room.run(5000);
    expect(room.count('build_connection')).toBe(1);
    expect(room.status).toBe('live');
  });

  it('asks for a new token when the old one has run out', () => {
    const room = live();
    const joins = room.count('join');
    room.send({ type: 'socket_closed', code: 4001 });
    room.run(300);
    expect(room.count('join')).toBe(joins + 1);
    room.send({ type: 'joined', lesson: LESSON });
    expect(room.count('open_socket')).toBe(2);
  });
});

describe('the end', () => {
  it('drops everything and stays ended', () => {
    const room = live();
    room.send({ type: 'message', message: { type: 'lesson', lesson: { ...LESSON, state: 'ended' } } });
    expect(room.count('drop_connection')).toBe(1);
    expect(room.count('close_socket')).toBe(1);
    room.send({ type: 'socket_closed', code: 4010 });
    room.run(10_000);
    expect(room.status).toBe('ended');
    expect(room.count('open_socket')).toBe(1);
    expect(room.logic.deadline()).toBeNull();
  });
});

describe('a hand', () => {
  const me = { id: 'me', role: 'classroom', name: null, school: null, connected: true, publishing: [], hand_raised: false, on_stage: false, line: null, behind: null, joined_at: '' } as const;
  const welcomed = (fields: { hand_raised?: boolean; on_stage?: boolean }): ServerMessage => ({
    ...(welcome(LESSON, slots('c1')) as Extract<ServerMessage, { type: 'welcome' }>),
    participants: [{ ...me, publishing: [], ...fields }],
  });
  const back = (room: Room, message: ServerMessage): ClassroomEffect[] => {
    room.send({ type: 'socket_closed', code: 1012 });
    room.send({ type: 'socket_opened' });
    return room.send({ type: 'message', message });
  };

  it('goes up here at once and down when the studio says so', () => {
    const room = live();
    expect(room.send({ type: 'hand', raised: true })).toEqual([{ type: 'send', message: { type: 'hand', raised: true } }]);
    expect(room.logic.handRaised).toBe(true);
    room.send({ type: 'message', message: { type: 'participant', participant: { ...me, publishing: [] } } });
    expect(room.logic.handRaised).toBe(false);
    expect(back(room, welcomed({}))).not.toContainEqual({ type: 'send', message: { type: 'hand', raised: true } });
  });

  it('is raised again after a restart of the server, which has forgotten it', () => {
    const room = live();
    room.send({ type: 'hand', raised: true });
    expect(back(room, welcomed({}))).toContainEqual({ type: 'send', message: { type: 'hand', raised: true } });
    expect(room.logic.handRaised).toBe(true);
  });

  it('that was lowered while the line was dead goes down at the server too', () => {
    const room = live();
    room.send({ type: 'hand', raised: true });
    room.send({ type: 'socket_closed', code: 1006 });
    room.send({ type: 'hand', raised: false });
    room.send({ type: 'socket_opened' });
    const out = room.send({ type: 'message', message: welcomed({ hand_raised: true }) });
    expect(out).toContainEqual({ type: 'send', message: { type: 'hand', raised: false } });
    expect(room.logic.handRaised).toBe(false);
  });

  it('of who was called up meanwhile stays down', () => {
    const room = live();
    room.send({ type: 'hand', raised: true });
    expect(back(room, welcomed({ on_stage: true })).filter(({ type }) => type === 'send')).toEqual([]);
    expect(room.logic.handRaised).toBe(false);
  });

  it('stays as the server knows it where nothing was pressed since the page was loaded', () => {
    const room = enter();
    expect(room.send({ type: 'message', message: welcomed({ hand_raised: true }) }).filter(({ type }) => type === 'send')).toEqual([]);
    expect(room.logic.handRaised).toBe(true);
  });
});
