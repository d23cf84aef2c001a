/** What the server and these pages say to each other, as the server's own document describes it (`npm run api`). */
import type { components } from './schema';

type Schemas = components['schemas'];

/**
 * The document marks fields that may be null as optional too; the server always writes them,
 * all but `join_code`, which only operator and studio get.
 */
export type Whole<T> = T extends readonly (infer Item)[]
  ? Whole<Item>[]
  : T extends object
    ? { [Field in keyof T]-?: Whole<T[Field]> }
    : T;

export type Role = Schemas['Role'];
export type Lesson = Omit<Whole<Schemas['Lesson']>, 'join_code'> & { join_code?: string | null };
export type NewLesson = Schemas['NewLesson'];
export type Participant = Whole<Schemas['Participant']>;
export type Publication = Whole<Schemas['Publication']>;
export type SlotKind = Schemas['SlotName'];
export type PauseReason = Schemas['PausedReason'];
export type SlotState = Whole<Schemas['SlotState']>;
export type Line = Whole<Schemas['Line']>;
export type Stats = Whole<Schemas['Stats']>;
export type Problem = Schemas['Problem'];
export type Token = Schemas['OperatorToken'];
export type ParticipantToken = Schemas['Renewed'];
export type Joined = Omit<Schemas['Joined'], 'lesson'> & { lesson: Lesson };
export type Invitation = Schemas['HandedOut'];

/** The first message, and the one about the lesson, whose `type` the document doesn't mention. */
export type Welcome = { type: 'welcome'; lesson: Lesson } & Omit<Whole<Schemas['Welcome']>, 'type' | 'lesson'>;
export type LessonChanged = { type: 'lesson'; lesson: Lesson };

export type ServerMessage = Welcome | LessonChanged | Whole<Schemas['LessonMessage']> | Whole<Schemas['Reply']>;
export type ClientMessage = Schemas['ClientMessage'];
