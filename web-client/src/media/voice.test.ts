import { describe, expect, it } from 'vitest';
import { redundantFirst, waitForRedundancy } from './voice';

const codec = (mimeType: string): RTCRtpCodec => ({ mimeType, clockRate: 48_000, channels: 2 });

describe('a voice on a lossy line', () => {
  it('goes out with redundancy where the browser has it', () => {
    const chromium = ['audio/opus', 'audio/red', 'audio/G722', 'audio/PCMU'].map(codec);
    expect(redundantFirst(chromium).map((one) => one.mimeType)).toEqual([
      'audio/red',
      'audio/opus',
      'audio/G722',
      'audio/PCMU',
    ]);
    const firefox = ['audio/opus', 'audio/G722'].map(codec);
    expect(redundantFirst(firefox)).toEqual(firefox);
  });

  it('is played late enough for what comes again, by whatever name the browser knows it', () => {
    const now = { jitterBufferTarget: null };
    waitForRedundancy(now as unknown as RTCRtpReceiver);
    expect(now.jitterBufferTarget).toBe(80);
    const before = { playoutDelayHint: null };
    waitForRedundancy(before as unknown as RTCRtpReceiver);
    expect(before.playoutDelayHint).toBe(0.08);
    const neither = {};
    waitForRedundancy(neither as unknown as RTCRtpReceiver);
    expect(neither).toEqual({});
  });
});
