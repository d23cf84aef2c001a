import type { SlotKind, Stats } from '../api/types';

type SlotStats = Stats['slots'][number];
type Codec = SlotStats['codec'];
/** An entry of a report; browsers differ in what they write. */
type Entry = Record<string, unknown> & { id: string; type: string };
/** A report is a map; a test's may be a plain one. */
export type Report = { forEach(visit: (entry: Entry) => void): void; get(id: string): Entry | undefined };
export interface Place {
  slot: SlotKind;
  index: number;
}

const CODECS: Record<string, Codec> = { opus: 'opus', red: 'opus', vp8: 'vp8', h264: 'h264', av1: 'av1' };

/** What `getStats` counted since it was last asked, in the words of the lesson websocket. */
export class Measure {
  private at: number | null = null;
  private counts = new Map<string, number>();

  /** Null the first time: there is nothing to compare with. `placeOf` says where a track belongs. */
  take(report: Report, now: number, placeOf: (track: string) => Place | null): Stats | null {
    const before = this.at;
    const next = new Map<string, number>();
    const since = (entry: Entry, name: string, scale = 1): number => {
      const value = number(entry[name]) ?? 0;
      const key = `${entry.id} ${name}`;
      next.set(key, value);
      return Math.max(0, Math.round((value - (this.counts.get(key) ?? 0)) * scale));
    };
    const stats: Stats = { over_ms: Math.round(now - (before ?? now)), path: path(report), slots: [], sent: [] };
    report.forEach((entry) => {
      if (entry.type === 'inbound-rtp') {
        const whole = withTrack(report, entry);
        const place = placeOf(String(whole['trackIdentifier']));
        if (place) stats.slots.push({ ...place, ...received(report, whole, since) });
      }
      if (entry.type === 'outbound-rtp') {
        const source = report.get(String(entry['mediaSourceId']));
        const place = placeOf(String(source?.['trackIdentifier']));
        if (place) stats.sent.push({ slot: place.slot, ...sent(report, entry, since) });
      }
    });
    this.at = now;
    this.counts = next;
    return before === null ? null : stats;
  }
}

type Since = (entry: Entry, name: string, scale?: number) => number;

function received(report: Report, entry: Entry, since: Since): Omit<SlotStats, 'slot' | 'index'> {
  const emitted = since(entry, 'jitterBufferEmittedCount');
  const waited = since(entry, 'jitterBufferDelay', 1000);
  return {
    codec: codec(report, entry),
    received: since(entry, 'packetsReceived'),
    lost: since(entry, 'packetsLost'),
    jitter_buffer_ms: emitted > 0 ? Math.round(waited / emitted) : null,
    frames_decoded: since(entry, 'framesDecoded'),
    frames_dropped: since(entry, 'framesDropped'),
    freezes: since(entry, 'freezeCount'),
    frozen_ms: since(entry, 'totalFreezesDuration', 1000),
    width: pixels(entry['frameWidth']),
    height: pixels(entry['frameHeight']),
    samples: since(entry, 'totalSamplesReceived'),
    // Silence made up where nothing was sent is heard by nobody.
    concealed: Math.max(0, since(entry, 'concealedSamples') - since(entry, 'silentConcealedSamples')),
  };
}

function sent(report: Report, entry: Entry, since: Since): Omit<Stats['sent'][number], 'slot'> {
  return {
    codec: codec(report, entry),
    sent: since(entry, 'packetsSent'),
    retransmitted: since(entry, 'retransmittedPacketsSent'),
    frames: since(entry, 'framesEncoded'),
    width: pixels(entry['frameWidth']),
    height: pixels(entry['frameHeight']),
    limited: entry['qualityLimitationReason'] === 'bandwidth',
  };
}

function path(report: Report): Stats['path'] {
  let pair: Entry | undefined;
  report.forEach((entry) => {
    if (entry.type === 'transport') pair = report.get(String(entry['selectedCandidatePairId'])) ?? pair;
    // Firefox names no pair in its transport.
    if (entry.type === 'candidate-pair' && (entry['selected'] || entry['nominated'])) pair ??= entry;
  });
  const local = pair && report.get(String(pair['localCandidateId']));
  if (!pair || !local) return null;
  const seconds = number(pair['currentRoundTripTime']);
  const outgoing = number(pair['availableOutgoingBitrate']);
  return {
    transport: local['candidateType'] === 'relay' ? 'relay' : local['protocol'] === 'tcp' ? 'tcp' : 'udp',
    round_trip_ms: seconds === null ? null : Math.round(seconds * 1000),
    available_outgoing: outgoing === null ? null : Math.min(4_000_000_000, Math.round(outgoing)),
  };
}

/** Browsers before Chrome 107 count some of it in a report of the track. */
function withTrack(report: Report, entry: Entry): Entry {
  const track = typeof entry['trackId'] === 'string' ? report.get(entry['trackId']) : undefined;
  return track ? { ...track, ...entry } : entry;
}

function codec(report: Report, entry: Entry): Codec {
  const kind = String(report.get(String(entry['codecId']))?.['mimeType']).toLowerCase();
  return CODECS[kind.slice(kind.indexOf('/') + 1)] ?? null;
}

const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);
const pixels = (value: unknown): number | null => {
  const count = number(value);
  return count === null ? null : Math.min(65_535, Math.max(0, Math.round(count)));
};
