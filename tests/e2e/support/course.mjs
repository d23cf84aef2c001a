// A lesson on a school's line, from its first classroom's joining to the end of what befalls the line; every room is a Chromium of its
// own. What they saw and heard is kept for `judge.mjs`.
import { readFileSync } from 'node:fs';
import { RECORDER } from './break.mjs';
import { executable, launch, openDevice } from './browser.mjs';
import { sleep, until } from './figures.mjs';
import { SERVER, run } from './machines.mjs';
import { Server } from './server.mjs';

/** What every line has, both ways together 80 ms. */
const DELAY = { down: 40, up: 40 };
const LONGEST_JOIN = 40;
/** As classrooms' screens are: of what a page shows small, the server sends less. */
const SCREEN = { width: 1920, height: 1080 };

/** Processor time of the whole machine so far: `{busy, all}` in ticks. What runs with low priority gives way, and isn't counted. */
function processor() {
  const [, ...ticks] = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).map(Number);
  const all = ticks.slice(0, 8).reduce((sum, tick) => sum + tick, 0);
  const [, low, , idle, waiting] = ticks;
  return { busy: all - low - idle - waiting, all };
}

/** Follows how busy the machine is: the share of each second. */
function watchProcessor() {
  const seconds = [];
  let before = processor();
  const timer = setInterval(() => {
    const now = processor();
    seconds.push({ at: Date.now(), busy: (now.busy - before.busy) / Math.max(1, now.all - before.all) });
    before = now;
  }, 1000);
  return { seconds, end: () => clearInterval(timer) };
}

/** What the server's certificate is known by. A browser that is told of it keeps the pages in its memory, as it does for a certificate it trusts. */
function keyOf(line) {
  const script = `openssl s_client -connect 127.0.0.1:8443 </dev/null 2>/dev/null | openssl x509 -pubkey -noout |
    openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`;
  return run(...line.within(line.server), 'sh', '-c', script).trim();
}

/** Writes the school into the roster, with its line's tier; gives the part of a link by which its classrooms say where they are. */
async function inRoster(server, tier) {
  const token = await server.operator();
  const school = await server.call('POST', '/api/v1/schools', { token, body: { name: '河口小学', tier } });
  return `?school=${school.id}`;
}

/** The demonstration lesson of this server, on the server's machine; where the scenario names a tier, the school is in the roster, else
 *  its classrooms have nothing in common but their address. Others that hold lessons give the same to {@link hold}. */
export async function demonstration(line, { tier }) {
  const server = await Server.demoWithin(line.within(line.server), {
    MINGSHI_SERVER_HTTP: '127.0.0.1:8080',
    MINGSHI_SERVER_HTTPS: '0.0.0.0:8443',
    MINGSHI_MEDIA_UDP_PORT: '20000',
    // What is looked at is what comes live: nobody is to watch what was missed.
    MINGSHI_RECORDING_ENABLED: 'false',
  });
  const whose = tier ? await inRoster(server, tier) : '';
  const site = `https://${SERVER.ipv4}:8443`;
  // Yesterday's page is that of a lesson that isn't there any more.
  return {
    site: `${site}/#/c/000000`,
    entry: `${site}/#/c/${server.code}${whose}`,
    enter: null,
    trust: keyOf(line),
    log: server.log,
    // Kept with what came of it: the decisions, and what the server counted.
    explain: async () => ({ decisions: await server.explain(), metrics: (await server.ask('GET', '/metrics')).text }),
    stop: () => server.stop(),
  };
}

class Room {
  constructor(line, index) {
    Object.assign(this, { line, index });
  }

  async open({ site, trust }) {
    const flags = trust ? [`--ignore-certificate-errors-spki-list=${trust}`] : [];
    this.browser = await launch({ program: this.line.browser(executable(), this.line.rooms[this.index]), flags });
    const page = await openDevice(this.browser, { ...SCREEN, init: [RECORDER] });
    // The pages then lie in the browser's memory, as in a classroom that was here yesterday.
    await page.goto(site);
    await page.waitForLoadState('networkidle');
    await page.goto('about:blank');
    this.page = page;
  }

  /** Enters the lesson; gives the ms to the first picture and the first voice. */
  async join({ entry, enter }) {
    const began = Date.now();
    await this.page.goto(entry);
    if (enter) await this.page.evaluate(enter);
    const first = async () => {
      const [seen, heard] = await this.page.evaluate(() => [
        Object.values(window.probe.frames).flatMap((shown) => shown.slice(0, 1)).map(({ at }) => at),
        window.moments.find((moment) => moment.heard > 0)?.at,
      ]);
      return seen.length > 0 && heard && Math.max(Math.min(...seen), heard);
    };
    const shown = await until(`room ${this.index + 1} sees and hears`, LONGEST_JOIN, first).catch((error) => {
      throw new Error(`${error.message}\n${this.page.said.join('\n')}`);
    });
    return shown - began;
  }

  /** Leaves for a moment and enters anew. */
  async joinAgain(lesson) {
    await this.page.goto('about:blank');
    await sleep(2000);
    return this.join(lesson);
  }

  /** What it saw and heard. */
  record() {
    return this.page.evaluate(async () => ({
      ...window.probe.frames,
      moments: window.moments,
      stats: (await window.__mingshi.stats()).flat().filter(({ type }) => type === 'inbound-rtp'),
      // What was loaded, from when to when: [address, ms since the page was asked for, ms since then].
      loaded: performance.getEntries().filter(({ responseEnd }) => responseEnd).map(({ name, startTime, responseEnd }) => [name, startTime, responseEnd]),
    }));
  }

  async close() {
    await this.browser?.close();
  }
}

/** Lets the line have what a phase of a course says. */
async function apply(line, phase, before) {
  if (phase.rate !== before.rate) line.narrow(phase.rate);
  if (phase.loss !== before.loss) line.lose(phase.loss);
  if (phase.delay !== before.delay) line.delay({ ...DELAY, ...phase.delay });
  if (phase.cut !== before.cut) phase.cut ? line.cut() : line.mend();
  if (phase.download !== before.download) phase.download ? await line.download() : line.endDownload();
}

const QUIET = { rate: null, loss: 0, delay: null, cut: false, download: false };

/** Phases with everything that holds in them: each takes over what the scenario or QUIET says. */
export function phasesOf({ course, rooms, id, ...common }) {
  return course.map((phase) => ({ ...QUIET, ...common, ...phase }));
}

/**
 * Holds a lesson on `line` and gives what came of it. A scenario is `{rooms, tier, rate, loss, delay, settle, course, entries}`: the course's phases
 * (`{seconds}` and what differs in them) begin once all rooms have joined on the line of the first phase and `settle` seconds are over. In
 * the end the first room enters anew as many times as `entries` says.
 */
export async function hold(line, scenario, { lesson: begin = demonstration, say = () => {} } = {}) {
  const phases = phasesOf(scenario);
  const rooms = Array.from({ length: scenario.rooms }, (_, index) => new Room(line, index));
  let lesson;
  const watched = watchProcessor();
  try {
    await line.open();
    line.delay(DELAY);
    lesson = await begin(line, scenario);
    for (const room of rooms) await room.open(lesson);
    await apply(line, { ...phases[0], cut: false, download: false }, QUIET);
    const looks = line.watch();
    const joins = [];
    for (const room of rooms) joins.push(await room.join(lesson));
    say(`joined after ${joins.map(Math.round).join(', ')} ms`);
    await sleep(1000 * (scenario.settle ?? 10));
    const windows = [];
    let before = { ...phases[0], cut: false, download: false };
    for (const phase of phases) {
      await apply(line, phase, before);
      const from = Date.now();
      await sleep(1000 * phase.seconds);
      windows.push({ from, to: Date.now(), phase });
      before = phase;
    }
    const records = await Promise.all(rooms.map((room) => room.record()));
    const larger = line.larger();
    const reasons = await lesson.explain?.();
    for (let entry = 0; entry < (scenario.entries ?? 0); entry += 1) joins.push(await rooms[0].joinAgain(lesson));
    return { joins, windows, looks, rooms: records, busy: watched.seconds, larger, reasons, log: lesson.log };
  } finally {
    watched.end();
    await Promise.all(rooms.map((room) => room.close()));
    await lesson?.stop();
  }
}
