// Whatever goes wrong, the page says it in words; and no state is a bare spinner.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openDevice } from './support/browser.mjs';
import { until } from './support/figures.mjs';
import { goOnAir, hears, reaches, watch } from './support/pages.mjs';
import { Server } from './support/server.mjs';

/** Makes a page's browser one that knows only `codec` for pictures, by leaving the others out of its offers. */
const onlyKnows = (codec) => ({
  content: `{
    const known = (section) => [...section.matchAll(/^a=rtpmap:(\\d+) ${codec}\\//gm)].map(([, type]) => type);
    const narrowed = (section) => {
      const kept = known(section);
      const lines = section.split('\\r\\n').filter((line) => {
        const [, type] = /^a=(?:rtpmap|fmtp|rtcp-fb):(\\d+) /.exec(line) ?? [];
        return type === undefined || kept.includes(type);
      });
      return lines.join('\\r\\n').replace(/^(m=video \\d+ \\S+) .*$/m, '$1 ' + kept.join(' '));
    };
    const { createOffer, setLocalDescription } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.setLocalDescription = async function () {
      const { type, sdp } = await createOffer.call(this);
      const sections = sdp.split(/(?=^m=)/m).map((section) => (section.startsWith('m=video') ? narrowed(section) : section));
      return setLocalDescription.call(this, { type, sdp: sections.join('') });
    };
  }`.replaceAll('\\\\', '\\'),
});

let server, browser;
before(async () => {
  server = await Server.serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const says = (page, words) => until(`the page says ${words}`, 10, async () => words.test(await page.locator('body').innerText()));

test('a code that no lesson has', async () => {
  const page = await openDevice(browser);
  await page.goto(`${server.base}/#/c/000000`);
  await reaches(page, ['cannot_play']);
  await says(page, /没有这个号码的课/);
  await page.context().close();
});

test('a code is entered on the pad on screen', async () => {
  const lesson = await server.createLesson('号码输入');
  const page = await openDevice(browser);
  await page.goto(server.base);
  for (const digit of lesson.code) await page.getByTestId(`digit-${digit}`).click();
  // The sixth digit enters the lesson; nothing else has to be touched.
  await reaches(page, ['waiting']);
  await says(page, /等待上课/);
  await page.context().close();
});

test('a lesson that has ended while the classroom was there, and one that had ended before', async () => {
  const lesson = await server.createLesson('已经结束的课');
  const [there, late] = [await openDevice(browser), await openDevice(browser)];
  await there.goto(`${server.base}/#/c/${lesson.code}`);
  await reaches(there, ['waiting']);
  await server.call('POST', `/api/v1/lessons/${lesson.id}/start`, { token: lesson.operator });
  await server.call('POST', `/api/v1/lessons/${lesson.id}/end`, { token: lesson.operator });
  await reaches(there, ['ended']);
  await says(there, /已下课/);
  await late.goto(`${server.base}/#/c/${lesson.code}`);
  await reaches(late, ['ended', 'cannot_play']);
  await says(late, /已下课|课已经结束/);
  await there.context().close();
  await late.context().close();
});

test('a link to the studio that is not valid', async () => {
  const lesson = await server.createLesson('过期的链接');
  const page = await openDevice(browser);
  await page.goto(`${server.base}/#/studio/${lesson.id}?token=nonsense`);
  await until('the page refuses', 10, async () => (await page.getByTestId('go-on-air').count()) === 0);
  await says(page, /链接/);
  await page.context().close();
});

test('a browser without WebRTC', async () => {
  const lesson = await server.createLesson('旧浏览器');
  const page = await openDevice(browser, { init: [() => delete window.RTCPeerConnection] });
  await page.goto(`${server.base}/#/c/${lesson.code}`);
  await reaches(page, ['cannot_play']);
  await says(page, /这个浏览器不能播放直播/);
  await page.context().close();
});

test('a browser that can’t decode what the studio sends still has the voice, and says why there is no picture', async () => {
  const lesson = await server.createLesson('没有解码器');
  const studio = await openDevice(browser);
  await goOnAir(studio, lesson.studio);
  const page = await openDevice(browser, { init: [onlyKnows('VP8')] });
  await watch(page, server.base, lesson.code);
  await hears(page);
  await says(page, /不能播放(课件|老师画面)的格式/);
  await page.context().close();
  await studio.context().close();
});

test('a browser that knows no codec of ours is told to make way for another', async () => {
  const lesson = await server.createLesson('没有共同的格式');
  await server.call('POST', `/api/v1/lessons/${lesson.id}/start`, { token: lesson.operator });
  const page = await openDevice(browser, { init: [onlyKnows('VP9')] });
  await page.goto(`${server.base}/#/c/${lesson.code}`);
  await reaches(page, ['cannot_play']);
  await says(page, /播放不了这节课/);
  await page.context().close();
});

test('a browser that wants a touch before it plays sound asks for one, and no more than one', async () => {
  const strict = await launch({ touchFirst: true });
  try {
    const lesson = await server.createLesson('点一下');
    const studio = await openDevice(browser);
    await goOnAir(studio, lesson.studio);
    const page = await openDevice(strict);
    await page.goto(`${server.base}/#/c/${lesson.code}`);
    const state = await reaches(page, ['need_touch', 'live', 'weak']);
    if (state === 'need_touch') {
      await page.getByTestId('start-button').click();
      await reaches(page, ['live', 'weak']);
    }
    assert.equal(await page.getByTestId('start-button').count(), 0);
    await hears(page);
    await studio.context().close();
  } finally {
    await strict.close();
  }
});
