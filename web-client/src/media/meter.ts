/** Measures how loud a microphone is. */
export class Meter {
  private readonly context: AudioContext;
  private readonly analyser: AnalyserNode;
  private readonly samples: Float32Array<ArrayBuffer>;
  private source: MediaStreamAudioSourceNode | null = null;

  constructor() {
    this.context = new AudioContext();
    this.analyser = this.context.createAnalyser();
    // 170 ms at 48 kHz, longer than the time between two readings: no word falls between them.
    this.analyser.fftSize = 8192;
    this.samples = new Float32Array(this.analyser.fftSize);
  }

  listen(track: MediaStreamTrack | null): void {
    this.source?.disconnect();
    this.source = null;
    if (!track) return;
    this.source = this.context.createMediaStreamSource(new MediaStream([track]));
    this.source.connect(this.analyser);
    void this.context.resume().catch(() => undefined);
  }

  /** The root mean square of the last 170 ms or so, 0 to 1; null while the browser doesn't let it run. */
  level(): number | null {
    if (!this.source || this.context.state !== 'running') return null;
    this.analyser.getFloatTimeDomainData(this.samples);
    let sum = 0;
    for (const sample of this.samples) sum += sample ** 2;
    return Math.sqrt(sum / this.samples.length);
  }

  close(): void {
    this.source?.disconnect();
    void this.context.close().catch(() => undefined);
  }
}

/** A short chime, to hear whether the loudspeakers are on. */
export async function chime(): Promise<void> {
  const context = new AudioContext();
  const start = context.currentTime + 0.05;
  [523, 659, 784].forEach((pitch, index) => {
    const tone = context.createOscillator();
    const gain = context.createGain();
    const at = start + index * 0.18;
    tone.frequency.value = pitch;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.25, at + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.001, at + 0.5);
    tone.connect(gain).connect(context.destination);
    tone.start(at);
    tone.stop(at + 0.55);
  });
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await context.close();
}
