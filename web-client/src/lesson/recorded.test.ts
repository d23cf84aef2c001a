import { describe, expect, it } from 'vitest';
import type { RecordedFile, RecordingDetails } from '../api/recording';
import { beginning, besideRate, besideSlide, filesOf, gapAt, keyAction, slideAt } from './recorded';

const file = (track: string, variant: 'original' | 'compatible', video: string | null, audio: string | null): RecordedFile => ({
  name: `${track}-${variant}.mp4`, track, variant, whole: true, video: video === null ? null : { codec: video, width: 1, height: 1 }, audio: audio === null ? null : { codec: audio },
  bytes: 1, sha256: '', duration_ms: 60_000, url: `/${track}-${variant}`, download_url: null,
});
const details = (files: RecordedFile[]): RecordingDetails => ({ files }) as RecordingDetails;
const LESSON = details([file('camera', 'original', 'h264', 'opus'), file('slides', 'original', 'av1', 'opus'), file('slides', 'compatible', 'h264', 'aac')]);
const NONE: ReadonlySet<string> = new Set();

describe('which files are played', () => {
  it('takes the originals where the browser plays them, with the sound from the camera', () => {
    const source = filesOf(LESSON, () => true, NONE);
    expect(source).toMatchObject({ kind: 'files', sound: { name: 'camera-original.mp4' }, pictures: { slides: { name: 'slides-original.mp4' } } });
  });

  it('takes the compatible file of a track whose original the browser can’t decode', () => {
    const source = filesOf(LESSON, (codec) => codec !== 'av1', NONE);
    expect(source).toMatchObject({ pictures: { slides: { name: 'slides-compatible.mp4' }, camera: { name: 'camera-original.mp4' } } });
  });

  it('takes the compatible file after the original was refused while it played', () => {
    expect(filesOf(LESSON, () => true, new Set(['slides-original.mp4']))).toMatchObject({ pictures: { slides: { name: 'slides-compatible.mp4' } } });
  });

  it('has the sound from the slides where there was no camera, and from the voice where there was no picture', () => {
    expect(filesOf(details([file('slides', 'original', 'h264', 'opus')]), () => true, NONE)).toMatchObject({ sound: { track: 'slides' } });
    expect(filesOf(details([file('voice', 'original', null, 'opus')]), () => true, NONE)).toMatchObject({ sound: { track: 'voice' }, pictures: {} });
  });

  it('takes the compatible file of a track that changed its codec, since no original of it is whole', () => {
    const part = { ...file('camera', 'original', 'h264', 'opus'), whole: false };
    const files = [part, { ...part, name: 'camera-av1.mp4' }, file('camera', 'compatible', 'h264', 'aac')];
    expect(filesOf(details(files), () => true, NONE)).toMatchObject({ sound: { name: 'camera-compatible.mp4' } });
    expect(filesOf(details(files.slice(1)), () => true, NONE)).toMatchObject({ sound: { name: 'camera-compatible.mp4' } });
    expect(filesOf(details(files.slice(0, 2)), () => true, NONE)).toMatchObject({ sound: { name: 'camera-original.mp4' } });
  });

  it('has nothing for a browser that plays none of them', () => {
    expect(filesOf(LESSON, () => false, NONE)).toBeNull();
  });
});

describe('where a replay begins', () => {
  it('is the second of the link, before what the device remembers', () => {
    expect(beginning(750_000, 30_000, 2_400_000)).toEqual({ ms: 750_000, resumed: false });
    expect(beginning(9_999_000, null, 2_400_000).ms).toBe(2_399_000);
  });

  it('is where one stopped, but not the last seconds or the first', () => {
    expect(beginning(null, 30_000, 2_400_000)).toEqual({ ms: 30_000, resumed: true });
    expect(beginning(null, 2_395_000, 2_400_000)).toEqual({ ms: 0, resumed: false });
    expect(beginning(null, 5_000, 2_400_000)).toEqual({ ms: 0, resumed: false });
  });
});

describe('slides and holes', () => {
  const slides = [0, 30_000, 60_000].map((at_ms) => ({ at_ms, picture: null }));

  it('finds the slide of a moment', () => {
    expect([0, 29_999, 30_000, 500_000].map((ms) => slideAt(slides, ms))).toEqual([0, 0, 1, 2]);
    expect(slideAt([], 5)).toBe(-1);
  });

  it('goes back to the beginning of a slide first, then to the one before', () => {
    expect(besideSlide(slides, 45_000, -1)).toBe(30_000);
    expect(besideSlide(slides, 31_000, -1)).toBe(0);
    expect(besideSlide(slides, 31_000, 1)).toBe(60_000);
    expect(besideSlide(slides, 61_000, 1)).toBeNull();
    expect(besideSlide([], 61_000, -1)).toBeNull();
  });

  it('knows which picture has a hole', () => {
    const gaps = [{ from_ms: 10, to_ms: 20, track: 'camera', why: 'studio_away' as const }, { from_ms: 30, to_ms: 40, track: null, why: 'server_down' as const }];
    expect(gapAt(gaps, 'camera', 10)).toBe(gaps[0]);
    expect(gapAt(gaps, 'slides', 10)).toBeNull();
    expect(gapAt(gaps, 'slides', 39)).toBe(gaps[1]);
    expect(gapAt(gaps, 'slides', 40)).toBeNull();
  });
});

describe('keys', () => {
  it('are those of other players, in capitals too', () => {
    expect(keyAction(' ')).toEqual({ do: 'toggle' });
    expect(keyAction('J')).toEqual({ do: 'skip', ms: -10_000 });
    expect(keyAction('ArrowRight')).toEqual({ do: 'skip', ms: 5_000 });
    expect(keyAction('7')).toEqual({ do: 'part', tenth: 7 });
    expect(keyAction('>')).toEqual({ do: 'rate', by: 1 });
    expect(keyAction('Enter')).toBeNull();
  });

  it('step through the rates and stop at the ends', () => {
    expect([besideRate(1, 1), besideRate(1, -1), besideRate(2, 1), besideRate(0.5, -1)]).toEqual([1.25, 0.75, 2, 0.5]);
  });
});
