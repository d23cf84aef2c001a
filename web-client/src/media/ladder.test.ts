import { describe, expect, it } from 'vitest';
import { av1First, preferredCodecs, sendsAv1 } from './ladder';

const codec = (mimeType: string, sdpFmtpLine = ''): RTCRtpCodec => ({ mimeType, clockRate: 90_000, sdpFmtpLine });
const CHROMIUM = [
  codec('video/VP8'),
  codec('video/rtx'),
  codec('video/H264', 'level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f'),
  codec('video/H264', 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f'),
  codec('video/AV1', 'level-idx=5;profile=0;tier=0'),
];

describe('the codec of the slides', () => {
  it('is AV1 where the browser has it and the computer has cores for it', () => {
    expect(sendsAv1(CHROMIUM, 4)).toBe(true);
    expect(sendsAv1(CHROMIUM, 2)).toBe(false);
    expect(sendsAv1(CHROMIUM.slice(0, 4), 8)).toBe(false);
  });

  it('comes before what everybody decodes', () => {
    expect(av1First(CHROMIUM).map((one) => one.mimeType)).toEqual(['video/AV1', 'video/H264', 'video/VP8', 'video/rtx']);
    expect(preferredCodecs(CHROMIUM).map((one) => one.mimeType)).toEqual(['video/H264', 'video/VP8', 'video/rtx']);
  });
});
