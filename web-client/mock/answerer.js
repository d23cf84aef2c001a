// A browser page that plays the media server: it answers WHIP and WHEP offers and sends drawn slides and a drawn teacher.
const peers = new Map();
const socket = new WebSocket(`ws://${location.host}/mock/answerer`, 'mock');
const audio = new AudioContext();

function voice() {
  const tone = audio.createOscillator();
  const gain = audio.createGain();
  gain.gain.value = 0.05;
  const out = audio.createMediaStreamDestination();
  tone.connect(gain).connect(out);
  tone.start();
  return out.stream.getAudioTracks()[0];
}

function canvas(width, height, rate, draw) {
  const element = document.createElement('canvas');
  Object.assign(element, { width, height });
  const context = element.getContext('2d');
  let frame = 0;
  setInterval(() => draw(context, width, height, (frame += 1)), 1000 / rate);
  return element.captureStream(rate).getVideoTracks()[0];
}

function drawSlides(context, width, height, frame) {
  context.fillStyle = '#fdfaf3';
  context.fillRect(0, 0, width, height);
  context.fillStyle = '#1f4e9c';
  context.fillRect(0, 0, width, height * 0.13);
  context.fillStyle = '#fff';
  context.font = `700 ${height * 0.065}px "Noto Sans CJK SC"`;
  context.fillText('Unit 3  My weekend plan', width * 0.06, height * 0.09);
  context.fillStyle = '#222';
  context.font = `${height * 0.055}px "Noto Sans CJK SC"`;
  ['1. What are you going to do tomorrow?', '　 你明天打算做什么？', '2. I’m going to visit my grandparents.', '　 我要去看望爷爷奶奶。', '3. 读一读，跟同桌说一说你的周末计划。'].forEach(
    (text, line) => context.fillText(text, width * 0.08, height * (0.26 + line * 0.125)),
  );
  context.fillStyle = '#d9822b';
  context.fillRect(width * 0.06, height * 0.93, ((frame % 120) / 120) * width * 0.88, height * 0.012);
}

function drawTeacher(context, width, height, frame) {
  const sway = Math.sin(frame / 20) * width * 0.03;
  context.fillStyle = '#3f5a4d';
  context.fillRect(0, 0, width, height);
  context.fillStyle = '#284036';
  context.fillRect(width * 0.08, height * 0.1, width * 0.84, height * 0.5);
  context.fillStyle = '#27477c';
  context.beginPath();
  context.ellipse(width / 2 + sway, height, width * 0.24, height * 0.42, 0, 0, 7);
  context.fill();
  context.fillStyle = '#e8b996';
  context.beginPath();
  context.ellipse(width / 2 + sway, height * 0.42, width * 0.09, height * 0.19, 0, 0, 7);
  context.fill();
  context.fillStyle = '#22150f';
  context.beginPath();
  context.ellipse(width / 2 + sway, height * 0.31, width * 0.1, height * 0.12, 0, 3.1, 6.4);
  context.fill();
}

const tracks = {
  audio: [voice()],
  video: [canvas(1280, 720, 8, drawSlides), canvas(640, 360, 15, drawTeacher), canvas(640, 360, 5, (c, w, h) => {
    c.fillStyle = '#51606f';
    c.fillRect(0, 0, w, h);
  })],
};

async function answer({ connection, kind, offer }) {
  const peer = new RTCPeerConnection();
  peers.set(connection, peer);
  await peer.setRemoteDescription({ type: 'offer', sdp: offer });
  const seen = { audio: 0, video: 0 };
  for (const transceiver of peer.getTransceivers()) {
    const type = transceiver.receiver.track.kind;
    const track = tracks[type][seen[type]];
    seen[type] += 1;
    if (kind === 'whep' && track) {
      transceiver.direction = 'sendonly';
      await transceiver.sender.replaceTrack(track);
    }
  }
  await peer.setLocalDescription(await peer.createAnswer());
  await new Promise((resolve) => {
    const done = () => peer.iceGatheringState === 'complete' && resolve();
    peer.onicegatheringstatechange = done;
    done();
  });
  socket.send(JSON.stringify({ connection, answer: peer.localDescription.sdp }));
}

socket.onmessage = (event) => {
  const message = JSON.parse(event.data);
  if (message.kind !== 'close') return void answer(message);
  peers.get(message.connection)?.close();
  peers.delete(message.connection);
};
