import type { Stats } from '../api/types';
import type { IncomingSample } from '../lesson/incoming';
import type { LineSample } from '../lesson/signal';
import { Measure, type Place, type Report } from './measure';
import { Resource } from './resource';
import { watchTransport } from './transport';
import { waitFor, waitForRedundancy } from './voice';

/** The slots of a classroom's one offer, in the order of its m-lines. */
const VOICES = 3;
export const PICTURES = ['slides', 'camera', 'stage'] as const;
export type Picture = (typeof PICTURES)[number];

export interface ReceiverListener {
  transport(state: 'connected' | 'failed'): void;
}

export interface ReceiverSample {
  incoming: IncomingSample;
  line: LineSample | null;
}

/** A receiving connection: one negotiation for the whole lesson, its tracks fixed from the start. */
export class Receiver {
  readonly peer: RTCPeerConnection;
  /** One stream per voice slot, the teacher's first. */
  readonly voices: MediaStream[] = [];
  readonly pictures: Record<Picture, MediaStream>;
  private readonly voiceReceivers: RTCRtpReceiver[] = [];
  private readonly places = new Map<string, Place>();
  private readonly measured = new Measure();
  /** How long the teacher's voice waited here before it was played, in ms, when that was last looked at. */
  waitMs: number | null = null;
  /** Pictures decoded here so far, when that was last looked at. */
  framesDecoded = 0;
  private waited = { emitted: 0, seconds: 0 };
  private heldBack: number | null = null;
  private resource: Resource | null = null;
  private closed = false;
  private listener: ReceiverListener | null = null;
  private offered: Promise<void> | null = null;
  private last: { received: number; lost: number; at: number; line: LineSample | null } | null = null;

  constructor() {
    this.peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    for (let index = 0; index < VOICES; index += 1) {
      const receiver = this.slot('audio');
      waitForRedundancy(receiver);
      this.voiceReceivers.push(receiver);
      this.voices.push(new MediaStream([receiver.track]));
      this.places.set(receiver.track.id, { slot: 'voice', index });
    }
    const picture = (slot: Picture): MediaStream => {
      const { track } = this.slot('video');
      this.places.set(track.id, { slot, index: 0 });
      return new MediaStream([track]);
    };
    this.pictures = { slides: picture('slides'), camera: picture('camera'), stage: picture('stage') };
    watchTransport(this.peer, (state) => this.closed || this.listener?.transport(state));
  }

  /** Makes the offer ahead of time, which takes a browser a while. It will know of no TURN servers. */
  prepare(): this {
    this.offered = this.peer.createOffer().then((offer) => this.peer.setLocalDescription(offer));
    // Told to whoever connects.
    this.offered.catch(() => undefined);
    return this;
  }

  /** Gives the server's id of the connection. */
  async connect(lesson: string, token: () => string, listener: ReceiverListener): Promise<string> {
    this.listener = listener;
    const resource = await Resource.create(this.peer, `/whep/${lesson}`, token, this.offered);
    if (this.closed) resource.remove();
    this.resource = resource;
    return resource.connection;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.resource?.remove();
    this.peer.close();
  }

  /** What came since it was last asked, for the server to know. */
  async measure(now: number): Promise<Stats | null> {
    const report = (await this.peer.getStats()) as unknown as Report;
    return this.measured.take(report, now, (track) => this.places.get(track) ?? null);
  }

  /** Plays everything so many ms after it came, for what is played beside it to be met; null = as ever. */
  holdBack(ms: number | null): void {
    if (ms === this.heldBack) return;
    this.heldBack = ms;
    for (const { receiver } of this.peer.getTransceivers()) {
      if (ms === null && receiver.track.kind === 'audio') waitForRedundancy(receiver);
      else waitFor(receiver, ms);
    }
  }

  async sample(now: number): Promise<ReceiverSample> {
    const report = await this.peer.getStats();
    const incoming: IncomingSample = { voicePackets: 0, framesDecoded: 0 };
    let received = 0;
    let lost = 0;
    let roundTripMs: number | null = null;
    const teacher = this.voiceReceivers[0]?.track.id;
    report.forEach((entry) => {
      if (entry.type === 'inbound-rtp') {
        received += entry.packetsReceived ?? 0;
        lost += Math.max(0, entry.packetsLost ?? 0);
        if (entry.kind === 'audio' && this.isTeacher(report, entry, teacher)) {
          incoming.voicePackets += entry.packetsReceived ?? 0;
          this.waits(entry.jitterBufferEmittedCount ?? 0, entry.jitterBufferDelay ?? 0);
        }
        if (entry.kind === 'video') incoming.framesDecoded += entry.framesDecoded ?? 0;
      }
      if (entry.type === 'candidate-pair' && entry.nominated && entry.currentRoundTripTime !== undefined) {
        roundTripMs = entry.currentRoundTripTime * 1000;
      }
    });
    this.framesDecoded = incoming.framesDecoded;
    return { incoming, line: this.lineOver(received, lost, roundTripMs, now) };
  }

  /** Browsers before Chrome 107 name the track in a report of its own. */
  private isTeacher(
    report: RTCStatsReport,
    entry: { trackIdentifier?: string; trackId?: string },
    teacher: string | undefined,
  ): boolean {
    const old = entry.trackId ? (report.get(entry.trackId) as { trackIdentifier?: string } | undefined) : undefined;
    return (entry.trackIdentifier ?? old?.trackIdentifier) === teacher;
  }

  private waits(emitted: number, seconds: number): void {
    const count = emitted - this.waited.emitted;
    if (count > 0) this.waitMs = ((seconds - this.waited.seconds) / count) * 1000;
    this.waited = { emitted, seconds };
  }

  /** Loss over the last second or more; a shorter time would count single packets. */
  private lineOver(received: number, lost: number, roundTripMs: number | null, now: number): LineSample | null {
    if (this.last === null) {
      this.last = { received, lost, at: now, line: null };
      return null;
    }
    if (now - this.last.at < 1000) return null;
    const arrived = received - this.last.received;
    const missing = Math.max(0, lost - this.last.lost);
    const line = arrived + missing > 0 ? { loss: missing / (arrived + missing), roundTripMs } : null;
    this.last = { received, lost, at: now, line };
    return line;
  }

  private slot(kind: 'audio' | 'video'): RTCRtpReceiver {
    return this.peer.addTransceiver(kind, { direction: 'recvonly' }).receiver;
  }
}
