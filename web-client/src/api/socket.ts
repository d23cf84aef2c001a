import type { ClientMessage, ServerMessage } from './types';

export interface SocketListener {
  opened(): void;
  message(message: ServerMessage): void;
  /** Called once, also when `close` was called here. */
  closed(code: number): void;
}

/** One lesson websocket, from being opened to being closed; it doesn't reconnect itself. */
export class LessonSocket {
  private readonly socket: WebSocket;
  private done = false;

  constructor(
    lesson: string,
    token: string,
    private readonly listener: SocketListener,
  ) {
    const url = new URL(`/api/v1/lessons/${lesson}/events`, location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    this.socket = new WebSocket(url.href, ['mingshi.v1', `bearer.${token}`]);
    this.socket.onopen = () => this.done || listener.opened();
    this.socket.onmessage = (event) => this.received(event.data);
    this.socket.onclose = (event) => this.finish(event.code);
  }

  send(message: ClientMessage): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Closes without waiting for the other end, which may be gone: half-open sockets take minutes to notice. */
  close(): void {
    this.socket.close();
    this.finish(1000);
  }

  private received(data: unknown): void {
    if (this.done || typeof data !== 'string') return;
    let message: ServerMessage;
    try {
      message = JSON.parse(data) as ServerMessage;
    } catch {
      return;
    }
    this.listener.message(message);
  }

  private finish(code: number): void {
    if (this.done) return;
    this.done = true;
    this.listener.closed(code);
  }
}
