import { expect, test } from 'vitest';
import { Measure, type Place, type Report } from './measure';

const placeOf = (track: string): Place | null => ({ v: { slot: 'voice', index: 0 }, c: { slot: 'camera', index: 0 } } as const)[track] ?? null;

function report(...entries: Record<string, unknown>[]): Report {
  return new Map(entries.map((entry) => [entry['id'], entry])) as unknown as Report;
}

const voice = (packets: number, samples: number, concealed: number, silent: number): Record<string, unknown> => ({
  id: 'in-v', type: 'inbound-rtp', kind: 'audio', trackIdentifier: 'v', codecId: 'red', packetsReceived: packets, packetsLost: 2,
  totalSamplesReceived: samples, concealedSamples: concealed, silentConcealedSamples: silent, jitterBufferDelay: samples / 1000, jitterBufferEmittedCount: samples / 48,
});
const red = { id: 'red', type: 'codec', mimeType: 'audio/red' };

test('counts are those since the last time, and silence made up is no break of the voice', () => {
  const measure = new Measure();
  expect(measure.take(report(voice(100, 96_000, 0, 0), red), 1000, placeOf)).toBeNull();
  const stats = measure.take(report(voice(350, 336_000, 60_000, 48_000), red), 6000, placeOf);
  expect(stats?.over_ms).toBe(5000);
  expect(stats?.slots).toHaveLength(1);
  expect(stats?.slots[0]).toMatchObject({ slot: 'voice', index: 0, codec: 'opus', received: 250, lost: 0, samples: 240_000, concealed: 12_000, jitter_buffer_ms: 48 });
});

test('a connection that begins anew counts from nothing, never below', () => {
  const measure = new Measure();
  measure.take(report(voice(350, 336_000, 10, 0)), 0, placeOf);
  expect(measure.take(report(voice(10, 9_600, 0, 0)), 5000, placeOf)?.slots[0]).toMatchObject({ received: 0, concealed: 0 });
});

test('old browsers count freezes in a report of the track', () => {
  const measure = new Measure();
  const camera = (freezes: number, seconds: number): Report =>
    report({ id: 'in-c', type: 'inbound-rtp', kind: 'video', trackId: 't', framesDecoded: 30 * seconds }, { id: 't', type: 'track', trackIdentifier: 'c', freezeCount: freezes, totalFreezesDuration: freezes * 0.5, frameWidth: 640, frameHeight: 360 });
  measure.take(camera(0, 0), 0, placeOf);
  expect(measure.take(camera(2, 5), 5000, placeOf)?.slots[0]).toMatchObject({ slot: 'camera', freezes: 2, frozen_ms: 1000, frames_decoded: 150, width: 640 });
});

test('the path and what is sent', () => {
  const measure = new Measure();
  const at = (packets: number): Report =>
    report(
      { id: 'T', type: 'transport', selectedCandidatePairId: 'P' },
      { id: 'P', type: 'candidate-pair', localCandidateId: 'L', currentRoundTripTime: 0.0314, availableOutgoingBitrate: 2e6 },
      { id: 'L', type: 'local-candidate', candidateType: 'relay', protocol: 'udp' },
      { id: 'S', type: 'media-source', trackIdentifier: 'c' },
      { id: 'O', type: 'outbound-rtp', mediaSourceId: 'S', packetsSent: packets, retransmittedPacketsSent: 1, qualityLimitationReason: 'bandwidth' },
      { id: 'N', type: 'outbound-rtp', packetsSent: 5 },
    );
  measure.take(at(10), 0, placeOf);
  const stats = measure.take(at(60), 5000, placeOf);
  expect(stats?.path).toEqual({ transport: 'relay', round_trip_ms: 31, available_outgoing: 2_000_000 });
  expect(stats?.sent).toEqual([{ slot: 'camera', codec: null, sent: 50, retransmitted: 0, frames: 0, width: null, height: null, limited: true }]);
});
