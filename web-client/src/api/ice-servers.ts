import { request } from './rest';

/** TURN servers that an endpoint tells of, for whoever has a token (RFC 9725 §4.6). Without an answer: none. */
export async function iceServers(endpoint: string, token: string): Promise<RTCIceServer[]> {
  try {
    const response = await request(endpoint, { method: 'OPTIONS', token });
    return readIceServers(response.headers.get('Link') ?? '');
  } catch {
    return [];
  }
}

/** Reads `Link` headers, which browsers join with commas; neither addresses nor credentials have any. */
export function readIceServers(links: string): RTCIceServer[] {
  const servers: RTCIceServer[] = [];
  for (const link of links.split(',')) {
    const urls = /<([^>]+)>/.exec(link)?.[1];
    const value = (name: string): string | undefined => new RegExp(`;\\s*${name}="([^"]*)"`).exec(link)?.[1];
    const [username, credential] = [value('username'), value('credential')];
    if (urls && value('rel') === 'ice-server' && username && credential) servers.push({ urls, username, credential });
  }
  return servers;
}
