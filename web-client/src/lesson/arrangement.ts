import type { PauseReason, SlotState } from '../api/types';

export type PictureName = 'slides' | 'camera' | 'stage';

export interface Arrangement {
  large: PictureName;
  /** What has a place on screen, the slides first. */
  visible: PictureName[];
  /** Why a picture stands still, where it does and should be explained. */
  paused: Record<PictureName, PauseReason | null>;
  voicePaused: PauseReason | null;
  /** No picture has a source. */
  nothing: boolean;
}

const ORDER: PictureName[] = ['slides', 'camera', 'stage'];

/** The same, of what is played from the recording: what it has is what there is. */
export function arrangeRecorded(present: readonly PictureName[], chosen: PictureName | null): Arrangement {
  const visible = ORDER.filter((name) => present.includes(name));
  const nothing = visible.length === 0;
  if (nothing) visible.push('slides');
  const large = chosen !== null && visible.includes(chosen) ? chosen : (visible[0] ?? 'slides');
  return { large, visible, paused: { slides: null, camera: null, stage: null }, voicePaused: null, nothing };
}

/** Which pictures are on screen and which is large: the slides, unless there are none or somebody chose. */
export function arrange(slots: SlotState[], chosen: PictureName | null): Arrangement {
  const slotOf = (name: string): SlotState | undefined => slots.find((s) => s.slot === name && s.index === 0);
  const present = (name: PictureName): boolean => {
    const slot = slotOf(name);
    return slot !== undefined && slot.paused !== 'no_source';
  };
  const visible = ORDER.filter(present);
  const nothing = visible.length === 0;
  if (nothing) visible.push('slides');
  const large = chosen !== null && visible.includes(chosen) ? chosen : (visible[0] ?? 'slides');
  const paused = (name: PictureName): PauseReason | null => slotOf(name)?.paused ?? null;
  return {
    large,
    visible,
    paused: { slides: paused('slides'), camera: paused('camera'), stage: paused('stage') },
    voicePaused: slotOf('voice')?.paused ?? null,
    nothing,
  };
}
