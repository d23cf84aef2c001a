/** Why a device can't be used, as far as the person before it can act on it. */
export type DeviceTrouble = 'insecure' | 'denied' | 'missing' | 'busy' | 'unsupported';

export type SlidesChoice = { kind: 'none' } | { kind: 'screen' } | { kind: 'camera'; device: string };

export interface DeviceChoice {
  camera: string | null;
  microphone: string | null;
  slides: SlidesChoice;
}

export interface DeviceList {
  cameras: MediaDeviceInfo[];
  microphones: MediaDeviceInfo[];
}

/** Browsers hand out cameras only on HTTPS addresses and on the machine's own. */
export function devicesObstacle(): DeviceTrouble | null {
  if (!window.isSecureContext) return 'insecure';
  return navigator.mediaDevices ? null : 'unsupported';
}

export function troubleOf(error: unknown): DeviceTrouble {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied';
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'missing';
  return 'busy';
}

export async function listDevices(): Promise<DeviceList> {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return {
    cameras: devices.filter((device) => device.kind === 'videoinput' && device.deviceId !== ''),
    microphones: devices.filter((device) => device.kind === 'audioinput' && device.deviceId !== ''),
  };
}

const wish = (device: string | null): MediaTrackConstraints => (device ? { deviceId: { ideal: device } } : {});

/** A voice for a classroom far away: without echo and hum, one channel. */
export async function openMicrophone(device: string | null): Promise<MediaStreamTrack> {
  const audio: MediaTrackConstraints = {
    ...wish(device),
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    channelCount: { ideal: 1 },
  };
  return only(await navigator.mediaDevices.getUserMedia({ audio }), 'speech');
}

export async function openCamera(device: string | null): Promise<MediaStreamTrack> {
  const video: MediaTrackConstraints = {
    ...wish(device),
    width: { ideal: 1280 },
    height: { ideal: 720 },
    frameRate: { ideal: 25, max: 30 },
  };
  return only(await navigator.mediaDevices.getUserMedia({ video }), 'motion');
}

/** A second camera as slides: a document camera, whose writing has to stay sharp. */
export async function openSlidesCamera(device: string): Promise<MediaStreamTrack> {
  const video: MediaTrackConstraints = {
    deviceId: { exact: device },
    width: { ideal: 1920 },
    height: { ideal: 1080 },
    frameRate: { ideal: 15 },
  };
  return only(await navigator.mediaDevices.getUserMedia({ video }), 'detail');
}

/** Asks which screen or window; browsers want a touch before it. */
export async function openScreen(): Promise<MediaStreamTrack> {
  const video: MediaTrackConstraints = { width: { max: 1920 }, height: { max: 1080 }, frameRate: { max: 15 } };
  return only(await navigator.mediaDevices.getDisplayMedia({ video, audio: false }), 'text');
}

function only(stream: MediaStream, hint: string): MediaStreamTrack {
  const track = stream.getTracks()[0];
  if (!track) throw new DOMException('the stream is empty', 'NotFoundError');
  if ('contentHint' in track) track.contentHint = hint;
  return track;
}
