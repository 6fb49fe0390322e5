// Runs as a table or a chart over T compares them: whole finished ones, of each recipe and seed one, by neuron and T.

import { described, grouped, NEURON, SETTING, telling } from "names";

export const whole = (run) => run.status === "finished" && run.epochs === run.planned && run.T !== null;
export const placeOf = (run) =>
  `${run.data}, ${run.backbone}${run.provenance === "real" ? "" : ` (${run.provenance})`}`;

// Places, those with most runs first: [name, its whole runs].
export const places = (runs) => [...grouped(runs.filter(whole), placeOf)].sort(([, a], [, b]) => b.length - a.length);

// Mean and sample standard deviation, which a single value does not have.
export function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null, n: values.length };
}

// The first run of each seed.
export const seeds = (runs) => [...grouped(runs, (run) => run.seed).values()].map(([run]) => run);

// The spread of a value over some runs' seeds; null where none has it.
export function measured(runs, valueOf) {
  const values = seeds(runs).map(valueOf).filter((value) => value !== null);
  return values.length ? spread(values) : null;
}

// Families, which differ in T and seed alone, of some runs of one place: [{name, run, steps: [T, its runs]}], of at
// most so many those with most runs; each named by its neuron and by what else tells it from the others.
export function families(runs, most = Infinity) {
  const found = [...grouped(runs, (run) => run.family).values()].sort((a, b) => b.length - a.length).slice(0, most);
  const firsts = found.map(([run]) => run);
  const setting = telling(firsts, 2, SETTING);
  const own = new Map(
    [...grouped(firsts, (run) => run.neuron)].map(([neuron, same]) => [neuron, telling(same, 2, NEURON)]),
  );
  return found.map((family) => {
    const [run] = family;
    const name = [run.neuron, described(run, [...own.get(run.neuron), ...setting])].filter(Boolean).join(", ");
    return { name, run, steps: [...grouped(family, ({ T }) => T)].sort(([a], [b]) => a - b) };
  });
}
