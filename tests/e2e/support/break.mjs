// What a page went through while something was broken: what it said, what it heard and what it saw, moment by moment.
import { until } from './figures.mjs';

/** Voice that was really received, in samples of 48 kHz, that counts as hearing again: a tenth of a second. */
const HEARD = 4800;

/** Runs in the page: notes every 50 ms what it says, how much voice it has received and made up (samples), and how old that is (ms). */
export const RECORDER = `(() => {
  const moments = [];
  const counted = new Map();
  const voice = { heard: 0, concealed: 0, age: null };
  // Of the browser's NTP times, which begin in 1900.
  const NTP_EPOCH = 2208988800000;
  let asking = false;
  const text = (selector) => document.querySelector(selector)?.textContent.trim() ?? '';
  async function count() {
    const all = await window.__mingshi.stats();
    all.forEach((entries, peer) => {
      for (const entry of entries) {
        if (entry.type !== 'inbound-rtp' || entry.kind !== 'audio') continue;
        // What was made up for lost packets was not heard.
        const concealed = entry.concealedSamples ?? 0;
        const real = (entry.totalSamplesReceived ?? 0) - concealed;
        const key = entry.trackIdentifier;
        const before = counted.get(key) ?? { real: 0, concealed: 0 };
        voice.heard += Math.max(0, real - before.real);
        voice.concealed += Math.max(0, concealed - before.concealed);
        const played = entry.estimatedPlayoutTimestamp;
        voice.age = played ? Date.now() - (played - NTP_EPOCH) : null;
        counted.set(key, { real, concealed });
      }
    });
  }
  setInterval(async () => {
    if (asking || !window.__mingshi) return;
    asking = true;
    await count().catch(() => {});
    asking = false;
    const state = document.querySelector('[data-testid="state"]');
    const banner = text('.banner') || text('[data-testid="warning"]');
    moments.push({ at: Date.now(), state: state?.dataset.state, words: banner || state?.textContent.trim(), ...voice });
    if (moments.length > 6000) moments.shift();
  }, 50);
  window.moments = moments;
})();`;

/** What the page noted since then. */
export const moments = (page, since) => page.evaluate((from) => window.moments.filter(({ at }) => at >= from), since);

/** The ms from `since` until the page hears again what was sent after that. */
export async function voiceAgain(page, since, seconds) {
  const found = await until('the voice is heard again', seconds, async () => {
    const noted = await moments(page, since);
    return noted.find(({ heard }) => heard - noted[0].heard >= HEARD);
  });
  return found.at - since;
}

/** The longest time in ms in which nothing was heard, from `since` on. */
export async function longestSilence(page, since) {
  let [longest, heard, last] = [0, null, since];
  for (const moment of await moments(page, since)) {
    if (heard !== null && moment.heard > heard) last = moment.at;
    longest = Math.max(longest, moment.at - last);
    heard = moment.heard;
  }
  return longest;
}

const LIVE = '直播中';

/** The longest time in ms for which the page went on saying nothing but that it is live while nothing was heard. */
export function claimedLive(noted) {
  let [longest, heard, since] = [0, null, null];
  for (const { at, words, heard: now } of noted) {
    if (words !== LIVE || (heard !== null && now > heard)) since = null;
    else since ??= at;
    if (since !== null) longest = Math.max(longest, at - since);
    heard = now;
  }
  return longest;
}

/** What the page said, each sentence once, in order, with numbers left out. */
export function said(noted) {
  const sentences = noted.map(({ words }) => words.replace(/\d+/g, '…'));
  return sentences.filter((words, i) => words !== sentences[i - 1]);
}
