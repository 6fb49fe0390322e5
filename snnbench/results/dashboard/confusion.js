// Which classes the test samples of a run were taken for: all of it as a map, and each class's accuracy.

import { plain, plot } from "chart";
import { choice, controls, element, empty, hint, scroll, table } from "format";
import { colour } from "theme";

const MAPPED = 200; // classes that a map can show
const LISTED = 12; // of the most frequent confusions
const state = { run: null };

export function confusion(node, found, redraw) {
  const having = found.filter(({ confusion }) => confusion);
  const missing = found.find(({ run }) => run.status === "finished");
  if (!having.length) {
    const advice = missing && `: ${missing.run.measure} adds it`;
    const none = "None of the selected runs has recorded which classes were taken for which";
    return node.replaceChildren(empty(found.length ? `${none}${advice || "."}` : "Select a run in the table."));
  }
  const one = having.find(({ run }) => run.id === state.run) ?? having[0];
  const { cells, classes } = one.confusion;
  const set = (id) => redraw(Object.assign(state, { run: Number(id) }));
  const map = element("div", { class: "chart square", id: "confusion" });
  const bars = element("div", { class: "chart square", id: "per-class" });
  const samples = classes.reduce((sum, { samples }) => sum + samples, 0);
  const known = cells.reduce((sum, [, , count]) => sum + count, 0);
  const wrong = cells.filter(([label, taken]) => label !== taken).sort((a, b) => b[2] - a[2]);
  node.replaceChildren(
    controls(
      choice("Run", having.map(({ run, label }) => [String(run.id), label]), String(one.run.id), set),
      hint(`${samples} test samples of the last tested epoch; classes are counted from 0`),
      known < samples && hint(`${samples - known} rarer confusions are not on this page; confusion.csv has them`),
    ),
    element("div", { class: "pair" }, map, bars),
    frequent(wrong, classes),
  );
  return Promise.all([drawMap(map, cells, classes), drawBars(bars, classes)]);
}

function frequent(wrong, classes) {
  const of = new Map(classes.map(({ label, samples }) => [label, samples]));
  const rows = wrong
    .slice(0, LISTED)
    .map(([label, taken, count]) => [String(label), String(taken), String(count), percent(count, of.get(label))]);
  return scroll(table(["class", "taken for", "samples", "of the class, %"], rows, { id: "confused" }));
}

const percent = (part, whole) => ((100 * part) / whole).toFixed(1);

function drawMap(node, cells, classes) {
  const size = Math.max(...cells.flatMap(([label, taken]) => [label, taken])) + 1;
  if (size > MAPPED) return node.replaceWith(empty(`${size} classes are too many for a map.`));
  const of = new Map(classes.map(({ label, samples }) => [label, samples]));
  const z = Array.from({ length: size }, () => Array(size).fill(null));
  const text = Array.from({ length: size }, () => Array(size).fill(""));
  for (const [label, taken, count] of cells) {
    z[label][taken] = (100 * count) / of.get(label);
    text[label][taken] = String(count);
  }
  const few = size <= 20;
  const trace = {
    type: "heatmap",
    z,
    text,
    texttemplate: few ? "%{text}" : undefined,
    textfont: { size: 11 },
    zmin: 0,
    zmax: 100,
    colorscale: [
      [0, colour("card")],
      [0.02, colour("low")],
      [1, colour("blue")],
    ],
    colorbar: { title: { text: "%", side: "top" }, thickness: 10, outlinewidth: 0 },
    hovertemplate: "class %{y} taken for %{x}: %{text} samples, %{z:.1f} %<extra></extra>",
    xgap: few ? 1 : 0,
    ygap: few ? 1 : 0,
  };
  const ticks = few ? { dtick: 1 } : {};
  return plot(node, [trace], {
    title: "Share of each class",
    xaxis: { title: { text: "taken for" }, ...ticks, showgrid: false },
    yaxis: { title: { text: "class" }, ...ticks, autorange: "reversed", showgrid: false },
  });
}

function drawBars(node, classes) {
  const trace = {
    type: "bar",
    x: classes.map(({ label }) => label),
    y: classes.map(({ right, samples }) => (100 * right) / samples),
    customdata: classes.map(({ right, samples }) => `${right} of ${samples}`),
    marker: { color: colour("blue") },
    hovertemplate: "class %{x}: %{y:.2f} % (%{customdata})<extra></extra>",
  };
  const worst = Math.min(...trace.y);
  return plot(node, [trace], {
    title: plain("Accuracy of each class"),
    xaxis: { title: { text: "class" }, ...(classes.length <= 20 ? { dtick: 1 } : {}) },
    yaxis: { title: { text: "test accuracy, %" }, range: [Math.max(0, Math.floor((worst - 5) / 10) * 10), 100] },
  });
}
