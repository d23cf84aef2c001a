import { describe, expect, it } from 'vitest';
import type { Lesson, Line, Participant, Publication, ServerMessage } from '../api/types';
import { type OnAirMemory, Studio, type StudioEffect, type StudioEvent } from './studio';

const LESSON: Lesson = {
  id: '0000000000001',
  title: '五年级英语',
  teacher: '王老师',
  subject: null,
  grade: null,
  school: null,
  state: 'scheduled',
  starts_at: null,
  created_at: '2026-11-24T01:00:00Z',
  started_at: null,
  ended_at: null,
  join_code: '123456',
};
const LIVE: Lesson = { ...LESSON, state: 'live', started_at: '2026-11-24T02:00:00Z' };

function person(id: string, fields: Partial<Participant>): Participant {
  return {
    id,
    role: 'classroom',
    name: id,
    school: null,
    connected: true,
    publishing: [],
    hand_raised: false,
    on_stage: false,
    line: null,
    behind: null,
    joined_at: '',
    ...fields,
  };
}

const ME = person('me', { role: 'studio', publishing: ['camera', 'slides'] });

function welcome(lesson: Lesson, participants: Participant[] = []): ServerMessage {
  return { type: 'welcome', participant: 'me', lesson, participants, publications: [], slots: [], replaced: [], server_time: '' };
}

/** A teacher's page, its line and its server. */
class Desk {
  now = 0;
  readonly logic = new Studio(() => 0.5);
  readonly effects: { at: number; effect: StudioEffect }[] = [];
  /** Connections whose feedback arrives. */
  readonly heard = new Set<number>();
  serverTalks = true;
  private readonly bytes = new Map<number, number>();

  send(event: StudioEvent): StudioEffect[] {
    const out = this.logic.handle(event, this.now);
    for (const effect of out) this.effects.push({ at: this.now, effect });
    return out;
  }

  run(ms: number): void {
    for (let passed = 0; passed < ms; passed += 50) {
      this.now += 50;
      if (this.now % 500 === 0) this.sample();
      if (this.serverTalks && this.logic.socket.isOpen && this.now % 2000 === 0) {
        this.send({ type: 'message', message: { type: 'line', lines: [] } });
      }
      const deadline = this.logic.deadline();
      if (deadline !== null && deadline <= this.now) this.send({ type: 'tick' });
    }
  }

  private sample(): void {
    for (const key of this.logic.keys) {
      if (this.heard.has(key)) this.bytes.set(key, (this.bytes.get(key) ?? 0) + 400);
      this.send({ type: 'feedback', key, bytesReceived: this.bytes.get(key) ?? 0 });
    }
  }

  comesUp(key: number): void {
    this.send({ type: 'answered', key, connection: `c${key}` });
    this.send({ type: 'transport', key, state: 'connected' });
    this.heard.add(key);
  }

  socketUp(lesson: Lesson, participants: Participant[] = []): void {
    this.send({ type: 'socket_opened' });
    this.send({ type: 'message', message: welcome(lesson, participants) });
  }

  count(type: StudioEffect['type']): number {
    return this.effects.filter((entry) => entry.effect.type === type).length;
  }
}

const BEFORE: OnAirMemory = { connection: 'of-the-page-before', replaced: false };

function prepared(lesson = LESSON, before: OnAirMemory | null = null): Desk {
  const desk = new Desk();
  desk.send({ type: 'entered', canSend: true, before });
  desk.send({ type: 'admitted', lesson });
  desk.socketUp(lesson);
  return desk;
}

function onAir(): Desk {
  const desk = prepared();
  desk.send({ type: 'devices_ready', ready: true });
  desk.send({ type: 'go' });
  desk.comesUp(1);
  desk.send({ type: 'lesson_changed', lesson: LIVE });
  desk.run(3000);
  expect(desk.logic.phase).toBe('on_air');
  return desk;
}

describe('going on air', () => {
  it('connects first and starts the lesson once the connection is up', () => {
    const desk = prepared();
    desk.send({ type: 'devices_ready', ready: true });
    expect(desk.logic.phase).toBe('preparing');
    expect(desk.count('build_connection')).toBe(0);
    expect(desk.send({ type: 'go' })).toEqual([
      { type: 'build_connection', key: 1 },
      { type: 'remember_on_air', memory: { connection: null, replaced: false } },
    ]);
    expect(desk.logic.phase).toBe('going_on_air');
    expect(desk.count('start_lesson')).toBe(0);
    desk.comesUp(1);
    expect(desk.count('start_lesson')).toBe(1);
    desk.send({ type: 'lesson_changed', lesson: LIVE });
    expect(desk.logic.phase).toBe('on_air');
  });

  it('waits for the microphone', () => {
    const desk = prepared();
    desk.send({ type: 'go' });
    expect(desk.count('build_connection')).toBe(0);
    desk.send({ type: 'devices_ready', ready: true });
    expect(desk.count('build_connection')).toBe(1);
  });

  it('asks again when the start did not get through', () => {
    const desk = prepared();
    desk.send({ type: 'devices_ready', ready: true });
    desk.send({ type: 'go' });
    desk.comesUp(1);
    desk.send({ type: 'call_failed', call: 'start' });
    desk.run(1100);
    expect(desk.count('start_lesson')).toBe(2);
  });
});

describe('a reload', () => {
  it('goes back on air by itself', () => {
    const desk = prepared(LIVE, BEFORE);
    expect(desk.logic.phase).toBe('reconnecting');
    desk.send({ type: 'devices_ready', ready: true });
    desk.comesUp(1);
    expect(desk.logic.phase).toBe('on_air');
    expect(desk.count('start_lesson')).toBe(0);
  });

  function camera(participant: string, connection: string): Publication {
    return { id: `p-${connection}`, participant, connection, source: 'camera', kind: 'video', codec: 'vp8', layers: [], muted: false };
  }
  const told = (...publications: Publication[]): ServerMessage => ({
    ...(welcome(LIVE, [ME, person('other', { role: 'studio' }), person('room', {})]) as Extract<ServerMessage, { type: 'welcome' }>),
    publications,
  });
  function reloaded(message: ServerMessage, before = BEFORE): Desk {
    const desk = new Desk();
    desk.send({ type: 'entered', canSend: true, before });
    desk.send({ type: 'admitted', lesson: LIVE });
    desk.send({ type: 'devices_ready', ready: true });
    desk.run(1000);
    expect(desk.count('build_connection')).toBe(0);
    desk.send({ type: 'socket_opened' });
    desk.send({ type: 'message', message });
    return desk;
  }

  it('asks first where another machine sends meanwhile, under the same link or another', () => {
    for (const sender of ['me', 'other']) {
      const desk = reloaded(told(camera(sender, 'of-the-other-machine')));
      expect(desk.logic.phase).toBe('replaced');
      desk.run(20_000);
      expect(desk.count('build_connection')).toBe(0);
      desk.send({ type: 'take_back' });
      desk.comesUp(1);
      expect(desk.logic.phase).toBe('on_air');
    }
  });

  it('goes back on air beside what it sent itself before, and beside a classroom on stage', () => {
    const desk = reloaded(told(camera('me', 'of-the-page-before'), camera('room', 'of-the-classroom')));
    desk.comesUp(1);
    expect(desk.logic.phase).toBe('on_air');
  });

  it('of a page that was replaced stays off air, whoever sends now', () => {
    const desk = onAir();
    desk.send({ type: 'message', message: { type: 'replaced', source: 'camera', connection: 'c1' } });
    const remembered = desk.effects.map(({ effect }) => effect).filter(({ type }) => type === 'remember_on_air');
    const memory: OnAirMemory = { connection: 'c1', replaced: true };
    expect(remembered[remembered.length - 1]).toEqual({ type: 'remember_on_air', memory });
    const again = reloaded(told(), memory);
    expect(again.logic.phase).toBe('replaced');
    again.run(20_000);
    expect(again.count('build_connection')).toBe(0);
  });

  it('is not taken for another page by what it pushed out', () => {
    const desk = prepared(LIVE, BEFORE);
    desk.send({ type: 'devices_ready', ready: true });
    desk.comesUp(1);
    desk.send({ type: 'message', message: { type: 'replaced', source: 'camera', connection: 'of-the-page-before' } });
    expect(desk.logic.phase).toBe('on_air');
  });

  it('of a lesson that has ended meanwhile stays off air', () => {
    const desk = prepared({ ...LIVE, state: 'ended' }, BEFORE);
    expect(desk.logic.phase).toBe('ended');
    expect(desk.effects.map((entry) => entry.effect)).toContainEqual({ type: 'remember_on_air', memory: null });
  });
});

describe('a broken uplink', () => {
  it('is noticed by missing feedback and replaced while the old connection is kept', () => {
    const desk = onAir();
    desk.heard.clear();
    desk.run(3500);
    expect(desk.logic.phase).toBe('reconnecting');
    expect(desk.logic.keys).toEqual([1, 2]);
    desk.comesUp(2);
    expect(desk.logic.phase).toBe('on_air');
    expect(desk.logic.keys).toEqual([2]);
  });

  it('heals without a touch after the server was restarted', () => {
    const desk = onAir();
    desk.heard.clear();
    desk.send({ type: 'socket_closed', code: 1012 });
    desk.run(300);
    desk.send({ type: 'refused', key: 2, reason: 'unreachable' });
    desk.run(1500);
    desk.socketUp(LIVE, [{ ...ME, publishing: [] }]);
    desk.run(600);
    const key = Math.max(...desk.logic.keys);
    expect(key).toBeGreaterThan(1);
    desk.comesUp(key);
    desk.run(500);
    expect(desk.logic.phase).toBe('on_air');
    expect(desk.logic.keys).toEqual([key]);
  });

  it('asks for a new way in when the token has run out', () => {
    const desk = onAir();
    const before = desk.count('admit');
    desk.send({ type: 'socket_closed', code: 4001 });
    desk.run(300);
    expect(desk.count('admit')).toBe(before + 1);
  });
});

describe('another page', () => {
  it('that takes over stops this one, until it takes back', () => {
    const desk = onAir();
    desk.send({ type: 'message', message: { type: 'replaced', source: 'camera', connection: 'c1' } });
    expect(desk.logic.phase).toBe('replaced');
    expect(desk.count('drop_connection')).toBe(1);
    desk.run(20_000);
    expect(desk.count('build_connection')).toBe(1);
    desk.send({ type: 'take_back' });
    expect(desk.count('build_connection')).toBe(2);
    desk.comesUp(2);
    expect(desk.logic.phase).toBe('on_air');
  });

  it('is not seen in the own replacement', () => {
    const desk = onAir();
    desk.heard.clear();
    desk.run(3500);
    desk.send({ type: 'answered', key: 2, connection: 'c2' });
    desk.send({ type: 'message', message: { type: 'replaced', source: 'camera', connection: 'c1' } });
    expect(desk.logic.phase).toBe('reconnecting');
  });
});

describe('a studio whose line was dead while another machine took over', () => {
  const replacedWelcome = (connection: string): ServerMessage => ({
    ...(welcome(LIVE, [ME]) as Extract<ServerMessage, { type: 'welcome' }>),
    replaced: [{ source: 'camera', connection }],
  });

  function cutOff(): Desk {
    const desk = onAir();
    desk.heard.clear();
    desk.serverTalks = false;
    desk.run(20_000);
    return desk;
  }

  it('asks who is on air before it sends anything', () => {
    const desk = cutOff();
    expect(desk.logic.phase).toBe('reconnecting');
    expect(desk.count('build_connection')).toBe(1);
    desk.send({ type: 'socket_opened' });
    expect(desk.count('build_connection')).toBe(1);
    desk.send({ type: 'message', message: replacedWelcome('c1') });
    expect(desk.logic.phase).toBe('replaced');
    desk.run(20_000);
    expect(desk.count('build_connection')).toBe(1);
  });

  it('sees it also where the own connection had ended by itself before', () => {
    const desk = cutOff();
    desk.send({ type: 'socket_opened' });
    const publications: Publication[] = [
      { id: 'p', participant: 'me', connection: 'of-the-other-machine', source: 'camera', kind: 'video', codec: 'vp8', layers: [], muted: false },
    ];
    desk.send({ type: 'message', message: { ...(welcome(LIVE, [ME]) as Extract<ServerMessage, { type: 'welcome' }>), publications } });
    expect(desk.logic.phase).toBe('replaced');
    desk.run(20_000);
    expect(desk.count('build_connection')).toBe(1);
  });

  it('goes on air again at once where nobody has', () => {
    const desk = cutOff();
    desk.send({ type: 'socket_opened' });
    desk.send({ type: 'message', message: replacedWelcome('of-the-day-before') });
    desk.run(200);
    expect(desk.count('build_connection')).toBe(2);
    desk.comesUp(2);
    expect(desk.logic.phase).toBe('on_air');
  });
});

describe('the wall of classrooms', () => {
  it('puts raised hands first, then those without media, then bad lines', () => {
    const desk = onAir();
    const rooms = [person('d', {}), person('c', {}), person('b', { connected: false }), person('a', { hand_raised: true })];
    for (const participant of rooms) desk.send({ type: 'message', message: { type: 'participant', participant } });
    const line = { participant: 'd', connection: 'x', direction: 'down', loss: 0.2, round_trip_ms: 40, jitter_ms: 3, bitrate: 1 } as const;
    const told: Line = { ...line, estimate: null, budget: null, tier: null, cut: [] };
    desk.send({ type: 'message', message: { type: 'line', lines: [told] } });
    expect(desk.logic.classrooms().map((room) => room.id)).toEqual(['a', 'b', 'd', 'c']);
  });
});

describe('the end', () => {
  it('drops everything and forgets that this page was on air', () => {
    const desk = onAir();
    expect(desk.send({ type: 'end' })).toContainEqual({ type: 'end_lesson' });
    const out = desk.send({ type: 'lesson_changed', lesson: { ...LIVE, state: 'ended' } });
    expect(out).toContainEqual({ type: 'drop_connection', key: 1 });
    expect(out).toContainEqual({ type: 'remember_on_air', memory: null });
    expect(desk.logic.phase).toBe('ended');
    expect(desk.logic.deadline()).toBeNull();
  });
});
