import type { Stats } from '../api/types';
import type { UplinkSample } from '../lesson/uplink';
import { CAMERA, type Encoding, SLIDES, SLIDES_AV1, VOICE, av1First, preferredCodecs, sendsAv1 } from './ladder';
import { Measure, type Place, type Report } from './measure';
import { Resource } from './resource';
import { watchTransport } from './transport';
import { redundantFirst } from './voice';

export interface SenderListener {
  transport(state: 'connected' | 'failed'): void;
}

export interface SenderSample {
  /** Of everything that came back; feedback comes several times a second while pictures flow. */
  bytesReceived: number;
  uplink: UplinkSample;
}

/** What nobody needs any more may be needed again soon, by a page that was reloaded for one. */
const BACKUP_KEPT_MS = 10_000;

const capabilities = (kind: 'audio' | 'video'): RTCRtpCodec[] => RTCRtpSender.getCapabilities?.(kind)?.codecs ?? [];

/** The studio's one connection: voice, camera and slides are negotiated once and filled as they come. */
export class Sender {
  readonly peer: RTCPeerConnection;
  private readonly voice: RTCRtpTransceiver;
  private readonly camera: RTCRtpTransceiver;
  private readonly slides: RTCRtpTransceiver;
  /** The slides once more, for classrooms that can't decode AV1; null where they aren't sent in it. */
  private readonly backup: RTCRtpTransceiver | null;
  private backupWanted = false;
  private backupTimer = 0;
  private readonly measured = new Measure();
  private picturesPaused = false;
  private resource: Resource | null = null;
  private closed = false;
  private changes: Promise<void> = Promise.resolve();

  constructor(listener: SenderListener) {
    this.peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    // Voice and camera share a stream, by which receivers keep lips and words together.
    const teacher = new MediaStream();
    const pictures = preferredCodecs(capabilities('video'));
    // Firefox before 128 can't be told; its own order is good enough.
    const mayPrefer = 'setCodecPreferences' in RTCRtpTransceiver.prototype;
    const av1 = mayPrefer && sendsAv1(capabilities('video'), navigator.hardwareConcurrency);
    this.voice = this.line('audio', teacher, VOICE, redundantFirst(capabilities('audio')));
    this.camera = this.line('video', teacher, CAMERA, pictures);
    const slides = av1 ? SLIDES_AV1 : SLIDES;
    this.slides = this.line('video', new MediaStream(), slides, av1 ? av1First(capabilities('video')) : pictures);
    this.backup = av1 ? this.line('video', new MediaStream(), SLIDES, pictures) : null;
    watchTransport(this.peer, (state) => this.closed || listener.transport(state));
  }

  /** Gives the server's id of the connection. */
  async connect(lesson: string, token: () => string): Promise<string> {
    // The offer shall say of every layer whether it is sent.
    await this.changes;
    const resource = await Resource.create(this.peer, `/whip/${lesson}`, token);
    if (this.closed) resource.remove();
    this.resource = resource;
    // An answer that takes a layer makes Chromium send it, whatever the offer said of it.
    this.activatePictures();
    return resource.connection;
  }

  setVoice(track: MediaStreamTrack | null): void {
    this.change(() => this.voice.sender.replaceTrack(track));
  }

  setCamera(track: MediaStreamTrack | null): void {
    this.setPicture(this.camera, track);
  }

  setSlides(track: MediaStreamTrack | null): void {
    this.setPicture(this.slides, track);
    if (this.backup) this.setPicture(this.backup, track);
  }

  /** Whether somebody present can't decode the slides: their backup is sent at once, and for a while after. */
  wantBackup(wanted: boolean): void {
    const { backup } = this;
    if (!backup || this.closed) return;
    clearTimeout(this.backupTimer);
    const apply = (): void => {
      this.backupWanted = wanted;
      this.change(() => this.activate(backup));
    };
    if (wanted || !this.backupWanted) apply();
    else this.backupTimer = window.setTimeout(apply, BACKUP_KEPT_MS);
  }

  /** Pictures stop being sent, and classrooms are told so; a black picture would only look like a fault. */
  pausePictures(paused: boolean): void {
    this.picturesPaused = paused;
    this.activatePictures();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.backupTimer);
    this.resource?.remove();
    this.peer.close();
  }

  /** What left since it was last asked, for the server to know. */
  async measure(now: number): Promise<Stats | null> {
    const report = (await this.peer.getStats()) as unknown as Report;
    return this.measured.take(report, now, (track) => this.placeOf(track));
  }

  async sample(): Promise<SenderSample> {
    const report = await this.peer.getStats();
    const uplink: UplinkSample = { cameraFrames: null, limitedByLine: false, bitrate: null };
    let bytesReceived = 0;
    const camera = this.camera.sender.track?.id;
    report.forEach((entry) => {
      if (entry.type === 'transport') bytesReceived += entry.bytesReceived ?? 0;
      if (entry.type === 'media-source' && entry.kind === 'video' && entry.trackIdentifier === camera) {
        uplink.cameraFrames = entry.frames ?? null;
      }
      if (entry.type === 'outbound-rtp' && entry.qualityLimitationReason === 'bandwidth') uplink.limitedByLine = true;
      if (entry.type === 'candidate-pair' && entry.nominated) {
        uplink.bitrate = entry.availableOutgoingBitrate ?? uplink.bitrate;
      }
    });
    return { bytesReceived, uplink };
  }

  private placeOf(track: string): Place | null {
    const lines = { voice: this.voice, camera: this.camera, slides: this.slides };
    for (const slot of ['voice', 'camera', 'slides'] as const) {
      if (lines[slot].sender.track?.id === track) return { slot, index: 0 };
    }
    return null;
  }

  private line(
    kind: 'audio' | 'video',
    stream: MediaStream,
    encodings: Encoding[],
    codecs: RTCRtpCodec[],
  ): RTCRtpTransceiver {
    const transceiver = this.peer.addTransceiver(kind, {
      direction: 'sendonly',
      streams: [stream],
      sendEncodings: encodings.map((encoding) => ({ ...encoding, active: kind === 'audio' })),
    });
    if (codecs.length > 0) transceiver.setCodecPreferences?.(codecs);
    return transceiver;
  }

  private setPicture(transceiver: RTCRtpTransceiver, track: MediaStreamTrack | null): void {
    this.change(async () => {
      await transceiver.sender.replaceTrack(track);
      await this.activate(transceiver);
    });
  }

  private activatePictures(): void {
    for (const transceiver of [this.camera, this.slides, this.backup]) {
      if (transceiver) this.change(() => this.activate(transceiver));
    }
  }

  private async activate(transceiver: RTCRtpTransceiver): Promise<void> {
    const wanted = transceiver !== this.backup || this.backupWanted;
    const active = transceiver.sender.track !== null && !this.picturesPaused && wanted;
    const parameters = transceiver.sender.getParameters();
    if (!parameters.encodings || parameters.encodings.every((encoding) => encoding.active === active)) return;
    for (const encoding of parameters.encodings) encoding.active = active;
    await transceiver.sender.setParameters(parameters);
  }

  /** One change after the other: overlapping `setParameters` calls refuse each other. */
  private change(apply: () => Promise<void>): void {
    this.changes = this.changes.then(apply).catch((error: unknown) => {
      if (!this.closed) console.warn('the outgoing media could not be changed', error);
    });
  }
}
