import { type Ref, onMounted, onScopeDispose, ref, shallowRef, triggerRef, watch } from 'vue';
import { type Viewed, readDvr, reportView } from '../api/recording';
import { Replay, type ReplayEffect, type ReplayEvent } from '../lesson/replay';
import { type Picture, PICTURES, type Source } from '../lesson/recorded';
import { VOICE, canPlayDvr, openDvr } from '../media/dvr';
import { FilesPlayer, decodes } from '../media/files';
import { enterReplay, replayObstacle } from './replay-entry';
import { expose } from './hooks';
import { memory } from './memory';

const LOOK_MS = 250;

/** The elements of the page; they stay the same, whatever is played in them. */
export interface Elements {
  voice: HTMLMediaElement;
  videos: ReadonlyMap<Picture, HTMLMediaElement>;
}

interface Player {
  position(): number;
  seek(ms: number): void;
  setRate(rate: number): void;
  play(): Promise<boolean>;
  pause(): void;
  close(): void;
  readonly running: boolean;
  offMs(): number[];
}

/** Runs a replay: gives the logic its events and does what it asks for. */
export function useReplay(lesson: string, urlToken: string | null, linkMs: number | null, elements: () => Elements, volume: Ref<number>) {
  const logic = new Replay(decodes, canPlayDvr());
  const model = shallowRef(logic);
  const now = ref(performance.now());
  const view = newView();
  let token = urlToken;
  let player: Player | null = null;
  let sound: HTMLMediaElement | null = null;
  let opening = 0;
  let stopped = false;
  let timer = 0;

  function send(event: ReplayEvent): void {
    if (stopped) return;
    const effects = logic.handle(event, performance.now());
    for (const effect of effects) run(effect);
    clearTimeout(timer);
    const deadline = logic.deadline();
    if (deadline !== null) timer = window.setTimeout(() => send({ type: 'tick' }), Math.max(0, deadline - performance.now()) + 1);
    now.value = performance.now();
    triggerRef(model);
  }

  function run(effect: ReplayEffect): void {
    switch (effect.type) {
      case 'read':
        void read();
        break;
      case 'open':
        void open(effect);
        break;
      case 'play':
        void play();
        break;
      case 'pause':
        player?.pause();
        break;
      case 'seek':
        player?.seek(effect.ms);
        break;
      case 'set_rate':
        player?.setRate(effect.rate);
        break;
      case 'remember':
        memory.rememberStopped(lesson, effect.ms);
        break;
      case 'report':
        report({ view, ...effect.stretch });
        break;
    }
  }

  async function read(): Promise<void> {
    try {
      const admission = await enterReplay(lesson, token ?? urlToken);
      token = admission.token;
      send({ type: 'read', details: admission.details, dvr: admission.dvr });
    } catch (error) {
      send({ type: 'read_failed', reason: replayObstacle(error) });
    }
  }

  async function open(effect: Extract<ReplayEffect, { type: 'open' }>): Promise<void> {
    player?.close();
    player = null;
    opening = effect.opening;
    const made = await playerFor(effect.source, effect.opening, effect.atMs, effect.rate);
    if (stopped || opening !== effect.opening) {
      made?.close();
      return;
    }
    player = made;
    hear();
    // What was asked for while the player was on its way.
    if (logic.rate !== effect.rate) player?.setRate(logic.rate);
    if (logic.placeMs !== effect.atMs) player?.seek(logic.placeMs);
    const { kind } = logic.status(performance.now());
    if (effect.play && kind !== 'paused' && kind !== 'over') await play();
  }

  async function playerFor(source: Source, number: number, startMs: number, rate: number): Promise<Player | null> {
    const { voice, videos } = elements();
    const videoOf = (picture: Picture): HTMLMediaElement => videos.get(picture) ?? voice;
    if (source.kind === 'files') {
      const shown = PICTURES.flatMap((picture) => (source.pictures[picture] ? [[source.pictures[picture], videoOf(picture)] as const] : []));
      const files = new Map(shown);
      if (!files.has(source.sound)) files.set(source.sound, voice);
      sound = files.get(source.sound) ?? voice;
      return new FilesPlayer({ sound: source.sound, elements: files, startMs, rate, failed: (file, why) => send({ type: 'track_failed', opening: number, name: file.name, why }) });
    }
    const { dvr, timeline } = logic;
    if (dvr === null || timeline === null) return null;
    const hasVoice = timeline.tracks.some((track) => track.name === VOICE);
    sound = hasVoice ? voice : videoOf(source.pictures[0] ?? 'slides');
    const tracks: [string, HTMLMediaElement][] = [[VOICE, voice], ...source.pictures.map((picture): [string, HTMLMediaElement] => [picture, videoOf(picture)])];
    try {
      return await openDvr({
        base: dvr.base, timeline, elements: new Map(tracks), startMs, rate,
        renew: async () => (await readDvr(token ?? '', lesson)).base,
        told: (event) => {
          if (event.type === 'timeline') send(event);
          if (event.type === 'track_failed') send({ type: 'track_failed', opening: number, name: event.track, why: event.why });
        },
      });
    } catch {
      // The player's own script didn't come: the line is gone, and the sound with it.
      window.setTimeout(() => send({ type: 'track_failed', opening: number, name: VOICE, why: 'gone' }), 0);
      return null;
    }
  }

  async function play(): Promise<void> {
    if (player === null) return;
    send({ type: (await player.play()) ? 'play_allowed' : 'play_refused' });
  }

  /** One element is heard, as loud as was chosen. */
  function hear(): void {
    const { voice, videos } = elements();
    for (const element of [voice, ...videos.values()]) element.muted = element !== sound || volume.value === 0;
    if (sound !== null) sound.volume = volume.value;
  }

  function report(viewed: Viewed): void {
    if (token !== null) reportView(token, lesson, viewed).catch(() => undefined);
  }

  function look(): void {
    if (player !== null) send({ type: 'seen', ms: player.position(), running: player.running, atEnd: sound?.ended === true });
    else now.value = performance.now();
  }

  const leaving = (): void => send({ type: 'left' });
  watch(volume, hear);
  const looks = window.setInterval(look, LOOK_MS);
  window.addEventListener('pagehide', leaving);
  const hide = expose({
    state: () => ({ status: logic.status(performance.now()).kind, placeMs: logic.placeMs, source: logic.source?.kind ?? null, offMs: player?.offMs() ?? [], rate: logic.rate }),
    connections: () => [],
    slots: () => [],
    peers: () => [],
  });
  onMounted(() => send({ type: 'entered', linkMs, stoppedMs: memory.stopped(lesson) }));
  onScopeDispose(() => {
    leaving();
    stopped = true;
    hide();
    clearInterval(looks);
    clearTimeout(timer);
    window.removeEventListener('pagehide', leaving);
    player?.close();
  });
  /** What the link in the address bar may pass on: never what an operator or a studio holds. */
  return { model, now, send, mayPass: urlToken };
}

/** A name for one visit; it counts visits and names nobody. */
function newView(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(9)), (octet) => octet.toString(16).padStart(2, '0')).join('');
}
