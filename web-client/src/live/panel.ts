import { onScopeDispose } from 'vue';

/** Larger type for as long as the page is one that hangs on a classroom's wall. */
export function usePanelType(): void {
  document.documentElement.classList.add('panel');
  onScopeDispose(() => document.documentElement.classList.remove('panel'));
}
