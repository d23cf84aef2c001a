// OBS Studio as a publisher: what plugins/obs-webrtc/whip-output.cpp of OBS 32.2 does with libdatachannel, done with the
// same library: the same offer, the same packets of a recording that was encoded beforehand, the same handlers.
//
//     node clients/obs.mjs RECORDING…      one simulcast encoding for each; their sound is the first's
//
// It says one JSON document a line (`offer`, `state`) and is told the `answer` in the same way; when its input ends, it
// ends. The exchange over HTTP is the test's.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import nodeDataChannel from 'node-datachannel';

const { Audio, PeerConnection, Video } = nodeDataChannel;
const { PacingHandler, RtcpNackResponder, RtcpSrReporter, RtpPacketizationConfig, RtpPacketizer } = nodeDataChannel;

const AUDIO_MID = '0';
const AUDIO_PAYLOAD_TYPE = 111;
const VIDEO_MID = '1';
const VIDEO_PAYLOAD_TYPE = 96;
const VIDEO_NACK_BUFFER = 4000;
const MAX_VIDEO_FRAGMENT_SIZE = 1200;
const [MID_EXTENSION, RID_EXTENSION] = [1, 2];
const OPUS_CLOCK = 48_000;
const VIDEO_CLOCK = 90_000;
const BITRATE = 2500;

const say = (what) => console.log(JSON.stringify(what));
const random = () => 1 + Math.floor(Math.random() * 0xfffffffe);

const letters = (count) => Array.from({ length: count }, () => Math.floor(36 * Math.random()).toString(36)).join('');

/** The NAL units of an access unit with start codes (H264RtpPacketizer::splitFrame). */
function* units(picture) {
  const starts = [];
  for (let at = 0; at + 3 <= picture.length; at += 1) {
    if (picture[at] === 0 && picture[at + 1] === 0 && picture[at + 2] === 1) starts.push(at);
  }
  for (const [index, start] of starts.entries()) {
    const next = starts[index + 1] ?? picture.length;
    const long = index + 1 < starts.length && picture[next - 1] === 0;
    yield picture.subarray(start + 3, long ? next - 1 : next);
  }
}

/** A NAL unit as one payload, or in fragments (FU-A). */
function* fragments(unit) {
  if (unit.length <= MAX_VIDEO_FRAGMENT_SIZE) {
    yield unit;
    return;
  }
  const [header] = unit;
  const size = MAX_VIDEO_FRAGMENT_SIZE - 2;
  for (let at = 1; at < unit.length; at += size) {
    const piece = unit.subarray(at, at + size);
    const edge = (at === 1 ? 0x80 : 0) | (at + size >= unit.length ? 0x40 : 0);
    yield Buffer.concat([Buffer.from([(header & 0xe0) | 28, edge | (header & 0x1f)]), piece]);
  }
}

/** The header extension that libdatachannel writes: the m-line and the encoding, on every packet and for a single encoding too. */
function extension(rid) {
  const elements = [
    [MID_EXTENSION, VIDEO_MID],
    [RID_EXTENSION, rid],
  ].map(([id, text]) => Buffer.concat([Buffer.from([(id << 4) | (text.length - 1)]), Buffer.from(text)]));
  const body = Buffer.concat(elements);
  const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
  const head = Buffer.from([0xbe, 0xde, 0, padded.length / 4]);
  return Buffer.concat([head, padded]);
}

/** One encoding of the video. */
class Layer {
  constructor(recording, ssrc, rid) {
    Object.assign(this, { ssrc, extension: extension(rid), pictures: recording.pictures.map((text) => Buffer.from(text, 'base64')) });
    this.sequence = random() & 0xffff;
    this.timestamp = random();
    this.step = VIDEO_CLOCK / recording.pictures_per_second;
  }

  send(track, count) {
    const payloads = [...units(this.pictures[count % this.pictures.length])].flatMap((unit) => [...fragments(unit)]);
    this.timestamp = (this.timestamp + this.step) >>> 0;
    for (const [index, payload] of payloads.entries()) {
      const header = Buffer.alloc(12);
      const marker = index === payloads.length - 1 ? 0x80 : 0;
      header[0] = 0x90;
      header[1] = marker | VIDEO_PAYLOAD_TYPE;
      header.writeUInt16BE(this.sequence, 2);
      header.writeUInt32BE(this.timestamp, 4);
      header.writeUInt32BE(this.ssrc, 8);
      this.sequence = (this.sequence + 1) & 0xffff;
      track.sendMessageBinary(Buffer.concat([header, this.extension, payload]));
    }
  }
}

const recordings = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, 'utf8')));
const [first] = recordings;
const ssrc = (random() & 0x7fffff00) >>> 0;
const [stream, cname] = [letters(16), letters(16)];
// A bound address stands for the machine's own; OBS names none.
const peer = new PeerConnection('obs', { iceServers: [], bindAddress: '127.0.0.1' });

const audio = new Audio(AUDIO_MID, 'SendOnly');
audio.addOpusCodec(AUDIO_PAYLOAD_TYPE);
audio.addSSRC(ssrc, cname, stream, `${stream}-audio`);
const audioTrack = peer.addTrack(audio);
const audioConfig = new RtpPacketizationConfig(ssrc, cname, AUDIO_PAYLOAD_TYPE, OPUS_CLOCK);
const packetizer = new RtpPacketizer(audioConfig);
packetizer.addToChain(new RtcpSrReporter(audioConfig));
packetizer.addToChain(new RtcpNackResponder());
audioTrack.setMediaHandler(packetizer);

const video = new Video(VIDEO_MID, 'SendOnly');
video.addSSRC(ssrc + 1, cname, stream, `${stream}-video`);
video.parseSdpLine(`a=extmap:${MID_EXTENSION} urn:ietf:params:rtp-hdrext:sdes:mid`);
video.parseSdpLine(`a=extmap:${RID_EXTENSION} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`);
if (recordings.length >= 2) {
  for (const rid of recordings.keys()) video.parseSdpLine(`a=rid:${rid} send`);
  video.parseSdpLine(`a=simulcast:send ${[...recordings.keys()].join(';')}`);
}
video.addH264Codec(VIDEO_PAYLOAD_TYPE);
const videoTrack = peer.addTrack(video);
// The packets are made here, since the binding's packetizer can't be told of header extensions; what follows is the library's.
const videoConfig = new RtpPacketizationConfig(ssrc + 1, cname, VIDEO_PAYLOAD_TYPE, VIDEO_CLOCK);
const reporter = new RtcpSrReporter(videoConfig);
reporter.addToChain(new RtcpNackResponder(VIDEO_NACK_BUFFER));
reporter.addToChain(new PacingHandler(BITRATE * 10_000, 5));
videoTrack.setMediaHandler(reporter);

let offered = false;
peer.onLocalDescription((sdp) => {
  // OBS sends its offer before it gathers candidates.
  if (!offered) say({ offer: sdp });
  offered = true;
});
peer.onStateChange((state) => say({ state }));
peer.setLocalDescription();

const layers = recordings.map((recording, index) => new Layer(recording, ssrc + 1 + index, String(index)));
let ending = false;

/** Calls `step` with 0, 1, … as often per second as asked, without drift. */
function pace(perSecond, step) {
  const began = performance.now();
  let count = 0;
  const next = () => {
    if (ending) return;
    for (; count <= ((performance.now() - began) * perSecond) / 1000; count += 1) step(count);
    setTimeout(next, began + (count * 1000) / perSecond - performance.now());
  };
  next();
}

videoTrack.onOpen(() =>
  pace(first.pictures_per_second, (count) => {
    if (!videoTrack.isOpen()) return;
    for (const layer of layers) {
      videoConfig.timestamp = layer.timestamp;
      layer.send(videoTrack, count);
    }
  }),
);
const sound = first.sound.map((text) => Buffer.from(text, 'base64'));
audioTrack.onOpen(() =>
  pace(50, (count) => {
    if (!audioTrack.isOpen()) return;
    audioConfig.timestamp = (audioConfig.timestamp + OPUS_CLOCK / 50) >>> 0;
    audioTrack.sendMessageBinary(sound[count % sound.length]);
  }),
);

const input = createInterface({ input: process.stdin });
input.on('line', (line) => peer.setRemoteDescription(JSON.parse(line).answer, 'answer'));
input.on('close', () => {
  ending = true;
  peer.close();
  nodeDataChannel.cleanup();
  process.exit(0);
});
