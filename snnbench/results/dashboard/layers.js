// What each layer does and learned: firing rate, energy and coefficients of the selected runs, layer by layer.

import { integers, plain, plot } from "chart";
import * as format from "format";
import { named, number, titled, unitOf, valueOf } from "quantities";

const { choice, element, empty } = format;
const RATE = "firing_rate";
const { label: TITLE, words: UNIT } = named(RATE);
const ENERGIES = [named("energy"), named("ann_energy")];
const OPERATIONS = [named("accumulates"), named("multiply_accumulates")];
const STROKES = { solid: "solid", dash: "dashed", dot: "dotted", dashdot: "double" };
const TALL = 22; // pixels for a layer

const shortened = (layer) => plain(layer.replace(/\.neuron$/, ""));
const nameOf = (quantity) => (quantity === RATE ? TITLE : quantity.replace(/\.mean$/, ", mean over channels"));
const axisOf = (quantity) => (quantity === RATE ? UNIT : nameOf(quantity));
const chart = (id) => element("div", { class: "chart", id });
const pair = (...charts) => element("div", { class: "pair" }, ...charts);

// Of both charts of a pair.
function legend(lines) {
  const key = ({ label, look }) =>
    element("span", {}, element("i", { style: `border-top: 3px ${STROKES[look.dash]} ${look.colour}` }), label);
  return element("div", { class: "legend" }, ...lines.map(key));
}

// lines: [{label, look, values: Map(layer -> number), spread?: Map}], each down the layers of its network.
function profile(node, title, unit, lines, rangemode = "tozero") {
  const layers = [...new Set(lines.flatMap(({ values }) => [...values.keys()]))].map(shortened);
  node.style.height = `${Math.max(300, 100 + TALL * layers.length)}px`;
  const traces = lines.map(({ label, look, values, spread }) => ({
    name: plain(label),
    y: [...values.keys()].map(shortened),
    x: [...values.values()],
    mode: "lines+markers",
    line: { color: look.colour, dash: look.dash, width: 1.5 },
    marker: { color: look.colour, symbol: look.symbol, size: 8 },
    error_x: spread?.size
      ? { type: "data", array: [...values.keys()].map((layer) => spread.get(layer) ?? 0), thickness: 1, width: 3 }
      : {},
    hovertemplate: "%{y}: %{x:.4~g}",
  }));
  const yaxis = { type: "category", categoryorder: "array", categoryarray: layers, autorange: "reversed" };
  return plot(node, traces, { title, showlegend: false, xaxis: { title: { text: unit }, rangemode }, yaxis });
}

// The last value of each layer.
function last(layers, quantity) {
  const found = new Map();
  for (const [layer, { y }] of layers.get(quantity) ?? []) {
    const value = y.findLast((value) => value !== null);
    if (value !== undefined) found.set(layer, value);
  }
  return found;
}

export function activity(node, found) {
  const percent = (layers) => new Map([...last(layers, RATE)].map(([layer, rate]) => [layer, 100 * rate]));
  const firing = found.map((one) => ({ ...one, values: percent(one.layers) })).filter(({ values }) => values.size);
  const measured = found.filter(({ energy }) => energy && Object.keys(energy.picojoules).length);
  const each = ({ energy }) => Object.entries(energy.picojoules);
  const unit = format.fitting(
    ENERGIES[0].units,
    measured.flatMap(each).map(([, picojoule]) => picojoule),
  );
  const energies = measured.map((one) => ({
    ...one,
    values: new Map(each(one).map(([layer, picojoule]) => [layer, unit.of(picojoule)])),
  }));
  const left = firing.length ? chart("firing") : empty("No firing rates: none of the selected runs had a test.");
  const right = energies.length ? chart("energy") : empty("No energy: none of the selected runs counted it.");
  node.replaceChildren(legend(found), pair(left, right), ...(measured.length ? [format.scroll(totals(measured))] : []));
  const models = [...new Set(measured.map(({ energy }) => energy.model))].join(", ");
  return Promise.all([
    firing.length && profile(left, "Firing rate, last test", `${UNIT}, %`, firing),
    energies.length && profile(right, `Energy, model ${plain(models)}`, `${unit.name} per test sample`, energies),
  ]);
}

function totals(measured) {
  const runs = measured.map(({ run }) => run);
  const valuesOf = (quantity) => runs.map((run) => valueOf(run, quantity));
  const joules = unitOf(ENERGIES[0], ENERGIES.flatMap(valuesOf));
  const columns = [...OPERATIONS, ...ENERGIES].map((quantity) => {
    const unit = ENERGIES.includes(quantity) ? joules : unitOf(quantity, valuesOf(quantity));
    return [titled(quantity.short, unit), valuesOf(quantity).map((value) => number(quantity, value, unit))];
  });
  const [own, ann] = ENERGIES.map(valuesOf);
  const ratios = own.map((energy, place) =>
    energy && ann[place] ? `${format.significant(4)(ann[place] / energy)} ×` : format.NONE,
  );
  columns.push(["ANN / SNN", ratios]);
  const rows = measured.map(({ label }, place) => [label, ...columns.map(([, texts]) => texts[place])]);
  return format.table(["Per test sample", ...columns.map(([head]) => head)], rows, { id: "totals" });
}

const state = { quantity: null, run: null };

export function coefficients(node, found, redraw) {
  const known = new Set(found.flatMap(({ layers }) => [...layers.keys()]));
  const learned = [...known].filter((name) => name !== RATE && !name.endsWith(".std"));
  const quantities = [...learned, RATE].filter((name) => known.has(name));
  if (!quantities.length) return node.replaceChildren(empty("None of the selected runs has finished an epoch."));
  if (!quantities.includes(state.quantity)) state.quantity = quantities[0];
  const having = found.filter(({ layers }) => layers.has(state.quantity));
  const one = having.find(({ run }) => run.id === state.run) ?? having[0];
  const set = (change) => redraw(Object.assign(state, change));
  const quantity = quantities.map((name) => [name, nameOf(name)]);
  const which = having.map(({ run, label }) => [String(run.id), label]);
  const hint = learned.length
    ? `${having.length} of ${found.length} selected runs have it`
    : "the selected runs learn no coefficient";
  const left = chart("coefficients");
  const right = chart("over-epochs");
  node.replaceChildren(
    format.controls(
      choice("Quantity", quantity, state.quantity, (quantity) => set({ quantity })),
      choice("Over epochs of", which, String(one.run.id), (id) => set({ run: Number(id) })),
      format.hint(hint),
    ),
    legend(having),
    pair(left, right),
  );
  const std = state.quantity.replace(/\.mean$/, ".std");
  const lines = having.map((each) => ({
    ...each,
    values: last(each.layers, state.quantity),
    spread: std === state.quantity ? null : last(each.layers, std),
  }));
  const drawn = profile(left, "Layer by layer, last epoch", axisOf(state.quantity), lines, "normal");
  right.style.height = left.style.height;
  return Promise.all([drawn, overEpochs(right, one)]);
}

// A line for each layer, from the input (dark) to the output (light).
function overEpochs(node, { layers, label }) {
  const own = [...layers.get(state.quantity)];
  const traces = own.map(([layer, { x, y }], depth) => ({
    name: shortened(layer),
    x: x.map((epoch) => epoch + 1),
    y,
    mode: x.length > 30 ? "lines" : "lines+markers",
    connectgaps: true,
    line: { color: shade(own.length > 1 ? depth / (own.length - 1) : 0), width: 1.8 },
    marker: { size: 5 },
    hovertemplate: "epoch %{x}: %{y:.4~g}",
  }));
  return plot(node, traces, {
    title: `Over epochs, ${plain(label)}`,
    showlegend: true,
    xaxis: { title: { text: "epoch" }, ...integers(own.flatMap(([, { x }]) => x)) },
    yaxis: { title: { text: axisOf(state.quantity) } },
  });
}

// Dark blue to green to yellow, as in viridis, which stays ordered with any colour vision and in grey.
const SHADES = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [229, 205, 40],
];
function shade(depth) {
  const at = depth * (SHADES.length - 1);
  const from = Math.min(Math.floor(at), SHADES.length - 2);
  const mixed = SHADES[from].map((low, part) => Math.round(low + (at - from) * (SHADES[from + 1][part] - low)));
  return `rgb(${mixed.join(",")})`;
}
