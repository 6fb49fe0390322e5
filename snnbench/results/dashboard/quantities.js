// The quantities of a run, as the table in runs/quantities.py describes them; values are in the first of their units.

import { count, duration, fitting, fixed, significant } from "format";
import { data } from "store";

const byKey = new Map(data.quantities.map((quantity) => [quantity.key, quantity]));
const FORMATS = { fixed, significant, count: () => count, duration: () => duration };
const WHOLE = [[1, ""]];

export const shown = (place) => data.quantities.filter((quantity) => quantity.shown.includes(place));
export const named = (key) => byKey.get(key);
export const valueOf = (run, { key }) => run.values[key];

// In which values stand beside each other as text; durations bring their own units.
export const unitOf = ({ format: [kind], units }, values) => fitting(kind === "duration" ? WHOLE : units, values);

// A value as text, without its unit.
export const number = ({ format: [kind, digits] }, value, unit) => FORMATS[kind](digits)(unit.of(value));

// "energy, nJ"
export const titled = (name, unit) => (unit.name ? `${name}, ${unit.name}` : name);

// An axis of some values: its unit, its title, and how Plotly is to write a value.
export function axis({ label, words, units, format: [kind, digits] }, values) {
  const unit = fitting(units, values);
  const title = words ? `${label}, ${words}` : titled(label, unit);
  return { unit, title, form: kind === "fixed" ? `.${digits}f` : ".4~g" };
}

// What else should be known of it.
export function explained({ label, words, better }) {
  return [words ? `${label}, ${words}` : label, better && `${better} is better`].filter(Boolean).join("; ");
}

// Which of some values are the best; none where all are equal, or none is better by itself.
export function best({ better }, values) {
  const known = values.filter((value) => value !== null);
  const top = better === "lower" ? Math.min(...known) : Math.max(...known);
  const some = better && known.some((value) => value !== top);
  return values.map((value) => Boolean(some) && value === top);
}

