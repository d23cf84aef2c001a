import { type Admission, enterClassroom } from './credentials';

/** What the link of a classroom's page says. */
export interface Place {
  code: string;
  token: string | null;
  school: string | null;
}

/** The classroom that a page's address leads to, as the router will read it; null for any other page. */
export function placeOf(hash: string): Place | null {
  const [, code, query] = /^#\/c\/([\w-]+)\/?(?:\?(.*))?$/.exec(hash) ?? [];
  if (code === undefined) return null;
  const values = new URLSearchParams(query ?? '');
  return { code, token: values.get('token') || null, school: values.get('school') };
}

let begun: { place: Place; entering: Promise<Admission> } | null = null;

/** Enters before there is a page: over a weak line the request takes as long as building the page does. */
export function enterEarly(place: Place): void {
  const entering = enterClassroom(place.code, place.token, place.school);
  // Told to whoever takes it.
  entering.catch(() => undefined);
  begun = { place, entering };
}

/** The entry that was begun for this place, once. */
export function takeEarly(place: { code: string | null; token: string | null; school: string | null }): Promise<Admission> | null {
  const found = begun;
  begun = null;
  const same = found && found.place.code === place.code && found.place.token === place.token && found.place.school === place.school;
  return same ? found.entering : null;
}
