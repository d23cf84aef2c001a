/** Credentials end with the token they came with, which may be near its end: what is older is asked for anew. */
const FRESH_MS = 60_000;

/**
 * The TURN servers that the server last told of: with a token, with the answer to an offer, or when asked (RFC 9725 §4.6).
 * Asking costs a round trip before every offer, so it is done only where there are any.
 */
export class IceServers {
  private told: { servers: RTCIceServer[]; at: number } | null = null;

  /** Takes what an answer's `Link` headers say, also when that is nothing. `now` is in ms of any steady clock. */
  tell(response: Response, now: number): RTCIceServer[] {
    const servers = readIceServers(response.headers.get('Link') ?? '');
    this.told = { servers, at: now };
    return servers;
  }

  /** What to offer with; null where that has to be asked for. */
  known(now: number): RTCIceServer[] | null {
    if (this.told === null || (this.told.servers.length > 0 && now - this.told.at > FRESH_MS)) return null;
    return this.told.servers;
  }

  /** What was told last, however long ago: better than nothing where asking fails. */
  get last(): RTCIceServer[] {
    return this.told?.servers ?? [];
  }
}

export const iceServers = new IceServers();

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
