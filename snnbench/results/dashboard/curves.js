// Learning curves of the selected runs over each other.

import { integers, looks, plain, plot } from "chart";
import { choice, controls, element, empty, hint, tick } from "format";
import { spread } from "groups";
import { grouped, labels } from "names";
import { data, points } from "store";
import { colour } from "theme";

const MEAN = "mean ± std over seeds";
const EACH = "each run";
const state = { metric: "test/acc", lines: MEAN, fit: true };
const ROOM = 0.08; // of the range that is fitted, above and below

export function curves(node, found, redraw) {
  const some = found.filter(({ metrics }) => metrics.epoch?.length);
  if (!found.length) return node.replaceChildren(empty("Select runs in the table to see their curves."));
  if (!some.length) return node.replaceChildren(empty("None of the selected runs has finished an epoch."));
  const known = [...new Set(some.flatMap(({ metrics }) => Object.keys(metrics)))].filter((name) => name !== "epoch");
  const metrics = [...new Set([...Object.keys(data.curves), ...known])].filter((name) => known.includes(name));
  if (!metrics.includes(state.metric)) state.metric = metrics[0];
  const titled = (name) => data.curves[name] ?? name;
  const set = (change) => redraw(Object.assign(state, change));
  const chart = element("div", { class: "chart", id: "curves" });
  const without = found.length - some.length;
  node.replaceChildren(
    controls(
      choice(
        "Metric",
        metrics.map((name) => [name, titled(name)]),
        state.metric,
        (metric) => set({ metric }),
      ),
      choice(
        "Lines",
        [MEAN, EACH].map((name) => [name, name]),
        state.lines,
        (lines) => set({ lines }),
      ),
      fits() && tick("fit the last half", state.fit, (fit) => set({ fit })),
      without && hint(`${without} of the selected runs finished no epoch`),
    ),
    chart,
  );
  const traces = state.lines === EACH ? lines(some) : means(some);
  const beside = [...reported(some), ...authors(some)];
  const range = fits() && state.fit ? fitted([...traces, ...beside]) : {};
  return plot(chart, [...traces, ...beside], {
    xaxis: { title: { text: "epoch" }, ...integers(some.flatMap(({ metrics }) => metrics.epoch)) },
    yaxis: { title: { text: plain(titled(state.metric)) }, ...range },
    showlegend: true,
  });
}

// Accuracies and losses, whose first epochs would take most of the axis.
const fits = () => /\/(acc|loss)$/.test(state.metric);

// The axis of what some lines show in the last half of the epochs of the longest.
function fitted(traces) {
  const middle = Math.max(...traces.flatMap(({ x }) => x)) / 2;
  const late = traces.flatMap(({ x, y }) => y.filter((value, at) => x[at] >= middle && value !== null));
  const [low, high] = [Math.min(...late), Math.max(...late)];
  const room = ROOM * (high - low || Math.abs(high) || 1);
  return Number.isFinite(room) ? { range: [low - room, high + room] } : {};
}

const mode = (x) => (x.length > 30 ? "lines" : "lines+markers");
const drawn = ({ colour, dash, symbol }) => ({
  line: { color: colour, dash, width: 2 },
  marker: { color: colour, symbol, size: 6 },
});

// [epoch, counted from 1, value] where there is a value.
const measured = ({ metrics }) =>
  metrics.epoch
    .map((epoch, at) => [epoch + 1, metrics[state.metric]?.[at] ?? null])
    .filter(([, value]) => value !== null);

function lines(some) {
  const found = looks(some.map(({ run }) => run));
  return some.map((one, place) => {
    const rows = measured(one);
    const x = rows.map(([epoch]) => epoch);
    const y = rows.map(([, value]) => value);
    const hovertemplate = "epoch %{x}: %{y:.4~r}";
    return { x, y, mode: mode(x), name: plain(one.label), hovertemplate, ...drawn(found[place]) };
  });
}

// One line for the runs that differ in the seed alone, with a band of one standard deviation.
function means(some) {
  const groups = [...grouped(some, ({ run }) => `${run.family} ${run.T}`).values()];
  const firsts = groups.map(([{ run }]) => run);
  const names = labels(firsts, { seeds: false });
  const found = looks(firsts);
  return groups.flatMap((group, place) => {
    const at = grouped(group.flatMap(measured), ([epoch]) => epoch);
    const x = [...at.keys()].sort((a, b) => a - b);
    const stats = x.map((epoch) => spread(at.get(epoch).map(([, value]) => value)));
    const y = stats.map(({ mean }) => mean);
    const std = stats.map(({ std }) => std ?? 0);
    const shared = {
      legendgroup: place,
      name: `${plain(names.get(group[0].run))}, n = ${group.length}`,
    };
    const band = {
      x: [...x, ...x.toReversed()],
      y: [...y.map((mean, i) => mean + std[i]), ...y.map((mean, i) => mean - std[i]).toReversed()],
      mode: "lines",
      line: { width: 0 },
      fill: "toself",
      fillcolor: `${found[place].colour}30`,
      hoverinfo: "skip",
      showlegend: false,
    };
    const hovertemplate = `epoch %{x}: %{y:.4~r}${group.length > 1 ? " ± %{customdata:.2~r}" : ""}`;
    const middle = { ...shared, ...drawn(found[place]), x, y, mode: mode(x), customdata: std, hovertemplate };
    return group.length > 1 ? [{ ...shared, ...band }, middle] : [middle];
  });
}

// What the papers report for the rows that some of these runs count for: the result as a line, the authors' log as
// points.
function reported(some) {
  if (state.metric !== "test/acc") return [];
  const end = ended(some);
  const counted = some.filter(({ run }) => run.note === null);
  const known = [...new Set(counted.map(({ run }) => run.row))].map((row) => points.get(row));
  return known
    .filter((point) => point && point.reported !== null)
    .flatMap(({ row, reported, milestones }, place) => {
      const color = colour(place % 2 ? "edge" : "soft");
      const reached = Object.entries(milestones).filter(([epoch]) => epoch < end);
      const level = {
        name: `${plain(row)}: reported`,
        x: [1, end],
        y: [reported, reported],
        mode: "lines",
        line: { color, dash: "dot", width: 1.5 },
        hovertemplate: "%{y:.2f}",
      };
      const log = {
        name: `${plain(row)}: the authors’ log`,
        x: reached.map(([epoch]) => Number(epoch) + 1),
        y: reached.map(([, value]) => value),
        mode: "markers",
        marker: { color: colour("card"), size: 9, symbol: "diamond", line: { color, width: 2 } },
        hovertemplate: "epoch %{x}: %{y:.2f}",
      };
      return reached.length ? [level, log] : [level];
    });
}

// The authors' own curves of the rows whose recipe some of these runs have, as far as the runs have come.
function authors(some) {
  if (state.metric !== "test/acc") return [];
  const end = ended(some);
  const rows = [...new Set(some.filter(({ run }) => data.official.runs.includes(run.id)).map(({ run }) => run.row))];
  return rows.map((row, place) => {
    const y = data.official.curves[row].slice(0, end);
    return {
      name: rows.length > 1 ? `${plain(row)}: authors` : "authors",
      x: y.map((_, epoch) => epoch + 1),
      y,
      mode: "lines",
      line: { color: colour(place % 2 ? "edge" : "soft"), dash: "dash", width: 1.5 },
      hovertemplate: "epoch %{x}: %{y:.2f}",
    };
  });
}

// How many epochs the longest of them has.
const ended = (some) => Math.max(...some.map(({ metrics }) => metrics.epoch.at(-1))) + 1;
