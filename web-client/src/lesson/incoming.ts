import type { SlotState } from '../api/types';

/** Silence of the voice that counts as a broken line, in ms. */
export const SILENCE_IS_LOST_MS = 1000;
/** A connection that has brought neither voice nor picture so long after it was answered is given up, in ms. Requests have a limit of their own. */
const FRUITLESS_MS = 5000;
/** How long the old picture is kept for a connection that works but has none, in ms. */
const KEEP_OLD_PICTURE_MS = 5000;

/** What a sampler read off one receiving connection. */
export interface IncomingSample {
  /** Voice packets of the teacher so far. */
  voicePackets: number;
  /** Pictures decoded so far, over all video slots. */
  framesDecoded: number;
}

/** One receiving connection, as far as the lesson logic cares. */
export class Incoming {
  /** The server's name for it. */
  id: string | null = null;
  connectedAt: number | null = null;
  private answeredAt: number | null = null;
  voiceAt: number | null = null;
  pictureAt: number | null = null;
  slots: SlotState[] = [];
  private voicePackets = 0;
  private silentSamples = 0;

  constructor(
    readonly key: number,
    readonly builtAt: number,
  ) {}

  answered(id: string, now: number): void {
    this.id = id;
    this.answeredAt = now;
  }

  /** Its offer is on its way for so long, in ms; 0 once it was answered. */
  unanswered(now: number): number {
    return this.answeredAt === null ? now - this.builtAt : 0;
  }

  /** Takes in a sample; true when the voice begins, or begins again after a break. */
  sample(sample: IncomingSample, now: number): boolean {
    const wasHearing = this.hearing(now);
    if (sample.voicePackets > this.voicePackets) {
      this.voiceAt = now;
      this.silentSamples = 0;
    } else {
      this.silentSamples += 1;
    }
    this.voicePackets = sample.voicePackets;
    if (sample.framesDecoded > 0) this.pictureAt ??= now;
    return !wasHearing && this.hearing(now);
  }

  /** Whether the server says that a voice flows; before it has said anything, it may. */
  get voiceExpected(): boolean {
    const slot = this.slots.find((s) => s.slot === 'voice' && s.index === 0);
    return slot === undefined || slot.paused === null;
  }

  /** Whether the server has said that no picture flows at all. */
  get noPictureFlows(): boolean {
    return this.slots.length > 0 && this.slots.every((s) => s.slot === 'voice' || s.paused !== null);
  }

  hearing(now: number): boolean {
    return this.voiceAt !== null && now - this.voiceAt < SILENCE_IS_LOST_MS;
  }

  /** The voice broke off. Two samples must agree, so that a page that was asleep isn't taken for a dead line. */
  stalled(now: number): boolean {
    return this.voiceAt !== null && this.silentSamples >= 2 && !this.hearing(now) && this.voiceExpected;
  }

  /** It brings what there is to bring. */
  works(now: number): boolean {
    if (this.connectedAt === null) return false;
    return this.hearing(now) || this.pictureAt !== null || !this.voiceExpected;
  }

  /** It was given its time and brought nothing. */
  fruitless(now: number): boolean {
    return this.answeredAt !== null && now - this.answeredAt >= FRUITLESS_MS && this.voiceAt === null && !this.works(now);
  }

  fruitlessAt(): number | null {
    const quietByIntent = this.connectedAt !== null && !this.voiceExpected;
    const fruit = this.voiceAt !== null || this.pictureAt !== null || quietByIntent;
    return fruit || this.answeredAt === null ? null : this.answeredAt + FRUITLESS_MS;
  }

  /** Its picture may take the place of the old one. */
  readyToShow(now: number): boolean {
    if (this.connectedAt === null) return false;
    if (this.pictureAt !== null) return true;
    if (this.noPictureFlows && !this.voiceExpected) return true;
    if (this.noPictureFlows && this.voiceAt !== null) return true;
    return this.voiceAt !== null && now - this.connectedAt >= KEEP_OLD_PICTURE_MS;
  }
}
