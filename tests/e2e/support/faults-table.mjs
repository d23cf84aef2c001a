// The rows of the table of faults: printed with their test, and kept in output/faults.jsonl for `scripts/faults.sh`.
import { figure, keep } from './figures.mjs';

const told = (value) => (typeof value === 'number' ? `${(value / 1000).toFixed(2)} s` : value);

/** `figures` are ms or words, by what they are of; `said` is what people read meanwhile. */
export function row(t, { fault, figures, said = [] }) {
  const cells = Object.entries(figures).map(([what, value]) => `${what} ${told(value)}`);
  keep('faults.jsonl', JSON.stringify({ fault, figures: cells, said }));
  figure(t, `${fault}: ${cells.join(', ')}${said.length ? `; said: ${said.join(' → ')}` : ''}`);
}
