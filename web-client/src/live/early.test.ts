import { expect, test } from 'vitest';
import { enterEarly, placeOf, takeEarly } from './early';

test("a classroom's address is read as the router reads it, and no other page's is", () => {
  expect(placeOf('#/c/482913')).toEqual({ code: '482913', token: null, school: null });
  expect(placeOf('#/c/482913?school=%E6%B2%B3%E5%8F%A3')).toEqual({ code: '482913', token: null, school: '河口' });
  expect(placeOf('#/c/0r4ge5gh7kn1d?token=a.b-c_d.e')).toEqual({ code: '0r4ge5gh7kn1d', token: 'a.b-c_d.e', school: null });
  for (const other of ['', '#/', '#/studio/0r4ge5gh7kn1d?token=a', '#/operator/abc', '#/c/', '#/c/%E0%A4%A']) {
    expect(placeOf(other)).toBeNull();
  }
});

test('what was begun early is taken once, by the page it was begun for', async () => {
  const place = { code: '482913', token: null, school: null };
  enterEarly(place);
  const taken = takeEarly(place);
  await expect(taken).rejects.toThrow();
  expect(takeEarly(place)).toBeNull();
  enterEarly(place);
  expect(takeEarly({ ...place, school: '河口小学' })).toBeNull();
});
