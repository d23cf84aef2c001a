import { describe, expect, it } from 'vitest';
import type { Line, PauseReason, SlotState } from '../api/types';
import { LineNote, cuttingOf, cuttingOfLine } from './line-note';

function slot(kind: SlotState['slot'], paused: PauseReason | null, held: SlotState['held'] = null): SlotState {
  return { connection: 'c', slot: kind, index: 0, mid: '0', publication: null, source: null, participant: null, layer: 0, paused, held };
}

describe('what a line takes', () => {
  const voice = slot('voice', null);
  it('is nothing where all flows, or stands still for another reason', () => {
    expect(cuttingOf([voice, slot('slides', null), slot('camera', null)])).toBe('none');
    expect(cuttingOf([voice, slot('slides', 'source_silent'), slot('camera', 'no_source')])).toBe('none');
    expect(cuttingOf([])).toBe('none');
  });

  it('is what the server has no room for', () => {
    expect(cuttingOf([voice, slot('slides', null), slot('camera', null, 'no_room')])).toBe('lowered');
    expect(cuttingOf([voice, slot('slides', null), slot('camera', null), slot('stage', 'no_room')])).toBe('stage');
    expect(cuttingOf([voice, slot('slides', null), slot('camera', 'no_room')])).toBe('camera');
    expect(cuttingOf([voice, slot('slides', 'no_room'), slot('camera', 'no_room')])).toBe('pictures');
  });

  it('is all pictures where the camera was the only one', () => {
    expect(cuttingOf([voice, slot('slides', 'no_source'), slot('camera', 'no_room')])).toBe('pictures');
  });

  it('is the same to the studio', () => {
    const line = (cut: Line['cut']): Line => ({ cut }) as Line;
    expect(cuttingOfLine(undefined)).toBe('none');
    expect(cuttingOfLine(line([{ slot: 'camera', index: 0, paused: false }]))).toBe('lowered');
    expect(cuttingOfLine(line([{ slot: 'slides', index: 0, paused: false }, { slot: 'camera', index: 0, paused: true }]))).toBe('camera');
    expect(cuttingOfLine(line([{ slot: 'slides', index: 0, paused: true }]))).toBe('pictures');
  });
});

describe('the note about it', () => {
  it('says worse news at once and better news when it lasts', () => {
    const note = new LineNote();
    note.take('camera', 1000);
    expect(note.loud(1000)).toBe('camera');
    note.take('pictures', 1500);
    expect(note.loud(1500)).toBe('pictures');
    note.take('none', 2000);
    note.take('none', 5900);
    expect(note.cutting).toBe('pictures');
    note.take('none', 7500);
    expect(note.cutting).toBe('none');
  });

  it('does not flicker on a line that wavers', () => {
    const note = new LineNote();
    const seen = new Set<string>();
    for (let now = 0; now < 60_000; now += 500) {
      note.take((now / 1000) % 2 < 1 ? 'camera' : 'none', now);
      seen.add(note.cutting);
    }
    expect([...seen]).toEqual(['camera']);
  });

  it('is read for a while and then left to the place of the picture, unless nothing but the voice is left', () => {
    const note = new LineNote();
    note.take('camera', 0);
    expect(note.loud(11_000)).toBe('camera');
    expect(note.loud(12_000)).toBeNull();
    note.take('pictures', 20_000);
    expect(note.loud(90_000)).toBe('pictures');
  });

  it('says nothing of pictures that only became smaller', () => {
    const note = new LineNote();
    note.take('lowered', 0);
    expect([note.cutting, note.loud(0)]).toEqual(['lowered', null]);
  });
});
