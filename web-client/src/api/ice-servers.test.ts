import { expect, test } from 'vitest';
import { readIceServers } from './ice-servers';

test('every TURN server that the links name is read, and nothing else', () => {
  const turn = '<turn:192.0.2.1:3478?transport=tcp>; rel="ice-server"; username="17:abc"; credential="a+/b="; credential-type="password"';
  const other = '<https://example.cn>; rel="help"';
  expect(readIceServers(`${turn}, ${other}, ${turn.replace('192.0.2.1', '192.0.2.2')}`)).toEqual([
    { urls: 'turn:192.0.2.1:3478?transport=tcp', username: '17:abc', credential: 'a+/b=' },
    { urls: 'turn:192.0.2.2:3478?transport=tcp', username: '17:abc', credential: 'a+/b=' },
  ]);
  expect(readIceServers('')).toEqual([]);
});
