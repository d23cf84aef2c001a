import { expect, it } from 'vitest';
import { ServerClock } from './server-clock';

it("knows the server's time from the answer that took the least", () => {
  const clock = new ServerClock();
  expect(clock.offset).toBeNull();
  clock.heard(NaN, 20, 0);
  expect(clock.offset).toBeNull();
  clock.heard(5_000_000, null, 1000);
  expect(clock.offset).toBe(4_999_000);
  clock.heard(5_001_020, 40, 2000);
  expect(clock.offset).toBe(4_999_040);
  clock.heard(5_009_000, 900, 9000);
  expect(clock.offset).toBe(4_999_040);
  clock.heard(5_200_000, 900, 200_000);
  expect(clock.offset).toBe(5_000_450);
});
