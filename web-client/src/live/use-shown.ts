import { onScopeDispose } from 'vue';
import { Shown } from '../lesson/shown';
import type { Picture } from '../media/receiver';

/**
 * Watches how large pictures really are on screen: their places, what of them is scrolled away, and whether the page is
 * looked at. `tell` is given pixels of the screen.
 */
export function useShown(tell: (picture: Picture, width: number, height: number) => void) {
  const shown = new Shown<Picture>();
  const places = new Map<Element, Picture>();
  const parts = new Map<Element, number>();
  let timer = 0;

  function measure(element: Element): void {
    const picture = places.get(element);
    if (picture === undefined) return;
    const box = element.getBoundingClientRect();
    // The part that is scrolled away is taken off the height: pages here scroll up and down only.
    const height = box.height * (parts.get(element) ?? 1);
    shown.measured(picture, { width: box.width * devicePixelRatio, height: height * devicePixelRatio });
    settle();
  }

  function settle(): void {
    const now = performance.now();
    for (const { name, size } of shown.take(now)) tell(name, size.width, size.height);
    clearTimeout(timer);
    const due = shown.dueAt();
    if (due !== null) timer = window.setTimeout(settle, Math.max(0, due - now) + 1);
  }

  const sizes = new ResizeObserver((entries) => {
    for (const entry of entries) measure(entry.target);
  });
  const sights = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        parts.set(entry.target, entry.intersectionRatio);
        measure(entry.target);
      }
    },
    { threshold: [0, 0.25, 0.5, 0.75, 1] },
  );
  const looked = (): void => {
    shown.looked(document.visibilityState === 'visible');
    settle();
  };
  document.addEventListener('visibilitychange', looked);
  looked();

  onScopeDispose(() => {
    clearTimeout(timer);
    sizes.disconnect();
    sights.disconnect();
    document.removeEventListener('visibilitychange', looked);
  });

  return {
    /** The pictures that have a place now; all others are left to the server. */
    watch(present: Map<Element, Picture>): void {
      for (const [element, picture] of [...places]) {
        if (present.has(element)) continue;
        places.delete(element);
        parts.delete(element);
        shown.absent(picture);
        sizes.unobserve(element);
        sights.unobserve(element);
      }
      for (const [element, picture] of present) {
        if (places.has(element)) continue;
        places.set(element, picture);
        // Either tells of the element at once, and again when something changes.
        sizes.observe(element);
        sights.observe(element);
      }
    },
    /** Who hears it now knows nothing yet. */
    tellAll(): void {
      shown.forget();
      settle();
    },
  };
}
