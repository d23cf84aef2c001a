import type { RecordedFile } from '../api/recording';
import { Ensemble, EnsemblePlayer, type Part } from './ensemble';

/** Plays the files of a finished lesson: one with the sound, the others beside it. Their time is the lesson's. */

const CODECS: Record<string, string> = {
  h264: 'video/mp4; codecs="avc1.42e01f"',
  av1: 'video/mp4; codecs="av01.0.08M.08"',
  opus: 'audio/mp4; codecs="opus"',
  aac: 'audio/mp4; codecs="mp4a.40.2"',
};

/** Whether this browser plays a codec, by its name in a recording; what it has never heard of, it doesn't. */
export function decodes(codec: string): boolean {
  const type = CODECS[codec];
  return type !== undefined && document.createElement('video').canPlayType(type) !== '';
}

class FilePart implements Part {
  private targetMs: number | null;
  private readonly settle = (): void => {
    if (this.targetMs !== null) this.seek(this.targetMs);
  };
  private readonly fail: () => void;

  constructor(readonly element: HTMLMediaElement, private readonly file: RecordedFile, startMs: number, failed: (why: 'codec' | 'gone') => void) {
    this.targetMs = startMs;
    this.fail = () => failed(element.error?.code === MediaError.MEDIA_ERR_DECODE ? 'codec' : 'gone');
    element.addEventListener('loadedmetadata', this.settle);
    element.addEventListener('error', this.fail);
    element.preload = 'auto';
    element.src = file.url;
    element.load();
  }

  positionMs(): number | null {
    return this.targetMs === null ? this.element.currentTime * 1000 : null;
  }

  holds(ms: number): boolean {
    return ms < this.file.duration_ms;
  }

  seek(ms: number): void {
    if (this.element.readyState === 0) {
      this.targetMs = ms;
      return;
    }
    this.targetMs = null;
    this.element.currentTime = ms / 1000;
  }

  close(): void {
    this.element.removeEventListener('loadedmetadata', this.settle);
    this.element.removeEventListener('error', this.fail);
    this.element.removeAttribute('src');
    this.element.load();
  }
}

export interface FilesOptions {
  sound: RecordedFile;
  /** The elements that show a file each; the sound's file may be among them. */
  elements: ReadonlyMap<RecordedFile, HTMLMediaElement>;
  startMs: number;
  rate: number;
  failed: (file: RecordedFile, why: 'codec' | 'gone') => void;
}

export class FilesPlayer extends EnsemblePlayer {
  protected readonly ensemble: Ensemble;

  /** Opens the files at `startMs`, standing still until `play()`. */
  constructor(options: FilesOptions) {
    const { sound, elements, startMs, rate, failed } = options;
    super(startMs);
    const part = (file: RecordedFile): FilePart =>
      new FilePart(elements.get(file) as HTMLMediaElement, file, startMs, (why) => failed(file, why));
    const others = [...elements.keys()].filter((file) => file !== sound);
    this.ensemble = new Ensemble(part(sound), others.map(part));
    this.ensemble.setRate(rate);
  }
}
