import { onScopeDispose, reactive, shallowReactive } from 'vue';
import {
  type DeviceChoice,
  type DeviceTrouble,
  type SlidesChoice,
  devicesObstacle,
  listDevices,
  openCamera,
  openMicrophone,
  openScreen,
  openSlidesCamera,
  troubleOf,
} from '../media/devices';
import { Meter } from '../media/meter';
import { memory } from './memory';

type Line = 'voice' | 'camera' | 'slides';

const METER_EVERY_MS = 100;

/** The studio's devices: which are chosen, what they give, and what is wrong with them. */
export function useCapture(changed: (line: Line, track: MediaStreamTrack | null) => void) {
  const choice = reactive<DeviceChoice>(
    memory.devices() ?? { camera: null, microphone: null, slides: { kind: 'none' } },
  );
  const tracks = shallowReactive<Record<Line, MediaStreamTrack | null>>({ voice: null, camera: null, slides: null });
  const state = reactive({
    opening: true,
    voiceTrouble: null as DeviceTrouble | null,
    cameraTrouble: null as DeviceTrouble | null,
    slidesTrouble: null as DeviceTrouble | null,
    /** The screen was shared before a reload; browsers want a touch to share it again. */
    screenAsks: false,
    level: null as number | null,
    muted: false,
    cameras: [] as MediaDeviceInfo[],
    microphones: [] as MediaDeviceInfo[],
  });
  let meter: Meter | null = null;
  let disposed = false;

  function put(line: Line, track: MediaStreamTrack | null): void {
    const old = tracks[line];
    if (disposed) return track?.stop();
    tracks[line] = track;
    if (old && old !== track) {
      old.onended = null;
      old.stop();
    }
    if (track) track.onended = () => lostTrack(line, track);
    if (line === 'voice') listen(track);
    changed(line, track);
  }

  /** A device was unplugged, or the browser's own stop button was pressed. */
  function lostTrack(line: Line, track: MediaStreamTrack): void {
    if (tracks[line] !== track) return;
    put(line, null);
    if (line === 'voice') state.voiceTrouble = 'missing';
    if (line === 'camera') state.cameraTrouble = 'missing';
    if (line === 'slides') choose({ slides: { kind: 'none' } });
  }

  function listen(track: MediaStreamTrack | null): void {
    meter ??= new Meter();
    meter.listen(track);
    if (track) track.enabled = !state.muted;
  }

  function choose(part: Partial<DeviceChoice>): void {
    Object.assign(choice, part);
    memory.rememberDevices({ ...choice });
  }

  async function openVoice(): Promise<void> {
    try {
      put('voice', await openMicrophone(choice.microphone));
      state.voiceTrouble = null;
    } catch (error) {
      state.voiceTrouble = troubleOf(error);
    }
  }

  async function openPicture(): Promise<void> {
    try {
      put('camera', await openCamera(choice.camera));
      state.cameraTrouble = null;
    } catch (error) {
      state.cameraTrouble = troubleOf(error);
    }
  }

  async function open(): Promise<void> {
    const obstacle = devicesObstacle();
    if (obstacle) {
      state.voiceTrouble = obstacle;
      state.cameraTrouble = obstacle;
    } else {
      await openVoice();
      await openPicture();
      await refresh();
      navigator.mediaDevices.addEventListener('devicechange', plugged);
      if (choice.slides.kind === 'camera') await showSlides(choice.slides);
      if (choice.slides.kind === 'screen') state.screenAsks = true;
    }
    state.opening = false;
  }

  async function refresh(): Promise<void> {
    const devices = await listDevices().catch(() => ({ cameras: [], microphones: [] }));
    state.cameras = devices.cameras;
    state.microphones = devices.microphones;
  }

  /** Something was plugged in or out: what was missing is tried again. */
  async function plugged(): Promise<void> {
    await refresh();
    if (!tracks.voice) await openVoice();
    if (!tracks.camera) await openPicture();
  }

  async function showSlides(slides: SlidesChoice): Promise<void> {
    state.slidesTrouble = null;
    state.screenAsks = false;
    try {
      if (slides.kind === 'none') put('slides', null);
      if (slides.kind === 'screen') put('slides', await openScreen());
      if (slides.kind === 'camera') put('slides', await openSlidesCamera(slides.device));
      choose({ slides });
    } catch (error) {
      state.slidesTrouble = troubleOf(error);
      // Closing the browser's own chooser is a change of mind, not a fault.
      if (slides.kind === 'screen' && state.slidesTrouble === 'denied') state.slidesTrouble = null;
    }
  }

  function mute(muted: boolean): void {
    state.muted = muted;
    if (tracks.voice) tracks.voice.enabled = !muted;
  }

  const timer = window.setInterval(() => {
    state.level = tracks.voice ? (meter?.level() ?? null) : null;
  }, METER_EVERY_MS);

  onScopeDispose(() => {
    clearInterval(timer);
    navigator.mediaDevices?.removeEventListener('devicechange', plugged);
    for (const line of ['voice', 'camera', 'slides'] as const) put(line, null);
    disposed = true;
    meter?.close();
  });

  void open();
  return {
    choice,
    tracks,
    state,
    mute,
    showSlides,
    chooseMicrophone: (device: string) => (choose({ microphone: device }), openVoice()),
    chooseCamera: (device: string) => (choose({ camera: device }), openPicture()),
    retry: async () => {
      await openVoice();
      await openPicture();
      await refresh();
    },
  };
}

export type Capture = ReturnType<typeof useCapture>;
