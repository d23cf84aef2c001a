import type { Stats } from '../api/types';
import type { SocketPlace } from './socket-place';

/** How often the server is told what was measured. */
const EVERY_MS = 5000;

interface Measurable {
  measure(now: number): Promise<Stats | null>;
}

/** Tells the server what a page's connection measures; returns what ends it. `chosen` is the connection that counts. */
export function startMeasuring(socket: SocketPlace, chosen: () => Measurable | undefined): () => void {
  async function tell(): Promise<void> {
    const stats = await chosen()?.measure(performance.now()).catch(() => null);
    if (stats) socket.send({ type: 'stats', stats });
  }
  const timer = window.setInterval(() => void tell(), EVERY_MS);
  return () => clearInterval(timer);
}
