// The demonstration lesson in a Firefox classroom, driven over WebDriver BiDi.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import puppeteer from 'puppeteer-core';
import { probeScript } from './support/browser.mjs';
import { figure, median, until } from './support/figures.mjs';
import { frames, hears } from './support/pages.mjs';
import { Server } from './support/server.mjs';

const PREFERENCES = {
  'media.autoplay.default': 0,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // An automatic download of the H.264 module has no place in a test.
  'media.gmp-manager.updateEnabled': false,
};

function executable() {
  return process.env.FIREFOX ?? execFileSync('sh', ['-c', 'command -v firefox-esr || command -v firefox'], { encoding: 'utf8' }).trim();
}

/** A classroom with this lesson's pictures, for as long as `use` takes. */
async function inFirefox(options, use) {
  const server = await Server.demo(...options);
  let browser;
  try {
    browser = await puppeteer.launch({
      browser: 'firefox',
      executablePath: executable(),
      extraPrefsFirefox: PREFERENCES,
    });
    const page = await browser.newPage();
    await page.evaluateOnNewDocument(probeScript());
    await page.goto(server.demo.classroom);
    await use(page);
  } finally {
    await browser?.close();
    await server.stop();
  }
}

test('Firefox shows camera and slides of a VP8 lesson and hears the voice', async (t) => {
  await inFirefox(['--codec', 'vp8'], async (page) => {
    for (const name of ['camera', 'slides']) {
      const legible = async () => (await frames(page, name)).filter(({ age, moved }) => age !== null && moved);
      const seen = await until(`${name} moves with a legible time code`, 20, async () => (await legible()).length >= 10 && legible());
      figure(t, `${name}: median ${median(seen.map(({ age }) => age)).toFixed(0)} ms from glass to glass`);
      // A picture that stood still would age by a second every second.
      assert.ok(median(seen.slice(-5).map(({ age }) => age)) < 5000, `${name} keeps up`);
    }
    await hears(page);
    const state = await page.evaluate(() => document.querySelector('[data-testid="state"]').dataset.state);
    assert.ok(['live', 'weak'].includes(state), state);
  });
});
