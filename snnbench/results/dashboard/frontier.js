// Accuracy against what it costs: a point for each neuron and T, and the points that none other beats in both.

import { looks, plain, plot } from "chart";
import { empty } from "format";
import { families, measured } from "groups";
import { axis, named, shown, valueOf } from "quantities";
import { colour } from "theme";
import { spreadText, wanted } from "timesteps";

const LINES = 40;
const LABELLED = 12; // points, beyond which their T would stand over each other
const FAR = 20; // times the smallest cost, from which on its axis is logarithmic

// Energy first: it is what spiking networks promise to save.
export const COSTS = shown("axes")
  .filter(({ better }) => better === "lower")
  .sort((a, b) => (b.key === "energy") - (a.key === "energy"))
  .map(({ key, label }) => [key, label]);

// A chart of runs of one place.
export function frontier(chart, runs, quantity, costKey, title) {
  const cost = named(costKey);
  const known = runs.filter((run) => valueOf(run, quantity) !== null && valueOf(run, cost) !== null);
  if (!known.length) {
    chart.replaceWith(empty([`No ${cost.label} of these runs`, wanted(cost, runs)].filter(Boolean).join(": ")));
    return undefined;
  }
  const [across, up] = [cost, quantity].map((one) => axis(one, known.map((run) => valueOf(run, one))));
  const stats = (same, of, one) => measured(same, (run) => of.unit.of(valueOf(run, one)));
  const found = families(known, LINES).map(({ name, run, steps }) => ({
    name,
    run,
    points: steps.map(([T, same]) => ({ T, cost: stats(same, across, cost), value: stats(same, up, quantity) })),
  }));
  const drawn = looks(found.map(({ run }) => run));
  const few = found.flatMap(({ points }) => points).length <= LABELLED;
  const lines = found.map((one, place) => line(one, drawn[place], across, up, few));
  const costs = found.flatMap(({ points }) => points.map(({ cost }) => cost.mean));
  const log = Math.min(...costs) > 0 && Math.max(...costs) > FAR * Math.min(...costs);
  return plot(chart, [best(found), ...lines], {
    title,
    xaxis: { title: { text: plain(across.title) }, ...(log ? { type: "log" } : { rangemode: "tozero" }) },
    yaxis: { title: { text: plain(up.title) } },
    showlegend: true,
  });
}

const line = ({ name, points }, { colour: own, dash, symbol }, across, up, few) => ({
  name: plain(name),
  x: points.map(({ cost }) => cost.mean),
  y: points.map(({ value }) => value.mean),
  text: points.map(({ T }) => `T=${T}`),
  textposition: "top center",
  textfont: { size: 11, color: colour("soft") },
  mode: few ? "lines+markers+text" : "lines+markers",
  line: { color: own, dash, width: 1 },
  marker: { color: own, symbol, size: 10 },
  error_y: bar(points, ({ value }) => value, own),
  error_x: bar(points, ({ cost }) => cost, own),
  customdata: points.map(({ cost, value }) => [spreadText(value), spreadText(cost)]),
  hovertemplate: `%{text}: %{y:${up.form}} %{customdata[0]} at %{x:${across.form}} %{customdata[1]}`,
});

const bar = (points, of, color) => ({
  type: "data",
  array: points.map((point) => of(point).std ?? 0),
  thickness: 1,
  width: 3,
  color,
});

// The points that no cheaper one equals, as steps: what can be had at most for a cost.
export function front(points) {
  const sorted = [...points].sort((a, b) => a.cost.mean - b.cost.mean || b.value.mean - a.value.mean);
  const kept = [];
  for (const point of sorted) if (!kept.length || point.value.mean > kept.at(-1).value.mean) kept.push(point);
  return kept;
}

function best(found) {
  const kept = front(found.flatMap(({ points }) => points));
  return {
    name: "best for its cost",
    x: kept.map(({ cost }) => cost.mean),
    y: kept.map(({ value }) => value.mean),
    mode: "lines",
    line: { color: colour("edge"), width: 5, shape: "hv" },
    hoverinfo: "skip",
  };
}
