import { describe, expect, it } from 'vitest';
import { CAMERA, type Encoding, SLIDES, VOICE } from './ladder';

const rates = (encodings: Encoding[]): (number | undefined)[] => encodings.map((encoding) => encoding.maxBitrate);
const RANK = ['very-low', 'low', 'medium', 'high'];
/** A sender has one priority, which stands on its first encoding. */
const rank = (encodings: Encoding[]): number => RANK.indexOf(encodings[0]?.priority ?? 'low');

describe('the ladder', () => {
  it('has the rates that every school chooses among, the lowest first', () => {
    expect(rates(CAMERA)).toEqual([150_000, 400_000, 1_200_000]);
    expect(rates(SLIDES)).toEqual([300_000, 1_500_000]);
  });

  it('never shrinks slides: text would be unreadable', () => {
    expect(SLIDES.map((encoding) => encoding.scaleResolutionDownBy)).toEqual(SLIDES.map(() => 1));
  });

  it('gives a thin uplink to the voice first, then to the slides', () => {
    expect(rank(VOICE)).toBeGreaterThan(rank(SLIDES));
    expect(rank(SLIDES)).toBeGreaterThan(rank(CAMERA));
    expect(VOICE[0]?.networkPriority).toBe('high');
  });
});
