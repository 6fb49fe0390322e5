// Reported beside reproduced, paper by paper; and what could not be shown or was counted once.

import { plain, plot } from "chart";
import { controls, element, empty, scroll, tick } from "format";
import { data } from "store";

const VERDICTS = ["reproduced", "outside"];
const state = { all: false };

export function papers(node, redraw) {
  const shown = data.papers.map((paper) => [paper, linesOf(paper)]).filter(([, lines]) => lines.length);
  const measured = shown.map(([{ points }]) => points.filter(({ n }) => n));
  const charts = measured.map((points) => (points.length ? element("div", { class: "chart" }) : null));
  const cards = shown.map(([paper, lines], place) => cardOf(paper, lines, charts[place]));
  node.replaceChildren(
    controls(tick("also rows without a run", state.all, (all) => redraw(Object.assign(state, { all })))),
    ...(cards.length ? cards : [empty("No run belongs to a row of a paper.")]),
  );
  return Promise.all(charts.map((chart, place) => chart && draw(chart, measured[place])));
}

// Those of rows that have runs, or all; the runs of no row have no row that could be without one.
function linesOf({ key, lines, points }) {
  return state.all || key === "no-row" ? lines : lines.filter((_, place) => points[place]?.runs);
}

function cardOf({ key, title, columns, footnotes, notes }, lines, chart) {
  const used = new Set(lines.flat().flatMap(marksOf));
  const marks = Object.entries(footnotes).filter(([mark]) => used.has(mark));
  const rows = lines.map((line) => element("tr", {}, ...line.map((text, place) => cell(text, columns[place]))));
  const list = element("ul", {}, ...notes.map((note) => element("li", {}, note)));
  return element(
    "div",
    { class: "card paper", id: `paper-${key}` },
    element("h2", {}, title),
    scroll(
      element(
        "table",
        { class: "plain" },
        element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", {}, name)))),
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

function cell(text, column) {
  const parts = parted(text).map((part, place) => (place % 2 ? element("sup", {}, part) : part));
  const verdict = column === "status" ? VERDICTS.find((word) => text.startsWith(word)) : null;
  return element("td", { class: verdict }, ...parts);
}

// Reported and reproduced accuracy of each row that has been run.
function draw(chart, points) {
  chart.style.height = `${120 + 34 * points.length}px`;
  const y = points.map(({ row }) => plain(row));
  const bar = (array, rest) => ({ type: "data", array, ...rest });
  const reported = {
    name: "reported, with the row’s tolerance",
    x: points.map(({ reported }) => reported),
    y,
    mode: "markers",
    error_x: bar(
      points.map(({ tolerance }) => tolerance),
      { thickness: 6, width: 0, color: "#d5dbe2" },
    ),
    marker: { symbol: "line-ns-open", size: 14, color: "#2b3440", line: { width: 2.5 } },
    hovertemplate: "reported %{x:.2f}<extra></extra>",
  };
  const reproduced = {
    name: "reproduced, mean ± std over seeds",
    x: points.map(({ mean }) => mean),
    y,
    mode: "markers",
    error_x: bar(
      points.map(({ std }) => std ?? 0),
      { thickness: 1.5, width: 4, color: "#0072B2" },
    ),
    marker: { size: 10, color: "#0072B2" },
    customdata: points.map(({ std, n }) => (n > 1 ? `± ${std.toFixed(2)} (n = ${n})` : "(single seed)")),
    hovertemplate: "reproduced %{x:.2f} %{customdata}<extra></extra>",
  };
  return plot(chart, [reported, reproduced], {
    xaxis: { title: { text: "test accuracy, %" } },
    yaxis: { autorange: "reversed", type: "category" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    showlegend: true,
  });
}

export function problems(node) {
  const list = (id, title, lines) => {
    const items = lines.map((text) => element("li", {}, text));
    return element(
      "div",
      { class: "card" },
      element("h2", {}, title),
      items.length ? element("ul", { id }, ...items) : empty("None."),
    );
  };
  const copies = data.copies.map(([copy, original]) => `${copy} is a copy of ${original}`);
  node.replaceChildren(
    list("unread", "Could not be read or shown", data.problems),
    list("copies", "Counted once", copies),
  );
}
