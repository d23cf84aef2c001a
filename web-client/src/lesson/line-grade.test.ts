import { describe, expect, it } from 'vitest';
import type { Line, Participant } from '../api/types';
import { gradeOf, inMegabits, trouble } from './line-grade';

const room = (fields: Partial<Participant>): Participant => ({ connected: true, line: 'good', ...fields }) as Participant;
const line = (fields: Partial<Line>): Line => ({ loss: 0, round_trip_ms: 40, cut: [], ...fields }) as Line;
const paused = (slot: 'slides' | 'camera'): Line['cut'] => [{ slot, index: 0, paused: true }];

describe('a line at a glance', () => {
  it('is what the classroom measured, and never better than what is missing', () => {
    expect(gradeOf(room({}), line({}))).toEqual({ word: 'good', bars: 4, cutting: 'none' });
    expect(gradeOf(room({}), line({ cut: paused('camera') }))).toEqual({ word: 'weak', bars: 2, cutting: 'camera' });
    expect(gradeOf(room({ line: 'bad' }), line({}))).toMatchObject({ word: 'bad', bars: 1 });
    expect(gradeOf(room({}), line({ cut: [{ slot: 'camera', index: 0, paused: false }] }))).toMatchObject({ word: 'good', cutting: 'lowered' });
    expect(gradeOf(room({ connected: false }), undefined)).toBeNull();
  });

  it('needs a look the sooner the worse it is', () => {
    const worstFirst = [
      trouble(room({ line: 'bad' }), line({})),
      trouble(room({}), line({ cut: paused('slides') })),
      trouble(room({ line: 'weak' }), line({})),
      trouble(room({}), line({ cut: [{ slot: 'slides', index: 0, paused: false }] })),
      trouble(room({}), line({})),
    ];
    expect(worstFirst).toEqual([0, 1, 2, 3, 4]);
    expect(trouble(room({ connected: false }), undefined)).toBe(0);
  });

  it('has a rate of two digits', () => {
    expect([310_000, 3_140_000, 28_600_000].map(inMegabits)).toEqual(['0.3', '3.1', '29']);
  });
});
