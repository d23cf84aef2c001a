// What a teacher and a classroom do with the pages, and what they can tell about them.
import { longestGap, until } from './figures.mjs';

const LONGEST_WAIT = 20;

const stateOf = (page) => page.getByTestId('state').getAttribute('data-state', { timeout: 2000 });

/** Waits until the page is in one of `states`; says what it was in and what the browser said where it never is. */
export async function reaches(page, states, seconds = LONGEST_WAIT) {
  let last;
  try {
    return await until(`the page is ${states}`, seconds, async () => {
      last = await stateOf(page);
      return states.includes(last) && last;
    });
  } catch (error) {
    const hooks = await page.evaluate(() => JSON.stringify([window.__mingshi?.state(), window.__mingshi?.slots()])).catch(String);
    throw new Error(`${error.message}, but ${last}\n${hooks}\n${page.said.join('\n')}`, { cause: error });
  }
}

/** Opens the lesson in a classroom and waits until its pictures move. */
export async function watch(page, base, code) {
  await page.goto(`${base}/#/c/${code}`);
  await reaches(page, ['live', 'weak']);
}

/** Opens the studio, picks another camera as slides, and goes on air. */
export async function goOnAir(page, address, { slides = true } = {}) {
  await page.goto(address);
  await reaches(page, ['preparing']);
  if (slides) {
    const other = page.getByTestId('choose-slides').locator('option').filter({ hasText: /fake_device_2/ });
    await until('the other camera is offered', 10, () => other.count());
    await page.getByTestId('choose-slides').selectOption(await other.first().getAttribute('value'));
  }
  await until('the button can be pressed', 15, () => page.getByTestId('go-on-air').isEnabled());
  await page.getByTestId('go-on-air').click();
  await reaches(page, ['on_air']);
}

/** The frames shown so far of `slides` or `camera`. */
export const frames = (page, name) => page.evaluate((key) => window.probe.frames[key], name);

/** Waits until a frame made and shown after `since` (Unix ms) is on screen, and gives the ms from `since` to it. */
export async function movesAgain(page, name, since, seconds = LONGEST_WAIT) {
  const isNew = (frame) => frame.moved && frame.at > since && (frame.age === null || frame.at - frame.age > since);
  const frame = await until(`${name} moves again`, seconds, async () => (await frames(page, name)).find(isNew));
  return frame.at - since;
}

/** How long, in ms, `name` stood still at most since `since` (Unix ms). */
export async function stoodStill(page, name, since) {
  return longestGap((await frames(page, name)).filter(({ at }) => at > since - 500));
}

/** All entries of getStats of the page's connections. */
export const stats = async (page) => (await page.evaluate(() => window.__mingshi.stats())).flat();

/** What was heard so far: the energy of the received voices. */
export async function energyHeard(page) {
  const voices = (await stats(page)).filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
  return voices.reduce((sum, { totalAudioEnergy = 0 }) => sum + totalAudioEnergy, 0);
}

/** Waits until the page hears more than it did. */
export async function hears(page, seconds = LONGEST_WAIT) {
  const before = await energyHeard(page).catch(() => 0);
  await until('a voice is heard', seconds, async () => (await energyHeard(page)) > before + 1e-4);
}

/** The ends of the pair that media flows over: `local` says whether it is a relay, `remote` is the server's. */
export async function pair(page) {
  const all = await stats(page);
  const transport = all.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
  const chosen = all.find(({ id }) => id === transport?.selectedCandidatePairId);
  const candidate = (which) => all.find(({ id }) => id === chosen?.[which]) ?? {};
  const { protocol, address, ip, port } = candidate('remoteCandidateId');
  const { candidateType, relayProtocol } = candidate('localCandidateId');
  return { local: { type: candidateType, relayProtocol }, remote: { protocol, address: address ?? ip, port } };
}

/** Opens the lesson from another machine; gives the ms until a picture moves that was made after the address was typed, and
 *  returns when a voice is heard, too. */
export async function joinLesson(page, host, code) {
  const began = Date.now();
  await page.goto(`https://${host}/#/c/${code}`);
  await reaches(page, ['live', 'weak']);
  const joined = await movesAgain(page, 'camera', began);
  await hears(page);
  return joined;
}

/** The longest time, in ms, in the next `seconds` without a new packet of any voice. */
export const voiceGap = (page, seconds) =>
  page.evaluate(async (span) => {
    const end = performance.now() + span;
    let [last, since, longest] = [-1, performance.now(), 0];
    while (performance.now() < end) {
      const all = (await window.__mingshi.stats()).flat();
      const voices = all.filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
      const received = voices.reduce((sum, { packetsReceived = 0 }) => sum + packetsReceived, 0);
      const now = performance.now();
      longest = Math.max(longest, now - since);
      if (received !== last) [last, since] = [received, now];
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return longest;
  }, 1000 * seconds);
