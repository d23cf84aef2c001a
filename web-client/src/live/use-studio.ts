import { onScopeDispose, ref, shallowRef, triggerRef, watch as follow } from 'vue';
import { endLesson, startLesson } from '../api/rest';
import { Studio, type StudioEffect, type StudioEvent } from '../lesson/studio';
import { type UplinkWarning, UplinkWatch } from '../lesson/uplink';
import { Sender } from '../media/sender';
import { enterStudio, offerRefusal, studioObstacle } from './credentials';
import { expose } from './hooks';
import { startMeasuring } from './measuring';
import { memory } from './memory';
import { SocketPlace } from './socket-place';
import { useCapture } from './use-capture';

const SAMPLE_EVERY_MS = 500;

/** Runs a studio: gives the lesson logic its events and does what it asks for. */
export function useStudio(lesson: string, urlToken: string | null) {
  const logic = new Studio(Math.random);
  const model = shallowRef(logic);
  const warning = ref<UplinkWarning | null>(null);
  const picturesPaused = ref(false);
  const endFailed = ref(false);
  const watch = new UplinkWatch();
  const senders = new Map<number, Sender>();
  const clock = (): number => performance.now();
  const socket = new SocketPlace(hear, (renewed) => {
    token = renewed;
    memory.rememberStudioToken(lesson, renewed);
  });
  /** Whether some classroom can't decode the slides. */
  let backupWanted = false;
  let token = '';
  let timer = 0;
  let stopped = false;
  let sampling = false;

  const capture = useCapture((line, track) => {
    for (const sender of senders.values()) fill(sender, line, track);
    send({ type: 'devices_ready', ready: capture?.tracks.voice != null });
  });

  function fill(sender: Sender, line: 'voice' | 'camera' | 'slides', track: MediaStreamTrack | null): void {
    if (line === 'voice') sender.setVoice(track);
    if (line === 'camera') sender.setCamera(track);
    if (line === 'slides') sender.setSlides(track);
  }

  function hear(event: StudioEvent): void {
    const message = event.type === 'message' ? event.message : null;
    // What is wanted is told after every welcome, if anything is.
    if (message?.type === 'welcome') wantBackup(false);
    if (message?.type === 'wanted' && message.source === 'slides-backup') wantBackup(message.wanted);
    send(event);
  }

  function wantBackup(wanted: boolean): void {
    backupWanted = wanted;
    for (const sender of senders.values()) sender.wantBackup(wanted);
  }

  function send(event: StudioEvent): void {
    if (stopped) return;
    for (const effect of logic.handle(event, clock())) run(effect);
    clearTimeout(timer);
    const deadline = logic.deadline();
    if (deadline !== null) timer = window.setTimeout(() => send({ type: 'tick' }), Math.max(0, deadline - clock()) + 1);
    triggerRef(model);
  }

  function run(effect: StudioEffect): void {
    switch (effect.type) {
      case 'admit':
        void admit();
        break;
      case 'start_lesson':
      case 'end_lesson':
        void call(effect.type === 'start_lesson' ? 'start' : 'end');
        break;
      case 'open_socket':
        socket.open(lesson, token);
        break;
      case 'close_socket':
        socket.close();
        break;
      case 'ping':
        socket.send({ type: 'ping' });
        break;
      case 'send':
        socket.send(effect.message);
        break;
      case 'build_connection':
        void build(effect.key);
        break;
      case 'drop_connection':
        senders.get(effect.key)?.close();
        senders.delete(effect.key);
        break;
      case 'remember_on_air':
        memory.rememberOnAir(lesson, effect.memory);
        break;
    }
  }

  async function admit(): Promise<void> {
    try {
      const entered = await enterStudio(lesson, urlToken);
      token = entered.token;
      send({ type: 'admitted', lesson: entered.lesson });
    } catch (error) {
      send({ type: 'admission_failed', reason: studioObstacle(error) });
    }
  }

  async function call(what: 'start' | 'end'): Promise<void> {
    endFailed.value = false;
    try {
      const changed = await (what === 'start' ? startLesson : endLesson)(token, lesson);
      send({ type: 'lesson_changed', lesson: changed });
    } catch {
      endFailed.value = what === 'end';
      send({ type: 'call_failed', call: what });
    }
  }

  async function build(key: number): Promise<void> {
    const sender = new Sender({ transport: (state) => send({ type: 'transport', key, state }) });
    senders.set(key, sender);
    for (const line of ['voice', 'camera', 'slides'] as const) fill(sender, line, capture.tracks[line]);
    sender.pausePictures(picturesPaused.value);
    sender.wantBackup(backupWanted);
    try {
      const connection = await sender.connect(lesson, () => token);
      send({ type: 'answered', key, connection });
    } catch (error) {
      if (senders.has(key)) send({ type: 'refused', key, reason: offerRefusal(error) });
    }
  }

  async function sample(): Promise<void> {
    if (sampling) return;
    sampling = true;
    for (const [key, sender] of [...senders]) {
      const sampled = await sender.sample().catch(() => null);
      if (!sampled || !senders.has(key)) continue;
      send({ type: 'feedback', key, bytesReceived: sampled.bytesReceived });
      watch.add(picturesPaused.value ? { ...sampled.uplink, cameraFrames: null } : sampled.uplink, clock());
    }
    sampling = false;
    if (senders.size === 0) watch.reset();
    else listen();
    warning.value = watch.warning(clock());
    send({ type: 'tick' });
  }

  const listen = (): void => watch.sound(capture.state.muted ? null : capture.state.level, clock());
  follow(() => capture.state.level, listen);

  // Of several connections, the first is the one on air.
  const stopMeasuring = startMeasuring(socket, () => [...senders.values()][0]);
  const sampler = window.setInterval(() => void sample(), SAMPLE_EVERY_MS);
  const online = (): void => send({ type: 'online' });
  const leave = (): void => {
    for (const sender of senders.values()) sender.close();
  };
  window.addEventListener('online', online);
  window.addEventListener('pagehide', leave);

  const unexpose = expose({
    state: () => ({ kind: logic.phase, lesson: logic.lesson?.id ?? null, warning: warning.value }),
    connections: () => [...senders].map(([key, sender]) => ({ key, id: logic.idOf(key), state: sender.peer.connectionState })),
    slots: () => [],
    peers: () => [...senders.values()].map((sender) => sender.peer),
  });

  onScopeDispose(() => {
    stopped = true;
    clearTimeout(timer);
    clearInterval(sampler);
    stopMeasuring();
    window.removeEventListener('online', online);
    window.removeEventListener('pagehide', leave);
    socket.close();
    leave();
    unexpose();
  });

  send({
    type: 'entered',
    canSend: typeof RTCPeerConnection !== 'undefined' && typeof WebSocket !== 'undefined',
    before: memory.onAir(lesson),
  });

  return {
    model,
    capture,
    warning,
    picturesPaused,
    endFailed,
    send,
    clock,
    pausePictures(paused: boolean): void {
      picturesPaused.value = paused;
      for (const sender of senders.values()) sender.pausePictures(paused);
    },
  };
}

export type StudioRun = ReturnType<typeof useStudio>;
