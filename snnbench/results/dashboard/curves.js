// Learning curves of the selected runs over each other.

import { COLOURS, integers, look, plain, plot } from "chart";
import { choice, controls, element, empty, hint } from "format";
import { grouped, labels } from "names";
import { data, points } from "store";

const EACH = "each run";
const MEAN = "mean ± std over seeds";
const state = { metric: "test/acc", lines: EACH };

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
        [EACH, MEAN].map((name) => [name, name]),
        state.lines,
        (lines) => set({ lines }),
      ),
      without && hint(`${without} of the selected runs finished no epoch`),
    ),
    chart,
  );
  const traces = state.lines === EACH ? some.map(line) : means(some);
  return plot(chart, [...traces, ...reported(some), ...authors(some)], {
    xaxis: { title: { text: "epoch, counted from 0" }, ...integers(some.flatMap(({ metrics }) => metrics.epoch)) },
    yaxis: { title: { text: plain(titled(state.metric)) } },
    showlegend: true,
  });
}

const mode = (x) => (x.length > 30 ? "lines" : "lines+markers");
const drawn = ({ colour, dash, symbol }) => ({
  line: { color: colour, dash, width: 2 },
  marker: { color: colour, symbol, size: 6 },
});

// [epoch, value] where there is a value.
const measured = ({ metrics }) =>
  metrics.epoch.map((epoch, at) => [epoch, metrics[state.metric]?.[at] ?? null]).filter(([, value]) => value !== null);

function line(one) {
  const rows = measured(one);
  const x = rows.map(([epoch]) => epoch);
  const y = rows.map(([, value]) => value);
  return { x, y, mode: mode(x), name: plain(one.label), hovertemplate: "epoch %{x}: %{y:.4~r}", ...drawn(one.look) };
}

// One line for the runs that differ in the seed alone, with a band of one standard deviation.
function means(some) {
  const groups = [...grouped(some, ({ run }) => `${run.family} ${run.T}`).values()];
  const names = labels(groups.map(([{ run }]) => run));
  return groups.flatMap((group, place) => {
    const at = grouped(group.flatMap(measured), ([epoch]) => epoch);
    const x = [...at.keys()].sort((a, b) => a - b);
    const stats = x.map((epoch) => spread(at.get(epoch).map(([, value]) => value)));
    const y = stats.map(({ mean }) => mean);
    const std = stats.map(({ std }) => std ?? 0);
    const shared = {
      legendgroup: place,
      name: `${plain(names.get(group[0].run).replace(/ · seed [^·]+/, ""))}, n = ${group.length}`,
    };
    const band = {
      x: [...x, ...x.toReversed()],
      y: [...y.map((mean, i) => mean + std[i]), ...y.map((mean, i) => mean - std[i]).toReversed()],
      mode: "lines",
      line: { width: 0 },
      fill: "toself",
      fillcolor: `${look(place).colour}26`,
      hoverinfo: "skip",
      showlegend: false,
    };
    const hovertemplate = "epoch %{x}: %{y:.4~r} ± %{customdata:.2~r}";
    return [
      { ...shared, ...band },
      { ...shared, ...drawn(look(place)), x, y, mode: mode(x), customdata: std, hovertemplate },
    ];
  });
}

// Mean and sample standard deviation, which a single value does not have.
export function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null, n: values.length };
}

// What the papers report for the rows of these runs: the result as a line, the authors' log as points.
function reported(some) {
  if (state.metric !== "test/acc") return [];
  const end = Math.max(...some.map(({ metrics }) => metrics.epoch.at(-1)));
  const known = [...new Set(some.map(({ run }) => run.row))].map((row) => points.get(row));
  return known
    .filter((point) => point && point.reported !== null)
    .flatMap(({ row, reported, milestones }, place) => {
      const color = COLOURS.at(-1 - (place % COLOURS.length));
      const reached = Object.entries(milestones).filter(([epoch]) => epoch <= end);
      const level = {
        name: `${plain(row)}: reported`,
        x: [0, end],
        y: [reported, reported],
        mode: "lines",
        line: { color, dash: "dot", width: 1.5 },
        hovertemplate: "%{y:.2f}",
      };
      const log = {
        name: `${plain(row)}: the authors’ log`,
        x: reached.map(([epoch]) => Number(epoch)),
        y: reached.map(([, value]) => value),
        mode: "markers",
        marker: { color: "#fff", size: 9, symbol: "diamond", line: { color, width: 2 } },
        hovertemplate: "epoch %{x}: %{y:.2f}",
      };
      return reached.length ? [level, log] : [level];
    });
}

// The authors' own curves of the rows whose recipe some of these runs have, as far as the runs have come.
function authors(some) {
  if (state.metric !== "test/acc") return [];
  const end = Math.max(...some.map(({ metrics }) => metrics.epoch.at(-1)));
  const rows = [...new Set(some.filter(({ run }) => data.official.runs.includes(run.id)).map(({ run }) => run.row))];
  return rows.map((row, place) => {
    const y = data.official.curves[row].slice(0, end + 1);
    return {
      name: rows.length > 1 ? `${plain(row)}: authors` : "authors",
      x: y.map((_, epoch) => epoch),
      y,
      mode: "lines",
      line: { color: COLOURS.at(-1 - (place % COLOURS.length)), dash: "dash", width: 1.5 },
      hovertemplate: "epoch %{x}: %{y:.2f}",
    };
  });
}
