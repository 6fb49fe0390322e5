// A quantity, accuracy at first, against T, of whole finished runs: mean over seeds with its spread, by neuron.

import { looks, plain, plot } from "chart";
import { choice, controls, element, empty, hint, significant } from "format";
import { families, measured, placeOf, places, seeds } from "groups";
import { axis, named, shown, valueOf } from "quantities";
import { chosen } from "store";

export const QUANTITIES = shown("axes").map(({ key, label }) => [key, label]);
const LINES = 40; // of a chart
const state = { where: null, key: QUANTITIES[0][0] };

// The panel: of the runs that the table shows.
export function timesteps(node, found, redraw) {
  const all = places(chosen.shown);
  if (!all.length) return node.replaceChildren(empty("None of the runs that the table shows has finished."));
  const [where, here] = all.find(([name]) => name === state.where) ?? all[0];
  const set = (change) => redraw(Object.assign(state, change));
  const others = chosen.shown.filter((run) => placeOf(run) === where).length - here.length;
  const repeated = here.length - counted(here);
  const notes = [
    `${here.length} whole finished runs of the table`,
    others && `${others} others left out`,
    repeated && `${repeated} of a seed again, counted once`,
  ];
  const options = all.map(([name, runs]) => [name, `${name} (${runs.length})`]);
  const chart = element("div", { class: "chart", id: "timesteps" });
  node.replaceChildren(
    controls(
      choice("Data and network", options, where, (where) => set({ where })),
      choice("Quantity", QUANTITIES, state.key, (key) => set({ key })),
      hint(notes.filter(Boolean).join("; ")),
    ),
    chart,
  );
  return overTimesteps(chart, here, named(state.key));
}

const counted = (runs) =>
  families(runs).reduce((sum, { steps }) => sum + steps.flatMap(([, same]) => seeds(same)).length, 0);

// A chart of runs of one place; where none has the quantity, what gives it to them.
export function overTimesteps(chart, runs, quantity, title = "") {
  const known = runs.filter((run) => valueOf(run, quantity) !== null);
  if (!known.length) {
    chart.replaceWith(empty(["None of these runs has it", wanted(quantity, runs)].filter(Boolean).join(": ")));
    return undefined;
  }
  const { unit, title: text, form } = axis(quantity, known.map((run) => valueOf(run, quantity)));
  const found = families(known, LINES);
  const ticks = [...new Set(found.flatMap(({ steps }) => steps.map(([T]) => T)))].sort((a, b) => a - b);
  const dodge = (place) => 0.012 * (ticks.at(-1) - ticks[0]) * (place - (found.length - 1) / 2);
  const drawn = looks(found.map(({ run }) => run));
  const lines = found.map(({ name, steps }, place) => {
    const stats = steps.map(([T, same]) => ({ T, ...measured(same, (run) => unit.of(valueOf(run, quantity))) }));
    return line(name, stats, drawn[place], dodge(place), form);
  });
  return plot(chart, lines, {
    title,
    xaxis: { title: { text: "timesteps T" }, tickvals: ticks, range: padded(ticks) },
    yaxis: { title: { text: plain(text) } },
    showlegend: true,
  });
}

// What gives them a quantity that none has: the command for one of them, or what they should have been given.
export function wanted({ key, hint }, runs) {
  const command = runs.map((run) => run.later[key]).find(Boolean);
  return command ? `${command} measures it in one` : hint;
}

function padded(ticks) {
  const room = Math.max(0.5, 0.06 * (ticks.at(-1) - ticks[0]));
  return [ticks[0] - room, ticks.at(-1) + room];
}

export const spreadText = ({ std, n }) => (n > 1 ? `± ${significant(3)(std)} (n = ${n})` : "(single seed)");

// Moved aside a little so that the spreads of several can be seen.
const line = (name, stats, { colour, dash, symbol }, aside, form) => ({
  name: plain(name),
  x: stats.map(({ T }) => T + aside),
  y: stats.map(({ mean }) => mean),
  mode: "lines+markers",
  line: { color: colour, dash, width: 2 },
  marker: { color: colour, symbol, size: 8 },
  error_y: { type: "data", array: stats.map(({ std }) => std ?? 0), thickness: 1.2, width: 4, color: colour },
  customdata: stats.map((one) => [one.T, spreadText(one)]),
  hovertemplate: `T = %{customdata[0]}: %{y:${form}} %{customdata[1]}`,
});
