// What befalls a school's line in the laboratory, as data. A scenario has the line's rate, how many classrooms share it, and a course of
// phases; what a phase leaves out is the scenario's. `expects` is what every classroom should be shown once things have settled: the
// camera's height and the slides' pictures a second, as weak-line lessons are planned; 0 = need not be there.
//
// `camera: false` in a phase: its rate has no room for a picture of the teacher.

const M = 1_000_000;
const STEADY = 40;
/** How often a room that has the line to itself enters anew, to tell how long that takes. */
const ENTRIES = 10;

/** One line in all the weathers. */
function tier(name, rate, rooms, expects) {
  const common = { rooms, tier: name, rate, expects };
  const id = (what) => `${name}-${rooms}-${what}`;
  return [
    { id: id('steady'), what: 'steady', ...common, course: [{ seconds: STEADY }], entries: rooms === 1 ? ENTRIES : 0 },
    { id: id('loss'), what: '5 % loss', ...common, loss: 0.05, course: [{ seconds: STEADY }] },
    { id: id('jitter'), what: '100 ± 30 ms', ...common, delay: { down: 100, jitter: 30, late: 0.01 }, course: [{ seconds: STEADY }] },
    { id: id('download'), what: 'a TCP download beside', ...common, expects: { camera: 0, slides: 0 }, course: [{ seconds: 10 }, { seconds: 30, download: true }, { seconds: 20 }] },
    { id: id('outage'), what: '30 s outage', ...common, course: [{ seconds: 10 }, { seconds: 30, cut: true }, { seconds: 25 }] },
  ];
}

/** 10M → 4M → 1M → 4M; the goals of settling are for its steps. */
const steps = (rooms, cameraAtWorst, expects) => ({
  id: `steps-${rooms}`,
  what: '10M → 4M → 1M → 4M',
  rooms,
  tier: '10M',
  rate: 10 * M,
  expects,
  course: [{ seconds: 12 }, { seconds: 20, rate: 4 * M }, { seconds: 25, rate: M, camera: cameraAtWorst }, { seconds: 35, rate: 4 * M }],
});

export const SCENARIOS = [
  ...tier('4M', 4 * M, 3, { camera: 360, slides: 5 }),
  ...tier('4M', 4 * M, 1, { camera: 360, slides: 15 }),
  steps(1, true, { camera: 360, slides: 15 }),
  steps(3, false, { camera: 360, slides: 5 }),
  ...tier('10M', 10 * M, 3, { camera: 360, slides: 15 }),
  ...tier('4M', 4 * M, 2, { camera: 360, slides: 5 }).slice(0, 2),
  ...tier('10M', 10 * M, 1, { camera: 720, slides: 15 }).slice(0, 2),
  ...tier('30M', 30 * M, 3, { camera: 720, slides: 15 }).slice(0, 2),
];

const scenario = (wanted) => SCENARIOS.find(({ id }) => id === wanted);

/** What a peer is held against: the same lines, and the rate in bits a second of the one picture that it sends to every room. */
export const PEERS = [
  { scenario: scenario('4M-1-steady'), bitrate: 1.5 * M },
  { scenario: scenario('4M-1-loss'), bitrate: 1.5 * M },
  { scenario: scenario('4M-3-steady'), bitrate: 1.5 * M },
  { scenario: scenario('4M-3-loss'), bitrate: 1.5 * M },
  { scenario: scenario('4M-3-steady'), bitrate: M },
  { scenario: scenario('4M-3-loss'), bitrate: M },
];

/** The scenarios with an id that begins with one of `names`, or all. */
export function chosen(names) {
  const found = SCENARIOS.filter(({ id }) => names.length === 0 || names.some((name) => id.startsWith(name)));
  if (found.length === 0) throw new Error(`no scenario is called ${names}; there are ${SCENARIOS.map(({ id }) => id).join(', ')}`);
  return found;
}
