import { onScopeDispose, watch } from 'vue';

interface Lock {
  release(): Promise<void>;
}

/** Keeps the screen on while a lesson is on it, where the browser can. */
export function keepAwake(wanted: () => boolean): void {
  const api = (navigator as { wakeLock?: { request(type: 'screen'): Promise<Lock> } }).wakeLock;
  if (!api) return;
  let lock: Lock | null = null;

  async function settle(): Promise<void> {
    const old = lock;
    lock = null;
    await old?.release().catch(() => undefined);
    if (wanted() && document.visibilityState === 'visible') lock = (await api?.request('screen').catch(() => null)) ?? null;
  }

  // The browser takes the lock away whenever the page is hidden.
  const seen = (): void => void settle();
  document.addEventListener('visibilitychange', seen);
  watch(wanted, seen, { immediate: true });
  onScopeDispose(() => {
    document.removeEventListener('visibilitychange', seen);
    void lock?.release().catch(() => undefined);
  });
}
