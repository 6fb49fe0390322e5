// Neurons by data, network and T: mean and spread over seeds, the best of each column in bold.

import { swatch } from "chart";
import { choice, controls, element, empty, hint, scroll, tick } from "format";
import { measured, placeOf, whole } from "groups";
import { described, grouped, NEURON, SETTING, telling } from "names";
import { best, named, number, titled, unitOf, valueOf } from "quantities";
import { data, runs } from "store";
import { QUANTITIES } from "timesteps";

const SETTINGS = 6; // that are shown at first
const state = { key: QUANTITIES[0][0], all: false };
const finished = runs.filter(whole);

// Settings differ in more than neuron, T and seed: [{title, runs}], those with most neurons first.
function settings() {
  const found = [...grouped(finished, ({ setting }) => setting).values()].map((same) => ({
    runs: same,
    place: placeOf(same[0]),
    neurons: new Set(same.map(({ variant }) => variant)).size,
  }));
  found.sort((a, b) => b.neurons - a.neurons || b.runs.length - a.runs.length);
  for (const same of grouped(found, ({ place }) => place).values()) {
    const firsts = same.map(({ runs: [run] }) => run);
    const keys = telling(firsts, 3, SETTING);
    same.forEach((one, at) => (one.title = [one.place, described(firsts[at], keys)].filter(Boolean).join(", ")));
  }
  return found;
}

// By variant, the name of its row: that of the neuron, and what tells it from variants that it meets in a setting.
function rows(shown) {
  const names = new Map();
  const firsts = shown.flatMap(({ runs }) => [...grouped(runs, ({ variant }) => variant).values()].map(([run]) => run));
  for (const same of grouped(firsts, ({ neuron }) => neuron).values()) {
    const meeting = [...grouped(same, ({ setting }) => setting).values()].filter((some) => some.length > 1).flat();
    const keys = telling(meeting, Infinity, NEURON);
    for (const run of same) names.set(run.variant, [run.neuron, described(run, keys)].filter(Boolean).join(", "));
  }
  const place = ({ kind }) => Object.keys(data.neurons).indexOf(kind);
  const kinds = new Map(firsts.map((run) => [names.get(run.variant), run]));
  const sorted = [...kinds].sort(([a, one], [b, other]) => place(one) - place(other) || a.localeCompare(b));
  return { names, sorted };
}

export function matrix(node, redraw) {
  if (!finished.length) return node.replaceChildren(heading(), empty("No run has finished all of its epochs."));
  const all = settings();
  const shown = state.all ? all : all.slice(0, SETTINGS);
  const quantity = named(state.key);
  const unit = unitOf(quantity, shown.flatMap(({ runs }) => runs.map((run) => valueOf(run, quantity))));
  const { names, sorted } = rows(shown);
  const columns = shown.flatMap((setting) => columnsOf(setting, names, quantity));
  const n = new Set(columns.flatMap(({ cells }) => [...cells.values()].map((cell) => cell.n)));
  const set = (change) => redraw(Object.assign(state, change));
  const notes = [
    titled("mean ± standard deviation over seeds", unit),
    n.size === 1 && (n.has(1) ? "single seeds" : `n = ${[...n][0]}`),
    n.size > 1 && "raised: the number of seeds",
    "bold: the best of a column",
  ];
  return node.replaceChildren(
    heading(),
    controls(
      choice("Show", QUANTITIES, state.key, (key) => set({ key })),
      all.length > SETTINGS && tick(`all ${all.length} settings`, state.all, (all) => set({ all })),
      hint(notes.filter(Boolean).join("; ")),
    ),
    scroll(
      element(
        "table",
        { class: "plain matrix", id: "matrix" },
        head(shown, columns),
        element("tbody", {}, ...sorted.map(([name, run]) => row(name, run, columns, quantity, unit, n.size > 1))),
      ),
    ),
  );
}

const heading = () => element("h2", {}, "Neurons");

function columnsOf(setting, names, quantity) {
  const steps = [...grouped(setting.runs, ({ T }) => T)].sort(([a], [b]) => a - b);
  return steps.map(([T, same], at) => {
    const cells = new Map();
    for (const [name, some] of grouped(same, ({ variant }) => names.get(variant))) {
      const found = measured(some, (run) => valueOf(run, quantity));
      if (found) cells.set(name, found);
    }
    const entries = [...cells];
    const marks = best(quantity, entries.map(([, { mean }]) => mean));
    const top = entries.filter((_, place) => marks[place]).map(([name]) => name);
    return { T, cells, first: at === 0, best: new Set(top) };
  });
}

function head(shown, columns) {
  const width = ({ runs }) => new Set(runs.map(({ T }) => T)).size;
  const group = (one) => element("th", { colspan: width(one), class: "first" }, element("span", {}, one.title));
  const steps = columns.map(({ T, first }) => element("th", { class: first ? "first" : null }, `T=${T}`));
  return element(
    "thead",
    {},
    element("tr", {}, element("th"), ...shown.map(group)),
    element("tr", {}, element("th", {}, "neuron"), ...steps),
  );
}

function row(name, { kind }, columns, quantity, unit, counts) {
  const cells = columns.map(({ cells, best, first }) => {
    const found = cells.get(name);
    const classes = [best.has(name) && "best", first && "first"].filter(Boolean).join(" ") || null;
    return element("td", { class: classes, title: found && `n = ${found.n}` }, ...text(found, quantity, unit, counts));
  });
  const mark = element("i", { class: "swatch", style: `background: ${swatch(kind)}` });
  return element("tr", {}, element("th", {}, mark, name), ...cells);
}

function text(found, quantity, unit, counts) {
  if (!found) return [element("span", { class: "hint" }, "–")];
  const { mean, std, n } = found;
  return [
    number(quantity, mean, unit),
    std !== null && element("small", {}, ` ± ${number(quantity, std, unit)}`),
    counts && element("sup", {}, String(n)),
  ];
}
