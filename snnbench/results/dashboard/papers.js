// Reported beside reproduced, paper by paper.

import { plain, plot } from "chart";
import { controls, element, empty, hint, scroll, tick } from "format";
import { data } from "store";
import { colour } from "theme";

const VERDICTS = ["reproduced", "outside"];
const WIDE = 5; // of the columns that can be missed, those that a narrow page leaves out
const state = { all: false };

export function papers(node, redraw) {
  const shown = data.papers.map((paper) => [paper, linesOf(paper)]).filter(([, lines]) => lines.length);
  const measured = shown.map(([{ points }]) => points.filter(({ n }) => n));
  const charts = measured.map((points) => (points.length ? element("div", { class: "chart" }) : null));
  const cards = shown.map(([paper, lines], place) => cardOf(paper, lines, charts[place]));
  node.replaceChildren(
    ...cards,
    element(
      "div",
      { class: "card", id: "rows" },
      !cards.length && empty("No run belongs to a row of a paper."),
      controls(
        tick("also rows without a run", state.all, (all) => redraw(Object.assign(state, { all }))),
        hint(tally()),
      ),
    ),
  );
  return Promise.all(charts.map((chart, place) => chart && draw(chart, measured[place])));
}

// Those of rows that have runs, or all.
const linesOf = ({ lines, points }) => (state.all ? lines : lines.filter((_, place) => points[place]?.runs));

// "3 of 146 rows have runs; 2 are reproduced"
function tally() {
  const rows = data.papers.flatMap(({ points }) => points);
  const tried = rows.filter(({ runs }) => runs).length;
  const near = ({ mean, reported, tolerance }) =>
    mean !== null && reported !== null && Math.abs(mean - reported) <= tolerance;
  return `${tried} of ${rows.length} rows have runs; ${rows.filter(near).length} reproduced`;
}

function cardOf({ key, title, columns, least, footnotes, notes }, lines, chart) {
  const wide = new Set(least.slice(0, WIDE));
  const used = new Set(lines.flat().flatMap(marksOf));
  const marks = Object.entries(footnotes).filter(([mark]) => used.has(mark));
  const rows = lines.map((line) => element("tr", {}, ...line.map((text, place) => cell(text, columns[place], wide))));
  const heads = columns.map((name) => element("th", { class: wide.has(name) && "wide" }, name));
  const list = element("ul", {}, ...notes.map((note) => element("li", {}, note)));
  return element(
    "div",
    { class: "card paper", id: `paper-${key}` },
    element("h2", {}, title),
    scroll(
      element(
        "table",
        { class: "plain rows" },
        element("thead", {}, element("tr", {}, ...heads)),
        element("tbody", {}, ...rows),
      ),
    ),
    ...marks.map(([mark, text]) => element("p", { class: "foot" }, element("sup", {}, mark), ` ${text}`)),
    notes.length &&
      element("details", {}, element("summary", {}, `Not counted, and other notes: ${notes.length}`), list),
    chart,
  );
}

// "90.00 [a]; last epoch: 89.50 [b]" has two footnotes: texts and marks take turns.
const parted = (text) => text.split(/ \[([a-z])\]/);
const marksOf = (text) => parted(text).filter((_, place) => place % 2);

function cell(text, column, wide) {
  const parts = parted(text).map((part, place) => (place % 2 ? element("sup", {}, part) : part));
  const verdict = column === "status" && VERDICTS.find((word) => text.startsWith(word));
  const classes = [verdict, wide.has(column) && "wide"].filter(Boolean).join(" ");
  return element("td", { class: classes || null, "data-head": column }, element("span", {}, ...parts));
}

// Reported and reproduced accuracy of each row that has been run.
function draw(chart, points) {
  chart.style.height = `${130 + 34 * points.length}px`;
  const y = points.map(({ row }) => plain(row));
  const bar = (array, rest) => ({ type: "data", array, ...rest });
  const reported = {
    name: "reported, with the row’s tolerance",
    x: points.map(({ reported }) => reported),
    y,
    mode: "markers",
    error_x: bar(
      points.map(({ tolerance }) => tolerance),
      { thickness: 6, width: 0, color: colour("rule-strong") },
    ),
    marker: { symbol: "line-ns-open", size: 14, color: colour("ink"), line: { width: 2.5 } },
    hovertemplate: "reported %{x:.2f}<extra></extra>",
  };
  const reproduced = {
    name: "reproduced, mean ± std over seeds",
    x: points.map(({ mean }) => mean),
    y,
    mode: "markers",
    error_x: bar(
      points.map(({ std }) => std ?? 0),
      { thickness: 1.5, width: 4, color: colour("blue") },
    ),
    marker: { size: 10, color: colour("blue") },
    customdata: points.map(({ std, n }) => (n > 1 ? `± ${std.toFixed(2)} (n = ${n})` : "(single seed)")),
    hovertemplate: "reproduced %{x:.2f} %{customdata}<extra></extra>",
  };
  return plot(chart, [reported, reproduced], {
    xaxis: { title: { text: "test accuracy, %" } },
    yaxis: { autorange: "reversed", type: "category" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, xanchor: "left" },
    showlegend: true,
  });
}
