import { expect, test } from 'vitest';
import { IceServers, readIceServers } from './ice-servers';

const TURN = '<turn:192.0.2.1:3478?transport=tcp>; rel="ice-server"; username="17:abc"; credential="a+/b="; credential-type="password"';

test('every TURN server that the links name is read, and nothing else', () => {
  const other = '<https://example.cn>; rel="help"';
  expect(readIceServers(`${TURN}, ${other}, ${TURN.replace('192.0.2.1', '192.0.2.2')}`)).toEqual([
    { urls: 'turn:192.0.2.1:3478?transport=tcp', username: '17:abc', credential: 'a+/b=' },
    { urls: 'turn:192.0.2.2:3478?transport=tcp', username: '17:abc', credential: 'a+/b=' },
  ]);
  expect(readIceServers('')).toEqual([]);
});

test('nobody asks anew where there are no TURN servers, and for credentials only once they are old', () => {
  const answer = (links: Record<string, string>): Response => new Response(null, { headers: links });
  const servers = new IceServers();
  expect(servers.known(0)).toBeNull();
  servers.tell(answer({}), 0);
  expect(servers.known(3_600_000)).toEqual([]);
  servers.tell(answer({ Link: TURN }), 0);
  expect(servers.known(59_000)).toHaveLength(1);
  expect(servers.known(61_000)).toBeNull();
  expect(servers.last).toHaveLength(1);
});
