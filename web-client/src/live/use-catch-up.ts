import { onScopeDispose, shallowRef, triggerRef } from 'vue';
import { type DvrAddress, type Timeline, readDvr } from '../api/recording';
import { Refusal } from '../api/rest';
import type { SlotState } from '../api/types';
import { CatchUp, type CatchUpEffect, type CatchUpEvent, type Recording, picturesComing } from '../lesson/catch-up';
import type { Classroom } from '../lesson/classroom';
import { ServerClock } from '../lesson/server-clock';
import { type Caps, type Dvr, type DvrEvent, VOICE, canPlayDvr, loadDvr, openDvr } from '../media/dvr';
import type { useClassroom } from './use-classroom';

const LOOK_EVERY_MS = 250;
const TRIES = 2;
/** The player isn't fetched while the lesson itself begins. */
const LOAD_AFTER_MS = 10_000;
/** From the server to the network card of this machine, and through decoder and sound card, beside what is measured. */
const OTHER_LAG_MS = 40;
/** A line that may spend less, in bit/s, is spared the better slides. */
const BETTER_SLIDES_FROM = 1_000_000;
/** Where a break lasts longer than this while the websocket is open, media is blocked. */
const BLOCKED_AFTER_MS = 12_000;

/** The pictures that a recording has places for on screen. */
export const RECORDED = ['slides', 'camera'] as const;
export type RecordedPicture = (typeof RECORDED)[number];

/** Runs a classroom's way back to live: the player of the recording, its clock, and what the server is told. */
export function useCatchUp(classroom: ReturnType<typeof useClassroom>) {
  const logic = new CatchUp();
  const model = shallowRef(logic);
  const clock = new ServerClock();
  const voice = new Audio();
  const pictures: Record<RecordedPicture, HTMLVideoElement> = { slides: picture(), camera: picture() };
  /** The pictures whose first frame is there. */
  const pictured = shallowRef<ReadonlySet<RecordedPicture>>(new Set());
  /** The pictures that the recording has. */
  const present = shallowRef<readonly RecordedPicture[]>([]);
  let address: DvrAddress | null = null;
  let dvr: Dvr | null = null;
  /** Counts openings, so that one that was overtaken is closed when it comes. */
  let opening = 0;
  let budget: number | null = null;
  let ended = false;
  let loading = 0;
  /** Since when the websocket is open, if it is. */
  let socketSince = 0;

  function send(event: CatchUpEvent): void {
    for (const effect of logic.handle(event, classroom.clock())) run(effect);
    const receiver = classroom.heard();
    receiver?.holdBack(logic.heldBack);
    classroom.model.value.unhurried = logic.kind === 'late';
    triggerRef(model);
  }

  function run(effect: CatchUpEffect): void {
    switch (effect.type) {
      case 'ask':
        void ask();
        break;
      case 'play':
        if (dvr === null) void open(effect.at, effect.rate);
        else {
          dvr.setRate(effect.rate);
          dvr.seek(effect.at);
          void start(dvr);
        }
        break;
      case 'rate':
        dvr?.setRate(effect.rate);
        break;
      case 'hold':
        dvr?.pause();
        break;
      case 'close':
        close();
        break;
      case 'tell':
        classroom.say({ type: 'behind', behind_ms: effect.behindMs, mode: effect.mode });
        break;
    }
  }

  async function ask(): Promise<void> {
    const { lesson, token } = classroom.admission();
    address = canPlayDvr() ? await read(token, lesson) : null;
    const recording = recordingOf(address?.timeline ?? null);
    if (recording !== null) loading ||= window.setTimeout(() => void loadDvr().catch(() => undefined), LOAD_AFTER_MS);
    send({ type: 'recording', recording });
  }

  /** A line that has only just come back may not answer the first time. */
  async function read(token: string, lesson: string): Promise<DvrAddress | null> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      try {
        return await readDvr(token, lesson);
      } catch (error) {
        if (error instanceof Refusal) return null;
      }
    }
    return null;
  }

  function recordingOf(timeline: Timeline | null): Recording | null {
    if (timeline === null || clock.offset === null || timeline.duration_ms <= 0) return null;
    const gaps = timeline.gaps.filter((gap) => gap.track === null).map((gap) => ({ from: gap.from_ms, to: gap.to_ms }));
    return { offset: clock.offset - timeline.zero_unix_ms, edge: timeline.duration_ms, gaps };
  }

  async function open(startMs: number, rate: number): Promise<void> {
    const timeline = address?.timeline ?? null;
    if (address === null || timeline === null) return send({ type: 'recording_failed' });
    opening += 1;
    const mine = opening;
    const tracks = tracksOf(timeline);
    const elements = new Map<string, HTMLMediaElement>([[VOICE, voice]]);
    for (const [place, track] of tracks) elements.set(track, pictures[place]);
    present.value = [...tracks.keys()];
    pictured.value = new Set();
    const told = (event: DvrEvent): void => {
      if (mine === opening) heard(event, tracks);
    };
    try {
      const opened = await openDvr({ base: address.base, timeline, elements, startMs, rate, caps: capsOf(tracks), renew, told });
      if (mine !== opening) return opened.close();
      dvr = opened;
      await start(opened);
    } catch {
      if (mine === opening) send({ type: 'recording_failed' });
    }
  }

  async function renew(): Promise<string> {
    const { lesson, token } = classroom.admission();
    return (await readDvr(token, lesson)).base;
  }

  async function start(player: Dvr): Promise<void> {
    const plays = await player.play();
    if (player !== dvr) return;
    classroom.send({ type: plays ? 'play_allowed' : 'play_refused' });
  }

  function heard(event: DvrEvent, tracks: Map<RecordedPicture, string>): void {
    if (event.type === 'picture') {
      const place = [...tracks].find(([, track]) => track === event.track)?.[0];
      if (place) pictured.value = new Set([...pictured.value, place]);
    }
    if (event.type !== 'track_failed') return;
    if (event.track === VOICE) send({ type: 'recording_failed' });
    else present.value = present.value.filter((place) => tracks.get(place) !== event.track);
  }

  function close(): void {
    opening += 1;
    dvr?.close();
    dvr = null;
    pictured.value = new Set();
  }

  /** A thin line has the voice and slides first, as when it is live. */
  function capsOf(tracks: Map<RecordedPicture, string>): Caps {
    const caps: Record<string, 'high' | 'low'> = {};
    for (const [place, track] of tracks) {
      caps[track] = place === 'slides' && (budget === null || budget >= BETTER_SLIDES_FROM) ? 'high' : 'low';
    }
    return caps;
  }

  /** The time of the lesson that is heard, in ms; null where nothing is, or it isn't known. */
  function heardAt(): number | null {
    if (logic.hears === 'recording') return dvr?.position() ?? null;
    const zero = address?.timeline?.zero_unix_ms;
    if (logic.hears === 'nothing' || zero === undefined || clock.offset === null) return null;
    return classroom.clock() + clock.offset - zero - lag();
  }

  function lag(): number {
    const roundTrip = classroom.model.value.socket.roundTripMs ?? 0;
    return (classroom.heard()?.waitMs ?? 100) + Math.min(500, roundTrip / 2) + OTHER_LAG_MS;
  }

  function look(): void {
    const now = classroom.clock();
    const live = classroom.model.value;
    const status = live.status(now);
    if (status.kind === 'ended' && !ended) {
      ended = true;
      send({ type: 'ended' });
    }
    const receiver = classroom.heard();
    send({
      type: 'live_plays',
      lag: lag(),
      framesDecoded: receiver?.framesDecoded ?? 0,
      coming: picturesComing(live.shownSlots as SlotState[]),
    });
    const connected = status.kind === 'live' || status.kind === 'weak' || (status.kind === 'need_touch' && live.showing);
    send({ type: 'line', brokenSince: live.brokenSince, connected, stuck: isStuck(live, socketSince, now), onStage: live.onStage });
    if (dvr !== null) send({ type: 'recording_plays', position: dvr.position(), edge: dvr.liveEdge(), running: dvr.running });
  }

  classroom.note((event) => {
    if (event.type === 'socket_opened') {
      socketSince = classroom.clock();
      send({ type: 'socket_opened' });
    }
    if (event.type !== 'message') return;
    const { message } = event;
    const now = classroom.clock();
    if (message.type === 'pong') clock.heard(Date.parse(message.server_time), classroom.model.value.socket.roundTripMs, now);
    if (message.type === 'welcome') clock.heard(Date.parse(message.server_time), null, now);
    if (message.type === 'line') budget = message.lines.find((line) => line.direction === 'down')?.budget ?? budget;
  });
  const timer = window.setInterval(look, LOOK_EVERY_MS);
  onScopeDispose(() => {
    clearInterval(timer);
    clearTimeout(loading);
    close();
  });

  classroom.exposePlace(() => ({
    kind: logic.kind,
    mode: logic.mode,
    behind: logic.behind(classroom.clock()),
    hears: logic.hears,
    heardAt: heardAt(),
    rate: logic.playingRate,
    available: logic.available,
    position: dvr?.position() ?? null,
    edge: dvr?.liveEdge() ?? null,
    running: dvr?.running ?? false,
    waits: classroom.heard()?.waitMs ?? null,
    zero: address?.timeline?.zero_unix_ms ?? null,
  }));
  return {
    model,
    pictures,
    pictured,
    present,
    send,
    /** The browser wanted a touch before it lets the sound out, and this is one. */
    touched(): void {
      if (dvr !== null) void start(dvr);
    },
    setVolume(volume: number): void {
      voice.volume = volume;
    },
  };
}

function picture(): HTMLVideoElement {
  const element = document.createElement('video');
  Object.assign(element, { muted: true, playsInline: true, disablePictureInPicture: true });
  return element;
}

/** The lesson answers, but no media gets through: from the start, or since it broke off. */
function isStuck(live: Classroom, socketSince: number, now: number): boolean {
  const status = live.status(now);
  if (status.kind === 'connecting') return status.stuck;
  if (status.kind !== 'reconnecting' || live.brokenSince === null || !live.socket.isOpen) return false;
  return now - Math.max(live.brokenSince, socketSince) >= BLOCKED_AFTER_MS && live.lesson?.state === 'live';
}

/** Which track goes where: the teacher's place takes the first other picture of a studio that calls it something else. */
function tracksOf(timeline: Timeline): Map<RecordedPicture, string> {
  const names = timeline.tracks.filter((track) => track.kind === 'video').map((track) => track.name);
  const places = new Map<RecordedPicture, string>();
  if (names.includes('slides')) places.set('slides', 'slides');
  const camera = names.includes('camera') ? 'camera' : names.find((name) => name !== 'slides' && name !== 'pupils');
  if (camera !== undefined) places.set('camera', camera);
  return places;
}
