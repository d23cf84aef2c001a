// The files that a lesson ends in, played by Chromium and Firefox: they begin, and jumps show the right picture.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import puppeteer from 'puppeteer-core';
import { launch } from './support/browser.mjs';
import { figure } from './support/figures.mjs';

const ROOT = new URL('../..', import.meta.url).pathname;
const FILES = `${ROOT}target/tmp/files-for-browsers`;
// The instant at which the lesson begins, and how long a picture is on.
const ZERO = 1_795_512_345_000;
const PICTURE_MS = 67;

let server;
let address;
before(async () => {
  const make = ['test', '--quiet', '--locked', '-p', 'mingshi-media', '--test', 'files', '--', '--ignored', 'files_for_browsers'];
  execFileSync('cargo', make, { cwd: ROOT, stdio: 'ignore' });
  server = createServer(serve).listen(0, '127.0.0.1');
  await once(server, 'listening');
  address = `http://127.0.0.1:${server.address().port}`;
});
after(() => server?.close());

/** Files with ranges, as players ask for them, and an empty page. */
function serve(request, response) {
  if (!request.url.startsWith('/files/')) {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>files</title>');
    return;
  }
  const path = FILES + request.url.slice('/files'.length);
  const size = statSync(path).size;
  const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? 'bytes=0-') ?? [];
  const [start, end] = [Number(from), to ? Number(to) : size - 1];
  const range = { 'content-range': `bytes ${start}-${end}/${size}`, 'content-length': end - start + 1 };
  response.writeHead(206, { 'content-type': 'video/mp4', 'accept-ranges': 'bytes', ...range });
  createReadStream(path, { start, end }).pipe(response);
}

/** Runs inside of the page: what a player says of a file, and what it shows after jumps to `places` (seconds). */
async function play({ address, places, zero }) {
  const video = Object.assign(document.createElement('video'), { src: address, muted: true });
  document.body.replaceChildren(video);
  const happens = (name) =>
    new Promise((resolve, reject) => {
      video.addEventListener(name, resolve, { once: true });
      video.addEventListener('error', () => reject(new Error(`${video.error?.code}: ${video.error?.message}`)), { once: true });
    });
  await happens('loadeddata');
  const side = 4;
  const context = Object.assign(document.createElement('canvas'), { width: 160, height: 8 }).getContext('2d');
  const seen = [];
  for (const place of places) {
    const jumped = happens('seeked');
    video.currentTime = place;
    await jumped;
    // Firefox says so before the picture is on screen, from where it is drawn.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const cell = video.videoWidth / 40;
    context.drawImage(video, 0, video.videoHeight - 2 * cell, video.videoWidth, 2 * cell, 0, 0, 40 * side, 2 * side);
    const code = decodeTime(cellsOf(context.getImageData(0, 0, 40 * side, 2 * side).data, side, 1));
    seen.push(code === null ? null : -ageOf(code, zero));
  }
  const { duration, videoWidth: width, videoHeight: height } = video;
  // It goes on by itself too.
  video.currentTime = 15;
  await video.play();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  return { duration, width, height, seen, went: video.currentTime - 15 };
}

const timeCode = readFileSync(new URL('support/time-code.mjs', import.meta.url), 'utf8').replace(/^export /gm, '');

/** What is shown at each place: the picture of that moment, the one before a hole, or the first. */
const LATE = [[0.5, 4000], [4.5, 4500], [7.2, 7200], [13.4, 13400], [19.5, 19500], [10.1, 10100]];
const CHANGING = [[4.5, 4500], [7.9, 7900], [10, 7933], [14.1, 14100], [19.5, 19500], [2.1, 4000], [5.1, 5100]];

async function plays(t, page, file, expected) {
  await page.goto(address);
  await page.evaluate(`${timeCode}; Object.assign(window, { decodeTime, cellsOf, ageOf })`);
  const options = { address: `${address}/files/${file}`, places: expected.map(([place]) => place), zero: ZERO };
  const found = await page.evaluate(play, options);
  figure(t, `${file}: ${JSON.stringify(found)}`);
  assert.ok(Math.abs(found.duration - 20) < 0.1, `${file} lasts ${found.duration} s`);
  expected.forEach(([place, wanted], index) => {
    const off = Math.abs(found.seen[index] - wanted);
    assert.ok(found.seen[index] !== null && off <= PICTURE_MS + 1, `${file}: ${found.seen[index]} instead of ${wanted} at ${place} s`);
  });
  assert.ok(found.went > 0.5, `${file} went on by ${found.went} s`);
}

test('Chromium plays every file and jumps to the right picture', async (t) => {
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await plays(t, page, 'changing/files/camera.mp4', CHANGING);
    await plays(t, page, 'changing/files/camera-compatible.mp4', CHANGING);
    await plays(t, page, 'av1/files/camera.mp4', LATE);
    await plays(t, page, 'av1/files/camera-compatible.mp4', LATE);
  } finally {
    await browser.close();
  }
});

test('Firefox plays every file and jumps to the right picture', async (t) => {
  const executablePath = process.env.FIREFOX ?? execFileSync('sh', ['-c', 'command -v firefox-esr || command -v firefox'], { encoding: 'utf8' }).trim();
  const preferences = { 'media.autoplay.default': 0, 'media.gmp-manager.updateEnabled': false };
  const browser = await puppeteer.launch({ browser: 'firefox', executablePath, extraPrefsFirefox: preferences });
  try {
    const page = await browser.newPage();
    await plays(t, page, 'av1/files/camera.mp4', LATE);
    // H.264 is what Firefox takes from the system, which may not have it.
    await page.goto(address);
    if (await page.evaluate(() => document.createElement('video').canPlayType('video/mp4; codecs="avc1.42e01f, mp4a.40.2"') === '')) {
      t.diagnostic('this Firefox has no H.264');
      return;
    }
    await plays(t, page, 'changing/files/camera.mp4', CHANGING);
    await plays(t, page, 'changing/files/camera-compatible.mp4', CHANGING);
    await plays(t, page, 'av1/files/camera-compatible.mp4', LATE);
  } finally {
    await browser.close();
  }
});
