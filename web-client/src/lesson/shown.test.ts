import { describe, expect, it } from 'vitest';
import { Shown } from './shown';

const LARGE = { width: 1366, height: 768 };
const SMALL = { width: 300, height: 169 };

describe('how large pictures are shown', () => {
  it('is told at once, and then at most once a second', () => {
    const shown = new Shown<string>();
    shown.measured('slides', LARGE);
    expect(shown.take(0)).toEqual([{ name: 'slides', size: LARGE }]);
    for (const size of [SMALL, LARGE, SMALL]) {
      shown.measured('slides', size);
      expect(shown.take(300)).toEqual([]);
    }
    expect(shown.dueAt()).toBe(1000);
    expect(shown.take(1000)).toEqual([{ name: 'slides', size: SMALL }]);
    expect(shown.dueAt()).toBeNull();
  });

  it('is no news where hardly anything changed', () => {
    const shown = new Shown<string>();
    shown.measured('slides', LARGE);
    shown.take(0);
    shown.measured('slides', { width: 1351, height: 768 });
    expect(shown.take(5000)).toEqual([]);
  });

  it('is nothing while the page is in the background, and what it was afterwards', () => {
    const shown = new Shown<string>();
    shown.measured('camera', SMALL);
    shown.take(0);
    shown.looked(false);
    expect(shown.take(2000)).toEqual([{ name: 'camera', size: { width: 0, height: 0 } }]);
    shown.looked(true);
    expect(shown.take(4000)).toEqual([{ name: 'camera', size: SMALL }]);
  });

  it('is nothing where a picture is scrolled away', () => {
    const shown = new Shown<string>();
    shown.measured('camera', { width: 300, height: 3 });
    expect(shown.take(0)).toEqual([{ name: 'camera', size: { width: 0, height: 0 } }]);
  });

  it('is not told of a picture that has no place', () => {
    const shown = new Shown<string>();
    shown.measured('stage', SMALL);
    shown.absent('stage');
    expect(shown.take(0)).toEqual([]);
    expect(shown.dueAt()).toBeNull();
  });

  it('is told again to who knows nothing yet', () => {
    const shown = new Shown<string>();
    shown.measured('slides', LARGE);
    shown.take(0);
    shown.forget();
    expect(shown.take(2000)).toEqual([{ name: 'slides', size: LARGE }]);
  });
});
