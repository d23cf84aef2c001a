/** What a page lets be looked at from outside, for browser tests and for an engineer at the console. */
export interface Hooks {
  state(): unknown;
  connections(): unknown[];
  slots(): unknown[];
  place?(): unknown;
  peers(): RTCPeerConnection[];
}

declare global {
  interface Window {
    __mingshi?: {
      state(): unknown;
      connections(): unknown[];
      slots(): unknown[];
      place(): unknown;
      stats(): Promise<Record<string, unknown>[][]>;
    };
  }
}

/** Puts read-only hooks on the window; gives what takes them away again. */
export function expose(hooks: Hooks): () => void {
  const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
  window.__mingshi = {
    state: () => plain(hooks.state()),
    connections: () => plain(hooks.connections()),
    slots: () => plain(hooks.slots()),
    place: () => plain(hooks.place?.() ?? null),
    stats: () => Promise.all(hooks.peers().map(entriesOf)),
  };
  return () => delete window.__mingshi;
}

async function entriesOf(peer: RTCPeerConnection): Promise<Record<string, unknown>[]> {
  const entries: Record<string, unknown>[] = [];
  (await peer.getStats()).forEach((entry: Record<string, unknown>) => entries.push({ ...entry }));
  return entries;
}
