// Short names that tell some runs apart.

import { moment, setting } from "format";
import { data, RECIPE, value, varying } from "store";

const IMPLIED = /(_target_|\bname|\bT)$/;

const KEYS = [...RECIPE, "epochs"].filter((key) => !IMPLIED.test(key));
export const NEURON = KEYS.filter((key) => key.startsWith("neuron."));
export const SETTING = KEYS.filter((key) => !key.startsWith("neuron."));

// The fewest keys whose values tell some runs apart, the most telling first.
export function telling(some, most, keys = KEYS) {
  const left = varying(some, keys);
  const found = [];
  const indexOf = (key) => data.config[key].index;
  const classes = (keys) => {
    const indices = keys.map(indexOf);
    return new Set(some.map(({ id }) => indices.map((index) => index[id]).join())).size;
  };
  while (found.length < most) {
    const before = classes(found);
    const ranked = left.map((key) => [classes([...found, key]), key]).filter(([size]) => size > before);
    if (!ranked.length) break;
    found.push(ranked.reduce((best, next) => (next[0] > best[0] ? next : best))[1]);
  }
  return found;
}

// "lr 0.01, momentum 0.5": of some keys, those that a run has a value for.
export function described(run, keys) {
  const pairs = keys.map((key) => [key.split(".").pop(), value(run, key), key]);
  return pairs
    .filter(([, found]) => found !== null && found !== "absent")
    .map(([name, found, key]) => (name === "class" ? worded(key, found) : `${name} ${setting(found)}`))
    .join(", ");
}

const DIGEST = /^(.*)@([0-9a-f]{8,})$/;

// A value of a config; of code of one's own, whose source is known by a digest, "Mine (code B)" for the second of them.
export function worded(key, found) {
  const [, name] = (typeof found === "string" && DIGEST.exec(found)) || [];
  if (!name) return setting(found);
  const versions = data.config[key].values.filter((other) => String(other).startsWith(`${name}@`));
  return versions.length > 1 ? `${name} (code ${letters(versions.indexOf(found))})` : name;
}

const letters = (place) =>
  (place >= 26 ? letters(Math.floor(place / 26) - 1) : "") + String.fromCharCode(65 + (place % 26));

// What may follow a name that several runs have, in this order: of runs of one name, a text for each.
const PLACE = () => (run) => `${run.data}, ${run.backbone}`;
const DIFFERENCE = (same) => {
  const keys = telling(same, 2);
  return (run) => described(run, keys);
};
const SEED = () => (run) => `seed ${run.seed}`;
const LAST = [() => (run) => run.name, () => (run) => `started ${moment(run.started)}`, () => (run) => run.folder];

// A label for each run: neuron and T, its seed, and whatever else tells it from the others. `seeds: false`: without the
// seed, where each stands for runs that differ in it alone.
export function labels(some, { seeds = true } = {}) {
  const found = new Map(some.map((run) => [run, `${run.neuron}, T=${run.T}`]));
  for (const step of [PLACE, DIFFERENCE, ...(seeds ? [SEED] : []), ...LAST]) {
    for (const [label, same] of grouped(some, (run) => found.get(run))) {
      if (same.length === 1 && step !== SEED) continue;
      const text = step(same);
      if (step !== SEED && new Set(same.map(text)).size === 1) continue;
      for (const run of same) found.set(run, [label, text(run)].filter(Boolean).join(", "));
    }
  }
  return found;
}

export function grouped(things, key) {
  const found = new Map();
  for (const thing of things) {
    const at = key(thing);
    if (!found.has(at)) found.set(at, []);
    found.get(at).push(thing);
  }
  return found;
}
