type Priority = 'very-low' | 'low' | 'medium' | 'high';

/** `networkPriority` is in the standard and in Chromium, but not yet in the compiler's library. */
export interface Encoding extends RTCRtpEncodingParameters {
  networkPriority?: Priority;
}

/** The voice never waits behind pictures. */
export const VOICE: Encoding[] = [{ maxBitrate: 40_000, priority: 'high', networkPriority: 'high' }];

/**
 * 180p, 360p and 720p of a 720p capture: fixed rates, so that every school's choice is among the same three.
 * Priorities belong to the sender as a whole; Chromium refuses them on any encoding but the first.
 */
export const CAMERA: Encoding[] = [
  { rid: 'l', scaleResolutionDownBy: 4, maxBitrate: 150_000, priority: 'very-low', networkPriority: 'very-low' },
  { rid: 'm', scaleResolutionDownBy: 2, maxBitrate: 400_000 },
  { rid: 'h', scaleResolutionDownBy: 1, maxBitrate: 1_200_000 },
];

/** Slides keep their resolution in both layers, because shrinking makes text unreadable. */
export const SLIDES: Encoding[] = [
  { rid: 'lo', scaleResolutionDownBy: 1, maxFramerate: 5, maxBitrate: 300_000, priority: 'medium', networkPriority: 'low' },
  { rid: 'hi', scaleResolutionDownBy: 1, maxFramerate: 15, maxBitrate: 1_500_000 },
];

/**
 * Slides in AV1 need one layer only: its tools for text and screens take 150 kbit/s of 1080p where H.264 takes 600 for
 * less. Who can't decode it gets the ladder above beside it.
 */
export const SLIDES_AV1: Encoding[] = [
  { scaleResolutionDownBy: 1, maxFramerate: 15, maxBitrate: 1_000_000, priority: 'medium', networkPriority: 'low' },
];
/** AV1 is encoded by the processor, beside the camera's three layers. */
const CORES_FOR_AV1 = 4;

const isAv1 = (codec: RTCRtpCodec): boolean => codec.mimeType.toLowerCase() === 'video/av1';

/** Whether a browser with these codecs and so many cores sends its slides in AV1. */
export function sendsAv1(codecs: RTCRtpCodec[], cores: number): boolean {
  return cores >= CORES_FOR_AV1 && codecs.some(isAv1);
}

/** AV1, and what else is preferred behind it. */
export function av1First(codecs: RTCRtpCodec[]): RTCRtpCodec[] {
  return [...codecs.filter(isAv1), ...preferredCodecs(codecs)];
}

/** Constrained baseline H.264 first, for the hardware decoders of old classroom PCs; VP8 where there is no H.264. */
export function preferredCodecs(codecs: RTCRtpCodec[]): RTCRtpCodec[] {
  const rank = (codec: RTCRtpCodec): number => {
    const type = codec.mimeType.toLowerCase();
    const line = codec.sdpFmtpLine ?? '';
    if (type === 'video/h264') {
      if (!line.includes('packetization-mode=1')) return -1;
      return line.includes('profile-level-id=42e0') ? 0 : -1;
    }
    if (type === 'video/vp8') return 1;
    return type === 'video/rtx' ? 2 : -1;
  };
  return codecs
    .map((codec) => ({ codec, rank: rank(codec) }))
    .filter((entry) => entry.rank >= 0)
    .sort((a, b) => a.rank - b.rank)
    .map((entry) => entry.codec);
}
