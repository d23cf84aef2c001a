import { describe, expect, it } from 'vitest';
import type { PauseReason, SlotKind, SlotState } from '../api/types';
import { arrange, arrangeRecorded } from './arrangement';
import { Backoff } from './backoff';
import { Signal, barsOf, wordOf } from './signal';
import { UplinkWatch } from './uplink';

function slot(kind: SlotKind, paused: PauseReason | null): SlotState {
  return { connection: 'c', slot: kind, index: 0, mid: '0', publication: null, source: null, participant: null, layer: null, paused, held: null };
}

describe('waiting between tries', () => {
  it('is next to nothing first, then within 0.5, 1, 2, 4 and 5 s', () => {
    const latest = new Backoff(() => 0.999999);
    const waits = Array.from({ length: 8 }, () => Math.round(latest.next()));
    expect(waits).toEqual([150, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
    const earliest = new Backoff(() => 0);
    expect(Array.from({ length: 6 }, () => earliest.next())).toEqual([0, 250, 500, 1000, 2000, 2500]);
    latest.reset();
    expect(latest.next()).toBeLessThan(151);
  });
});

describe('the signal', () => {
  it('has the word that the page measured, else that of its bars', () => {
    expect(wordOf('bad', 4)).toBe('bad');
    expect([0, 1, 2, 3, 4].map((bars) => wordOf(null, bars as 0 | 1 | 2 | 3 | 4))).toEqual([null, 'bad', 'weak', 'good', 'good']);
  });

  it('has bars for loss and for delay, whichever is worse', () => {
    expect(barsOf({ loss: 0, roundTripMs: 20 })).toBe(4);
    expect(barsOf({ loss: 0.02, roundTripMs: 20 })).toBe(3);
    expect(barsOf({ loss: 0, roundTripMs: 700 })).toBe(2);
    expect(barsOf({ loss: 0.3, roundTripMs: null })).toBe(1);
  });

  it('ignores one bad second, believes two, and believes better news after 4 s', () => {
    const signal = new Signal();
    const at = (second: number, loss: number): number => {
      signal.add({ loss, roundTripMs: 30 }, second * 1000);
      return signal.bars;
    };
    expect([at(0, 0), at(1, 0.3), at(2, 0), at(3, 0.3), at(4, 0.3)]).toEqual([4, 4, 4, 4, 1]);
    expect([at(5, 0), at(7, 0), at(8.9, 0), at(9, 0)]).toEqual([1, 1, 1, 4]);
  });
});

describe('the arrangement', () => {
  it('shows the slides large and whoever is there beside them', () => {
    const { large, visible } = arrange([slot('voice', null), slot('slides', null), slot('camera', 'capped'), slot('stage', 'no_source')], null);
    expect({ large, visible }).toEqual({ large: 'slides', visible: ['slides', 'camera'] });
  });

  it('shows the teacher large while there are no slides, and goes back when they come', () => {
    const before = [slot('slides', 'no_source'), slot('camera', null)];
    expect(arrange(before, null).large).toBe('camera');
    expect(arrange([slot('slides', null), slot('camera', null)], null).large).toBe('slides');
  });

  it('keeps a choice only while what was chosen is there', () => {
    const both = [slot('slides', null), slot('camera', null)];
    expect(arrange(both, 'camera').large).toBe('camera');
    expect(arrange([slot('slides', null), slot('camera', 'no_source')], 'camera').large).toBe('slides');
  });

  it('keeps a place for words when nothing is there at all', () => {
    const nothing = arrange([slot('voice', 'no_source'), slot('slides', 'no_source')], null);
    expect(nothing).toMatchObject({ large: 'slides', visible: ['slides'], nothing: true, voicePaused: 'no_source' });
  });
});

describe('the uplink watch', () => {
  const fine = { cameraFrames: null, limitedByLine: false, bitrate: null };

  it('warns of a microphone that gives nothing at all for 5 s', () => {
    const watch = new UplinkWatch();
    watch.sound(0.1, 0);
    watch.sound(0, 4900);
    expect(watch.warning(4900)).toBeNull();
    watch.sound(0, 5000);
    expect(watch.warning(5000)).toBe('no_sound');
    watch.sound(0.1, 5500);
    expect(watch.warning(5500)).toBeNull();
  });

  it('lets pupils write in silence for half a minute before it wonders', () => {
    const watch = new UplinkWatch();
    watch.sound(0.1, 0);
    for (let second = 1; second < 30; second += 1) watch.sound(0.001, second * 1000);
    expect(watch.warning(29_500)).toBeNull();
    expect(watch.warning(30_000)).toBe('no_sound');
  });

  it('does not warn of silence while muted on purpose', () => {
    const watch = new UplinkWatch();
    watch.sound(0.1, 0);
    watch.sound(null, 20_000);
    expect(watch.warning(20_000)).toBeNull();
  });

  it('warns of a camera that stands still', () => {
    const watch = new UplinkWatch();
    watch.add({ ...fine, cameraFrames: 10 }, 0);
    watch.add({ ...fine, cameraFrames: 10 }, 2500);
    expect(watch.warning(2500)).toBeNull();
    expect(watch.warning(3000)).toBe('camera_frozen');
    watch.add({ ...fine, cameraFrames: 40 }, 3500);
    expect(watch.warning(3500)).toBeNull();
  });

  it('warns of a thin line only when it stays thin', () => {
    const watch = new UplinkWatch();
    const thin = { ...fine, limitedByLine: true, bitrate: 400_000 };
    watch.add(thin, 0);
    watch.add(thin, 5000);
    expect(watch.warning(5000)).toBeNull();
    watch.add(thin, 6000);
    expect(watch.warning(6000)).toBe('thin_uplink');
    watch.add(fine, 6500);
    expect(watch.warning(6500)).toBeNull();
  });
});

describe('pictures of the recording', () => {
  it('have places as live ones do, and none where the recording has none', () => {
    expect(arrangeRecorded(['camera', 'slides'], null)).toMatchObject({ large: 'slides', visible: ['slides', 'camera'], nothing: false });
    expect(arrangeRecorded(['camera', 'slides'], 'camera').large).toBe('camera');
    expect(arrangeRecorded(['camera'], 'slides')).toMatchObject({ large: 'camera', visible: ['camera'] });
    expect(arrangeRecorded([], null)).toMatchObject({ large: 'slides', nothing: true });
  });
});
