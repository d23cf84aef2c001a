import type { OnAirMemory } from '../lesson/studio';
import type { DeviceChoice } from '../media/devices';

/** What this device remembers, so that a reload asks for nothing. Storage may be switched off: then it forgets. */
export interface RememberedClassroom {
  code: string | null;
  lesson: string | null;
  participant: string | null;
  token: string | null;
}

function read<T>(storage: () => Storage, key: string): T | null {
  try {
    const text = storage().getItem(`mingshi.${key}`);
    return text === null ? null : (JSON.parse(text) as T);
  } catch {
    return null;
  }
}

function write(storage: () => Storage, key: string, value: unknown): void {
  try {
    if (value === null) storage().removeItem(`mingshi.${key}`);
    else storage().setItem(`mingshi.${key}`, JSON.stringify(value));
  } catch {
    // Without storage everything works but being remembered.
  }
}

const device = (): Storage => localStorage;
const tab = (): Storage => sessionStorage;

export const memory = {
  classroom: (): RememberedClassroom | null => read(device, 'classroom'),
  rememberClassroom: (value: RememberedClassroom | null): void => write(device, 'classroom', value),

  classroomName: (): string => read<string>(device, 'classroom_name') ?? '',
  rememberClassroomName: (name: string): void => write(device, 'classroom_name', name || null),

  school: (): string | null => read(device, 'school'),
  rememberSchool: (school: string): void => write(device, 'school', school || null),

  operatorToken: (): string | null => read(device, 'operator'),
  rememberOperatorToken: (token: string | null): void => write(device, 'operator', token),

  studioToken: (lesson: string): string | null => read(device, `studio.${lesson}`),
  rememberStudioToken: (lesson: string, token: string | null): void => write(device, `studio.${lesson}`, token),

  devices: (): DeviceChoice | null => read(device, 'devices'),
  rememberDevices: (choice: DeviceChoice): void => write(device, 'devices', choice),

  // Of this tab only: a second tab of the same studio must not go on air by being opened.
  onAir: (lesson: string): OnAirMemory | null => read(tab, `on_air.${lesson}`),
  rememberOnAir: (lesson: string, onAir: OnAirMemory | null): void => write(tab, `on_air.${lesson}`, onAir),

  /** Where a replay was left, in milliseconds of the lesson. */
  stopped: (lesson: string): number | null => read(device, `stopped.${lesson}`),
  rememberStopped: (lesson: string, ms: number | null): void => write(device, `stopped.${lesson}`, ms),

  layout: (): 'large' | 'side' | 'inset' | null => read(device, 'layout'),
  rememberLayout: (layout: 'large' | 'side' | 'inset'): void => write(device, 'layout', layout),

  volume: (): number => read<number>(device, 'volume') ?? 1,
  rememberVolume: (volume: number): void => write(device, 'volume', volume),

  language: (): string | null => read(device, 'language'),
  rememberLanguage: (language: string): void => write(device, 'language', language),
};
