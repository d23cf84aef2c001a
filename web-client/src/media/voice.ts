/**
 * A voice waits so long before it is played that two lost packets are in time from the redundancy of the packets behind
 * them, or from a second sending; browsers wait less by themselves where nothing jitters.
 */
const PLAYOUT_MS = 80;

/**
 * Redundant audio (RFC 2198) first, where the browser has it, and everything else in its own order: what a lossy line
 * takes from the studio, the server then finds in the next packet.
 */
export function redundantFirst(codecs: RTCRtpCodec[]): RTCRtpCodec[] {
  const isRedundant = (codec: RTCRtpCodec): boolean => codec.mimeType.toLowerCase() === 'audio/red';
  return [...codecs.filter(isRedundant), ...codecs.filter((codec) => !isRedundant(codec))];
}

/** Chrome before 124 knows the same by another name, in seconds. */
type Patient = RTCRtpReceiver & { playoutDelayHint?: number | null };

/** Lets a receiver wait for what comes again. */
export function waitForRedundancy(receiver: Patient): void {
  waitFor(receiver, PLAYOUT_MS);
}

/** Lets a receiver wait so long before it plays, where the browser can; null = as the browser likes. */
export function waitFor(receiver: Patient, ms: number | null): void {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = ms;
  else if ('playoutDelayHint' in receiver) (receiver as Patient).playoutDelayHint = ms === null ? null : ms / 1000;
}
