// The time code in sound (docs/time-code.md), pure: samples in, tone bursts out. Also runs inside pages.

const BURST_SECONDS = 0.02;
const HOP_SECONDS = 0.0025;
const PITCHES = 8;
/** A burst outdoes the next best pitch by this factor; speech spreads over all of them. */
const PURITY = 3;
/** A burst has at least this share of everything above 2 kHz; the hiss of speech has less in one pitch. */
const SHARE = 0.3;
const QUIETEST = 1e-3;

export const pitchOf = (second) => 3000 + 250 * (second % PITCHES);

/** The amplitude of `frequency` in `samples`, by Goertzel's algorithm. */
export function amplitudeOf(samples, frequency, rate) {
  const factor = 2 * Math.cos((2 * Math.PI * frequency) / rate);
  let [last, before] = [0, 0];
  for (let i = 0; i < samples.length; i++) [last, before] = [samples[i] + factor * last - before, last];
  return (2 * Math.sqrt(Math.max(0, last * last + before * before - factor * last * before))) / samples.length;
}

/** A Hann window with a mean of 1: keeps the strong low end of speech from leaking into the pitches. */
const windowOf = (count) => Float64Array.from({ length: count }, (_, i) => 1 - Math.cos((2 * Math.PI * (i + 0.5)) / count));

/** The root mean square above about 2 kHz: the difference of samples 1/6 ms apart takes speech's low end away. */
function treble(samples, from, count, rate) {
  const lag = Math.max(1, Math.round(rate / 6000));
  let sum = 0;
  for (let i = Math.max(from, lag); i < from + count; i++) sum += (samples[i] - samples[i - lag]) ** 2;
  return Math.sqrt(sum / count);
}

function scoreAt(samples, from, window, rate) {
  const count = window.length;
  const windowed = window.map((weight, i) => weight * samples[from + i]);
  const amplitudes = Array.from({ length: PITCHES }, (_, pitch) => amplitudeOf(windowed, pitchOf(pitch), rate));
  const order = [...amplitudes.keys()].sort((a, b) => amplitudes[b] - amplitudes[a]);
  const [best, second] = [amplitudes[order[0]], amplitudes[order[1]]];
  const pure = best > QUIETEST && best > PURITY * second && best > SHARE * treble(samples, from, count, rate);
  return pure ? { pitch: order[0], amplitude: best } : null;
}

/** Every tone burst in `samples`: `{pitch, second}`, where `second` is its onset from the first sample. */
export function findBursts(samples, rate) {
  const [count, hop] = [Math.round(BURST_SECONDS * rate), Math.round(HOP_SECONDS * rate)];
  const window = windowOf(count);
  const bursts = [];
  let strongest = null;
  const close = () => {
    if (strongest) bursts.push({ pitch: strongest.pitch, second: strongest.from / rate });
    strongest = null;
  };
  for (let from = 0; from + count <= samples.length; from += hop) {
    if (strongest && from - strongest.from > 2 * count) close();
    const score = scoreAt(samples, from, window, rate);
    if (score && (!strongest || score.amplitude > strongest.amplitude)) strongest = { ...score, from };
  }
  close();
  return bursts;
}

/** How long before `at` (Unix ms) the last whole second with this pitch was: the delay of its burst, in ms. */
export function delayOf(pitch, at) {
  const range = PITCHES * 1000;
  return (((at - pitch * 1000) % range) + range) % range;
}

/** A burst of the lesson's kind, for tests. */
export function burst(second, rate, amplitude) {
  const count = Math.round(BURST_SECONDS * rate);
  const edge = Math.round(0.002 * rate);
  return Float32Array.from({ length: count }, (_, i) => {
    const nearest = Math.min(i, count - 1 - i);
    const envelope = nearest >= edge ? 1 : 0.5 - 0.5 * Math.cos((Math.PI * nearest) / edge);
    return amplitude * envelope * Math.sin((2 * Math.PI * pitchOf(second) * i) / rate);
  });
}
