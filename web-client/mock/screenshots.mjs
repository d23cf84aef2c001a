// Draws every page and state at the three sizes that matter: `node mock/screenshots.mjs FOLDER [NAME…]`.
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { addRecording, changeRecording, mood } from './catalogue.mjs';
import { recordedLesson } from './recordings.mjs';
import { addLesson, cut, listen, mend, say } from './server.mjs';

const SIZES = [[1366, 768], [1920, 1080], [390, 844]];
const [folder = '/tmp/screenshots', ...only] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });

const { server } = await listen(0);
const BASE = `http://127.0.0.1:${server.address().port}/`;
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--allow-loopback-in-peer-connection',
  '--disable-features=WebRtcHideLocalIpsWithMdns', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
  '--auto-select-desktop-capture-source=Entire screen',
];
const launch = (more) => chromium.launch({ executablePath: '/usr/bin/chromium', args: [...FLAGS, ...more] });
const browser = await launch(['--autoplay-policy=no-user-gesture-required']);
const silent = await launch(['--autoplay-policy=document-user-activation-required']);
const answerer = await browser.newPage();
await answerer.goto(`${BASE}mock/answerer.html`);

const in3 = new Date(Date.now() + 3 * 60_000).toISOString();
const ago12 = new Date(Date.now() - 751_000).toISOString();
const NAMES = ['舒城县河棚镇中心小学 五（1）班', '金寨县斑竹园教学点', '霍山县诸佛庵小学 五年级', '裕安区石婆店完小', '金安区毛坦厂镇东河口教学点 复式班', '叶集区孙岗小学', '霍邱县临水镇小学 五（2）班'];
const rooms = NAMES.map((name, index) => ({
  id: `r${index}`, role: 'classroom', name, school: null, connected: index !== 3, publishing: [], hand_raised: index === 4 || index === 1, on_stage: false, joined_at: ago12, line: ['good', 'weak', 'good', null, 'weak', 'bad', 'good'][index],
  behind: [null, null, { behind_ms: 80_000, mode: 'catching_up' }, null, { behind_ms: 42_000, mode: 'paused' }, null, { behind_ms: 8000, mode: null }][index],
}));
const lines = rooms.map((room, index) => ({
  participant: room.id, connection: 'x', direction: 'down', loss: [0, 0.02, 0, 0, 0.05, 0.2, 0][index], round_trip_ms: 40 + index * 60, jitter_ms: 5, bitrate: 1e6,
  tier: ['10M', '4M', '4M', null, '10M', '4M', '30M'][index], estimate: [8.6e6, 2.3e6, 3.1e6, null, 5.2e6, 0.4e6, 24e6][index], budget: [7e6, 2e6, 3e6, null, 5e6, 0.3e6, 2e7][index],
  cut: [[], [{ slot: 'camera', index: 0, paused: true }], [{ slot: 'camera', index: 0, paused: false }], [], [], [{ slot: 'slides', index: 0, paused: true }, { slot: 'camera', index: 0, paused: true }], []][index],
}));
const about = { teacher: '王敏', subject: '英语', grade: '五年级' };
const live = addLesson({ title: '五年级英语 Unit 3 My weekend plan', ...about, state: 'live', started_at: ago12, starts_at: ago12, join_code: '307216' }, { participants: rooms, lines });
const planned = addLesson({ title: '三年级美术 水墨游鱼', teacher: '陈静', subject: '美术', grade: '三年级', starts_at: in3, join_code: '482915' }, { participants: rooms.slice(0, 2), lines });
addLesson({ title: '四年级科学 溶解的快慢', teacher: '李建国', state: 'live', started_at: ago12, join_code: '550123' }, { paused: { voice: 'no_source', slides: 'no_source', camera: 'no_source', stage: 'no_source' } });
addLesson({ title: '三年级数学 周长', teacher: '王敏', state: 'live', started_at: ago12, join_code: '770001' }, { paused: { camera: 'no_room', stage: 'no_source' } });
addLesson({ title: '三年级数学 面积', teacher: '王敏', state: 'live', started_at: ago12, join_code: '770002' }, { paused: { slides: 'no_room', camera: 'no_room', stage: 'no_source' } });
addLesson({ title: '三年级数学 体积', teacher: '王敏', state: 'live', started_at: ago12, join_code: '770003' }, { paused: { stage: 'no_source' }, held: { camera: 'no_room' } });
addLesson({ title: '二年级音乐', teacher: '周梅', state: 'live', started_at: ago12, join_code: '660123' }, { paused: { slides: 'unsupported_codec', stage: 'no_source' } });
addLesson({ title: '六年级语文《只有一个地球》第二课时：默读课文，把握主要观点，体会说明语言的准确与严密', teacher: '欧阳明月', subject: '语文', grade: '六年级', starts_at: in3, join_code: '719004' });
addLesson({ title: '一年级数学 认识图形', teacher: '赵晓', state: 'ended', starts_at: ago12, started_at: ago12, ended_at: ago12, join_code: '811111' });
addLesson({ title: '连不上', teacher: '王敏', state: 'live', started_at: ago12, join_code: '920001' }, { mediaRefused: true });

const blocked = addLesson({ title: '五年级英语 Unit 3 My weekend plan', ...about, state: 'live', started_at: ago12, join_code: '920002' }, { mediaRefused: true });
// Lessons that are recorded: three minutes at most, so each shot begins its own.
recordedLesson();
const recordFrom = (lesson, secondsAgo) => changeRecording(lesson.id, {}, { zeroMs: Date.now() - 1000 * secondsAgo });
for (const lesson of [live, blocked]) addRecording({ lesson: lesson.id, title: lesson.title, state: 'recording' });
const day = (n, hour) => new Date(Date.now() - n * 86_400_000 - hour * 3_600_000).toISOString();
const LONG = '六年级语文《只有一个地球》第二课时：默读课文，把握主要观点，体会说明语言的准确与严密，联系生活实际谈谈保护环境的办法';
const taught = { teacher: '王敏', subject: '英语', grade: '五年级', school: '舒城县城关第一小学' };
addRecording({ lesson: 'running', title: '五年级英语 Unit 3 My weekend plan', ...taught, state: 'recording', complete: false, begun_at: new Date(Date.now() - 130_000).toISOString() }, { zeroMs: Date.now() - 130_000 });
addRecording({ lesson: 'weekend', title: '五年级英语 Unit 3 My weekend plan', ...taught, begun_at: day(1, 2), duration_ms: 2_412_000, bytes: 412_000_000, kept: true });
addRecording({ lesson: 'old', title: '三年级美术 水墨游鱼', teacher: '陈静', subject: '美术', grade: '三年级', begun_at: day(1, 5), duration_ms: 2_355_000, bytes: 655_000_000, state: 'repaired' }, { av1: true });
addRecording({ lesson: 'soon', title: '四年级科学 溶解的快慢', teacher: '李建国', subject: '科学', grade: '四年级', school: '霍山县诸佛庵小学', begun_at: day(0, 1), duration_ms: 2_390_000, state: 'finishing', complete: false }, { poster: false, noDvr: true });
addRecording({ lesson: 'lost', title: '二年级音乐 小雨沙沙', teacher: '周梅', subject: '音乐', grade: '二年级', begun_at: day(2, 3), state: 'failed', complete: false, reason: { zh: '服务器的磁盘满了，这节课没有录下来', en: 'The disk of the server was full' } });
addRecording({ lesson: 'long', title: LONG, teacher: '欧阳明月', subject: '语文', grade: '六年级', school: '金安区毛坦厂镇东河口教学点（复式班教学实验基地）', begun_at: day(3, 1), duration_ms: 4_812_000, bytes: 1_400_000_000 });
for (const [n, title, subject] of [[4, '三年级数学 周长', '数学'], [5, '三年级数学 面积', '数学'], [6, '五年级英语 Unit 2 Ways to go to school', '英语'], [7, '四年级语文 观潮', '语文']]) addRecording({ lesson: `more${n}`, title, subject, teacher: '赵晓', grade: title.slice(0, 3), begun_at: day(n, 2), duration_ms: 2_400_000 - n * 3000, bytes: 300_000_000 });

async function open(path, size, options = {}) {
  mood.list = options.mood ?? null;
  changeRecording('running', {}, { zeroMs: Date.now() - 130_000 });
  const context = await (options.silent ? silent : browser).newContext({ viewport: { width: size[0], height: size[1] }, permissions: options.denied ? [] : ['camera', 'microphone', 'clipboard-read', 'clipboard-write'], locale: 'zh-CN' });
  const page = await context.newPage();
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && console.log(options.name, message.type(), message.text()));
  page.on('pageerror', (error) => console.log(options.name, 'page error', error.message));
  if (options.operator) await page.goto(`${BASE}#/operator/any`).then(() => page.waitForTimeout(400));
  if (options.before) await page.addInitScript(options.before);
  await page.goto(`${BASE}#${path}`);
  if (options.operator) await page.reload();
  return page;
}

const moved = async (page) => {
  await page.mouse.move(200, 200);
  await page.mouse.move(260, 240);
};
/** A page whose clock can be put on, for a break that lasts. */
const leaping = () => {
  const now = performance.now.bind(performance);
  window.leap = 0;
  performance.now = () => now() + window.leap;
};
const breakLine = async (page, ms, leap = 0) => {
  cut(live.id);
  await page.waitForTimeout(ms);
  if (leap) await page.evaluate((by) => (window.leap = by), leap);
  mend(live.id);
  await moved(page);
};
const caught = (page, kind) => page.waitForSelector(`[data-place="${kind}"]`, { state: 'attached', timeout: 20_000 });
const english = () => localStorage.setItem('mingshi.language', '"en"');
const studio = { operator: true };
const goLive = async (page) => {
  await page.getByTestId('choose-slides').selectOption('screen').catch(() => undefined);
  await page.waitForTimeout(900);
  await page.getByTestId('go-on-air').click();
  await page.waitForTimeout(2500);
};

const SHOTS = {
  'start-code': ['/', {}, async (page) => { for (const n of [3, 0, 7]) await page.getByTestId(`digit-${n}`).click(); }],
  'operator-today': ['/', { operator: true }, null],
  'operator-code': ['/', { operator: true }, (page) => page.getByTestId('show-code').first().click()],
  'operator-english': ['/', { operator: true }, (page) => page.getByTestId('language').click()],
  'operator-bad-key': ['/operator/wrong', {}, null],
  'classroom-waiting': ['/c/482915', {}, null],
  'classroom-waiting-long': ['/c/719004', {}, null],
  'classroom-unknown-code': ['/c/000000', {}, null],
  'classroom-ended': ['/c/811111', {}, null],
  'classroom-connecting': ['/c/920001', {}, null],
  'classroom-stuck': ['/c/920001', { wait: 13_500 }, null],
  'classroom-live': ['/c/307216', { wait: 3000 }, moved],
  'classroom-live-idle': ['/c/307216', { wait: 6500 }, null],
  'classroom-swapped': ['/c/307216', { wait: 2500 }, (page) => page.getByTestId('swap').click()],
  'classroom-touch': ['/c/307216', { wait: 2500, silent: true }, null],
  'classroom-teacher-away': ['/c/550123', { wait: 2500 }, moved],
  'classroom-unsupported': ['/c/660123', { wait: 2500 }, moved],
  'classroom-camera-cut': ['/c/770001', { wait: 3000 }, moved],
  'classroom-camera-cut-later': ['/c/770001', { wait: 16_000 }, moved],
  'classroom-camera-cut-english': ['/c/770001', { wait: 3000, before: english }, moved],
  'classroom-voice-only': ['/c/770002', { wait: 3000 }, moved],
  'classroom-lowered': ['/c/770003', { wait: 3000 }, moved],
  'classroom-reconnecting': ['/c/307216', { wait: 2500 }, async (page) => {
    cut(live.id);
    await page.waitForTimeout(4300);
  }],
  'classroom-held': ['/c/307216', { wait: 3000, record: live }, async (page) => { await moved(page); await page.getByTestId('hold').click(); await page.waitForTimeout(4000); await moved(page); }],
  'classroom-again': ['/c/307216', { wait: 3000, record: live }, async (page) => { await moved(page); await page.getByTestId('again').click(); await caught(page, 'playing'); await page.waitForTimeout(2500); await moved(page); }],
  'classroom-catching-up': ['/c/307216', { wait: 3000, record: live }, async (page) => { await breakLine(page, 6000); await caught(page, 'playing'); await page.waitForTimeout(2500); await moved(page); }],
  'classroom-catching-up-english': ['/c/307216', { wait: 3000, record: live, before: english }, async (page) => { await breakLine(page, 6000); await caught(page, 'playing'); await page.waitForTimeout(2500); await moved(page); }],
  'classroom-offered': ['/c/307216', { wait: 3000, record: live, before: leaping }, async (page) => { await breakLine(page, 5000, 16 * 60_000 + 4000); await caught(page, 'offered'); await moved(page); }],
  'classroom-late': ['/c/920002', { wait: 13_000, record: blocked }, async (page) => { await caught(page, 'late'); await page.waitForTimeout(3000); await moved(page); }],
  'studio-prepare': [`/studio/${planned.id}`, { ...studio, wait: 2500 }, null],
  'studio-denied': [`/studio/${planned.id}`, { ...studio, before: () => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError')); } }, null],
  'studio-insecure': [`/studio/${planned.id}`, { ...studio, before: () => Object.defineProperty(window, 'isSecureContext', { value: false }) }, null],
  'studio-on-air': [`/studio/${live.id}`, { ...studio, wait: 2000 }, goLive],
  'studio-on-air-english': [`/studio/${live.id}`, { ...studio, wait: 2000, before: english }, goLive],
  'studio-end': [`/studio/${live.id}`, { ...studio, wait: 2000 }, async (page) => { await goLive(page); await page.getByTestId('end-lesson').click(); }],
  'studio-muted': [`/studio/${live.id}`, { ...studio, wait: 2000 }, async (page) => { await goLive(page); await page.getByTestId('mute').click(); }],
  'library': ['/library', { operator: true, wait: 1200 }, null],
  'library-end': ['/library', { operator: true, wait: 1200 }, (page) => page.evaluate(() => document.querySelector('[data-testid=recording]:last-child').scrollIntoView())],
  'library-english': ['/library', { operator: true, wait: 1200, before: english }, null],
  'library-filtered': ['/library?subject=数学&from=2026-01-01', { operator: true, wait: 1200 }, null],
  'library-nothing': ['/library?q=书法', { operator: true }, null],
  'library-empty': ['/library', { operator: true, mood: 'empty' }, null],
  'library-loading': ['/library', { operator: true, mood: 'slow' }, null],
  'library-failed': ['/library', { operator: true, mood: 'refuse' }, null],
  'library-stranger': ['/library', {}, null],
  'library-delete': ['/library', { operator: true, wait: 1200 }, (page) => page.getByTestId('remove').nth(1).click()],
  'library-link': ['/library', { operator: true, wait: 1200 }, async (page) => { await page.getByTestId('link').nth(1).click(); await page.getByTestId('make-link').click(); }],
  'replay': ['/replay/weekend?t=40', { operator: true, wait: 3500 }, null],
  'replay-english': ['/replay/weekend?t=40', { operator: true, wait: 3500, before: english }, null],
  'replay-gap': ['/replay/weekend?t=80', { operator: true, wait: 3500 }, null],
  'replay-side': ['/replay/weekend?t=40', { operator: true, wait: 2500 }, (page) => page.getByTestId('mode-side').click()],
  'replay-inset': ['/replay/weekend?t=40', { operator: true, wait: 2500 }, async (page) => { await page.getByTestId('mode-inset').click(); await page.getByTestId('toggle').click(); }],
  'replay-swapped': ['/replay/weekend?t=40', { operator: true, wait: 2500 }, async (page) => { await page.getByTestId('mode-large').click(); await page.getByTestId('swap').click(); }],
  'replay-hover': ['/replay/weekend?t=40', { operator: true, wait: 2500 }, async (page) => { const box = await page.getByTestId('time-bar').boundingBox(); await page.mouse.move(box.x + box.width * 0.46, box.y + 22); await page.waitForTimeout(400); }],
  'replay-rate': ['/replay/weekend?t=40', { operator: true, wait: 2500 }, (page) => page.getByTestId('rate').click()],
  'replay-download': ['/replay/weekend?t=40', { operator: true, wait: 2500 }, (page) => page.getByTestId('download').click()],
  'replay-copied': ['/replay/weekend?t=40', { operator: true, wait: 2500 }, (page) => page.getByTestId('copy-moment').click()],
  'replay-touch': ['/replay/weekend?t=40', { operator: true, silent: true, wait: 2500 }, null],
  'replay-resumed': ['/replay/weekend', { operator: true, wait: 2500, before: () => localStorage.setItem('mingshi.stopped.weekend', '95000') }, null],
  'replay-over': ['/replay/weekend?t=179', { operator: true, wait: 4500 }, null],
  'replay-live': ['/replay/running', { operator: true, wait: 4000 }, null],
  'replay-repaired': ['/replay/old?t=2', { operator: true, wait: 3000 }, null],
  'replay-long': ['/replay/long?t=65', { operator: true, wait: 2500 }, null],
  'replay-finishing': ['/replay/soon', { operator: true, wait: 1500 }, null],
  'replay-failed': ['/replay/lost', { operator: true }, null],
  'replay-expired': ['/replay/weekend', {}, null],
  'replay-unknown': ['/replay/nothing', { operator: true }, null],
  'replay-fullscreen': ['/replay/weekend?t=40', { operator: true, wait: 2500 }, async (page) => { await page.keyboard.press('f'); await page.mouse.move(300, 300); await page.waitForTimeout(500); }],
  'studio-replaced': [`/studio/${live.id}`, { ...studio, wait: 2000 }, async (page) => { await goLive(page); await page.waitForTimeout(3500); say(live.id, { type: 'replaced', source: 'camera', connection: await page.evaluate(() => window.__mingshi.connections()[0].id) }); await page.waitForTimeout(300); }],
};

for (const [name, [path, options, act]] of Object.entries(SHOTS)) {
  if (only.length > 0 && !only.some((word) => name.includes(word))) continue;
  for (const size of SIZES) {
    if (options.record) recordFrom(options.record, 110);
    const page = await open(path, size, { ...options, name });
    await page.waitForTimeout(options.wait ?? 900);
    try {
      if (act) await act(page);
    } catch (error) {
      console.log(name, size.join('x'), String(error).split('\n')[0]);
    }
    await page.waitForTimeout(300);
    await page.screenshot({ path: `${folder}/${name}-${size[0]}.png` });
    await page.context().close();
    mend(live.id);
  }
}
await browser.close();
await silent.close();
server.close();
process.exit(0);
