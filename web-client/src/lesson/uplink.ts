/** What the studio's own page sees of what it sends. */
export interface UplinkSample {
  /** Pictures the camera has given so far; null without a camera. */
  cameraFrames: number | null;
  /** The encoder says that the line holds it back. */
  limitedByLine: boolean;
  /** What the line may carry, in bit/s, where the browser tells. */
  bitrate: number | null;
}

export type UplinkWarning = 'no_sound' | 'camera_frozen' | 'thin_uplink';

const DEAD_MS = 5000;
const QUIET_MS = 30_000;
const FROZEN_MS = 3000;
const THIN_MS = 6000;
/** Below this part of full scale a microphone is switched off or unplugged: even a silent room is above it. */
const DEAD_LEVEL = 0.00005;
/** Below this nobody is speaking; pupils may be writing, so it takes long before that is worth a word. */
const SPEECH_LEVEL = 0.003;
/** Voice, slides and the middle camera layer fit into this, in bit/s. */
const ENOUGH = 900_000;

/** Watches what the teacher can't: whether sound, picture and line really go out. */
export class UplinkWatch {
  private aliveAt: number | null = null;
  private speechAt: number | null = null;
  private frames: number | null = null;
  private framesAt: number | null = null;
  private thinSince: number | null = null;

  /** `level` is the microphone's, 0 to 1; null while there is none or it is muted on purpose. */
  sound(level: number | null, now: number): void {
    if (level === null || level >= DEAD_LEVEL || this.aliveAt === null) this.aliveAt = now;
    if (level === null || level >= SPEECH_LEVEL || this.speechAt === null) this.speechAt = now;
  }

  add(sample: UplinkSample, now: number): void {
    if (sample.cameraFrames === null || sample.cameraFrames !== this.frames) this.framesAt = now;
    this.frames = sample.cameraFrames;
    const thin = sample.limitedByLine && (sample.bitrate === null || sample.bitrate < ENOUGH);
    this.thinSince = thin ? (this.thinSince ?? now) : null;
  }

  /** The one thing that most needs a word, if anything does. */
  warning(now: number): UplinkWarning | null {
    if (this.aliveAt !== null && now - this.aliveAt >= DEAD_MS) return 'no_sound';
    if (this.speechAt !== null && now - this.speechAt >= QUIET_MS) return 'no_sound';
    if (this.framesAt !== null && this.frames !== null && now - this.framesAt >= FROZEN_MS) return 'camera_frozen';
    if (this.thinSince !== null && now - this.thinSince >= THIN_MS) return 'thin_uplink';
    return null;
  }

  reset(): void {
    this.aliveAt = null;
    this.speechAt = null;
    this.frames = null;
    this.framesAt = null;
    this.thinSince = null;
  }
}
