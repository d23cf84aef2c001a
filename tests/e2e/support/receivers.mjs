// Receivers of voice in numbers: many classrooms in one page, each a participant and a connection of its own, without our web client.

/** Runs in a page of the server's: `window.receivers` makes them. */
export function receiversScript() {
  const post = async (path, type, body, token, method = 'POST', more = {}) => {
    const response = await fetch(path, { method, headers: { 'content-type': type, ...(token && { authorization: `Bearer ${token}` }), ...more }, body });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const all = [];
  const received = async (peer) => {
    let packets = 0;
    for (const entry of (await peer.getStats()).values()) if (entry.type === 'inbound-rtp') packets += entry.packetsReceived ?? 0;
    return packets;
  };
  const credentials = (sdp) => ['ice-ufrag', 'ice-pwd'].map((name) => new RegExp(`a=${name}:(\\S+)`).exec(sdp)[1]);

  window.receivers = {
    /** A classroom with this name joins by the lesson's code; gives who it is. */
    async join(code, name) {
      const joined = await (await post('/api/v1/join', 'application/json', JSON.stringify({ code, name }))).json();
      const peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
      peer.addTransceiver('audio', { direction: 'recvonly' });
      await peer.setLocalDescription(await peer.createOffer());
      const answer = await post(`/whep/${joined.lesson.id}`, 'application/sdp', peer.localDescription.sdp, joined.token);
      await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
      all.push({ peer, token: joined.token, location: answer.headers.get('location') });
      return joined.participant;
    },
    /** Packets that each has received so far. */
    received: () => Promise.all(all.map(({ peer }) => received(peer))),
    /** Ends one, with or without a goodbye. */
    async leave(index, goodbye) {
      const [{ peer, token, location }] = all.splice(index, 1);
      if (goodbye) await post(location, 'text/plain', undefined, token, 'DELETE');
      peer.close();
    },
    /** The longest time in ms without a new packet of each, in the next `seconds`. */
    async gaps(seconds) {
      const end = performance.now() + 1000 * seconds;
      const seen = all.map(() => ({ packets: -1, at: performance.now(), longest: 0 }));
      while (performance.now() < end) {
        await Promise.all(all.map(async ({ peer }, index) => {
          const [packets, one] = [await received(peer), seen[index]];
          const now = performance.now();
          one.longest = Math.max(one.longest, now - one.at);
          if (packets !== one.packets) Object.assign(one, { packets, at: now });
        }));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return seen.map(({ longest }) => longest);
    },
    /** Restarts ICE of one (RFC 9725 §4.3); gives whether the server's credentials are new. */
    async restart(index) {
      const { peer, token, location } = all[index];
      const before = credentials(peer.remoteDescription.sdp)[0];
      await peer.setLocalDescription(await peer.createOffer({ iceRestart: true }));
      const [ufrag, password] = credentials(peer.localDescription.sdp);
      const fragment = `a=ice-ufrag:${ufrag}\r\na=ice-pwd:${password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n`;
      const response = await post(location, 'application/trickle-ice-sdpfrag', fragment, token, 'PATCH', { 'if-match': '*' });
      const [theirs, secret] = credentials(await response.text());
      const sdp = peer.remoteDescription.sdp.replace(/a=ice-ufrag:\S+/g, `a=ice-ufrag:${theirs}`).replace(/a=ice-pwd:\S+/g, `a=ice-pwd:${secret}`);
      await peer.setRemoteDescription({ type: 'answer', sdp });
      return theirs !== before;
    },
  };
}
