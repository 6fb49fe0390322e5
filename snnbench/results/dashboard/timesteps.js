// A quantity, accuracy at first, against T, of the whole finished runs that the table shows: mean over seeds with its
// spread, by neuron.

import { look, plain, plot } from "chart";
import { spread } from "curves";
import { choice, controls, element, empty, hint, significant } from "format";
import { described, grouped, NEURON, SETTING, telling } from "names";
import { axis, named, shown, valueOf } from "quantities";
import { chosen } from "store";

const CHOICES = shown("axes").map(({ key, label }) => [key, label]);
const state = { where: null, key: CHOICES[0][0] };

const place = (run) => `${run.data}, ${run.backbone}${run.provenance === "real" ? "" : ` (${run.provenance})`}`;
const whole = (run) => run.status === "finished" && run.epochs === run.planned && run.T !== null;

export function timesteps(node, found, redraw) {
  const places = [...grouped(chosen.shown.filter(whole), place)].sort(([, a], [, b]) => b.length - a.length);
  if (!places.length) return node.replaceChildren(empty("None of the runs that the table shows has finished."));
  const [where, here] = places.find(([name]) => name === state.where) ?? places[0];
  const set = (change) => redraw(Object.assign(state, change));
  const quantity = named(state.key);
  const scale = axis(quantity, here.map((run) => valueOf(run, quantity)));
  const { lines, repeated } = series(here, (run) => scale.unit.of(valueOf(run, quantity)), scale.form);
  const others = chosen.shown.filter((run) => place(run) === where).length - here.length;
  const notes = [
    `${here.length} whole finished runs of the table`,
    others && `${others} others left out`,
    repeated && `${repeated} of a seed again, counted once`,
  ];
  const options = places.map(([name, runs]) => [name, `${name} (${runs.length})`]);
  const chart = element("div", { class: "chart", id: "timesteps" });
  node.replaceChildren(
    controls(
      choice("Data and network", options, where, (where) => set({ where })),
      choice("Quantity", CHOICES, state.key, (key) => set({ key })),
      hint(notes.filter(Boolean).join("; ")),
    ),
    lines.length ? chart : empty(["None of these runs has it", wanted(quantity, here)].filter(Boolean).join(": ")),
  );
  if (!lines.length) return undefined;
  const ticks = [...new Set(lines.flatMap(({ customdata }) => customdata.map(([T]) => T)))].sort((a, b) => a - b);
  return plot(chart, lines, {
    xaxis: { title: { text: "timesteps T" }, tickvals: ticks, range: padded(ticks) },
    yaxis: { title: { text: plain(scale.title) } },
    showlegend: true,
  });
}

// What gives them a quantity that none has: the command for one of them, or what they should have been given.
function wanted({ key, hint }, here) {
  const command = here.map((run) => run.later[key]).find(Boolean);
  return command ? `${command} measures it in one` : hint;
}

function padded(ticks) {
  const room = Math.max(0.5, 0.06 * (ticks.at(-1) - ticks[0]));
  return [ticks[0] - room, ticks.at(-1) + room];
}

// Runs in one line differ in T and seed alone; of each T and seed one counts.
function series(runs, measured, form) {
  let repeated = 0;
  const families = [...grouped(runs, (run) => run.family).values()];
  const firsts = families.map(([run]) => run);
  const setting = telling(firsts, 2, SETTING);
  const neuron = (run) =>
    telling(
      firsts.filter((other) => other.neuron === run.neuron),
      2,
      NEURON,
    );
  const dodge = (number) => 0.012 * span(runs) * (number - (families.length - 1) / 2);
  const lines = families.map((family, number) => {
    const stats = [...grouped(family, (run) => run.T)].map(([T, same]) => {
      const seeds = [...grouped(same, (run) => run.seed).values()].map(([run]) => measured(run));
      repeated += same.length - seeds.length;
      const values = seeds.filter((value) => value !== null);
      return values.length ? { T, ...spread(values) } : null;
    });
    const known = stats.filter(Boolean).sort((a, b) => a.T - b.T);
    const run = firsts[number];
    const name = [run.neuron, described(run, [...neuron(run), ...setting])].filter(Boolean).join(", ");
    return drawn(name, known, look(number), dodge(number), form);
  });
  return { lines: lines.filter(({ x }) => x.length), repeated };
}

function span(runs) {
  const all = runs.map(({ T }) => T);
  return Math.max(...all) - Math.min(...all);
}

// A line, moved aside a little so that the spreads of several can be seen.
const drawn = (name, stats, { colour, dash, symbol }, aside, form) => ({
  name: plain(name),
  x: stats.map(({ T }) => T + aside),
  y: stats.map(({ mean }) => mean),
  mode: "lines+markers",
  line: { color: colour, dash, width: 2 },
  marker: { color: colour, symbol, size: 8 },
  error_y: { type: "data", array: stats.map(({ std }) => std ?? 0), thickness: 1.2, width: 4, color: colour },
  customdata: stats.map(({ T, std, n }) => [T, n > 1 ? `± ${significant(3)(std)} (n = ${n})` : "(single seed)"]),
  hovertemplate: `T = %{customdata[0]}: %{y:${form}} %{customdata[1]}`,
});
