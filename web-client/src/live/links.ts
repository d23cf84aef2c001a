const base = (): string => `${location.origin}${location.pathname}`;

/** Where classrooms type the code; short enough to be read out. */
export const entryAddress = (): string => base();

export const classroomLink = (code: string): string => `${base()}#/c/${code}`;

/** A lesson to see again, from a second on; whoever came by a link passes on that link. */
export function replayLink(lesson: string, ms: number | null, token: string | null): string {
  const query = [ms === null ? '' : `t=${Math.floor(ms / 1000)}`, token === null ? '' : `token=${token}`].filter(Boolean).join('&');
  return `${base()}#/replay/${lesson}${query ? `?${query}` : ''}`;
}

/** Addresses like 127.0.0.1 mean another machine to whoever receives them. */
export const onlyHere = (): boolean => /^(localhost|127\.|\[::1\])/.test(location.hostname);

/** `123456` as `123 456`, which is easier to read out and to type. */
export const spaced = (code: string): string => `${code.slice(0, 3)} ${code.slice(3)}`;

/** Copies where the browser lets pages do so; gives whether it did. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyFromField(text);
  }
}

/** The old way, which also works on addresses without HTTPS. */
function copyFromField(text: string): boolean {
  const field = document.createElement('textarea');
  const before = document.activeElement;
  field.value = text;
  field.className = 'unseen';
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  if (before instanceof HTMLElement) before.focus();
  return done;
}
