/** Hours and minutes of an RFC 3339 moment, on this device's clock. */
export function clockTime(at: string): string {
  const date = new Date(at);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** Whole minutes until a moment, rounded up; 0 or less when it is past. */
export function minutesUntil(at: string, nowMs: number): number {
  return Math.ceil((Date.parse(at) - nowMs) / 60_000);
}

/** A running clock, 00:12:31. */
export function runningTime(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** Whole minutes and the seconds beside them. */
export function durationParts(ms: number): { minutes: number; seconds: number } {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return { minutes: Math.floor(seconds / 60), seconds: seconds % 60 };
}

/** A place in a lesson, 12:31 or 1:12:31. */
export function placeTime(ms: number): string {
  const whole = runningTime(ms);
  return whole.startsWith('00:') ? whole.slice(3) : whole.replace(/^0/, '');
}

/** The day of an RFC 3339 moment, in words: 2026年3月6日 周五. */
export function dayOf(at: string, language: string): string {
  return new Date(at).toLocaleDateString(language === 'zh' ? 'zh-CN' : 'en', { year: 'numeric', month: 'short', day: 'numeric', weekday: 'short' });
}
