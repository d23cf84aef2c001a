// Recordings for the stand-in server: a lesson of three minutes, drawn and encoded by ffmpeg when it is first needed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const SECONDS = 180;
const PART = 4;
const SLIDES = [
  ['#0f3b57', 'Unit 3  My weekend plan', '五年级英语  ·  王敏'],
  ['#f7f3e8', 'What are you going to do?', 'see a film   ·   take a trip   ·   go to the supermarket'],
  ['#e9f3ec', "Let's read", 'This morning / afternoon / evening'],
  ['#fbecec', 'Pair work', 'A: Where are you going?   B: I am going to …'],
  ['#eef1fb', "Let's check", 'I’m going to the bookstore this evening.'],
  ['#0f3b57', 'Homework', '抄写单词，说说你的周末计划'],
];
/** The camera was away for a while, as in a lesson whose teacher pulled the wrong plug. */
export const GAP = { from: 72, to: 100 };
const FONT = 'Noto Sans CJK SC';

const run = (...args) => execFileSync('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-y', ...args], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, SVT_LOG: '1' } });
const quoted = (text) => text.replace(/[\\:',%]/g, (one) => (one === "'" ? '’' : `\\${one}`));

function drawSlides() {
  const each = SECONDS / SLIDES.length;
  const one = ([ground, title, line], index) => {
    const ink = ground === '#0f3b57' ? 'white' : '#14202b';
    const text = (what, size, y) => `drawtext=font='${FONT}':text='${quoted(what)}':fontsize=${size}:fontcolor=${ink}:x=(w-text_w)/2:y=${y}`;
    const clock = `drawtext=font='${FONT}':text='%{pts\\:hms\\:${index * each}}':fontsize=20:fontcolor=${ink}:x=w-text_w-24:y=h-40`;
    return `color=c=${ground}:s=960x540:r=5:d=${each},${text(title, 60, 'h*0.34')},${text(line, 30, 'h*0.56')},${clock}[s${index}]`;
  };
  return `${SLIDES.map(one).join(';')};${SLIDES.map((_, index) => `[s${index}]`).join('')}concat=n=${SLIDES.length},format=yuv420p[out]`;
}

const CAMERA = [
  `color=c=#7d8f88:s=480x360:r=10:d=${SECONDS}`,
  'drawbox=x=30:y=30:w=420:h=150:color=#2f4a3f:t=fill',
  `drawtext=font='${FONT}':text='Unit 3':fontsize=40:fontcolor=#dfe8e2:x=52:y=60`,
  'drawbox=x=190:y=120:w=100:h=120:color=#e9c9a9:t=fill,drawbox=x=182:y=98:w=116:h=44:color=#2b2320:t=fill',
  'drawbox=x=140:y=240:w=200:h=130:color=#a63d40:t=fill',
  `drawtext=font='${FONT}':text='%{pts\\:hms}':fontsize=22:fontcolor=white:x=12:y=h-34`,
  'format=yuv420p[out]',
].join(',');

const H264 = (rate) => ['-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', rate, '-g', String(PART * 10), '-force_key_frames', `expr:gte(t,n_forced*${PART})`, '-sc_threshold', '0'];
const CMAF = (folder) => ['-f', 'hls', '-hls_time', String(PART), '-hls_segment_type', 'fmp4', '-hls_playlist_type', 'vod', '-hls_flags', 'independent_segments', '-hls_fmp4_init_filename', 'init-1.mp4', '-hls_segment_filename', join(folder, '%06d.m4s'), join(folder, 'index.m3u8')];

/** The folder of the lesson, with `dvr/` and `files/` as the server has them. */
export function recordedLesson() {
  const folder = join(tmpdir(), `mingshi-mock-recording-${statSync(new URL(import.meta.url)).mtimeMs}`);
  if (existsSync(folder)) return folder;
  const made = mkdtempSync(`${folder}-`);
  const [dvr, files] = [join(made, 'dvr'), join(made, 'files')];
  for (const track of ['voice/audio', 'camera/low', 'camera/high', 'slides/high']) mkdirSync(join(dvr, track), { recursive: true });
  mkdirSync(files, { recursive: true });
  run('-filter_complex', drawSlides(), '-map', '[out]', ...H264('400k'), join(made, 'slides.mp4'));
  run('-filter_complex', CAMERA, '-map', '[out]', ...H264('300k'), join(made, 'camera.mp4'));
  // A tone that rises with every minute, and ticks with every second.
  run('-f', 'lavfi', '-i', `aevalsrc='0.12*sin(2*PI*(220+110*floor(t/60))*t)*(0.25+0.75*lt(mod(t,1),0.08))':d=${SECONDS}:s=48000`, '-c:a', 'libopus', '-b:a', '48k', join(made, 'voice.webm'));
  for (const [track, input] of [['slides/high', 'slides.mp4'], ['camera/high', 'camera.mp4'], ['voice/audio', 'voice.webm']]) run('-i', join(made, input), '-c', 'copy', ...CMAF(join(dvr, track)));
  run('-i', join(made, 'camera.mp4'), '-vf', 'scale=240:180', ...H264('90k'), ...CMAF(join(dvr, 'camera/low')));
  for (const track of ['slides', 'camera']) {
    run('-i', join(made, `${track}.mp4`), '-i', join(made, 'voice.webm'), '-c', 'copy', '-movflags', '+faststart', join(files, `${track}.mp4`));
    run('-i', join(made, `${track}.mp4`), '-i', join(made, 'voice.webm'), '-c:v', 'copy', '-c:a', 'aac', '-b:a', '64k', '-movflags', '+faststart', join(files, `${track}-compatible.mp4`));
  }
  // What a browser without a decoder is given; the old ones refuse AV1 by its name, so a few seconds of it are enough.
  run('-i', join(made, 'slides.mp4'), '-t', '4', '-c:v', 'libsvtav1', '-preset', '12', join(files, 'slides-av1.mp4'));
  for (const index of SLIDES.keys()) {
    run('-ss', String(index * SECONDS / SLIDES.length + 2), '-i', join(made, 'slides.mp4'), '-frames:v', '1', '-vf', 'scale=320:-2', '-q:v', '3', join(files, `slide-${String(index + 1).padStart(4, '0')}.jpg`));
  }
  run('-ss', '2', '-i', join(made, 'slides.mp4'), '-frames:v', '1', '-vf', 'scale=640:-2', '-q:v', '3', join(files, 'poster.jpg'));
  mkdirSync(join(dvr, 'slides'), { recursive: true });
  for (const name of readdirSync(files).filter((one) => one.startsWith('slide-'))) writeFileSync(join(dvr, 'slides', `00${name.slice(6)}`), readFileSync(join(files, name)));
  try {
    renameSync(made, folder);
  } catch {
    // Another process was quicker.
    rmSync(made, { recursive: true, force: true });
  }
  return folder;
}

export const slideChanges = (picture) => SLIDES.map((_, index) => ({ at_ms: index * 1000 * (SECONDS / SLIDES.length), picture: picture(index + 1) }));

export const gaps = [{ from_ms: GAP.from * 1000, to_ms: GAP.to * 1000, track: 'camera', why: 'studio_away' }];

/** A playlist as far as the lesson has come: what ffmpeg wrote, with the wall clock, and without what fell into the hole. */
export function playlist(text, { zeroMs, untilMs, over, hole }) {
  const lines = ['#EXTM3U', '#EXT-X-VERSION:7', `#EXT-X-TARGETDURATION:${PART + 1}`, '#EXT-X-PLAYLIST-TYPE:EVENT', '#EXT-X-MEDIA-SEQUENCE:1', '#EXT-X-INDEPENDENT-SEGMENTS', '#EXT-X-MAP:URI="init-1.mp4"'];
  let at = 0;
  for (const [, duration, name] of text.matchAll(/#EXTINF:([\d.]+),.*\n(.+)/g)) {
    const end = at + Number(duration);
    const lost = hole && end > GAP.from && at < GAP.to;
    if (end * 1000 > untilMs) break;
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(zeroMs + at * 1000).toISOString()}`);
    if (lost) lines.push('#EXT-X-GAP');
    lines.push(`#EXTINF:${duration},`, name);
    at = end;
  }
  if (over) lines.push('#EXT-X-ENDLIST');
  return `${lines.join('\n')}\n`;
}

export function master(track) {
  const media = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="voice",NAME="voice",DEFAULT=YES,AUTOSELECT=YES,URI="voice/audio/index.m3u8"';
  const variant = (name, rate, size) => `#EXT-X-STREAM-INF:BANDWIDTH=${rate},RESOLUTION=${size},CODECS="avc1.42c01e,opus",AUDIO="voice"\n${track}/${name}/index.m3u8`;
  if (track === 'voice') return '#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="opus"\nvoice/audio/index.m3u8\n';
  const variants = track === 'camera' ? [variant('high', 364000, '480x360'), variant('low', 154000, '240x180')] : [variant('high', 464000, '960x540')];
  return ['#EXTM3U', '#EXT-X-VERSION:7', media, ...variants].join('\n') + '\n';
}

export function timeline(lesson, { zeroMs, durationMs, live }) {
  const rendition = (name, width, height, rate) => ({ name, codec: 'avc1.42c01e', width, height, bits_per_second: rate, end_ms: durationMs });
  return {
    version: 1, lesson, zero_unix_ms: zeroMs, live, duration_ms: durationMs,
    tracks: [
      { name: 'voice', kind: 'audio', renditions: [{ name: 'audio', codec: 'opus', width: 0, height: 0, bits_per_second: 64000, end_ms: durationMs }] },
      { name: 'camera', kind: 'video', renditions: [rendition('high', 480, 360, 300000), rendition('low', 240, 180, 90000)] },
      { name: 'slides', kind: 'video', renditions: [rendition('high', 960, 540, 400000)] },
    ],
    gaps: gaps.filter((gap) => gap.to_ms <= durationMs),
    slides: slideChanges((number) => `slides/00${String(number).padStart(4, '0')}.jpg`).filter((slide) => slide.at_ms <= durationMs),
  };
}
