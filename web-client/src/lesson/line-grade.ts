import type { Line, Participant } from '../api/types';
import { type Cutting, cuttingOfLine } from './line-note';
import { type Bars, type LineWord, barsOf, wordOf } from './signal';

/** How a classroom's line is, as the studio sees it at a glance. */
export interface LineGrade {
  word: LineWord | null;
  bars: Bars;
  /** What the line takes from the classroom. */
  cutting: Cutting;
}

/** Null while nothing reaches the classroom at all. */
export function gradeOf(classroom: Participant, line: Line | undefined): LineGrade | null {
  if (!classroom.connected) return null;
  const cutting = cuttingOfLine(line);
  // Pictures that are missing are no good line, however whole the rest comes.
  const measured = cutting !== 'none' && cutting !== 'lowered' && classroom.line === 'good' ? 'weak' : classroom.line;
  const seen: Bars = line ? barsOf({ loss: line.loss, roundTripMs: line.round_trip_ms }) : 0;
  // Bars and word never contradict each other.
  const most: Bars = measured === 'bad' ? 1 : measured === 'weak' ? 2 : 4;
  const bars = seen < most ? seen : most;
  return { word: wordOf(measured, bars), bars, cutting };
}

/** How much a classroom's line needs a look, the worst first. */
export function trouble(classroom: Participant, line: Line | undefined): number {
  const grade = gradeOf(classroom, line);
  if (grade === null || grade.word === 'bad') return 0;
  if (grade.cutting === 'pictures') return 1;
  if (grade.word === 'weak') return 2;
  return grade.cutting === 'lowered' ? 3 : 4;
}

/** A rate as people say it: two digits of Mbit/s. */
export function inMegabits(rate: number): string {
  const megabits = rate / 1_000_000;
  return megabits >= 10 ? String(Math.round(megabits)) : megabits.toFixed(1);
}
