import { computed, onScopeDispose, ref, watch } from 'vue';
import { useRoute, useRouter } from 'vue-router';
import { type Recording, deleteRecording, listRecordings, keepRecording } from '../api/recording';
import { Refusal } from '../api/rest';
import { signOut } from './operator';

const PAGE = 24;
const AGAIN_MS = 5000;
/** How often lessons that are being recorded or finished are looked at anew. */
const REFRESH_MS = 10_000;

/** What is looked for; empty is anything. Days are 2026-03-06. */
export interface Filters {
  q: string;
  subject: string;
  grade: string;
  teacher: string;
  school: string;
  from: string;
  to: string;
}

const KEYS: (keyof Filters)[] = ['q', 'subject', 'grade', 'teacher', 'school', 'from', 'to'];

/** The list of recordings as the address says, page by page. */
export function useLibrary(token: () => string | null) {
  const route = useRoute();
  const router = useRouter();
  const recordings = ref<Recording[] | null>(null);
  const next = ref<string | null>(null);
  const failing = ref(false);
  const loading = ref(false);
  let asked = 0;
  let timer = 0;

  const filters = computed<Filters>(() => {
    const of = (key: keyof Filters): string => (typeof route.query[key] === 'string' ? route.query[key] : '');
    return { q: of('q'), subject: of('subject'), grade: of('grade'), teacher: of('teacher'), school: of('school'), from: of('from'), to: of('to') };
  });
  const filtered = computed(() => KEYS.some((key) => filters.value[key] !== ''));
  const seen = computed(() => {
    const of = (key: 'subject' | 'grade' | 'teacher' | 'school'): string[] =>
      [...new Set((recordings.value ?? []).map((one) => one[key]).filter((one): one is string => one !== null && one !== ''))].sort();
    return { subject: of('subject'), grade: of('grade'), teacher: of('teacher'), school: of('school') };
  });

  function query(): Record<string, string> {
    const { from, to, ...words } = filters.value;
    const out: Record<string, string> = { limit: String(PAGE) };
    for (const [key, value] of Object.entries(words)) if (value) out[key] = value;
    const first = dayStart(from, 0);
    const last = dayStart(to, 1);
    if (first) out['from'] = first;
    if (last) out['to'] = last;
    return out;
  }

  async function load(quietly = false): Promise<void> {
    const held = token();
    if (held === null) return;
    clearTimeout(timer);
    const mine = (asked += 1);
    if (!quietly) loading.value = true;
    try {
      const page = await listRecordings(held, query());
      if (mine !== asked) return;
      // What was read beyond the first page stays; only what is there already is brought up to date.
      const fresh = new Map(page.recordings.map((one) => [one.lesson, one]));
      const kept = quietly ? (recordings.value ?? []).slice(page.recordings.length).filter((one) => !fresh.has(one.lesson)) : [];
      recordings.value = [...page.recordings, ...kept];
      if (kept.length === 0) next.value = page.next;
      failing.value = false;
    } catch (error) {
      if (mine !== asked) return;
      refused(error);
      failing.value = true;
    }
    loading.value = false;
    arm();
  }

  function arm(): void {
    clearTimeout(timer);
    const growing = (recordings.value ?? []).some((one) => one.state === 'recording' || one.state === 'finishing');
    if (failing.value) timer = window.setTimeout(() => void load(recordings.value !== null), AGAIN_MS);
    else if (growing) timer = window.setTimeout(() => void load(true), REFRESH_MS);
  }

  async function more(): Promise<void> {
    const held = token();
    if (held === null || next.value === null || loading.value) return;
    const mine = (asked += 1);
    loading.value = true;
    try {
      const page = await listRecordings(held, { ...query(), cursor: next.value });
      if (mine !== asked) return;
      const there = new Set((recordings.value ?? []).map((one) => one.lesson));
      recordings.value = [...(recordings.value ?? []), ...page.recordings.filter((one) => !there.has(one.lesson))];
      next.value = page.next;
    } catch (error) {
      refused(error);
    }
    loading.value = false;
    arm();
  }

  function refused(error: unknown): void {
    if (error instanceof Refusal && (error.status === 401 || error.status === 403)) signOut();
  }

  function look(wanted: Filters): void {
    const kept = Object.fromEntries(KEYS.flatMap((key) => (wanted[key] ? [[key, wanted[key]]] : [])));
    void router.replace({ path: route.path, query: kept });
  }

  /** Throws `Refusal` or `Unreachable`. */
  async function keep(recording: Recording): Promise<void> {
    recording.kept = (await keepRecording(token() ?? '', recording.lesson, !recording.kept)).kept;
  }

  /** Throws `Refusal` or `Unreachable`; one that is gone already counts as deleted. */
  async function remove(recording: Recording): Promise<void> {
    try {
      await deleteRecording(token() ?? '', recording.lesson);
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 404) throw error;
    }
    recordings.value = (recordings.value ?? []).filter((one) => one.lesson !== recording.lesson);
  }

  watch([filters, token], () => {
    recordings.value = null;
    void load();
  }, { immediate: true });
  onScopeDispose(() => {
    asked += 1;
    clearTimeout(timer);
  });
  return { recordings, next, failing, loading, filters, filtered, seen, look, more, keep, remove };
}

/** The beginning of a day on this device's clock, `later` days on. */
function dayStart(day: string, later: number): string | null {
  const parts = /^(\d{4})-(\d{2})-(\d{2})$/.exec(day);
  if (!parts) return null;
  return new Date(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3]) + later).toISOString();
}
