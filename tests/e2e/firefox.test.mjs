// Firefox in a classroom and in the studio, driven over WebDriver BiDi. Debian's has no H.264.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import puppeteer from 'puppeteer-core';
import { launch, openDevice, probeScript } from './support/browser.mjs';
import { figure, median, until } from './support/figures.mjs';
import { frames, hears, movesAgain, stats, watch } from './support/pages.mjs';
import { Server } from './support/server.mjs';

const PREFERENCES = {
  'intl.accept_languages': 'zh-CN',
  'media.autoplay.default': 0,
  'media.navigator.permission.disabled': true,
  'media.navigator.streams.fake': true,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // An automatic download of the H.264 module has no place in a test.
  'media.gmp-manager.updateEnabled': false,
};

function executable() {
  return process.env.FIREFOX ?? execFileSync('sh', ['-c', 'command -v firefox-esr || command -v firefox'], { encoding: 'utf8' }).trim();
}

let firefox;
before(async () => {
  firefox = await puppeteer.launch({ browser: 'firefox', executablePath: executable(), extraPrefsFirefox: PREFERENCES });
});
after(() => firefox?.close());

/** A page in Firefox, at the demonstration lesson's classroom or another address. */
async function open(address) {
  const page = await firefox.newPage();
  await page.evaluateOnNewDocument(probeScript());
  await page.goto(address);
  return page;
}

const byTestId = (name) => `[data-testid="${name}"]`;
const stateIn = (page) => page.$eval(byTestId('state'), (element) => element.dataset.state);
const textIn = (page, name) => page.$eval(byTestId(name), (element) => element.textContent);

/** The demonstration lesson, for as long as `use` takes. */
async function inDemo(options, use) {
  const server = await Server.demo(...options);
  try {
    await use(await open(server.demo.classroom), server);
  } finally {
    await server.stop();
  }
}

test('Firefox shows camera and slides of a VP8 lesson and hears the voice', async (t) => {
  await inDemo(['--codec', 'vp8'], async (page) => {
    for (const name of ['camera', 'slides']) {
      const legible = async () => (await frames(page, name)).filter(({ age, moved }) => age !== null && moved);
      const seen = await until(`${name} moves with a legible time code`, 20, async () => (await legible()).length >= 10 && legible());
      figure(t, `${name}: median ${median(seen.map(({ age }) => age)).toFixed(0)} ms from glass to glass`);
      // A picture that stood still would age by a second every second.
      assert.ok(median(seen.slice(-5).map(({ age }) => age)) < 5000, `${name} keeps up`);
    }
    await hears(page);
    const state = await stateIn(page);
    assert.ok(['live', 'weak'].includes(state), state);
    await page.close();
  });
});

test('Firefox without H.264 hears an H.264 lesson and says in words why there is no picture', async () => {
  await inDemo(['--codec', 'h264'], async (page) => {
    const says = (name, words) => until(`${name}: ${words}`, 20, async () => (await textIn(page, `${name}-note`)).includes(words));
    await says('slides', '这台电脑不能播放课件的格式，声音不受影响');
    await says('camera', '这台电脑不能播放老师画面的格式');
    await hears(page);
    assert.equal((await frames(page, 'camera')).length, 0);
    await page.close();
  });
});

test('Firefox goes on air, and Chromium sees it move and hears it', async (t) => {
  const server = await Server.serve();
  const chromium = await launch();
  try {
    const lesson = await server.createLesson('五年级英语 第四单元');
    const studio = await open(lesson.studio);
    const button = byTestId('go-on-air');
    await until('the button can be pressed', 20, () => studio.$eval(button, (element) => !element.disabled));
    await studio.click(button);
    await until('the studio is on air', 20, async () => (await stateIn(studio)) === 'on_air');
    const began = Date.now();
    const classroom = await openDevice(chromium);
    await watch(classroom, server.base, lesson.code);
    const camera = await movesAgain(classroom, 'camera', began);
    await hears(classroom);
    figure(t, `camera after ${(camera / 1000).toFixed(1)} s`);
    const codecs = new Map((await stats(classroom)).filter(({ type }) => type === 'codec').map(({ id, mimeType }) => [id, mimeType]));
    const seen = (await stats(classroom)).filter(({ type, kind, framesDecoded }) => type === 'inbound-rtp' && kind === 'video' && framesDecoded);
    assert.deepEqual(seen.map(({ codecId }) => codecs.get(codecId)), ['video/VP8']);
    await studio.close();
  } finally {
    await chromium.close();
    await server.stop();
  }
});
