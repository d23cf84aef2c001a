// Chromium as a studio or classroom has it: with a fake camera and microphone, and sound that plays without a touch.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'google-chrome-stable', 'google-chrome', 'chromium-browser'];
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream=device-count=3,fps=25',
];

const SHOWN = {
  slides: '[data-testid="slides-video"]',
  camera: '[data-testid="camera-video"]',
};

/** The modules that run in pages, as one script that puts `window.probe` there before the page's own scripts run. */
export function probeScript() {
  const modules = ['time-code.mjs', 'tone.mjs', 'probe.mjs'].map((name) => readFileSync(new URL(name, import.meta.url), 'utf8'));
  const code = modules.join('\n').replace(/^import .*$/gm, '').replace(/^export /gm, '');
  return `(() => { ${code}
    window.probe = { frames: watchVideos(${JSON.stringify(SHOWN)}), hearBursts };
  })();`;
}

export function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of NAMES) {
    try {
      return execFileSync('which', [name], { encoding: 'utf8' }).trim();
    } catch {
      // Not this one; `which` says so by its exit code.
    }
  }
  throw new Error(`none of ${NAMES.join(', ')} is installed; name a Chromium in CHROMIUM`);
}

/** A browser; `touchFirst` leaves the rule on that sound needs a touch, `program` is what is run for it. */
export function launch({ touchFirst = false, flags = [], program = executable() } = {}) {
  const autoplay = touchFirst ? 'document-user-activation-required' : 'no-user-gesture-required';
  return chromium.launch({
    executablePath: program,
    ignoreDefaultArgs: ['--mute-audio'],
    args: [...FLAGS, `--autoplay-policy=${autoplay}`, ...flags],
  });
}

/** A page in a device of its own, with nothing remembered, whose console is kept in `page.said`. */
export async function openDevice(browser, { width = 1366, height = 768, locale = 'zh-CN', init = [] } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    locale,
    bypassCSP: true,
    ignoreHTTPSErrors: true,
    permissions: ['camera', 'microphone'],
  });
  await context.addInitScript({ content: probeScript() });
  for (const script of init) await context.addInitScript(script);
  const page = await context.newPage();
  page.said = [];
  page.on('console', (message) => page.said.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => page.said.push(`error: ${error.stack}`));
  return page;
}
