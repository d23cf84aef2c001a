import { describe, expect, it } from 'vitest';
import { Follower, MOST_NUDGE, type Sight } from './follow';

/** One that has been in step for a while. */
const inStep = (): Follower => {
  const follower = new Follower();
  follower.look(sight({ nowMs: -5000 }));
  return follower;
};

const sight = (more: Partial<Sight>): Sight => ({ clockMs: 10_000, pictureMs: 10_000, holds: true, busy: false, rate: 1, nowMs: 0, ...more });

/** Plays a picture beside a sound for some seconds, with jumps that take `jumpMs`; gives how far off it was, look by look. */
function play(options: { offMs: number; seconds: number; rate?: number; jumpMs?: number; driftPerSecond?: number }): number[] {
  const { offMs, seconds, rate = 1, jumpMs = 200, driftPerSecond = 0 } = options;
  const follower = new Follower();
  let [clock, picture, pictureRate, busyUntil] = [10_000, 10_000 + offMs, rate, -1];
  const off: number[] = [];
  for (let now = 0; now < seconds * 1000; now += 100) {
    const step = follower.look({ clockMs: clock, pictureMs: picture, holds: true, busy: now < busyUntil, rate, nowMs: now });
    if (step.do === 'jump') {
      picture = step.toMs;
      busyUntil = now + jumpMs;
      pictureRate = step.rate;
    }
    if (step.do === 'play') pictureRate = step.rate;
    clock += 100 * rate;
    if (now >= busyUntil) picture += 100 * pictureRate + driftPerSecond / 10;
    off.push(picture - clock);
  }
  return off;
}

describe('a picture that follows the sound', () => {
  it('plays at the rate of the sound while it is in step', () => {
    expect(new Follower().look(sight({ pictureMs: 10_015, rate: 1.5 }))).toEqual({ do: 'play', rate: 1.5 });
  });

  it('is slowed where it is ahead and hastened where it is behind, never by more than 5 %', () => {
    const ahead = inStep().look(sight({ pictureMs: 10_250 }));
    const behind = inStep().look(sight({ pictureMs: 9_750 }));
    expect(ahead).toEqual({ do: 'play', rate: 1 - MOST_NUDGE });
    expect(behind).toEqual({ do: 'play', rate: 1 + MOST_NUDGE });
  });

  it('jumps where it is more than 300 ms off, and once only until that has settled', () => {
    const follower = inStep();
    expect(follower.look(sight({ pictureMs: 9_600 }))).toEqual({ do: 'jump', toMs: 10_000, rate: 1 });
    expect(follower.look(sight({ pictureMs: 9_600, nowMs: 500 })).do).toBe('play');
    expect(follower.look(sight({ pictureMs: 9_600, nowMs: 1600 })).do).toBe('jump');
  });

  it('jumps sooner just after a start, aiming ahead by what the first jump was late, and not again once it was in step', () => {
    const follower = new Follower();
    expect(follower.look(sight({ pictureMs: 9_850 })).do).toBe('jump');
    follower.look(sight({ clockMs: 10_200, pictureMs: 10_000, nowMs: 200 }));
    expect(follower.look(sight({ clockMs: 11_600, pictureMs: 11_450, nowMs: 1600 }))).toEqual({ do: 'jump', toMs: 11_800, rate: 1 });
    follower.look(sight({ clockMs: 13_200, pictureMs: 13_200, nowMs: 3200 }));
    expect(follower.look(sight({ clockMs: 14_000, pictureMs: 13_800, nowMs: 4000 })).do).toBe('play');
  });

  it('is within 80 ms five seconds after the start, wherever it began, at every rate', () => {
    for (const rate of [0.5, 1, 1.25, 2]) {
      for (const offMs of [-5000, -290, -60, 70, 280, 9000]) {
        const late = play({ offMs, seconds: 20, rate }).slice(50);
        expect(Math.max(...late.map(Math.abs)), `${rate} from ${offMs}`).toBeLessThanOrEqual(80);
      }
    }
  });

  it('stays in step with a decoder that loses 2 % all the time', () => {
    const late = play({ offMs: 0, seconds: 60, driftPerSecond: -20 }).slice(100);
    expect(Math.max(...late.map(Math.abs))).toBeLessThanOrEqual(80);
  });

  it('learns how late jumps land and aims ahead by as much', () => {
    const follower = new Follower();
    follower.look(sight({ pictureMs: 5_000 }));
    // The sound went on for 250 ms while the picture was looking for its place.
    follower.look(sight({ clockMs: 10_250, pictureMs: 10_000, nowMs: 250 }));
    expect(follower.look(sight({ clockMs: 20_000, pictureMs: 10_000, nowMs: 9_000 }))).toEqual({ do: 'jump', toMs: 20_250, rate: 1 });
  });

  it('is left alone while it waits for octets, and hidden where its track has nothing', () => {
    const follower = new Follower();
    expect(follower.look(sight({ pictureMs: 9_500, busy: true })).do).toBe('leave');
    expect(follower.look(sight({ holds: false })).do).toBe('hide');
    expect(follower.look(sight({ pictureMs: null, nowMs: 20 })).do).toBe('jump');
  });

  it('goes along at once when the sound is moved by hand', () => {
    const follower = new Follower();
    follower.look(sight({ pictureMs: 5_000 }));
    follower.moved();
    expect(follower.look(sight({ clockMs: 60_000, pictureMs: 10_000, nowMs: 200 })).do).toBe('jump');
  });

  it('stands still while the sound does', () => {
    expect(new Follower().look(sight({ rate: 0 }))).toEqual({ do: 'play', rate: 0 });
  });
});
