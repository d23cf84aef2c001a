/** The shapes of docs/signalling.md: what the server and these pages say to each other. */

export type Role = 'operator' | 'studio' | 'classroom';

export interface Lesson {
  id: string;
  title: string;
  teacher: string | null;
  subject: string | null;
  grade: string | null;
  state: 'scheduled' | 'live' | 'ended';
  starts_at: string | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  join_code?: string | null;
}

export interface NewLesson {
  title: string;
  teacher?: string;
  subject?: string;
  grade?: string;
  starts_at?: string;
}

export interface Participant {
  id: string;
  role: Role;
  name: string | null;
  school: string | null;
  /** Whether a media connection of it is up; its page may be there without one. */
  connected: boolean;
  publishing: string[];
  hand_raised: boolean;
  on_stage: boolean;
  joined_at: string;
}

export interface Layer {
  rid: string | null;
  width?: number | null;
  height?: number | null;
  bitrate: number;
}

export interface Publication {
  id: string;
  participant: string;
  source: string;
  kind: 'voice' | 'video';
  /** null until its first packet came. */
  codec: 'opus' | 'vp8' | 'h264' | 'av1' | null;
  layers: Layer[];
  muted: boolean;
}

export type SlotKind = 'voice' | 'slides' | 'camera' | 'stage';

export type PauseReason =
  | 'no_source'
  | 'unsupported_codec'
  | 'waiting_for_keyframe'
  | 'source_silent'
  | 'capped';

export interface SlotState {
  connection: string;
  slot: SlotKind;
  index: number;
  mid: string;
  publication: string | null;
  source: string | null;
  participant: string | null;
  layer: number | null;
  paused: PauseReason | null;
}

export interface Line {
  participant: string;
  connection: string;
  direction: 'up' | 'down';
  loss: number;
  round_trip_ms: number | null;
  jitter_ms: number | null;
  bitrate: number;
}

/** RFC 9457, in two languages; `code` is the stable word to act on. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string | null;
  title_zh?: string | null;
  detail_zh?: string | null;
  code: string;
}

export interface Token {
  token: string;
  expires_at: string;
}

export interface ParticipantToken extends Token {
  participant: string;
}

export interface Joined extends ParticipantToken {
  lesson: Lesson;
}

export interface Invitation extends ParticipantToken {
  url: string;
}

export type ServerMessage =
  | {
      type: 'welcome';
      participant: string;
      lesson: Lesson;
      participants: Participant[];
      publications: Publication[];
      slots: SlotState[];
      server_time: string;
    }
  | { type: 'lesson'; lesson: Lesson }
  | { type: 'participant'; participant: Participant }
  | { type: 'participant_left'; id: string }
  | { type: 'publication'; publication: Publication }
  | { type: 'publication_ended'; id: string; reason: string }
  | { type: 'slots'; connection: string; slots: SlotState[] }
  | { type: 'line'; lines: Line[] }
  | { type: 'replaced'; source: string; connection: string }
  | ({ type: 'token' } & Token)
  | { type: 'problem'; problem: Problem }
  | { type: 'pong'; server_time: string };

export type ClientMessage =
  | { type: 'ping' }
  | { type: 'layer_cap'; slot: SlotKind; index: number; max_spatial: number | null }
  | { type: 'hand'; raised: boolean };
