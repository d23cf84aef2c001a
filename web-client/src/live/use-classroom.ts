import { onScopeDispose, shallowRef, triggerRef } from 'vue';
import { iceServers } from '../api/ice-servers';
import type { ClientMessage } from '../api/types';
import { Classroom, type ClassroomEffect, type ClassroomEvent } from '../lesson/classroom';
import { type Picture, Receiver, type ReceiverListener } from '../media/receiver';
import { classroomObstacle, enterClassroom, offerRefusal } from './credentials';
import { takeEarly } from './early';
import { memory } from './memory';
import { startMeasuring } from './measuring';
import { expose } from './hooks';
import { SocketPlace } from './socket-place';

const SAMPLE_EVERY_MS = 250;

/** Runs a classroom: gives the lesson logic its events and does what it asks for. */
export function useClassroom(code: string | null, urlToken: string | null, school: string | null) {
  const logic = new Classroom(Math.random);
  const model = shallowRef(logic);
  const receivers = shallowRef(new Map<number, Receiver>());
  const clock = (): number => performance.now();
  const socket = new SocketPlace(send, renewed);
  let admission = { lesson: '', token: '' };
  /** Made while the request to enter is on its way. */
  let spare: Receiver | null = null;
  let timer = 0;
  let stopped = false;
  let sampling = false;
  let toldAnew = (): void => undefined;
  let placed = (): unknown => null;
  let noted = (_: ClassroomEvent): void => undefined;

  function send(event: ClassroomEvent): void {
    if (stopped) return;
    const effects = logic.handle(event, clock());
    for (const effect of effects) run(effect);
    // The server keeps it with the connections that are there: a new one has yet to be told of.
    if (event.type === 'socket_opened' || event.type === 'answered') toldAnew();
    noted(event);
    arm();
    triggerRef(model);
  }

  function tellShown(picture: Picture, width: number, height: number): void {
    socket.send({ type: 'shown', slot: picture, index: 0, width, height });
  }

  function arm(): void {
    clearTimeout(timer);
    const deadline = logic.deadline();
    if (deadline !== null) timer = window.setTimeout(() => send({ type: 'tick' }), Math.max(0, deadline - clock()) + 1);
  }

  function run(effect: ClassroomEffect): void {
    switch (effect.type) {
      case 'join':
        void enter();
        break;
      case 'open_socket':
        socket.open(admission.lesson, admission.token);
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
        receivers.value.get(effect.key)?.close();
        receivers.value.delete(effect.key);
        triggerRef(receivers);
        break;
    }
  }

  async function enter(): Promise<void> {
    const knownBefore = memory.classroom()?.code === code;
    try {
      const entering = takeEarly({ code, token: urlToken, school }) ?? enterClassroom(code, urlToken, school);
      spare ??= new Receiver().prepare();
      const entered = await entering;
      admission = entered;
      send({ type: 'joined', lesson: entered.known });
    } catch (error) {
      send({ type: 'join_failed', reason: classroomObstacle(error, urlToken === null, knownBefore) });
    }
  }

  function renewed(token: string): void {
    admission = { ...admission, token };
    const remembered = memory.classroom();
    if (remembered?.lesson === admission.lesson) memory.rememberClassroom({ ...remembered, token });
  }

  /** One that was prepared is good for an offer without TURN servers only. */
  function takeSpare(): Receiver | null {
    const taken = spare;
    spare = null;
    if (iceServers.last.length === 0) return taken;
    taken?.close();
    return null;
  }

  async function build(key: number): Promise<void> {
    const receiver = takeSpare() ?? new Receiver();
    receivers.value.set(key, receiver);
    triggerRef(receivers);
    try {
      const listener: ReceiverListener = { transport: (state) => send({ type: 'transport', key, state }) };
      const connection = await receiver.connect(admission.lesson, () => admission.token, listener);
      send({ type: 'answered', key, connection });
    } catch (error) {
      if (receivers.value.has(key)) send({ type: 'refused', key, reason: offerRefusal(error) });
    }
  }

  async function sample(): Promise<void> {
    if (sampling) return;
    sampling = true;
    const running = [...receivers.value];
    for (const [key, receiver] of running) {
      const sampled = await receiver.sample(clock()).catch(() => null);
      if (sampled && receivers.value.has(key)) send({ type: 'sample', key, ...sampled });
    }
    sampling = false;
    if (running.length === 0) send({ type: 'tick' });
  }

  /** Of several connections, the one whose voice is heard counts. */
  function heard(): Receiver | undefined {
    const key = logic.voiceKey(clock()) ?? [...receivers.value.keys()].pop();
    return key === undefined ? undefined : receivers.value.get(key);
  }

  const stopMeasuring = startMeasuring(socket, heard);
  const sampler = window.setInterval(() => void sample(), SAMPLE_EVERY_MS);
  const online = (): void => send({ type: 'online' });
  const leave = (): void => {
    for (const receiver of receivers.value.values()) receiver.close();
    spare?.close();
    spare = null;
  };
  window.addEventListener('online', online);
  window.addEventListener('pagehide', leave);

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

  const unexpose = expose({
    state: () => ({ ...logic.status(clock()), lesson: logic.lesson?.id ?? null, bars: logic.bars }),
    connections: () =>
      [...receivers.value].map(([key, receiver]) => ({
        key,
        id: logic.idOf(key),
        state: receiver.peer.connectionState,
        picture: key === logic.pictureKey,
        voice: key === logic.voiceKey(clock()),
      })),
    slots: () => logic.shownSlots,
    place: () => placed(),
    peers: () => [...receivers.value.values()].map((receiver) => receiver.peer),
  });

  send({ type: 'entered', canReceive: typeof RTCPeerConnection !== 'undefined' && typeof WebSocket !== 'undefined' });
  return {
    model,
    receivers,
    send,
    clock,
    tellShown,
    heard,
    admission: () => admission,
    say: (message: ClientMessage): void => socket.send(message),
    /** Has browser tests told where in the lesson the page is. */
    exposePlace(tell: () => unknown): void {
      placed = tell;
    },
    /** Has `act` called with everything that happens, after it was seen to. */
    note(act: (event: ClassroomEvent) => void): void {
      noted = act;
    },
    /** Has `act` called whenever the server has yet to be told what is shown. */
    shownAnew(act: () => void): void {
      toldAnew = act;
    },
  };
}
