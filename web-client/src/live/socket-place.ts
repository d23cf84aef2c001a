import { LessonSocket } from '../api/socket';
import type { ClientMessage, ServerMessage } from '../api/types';

/** What the lesson logic of either page is told of its websocket. */
type SocketEvent =
  | { type: 'socket_opened' }
  | { type: 'message'; message: ServerMessage }
  | { type: 'socket_closed'; code: number };

/** The place of a page's one lesson websocket: what an earlier one still has to say is nobody's concern. */
export class SocketPlace {
  private current: LessonSocket | null = null;

  constructor(
    private readonly tell: (event: SocketEvent) => void,
    private readonly renewed: (token: string) => void,
  ) {}

  open(lesson: string, token: string): void {
    const opened: LessonSocket = new LessonSocket(lesson, token, {
      opened: () => this.current === opened && this.tell({ type: 'socket_opened' }),
      message: (message) => {
        if (this.current !== opened) return;
        if (message.type === 'token') this.renewed(message.token);
        this.tell({ type: 'message', message });
      },
      closed: (code) => this.current === opened && this.tell({ type: 'socket_closed', code }),
    });
    this.current = opened;
  }

  send(message: ClientMessage): void {
    this.current?.send(message);
  }

  /** Closed from here, it tells nothing more. */
  close(): void {
    const old = this.current;
    this.current = null;
    old?.close();
  }
}
