import { describe, expect, it } from 'vitest';
import { CAMERA, type Encoding, SLIDES, SLIDES_AV1, VOICE, av1First, preferredCodecs, sendsAv1 } from './ladder';

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

const rates = (encodings: Encoding[]): (number | undefined)[] => encodings.map((encoding) => encoding.maxBitrate);
const RANK = ['very-low', 'low', 'medium', 'high'];
/** A sender has one priority, which stands on its first encoding. */
const rank = (encodings: Encoding[]): number => RANK.indexOf(encodings[0]?.priority ?? 'low');

describe('the ladder', () => {
  it('has the rates that every school chooses among, the lowest first', () => {
    expect(rates(CAMERA)).toEqual([150_000, 400_000, 1_200_000]);
    expect(rates(SLIDES)).toEqual([300_000, 1_500_000]);
  });

  it('never shrinks slides: text would be unreadable', () => {
    for (const encoding of [...SLIDES, ...SLIDES_AV1]) expect(encoding.scaleResolutionDownBy).toBe(1);
  });

  it('gives a thin uplink to the voice first, then to the slides', () => {
    expect(rank(VOICE)).toBeGreaterThan(rank(SLIDES));
    for (const slides of [SLIDES, SLIDES_AV1]) expect(rank(slides)).toBeGreaterThan(rank(CAMERA));
    expect(VOICE[0]?.networkPriority).toBe('high');
  });
});
