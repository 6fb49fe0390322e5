// Short names that tell some runs apart.

import { setting } from "format";
import { RECIPE, value, varying } from "store";

const IMPLIED = /(_target_|\bname|\bT)$/;

const KEYS = [...RECIPE, "epochs"].filter((key) => !IMPLIED.test(key));
export const NEURON = KEYS.filter((key) => key.startsWith("neuron."));
export const SETTING = KEYS.filter((key) => !key.startsWith("neuron."));

// The fewest keys whose values tell some runs apart, the most telling first.
export function telling(some, most, keys = KEYS) {
  const left = varying(some, keys);
  const found = [];
  const classes = (keys) => new Set(some.map((run) => JSON.stringify(keys.map((key) => value(run, key))))).size;
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
  const pairs = keys.map((key) => [key.split(".").pop(), value(run, key)]);
  return pairs
    .filter(([, found]) => found !== null && found !== "absent")
    .map(([name, found]) => `${name} ${setting(found)}`)
    .join(", ");
}

// A label for each run: its name and seed, what else differs among runs of that name, and its folder at last.
export function labels(some) {
  const found = new Map();
  for (const [name, same] of grouped(some, (run) => run.name)) {
    const keys = telling(same, 2);
    for (const run of same)
      found.set(run, [name, `seed ${run.seed}`, described(run, keys)].filter(Boolean).join(" · "));
  }
  for (const [label, same] of grouped(some, (run) => found.get(run))) {
    if (same.length > 1) same.forEach((run) => found.set(run, `${label} · ${place(run.folder)}`));
  }
  return found;
}

const place = (folder) => folder.split("/").slice(-2).join("/");

export function grouped(things, key) {
  const found = new Map();
  for (const thing of things) {
    const at = key(thing);
    if (!found.has(at)) found.set(at, []);
    found.get(at).push(thing);
  }
  return found;
}
