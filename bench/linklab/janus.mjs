// The same lines under Janus (Debian's package, streaming plugin): one source of 720p at 15 pictures a second and 1.5 Mbit/s with a
// voice of 32 kbit/s, as GStreamer makes them, to every room that watches. Needs the packages janus and gstreamer1.0-tools.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../tests/e2e/support/figures.mjs';
import { SERVER } from '../../tests/e2e/support/machines.mjs';

const PLUGINS = '/usr/lib/x86_64-linux-gnu/janus';
const SITE = `http://${SERVER.ipv4}:8088/janus/info`;
const PORTS = { voice: 5002, camera: 5004 };

/** Janus' version, or null where it isn't installed. */
export function version() {
  try {
    return execFileSync('dpkg-query', ['--show', '--showformat', '${Version}', 'janus'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return null;
  }
}

const CONFIGURATION = {
  'janus.jcfg': (folder) => `
    general: { configs_folder = "${folder}", plugins_folder = "${PLUGINS}/plugins", transports_folder = "${PLUGINS}/transports", debug_level = 3 }
    media: { rtp_port_range = "20000-21000" }
    plugins: { disable = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_lua.so,libjanus_echotest.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_videoroom.so,libjanus_voicemail.so" }
    transports: { disable = "libjanus_pfunix.so,libjanus_websockets.so,libjanus_rabbitmq.so,libjanus_mqtt.so,libjanus_nanomsg.so" }`,
  'janus.transport.http.jcfg': () => 'general: { json = "compact", base_path = "/janus", http = true, port = 8088, https = false }',
  'janus.plugin.streaming.jcfg': () => `
    lesson: {
      type = "rtp", id = 1, description = "lesson",
      audio = true, audioport = ${PORTS.voice}, audiopt = 111, audiocodec = "opus",
      video = true, videoport = ${PORTS.camera}, videopt = 100, videocodec = "h264", videofmtp = "profile-level-id=42e01f;packetization-mode=1"
    }`,
};

/** What goes on air: a moving picture with noise, as a camera has it, and a tone. */
const source = (bitrate) => [
  'videotestsrc', 'is-live=true', 'pattern=snow', '!', 'video/x-raw,width=320,height=180,framerate=15/1', '!', 'videoscale', '!',
  'video/x-raw,width=1280,height=720', '!', 'videoconvert', '!', 'x264enc', 'tune=zerolatency', 'speed-preset=ultrafast', 'threads=1',
  'sliced-threads=false', `bitrate=${bitrate / 1000}`, 'key-int-max=30', '!', 'video/x-h264,profile=constrained-baseline', '!',
  'rtph264pay', 'config-interval=-1', 'pt=100', 'mtu=1200', '!', 'udpsink', 'host=127.0.0.1', `port=${PORTS.camera}`,
  'audiotestsrc', 'is-live=true', 'freq=440', '!', 'audio/x-raw,rate=48000,channels=1', '!', 'opusenc', 'bitrate=32000', 'frame-size=20', '!',
  'rtpopuspay', 'pt=111', '!', 'udpsink', 'host=127.0.0.1', `port=${PORTS.voice}`,
];

/** Runs in the room's page: watches the stream by Janus' HTTP API, and shows what the laboratory looks for. */
async function watchStream() {
  const base = new URL('/janus', location.href).href;
  let number = 0;
  const ask = async (path, body) => {
    const message = JSON.stringify({ transaction: String((number += 1)), ...body });
    const response = await fetch(base + path, { method: 'POST', body: message });
    const answer = await response.json();
    if (answer.janus === 'error') throw new Error(JSON.stringify(answer.error));
    return answer;
  };
  const session = `/${(await ask('', { janus: 'create' })).data.id}`;
  const handle = `${session}/${(await ask(session, { janus: 'attach', plugin: 'janus.plugin.streaming' })).data.id}`;
  const peer = new RTCPeerConnection();
  const video = Object.assign(document.createElement('video'), { autoplay: true, playsInline: true });
  video.dataset.testid = 'camera-video';
  video.srcObject = new MediaStream();
  document.body.replaceChildren(video);
  window.__mingshi = { stats: async () => [[...(await peer.getStats()).values()]] };
  peer.ontrack = ({ track }) => video.srcObject.addTrack(track);
  await ask(handle, { janus: 'message', body: { request: 'watch', id: 1 } });
  const answer = async (offer) => {
    await peer.setRemoteDescription(offer);
    await peer.setLocalDescription(await peer.createAnswer());
    await ask(handle, { janus: 'message', body: { request: 'start' }, jsep: peer.localDescription });
    await ask(handle, { janus: 'trickle', candidate: { completed: true } });
  };
  (async () => {
    for (;;) {
      const response = await fetch(`${base}${session}?maxev=1`).catch(() => null);
      const events = response ? [await response.json()].flat() : [];
      for (const { jsep } of events) if (jsep?.type === 'offer') await answer(jsep);
    }
  })();
}

/** A lesson that Janus holds at `bitrate` bits a second of video, as `hold` of course.mjs wants it. */
export const janus = (bitrate) => async (line) => {
  const folder = join(line.folder, 'janus');
  mkdirSync(folder);
  for (const [name, text] of Object.entries(CONFIGURATION)) writeFileSync(join(folder, name), text(folder));
  const [program, ...words] = line.within(line.server);
  const log = [];
  const run = (...command) => {
    const child = spawn(program, [...words, ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const output of [child.stdout, child.stderr]) output.on('data', (text) => log.push(String(text)));
    return child;
  };
  const server = run('janus', '--configs-folder', folder, '--config', join(folder, 'janus.jcfg'), '--disable-colors');
  const feed = run('gst-launch-1.0', '-q', ...source(bitrate));
  const stop = async () => {
    for (const child of [feed, server]) {
      if (child.exitCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  };
  const answers = () => execFileSync(program, [...words, 'curl', '--silent', '--fail', SITE]);
  await until('Janus answers', 10, answers).catch(async (error) => {
    await stop();
    throw new Error(`${error.message}\n${log.join('')}`);
  });
  return { site: SITE, entry: SITE, enter: watchStream, log, stop };
};
