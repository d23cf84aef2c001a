import { iceServers } from '../api/ice-servers';
import { Refusal, request } from '../api/rest';

/**
 * One WHIP or WHEP resource: offered, answered, deleted (RFC 9725, draft-ietf-wish-whep).
 *
 * Candidates are neither waited for nor trickled: the server is ICE-lite and learns ours from our own checks.
 * A broken connection is replaced by a new resource, with the old picture still up, rather than by an ICE restart.
 */
export class Resource {
  private constructor(
    readonly connection: string,
    private readonly location: string,
    private readonly token: () => string,
  ) {}

  /** Posts the offer of `peer` to `endpoint` and applies the answer; `offered`: when it has been made. Throws `Refusal` or `Unreachable`. */
  static async create(
    peer: RTCPeerConnection,
    endpoint: string,
    token: () => string,
    offered: Promise<void> | null = null,
  ): Promise<Resource> {
    if (offered !== null) await offered;
    else {
      const [offer, servers] = await Promise.all([peer.createOffer(), serversFor(endpoint, token())]);
      // Known before the offer is set, since browsers gather candidates from then on.
      if (servers.length > 0) peer.setConfiguration({ ...peer.getConfiguration(), iceServers: servers });
      await peer.setLocalDescription(offer);
    }
    const response = await request(endpoint, {
      method: 'POST',
      token: token(),
      type: 'application/sdp',
      body: peer.localDescription?.sdp ?? '',
    });
    iceServers.tell(response, performance.now());
    const location = response.headers.get('Location');
    if (!location) throw new Refusal(502, { code: 'no_location', detail: 'the answer has no Location' }, null);
    const path = new URL(location, window.location.href).pathname;
    const resource = new Resource(path.slice(path.lastIndexOf('/') + 1), path, token);
    try {
      await peer.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    } catch (error) {
      resource.remove();
      throw error;
    }
    return resource;
  }

  /** Says goodbye; `keepalive` lets the request outlive the page. */
  remove(): void {
    request(this.location, { method: 'DELETE', token: this.token(), keepalive: true }).catch(() => undefined);
  }
}

async function serversFor(endpoint: string, token: string): Promise<RTCIceServer[]> {
  const known = iceServers.known(performance.now());
  if (known !== null) return known;
  try {
    return iceServers.tell(await request(endpoint, { method: 'OPTIONS', token }), performance.now());
  } catch {
    return iceServers.last;
  }
}
