/** Tells when a connection is up and when it has failed; Firefox before 113 only speaks of ICE. */
export function watchTransport(peer: RTCPeerConnection, changed: (state: 'connected' | 'failed') => void): void {
  let last = '';
  const look = (): void => {
    const state = peer.connectionState ?? (peer.iceConnectionState === 'completed' ? 'connected' : peer.iceConnectionState);
    if (state === last) return;
    last = state;
    if (state === 'connected' || state === 'failed') changed(state);
  };
  peer.addEventListener('connectionstatechange', look);
  peer.addEventListener('iceconnectionstatechange', look);
}
