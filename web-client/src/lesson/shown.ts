/** A size in pixels of the screen. */
export interface Size {
  width: number;
  height: number;
}

const HIDDEN: Size = { width: 0, height: 0 };
/** A picture is told of so often at most, in ms. */
const EVERY_MS = 1000;
/** Less than this on either side isn't looked at: the place is only laid out. */
const LEAST = 16;
/** A part by which a size has to change to be news: browsers round, and a scrollbar is no other place. */
const NEWS = 0.04;

interface Place {
  size: Size;
  told: Size | null;
  toldAt: number;
}

/** How large the pictures of a page really are on its screen, for the server to send no more than is seen. */
export class Shown<Name> {
  private readonly places = new Map<Name, Place>();
  private looking = true;

  /** The part of a picture's place that is on screen now. */
  measured(name: Name, size: Size): void {
    const place = this.places.get(name) ?? { size: HIDDEN, told: null, toldAt: -EVERY_MS };
    const seen = size.width >= LEAST && size.height >= LEAST;
    place.size = seen ? { width: pixels(size.width), height: pixels(size.height) } : HIDDEN;
    this.places.set(name, place);
  }

  /** A picture has no place at present: nobody can say how large it will be. */
  absent(name: Name): void {
    this.places.delete(name);
  }

  /** Whether the page is looked at, or in the background. */
  looked(looking: boolean): void {
    this.looking = looking;
  }

  /** Whoever is told now knows nothing yet: a new connection, a restarted server. */
  forget(): void {
    for (const place of this.places.values()) place.told = null;
  }

  /** What has to be told now; each picture at most once a second. */
  take(now: number): { name: Name; size: Size }[] {
    const news: { name: Name; size: Size }[] = [];
    for (const [name, place] of this.places) {
      const size = this.looking ? place.size : HIDDEN;
      if (!isNews(place.told, size) || now - place.toldAt < EVERY_MS) continue;
      place.told = size;
      place.toldAt = now;
      news.push({ name, size });
    }
    return news;
  }

  /** When `take` has something, whatever else happens; null while all is told. */
  dueAt(): number | null {
    let due: number | null = null;
    for (const place of this.places.values()) {
      const size = this.looking ? place.size : HIDDEN;
      if (isNews(place.told, size)) due = Math.min(due ?? Infinity, place.toldAt + EVERY_MS);
    }
    return due;
  }
}

function isNews(told: Size | null, size: Size): boolean {
  if (told === null) return true;
  const differs = (a: number, b: number): boolean => (a === 0) !== (b === 0) || Math.abs(a - b) > NEWS * Math.max(a, b);
  return differs(told.width, size.width) || differs(told.height, size.height);
}

const pixels = (value: number): number => Math.min(65_535, Math.round(value));
