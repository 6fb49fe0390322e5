// Joins the parts: views, panels, and what is drawn when a selection or a filter changes.

import { answer } from "answer";
import { forget, looks, MOST, paint } from "chart";
import { compare } from "compare";
import { confusion } from "confusion";
import { curves } from "curves";
import { element, empty, STATUS } from "format";
import { activity, coefficients } from "layers";
import { labels } from "names";
import { noted, problems } from "problems";
import { runsTable } from "runs";
import { choose, chosen, data, detail, runs } from "store";
import { themeSwitch } from "theme";
import { timesteps } from "timesteps";

const found = (id) => document.getElementById(id);
const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

const PANELS = {
  curves: { title: "Learning curves", show: curves, on: "selected" },
  timesteps: { title: "Over timesteps", show: timesteps, on: "shown" },
  activity: { title: "Firing rate and energy", show: activity, on: "selected" },
  coefficients: { title: "Coefficients", show: coefficients, on: "selected" },
  confusion: { title: "Classes", show: confusion, on: "selected" },
  compare: { title: "Differences", show: compare, on: "selected" },
};
const VIEWS = {
  answer: { title: "Results", show: () => redrawAnswer() },
  runs: { title: "Runs", show: () => showRuns() },
  problems: { title: noted ? `Problems (${noted})` : "Problems", show: () => problems(found("view-problems")) },
};
let table,
  panel = "curves",
  view = "answer",
  latest = 0;

function tabs(nav, entries, open) {
  const buttons = Object.entries(entries).map(([key, { title }]) =>
    element("button", { role: "tab", id: `tab-${key}`, onclick: () => press(key) }, title),
  );
  const press = (key) => {
    for (const button of buttons) button.setAttribute("aria-selected", button.id === `tab-${key}`);
    open(key);
  };
  nav.replaceChildren(...buttons);
  return press;
}

const openView = tabs(found("views"), VIEWS, (key) => {
  view = key;
  for (const view of Object.keys(VIEWS)) found(`view-${view}`).hidden = view !== key;
  VIEWS[key].show();
});
const openPanel = tabs(found("panels"), PANELS, (key) => {
  panel = key;
  drawPanel();
});

async function redrawAnswer() {
  const node = found("view-answer");
  node.ariaBusy = "true";
  await keepFocus(node, (node) => answer(node, redrawAnswer));
  node.ariaBusy = "false";
}

// The table is made when it is first looked at: with thousands of runs it takes a moment.
function showRuns() {
  if (table) {
    table.columns.adjust();
    return drawPanel();
  }
  table = runsTable();
  chosen.listeners.push(changed);
  const first = latestRuns().map((run) => `#run-${run.id}`);
  if (first.length) table.rows(first).select();
  return openPanel(panel);
}

// Of the setting of the newest run that finished an epoch, as many as are drawn.
function latestRuns() {
  const newest = runs.findLast((run) => run.epochs > 0);
  return runs.filter((run) => run.epochs > 0 && run.setting === newest.setting).slice(-MOST);
}

// Draws the open panel; a later call overtakes an earlier one that still waits for its runs.
async function drawPanel() {
  const turn = ++latest;
  found("panel").ariaBusy = "true";
  try {
    await draw(turn);
  } catch (error) {
    found("panel").replaceChildren(empty(`This could not be drawn: ${error.message}`));
    throw error;
  }
  if (turn === latest) found("panel").ariaBusy = "false";
}

async function draw(turn) {
  const some = chosen.selected.slice(0, MOST);
  const details = await Promise.all(some.map(detail));
  if (turn !== latest) return;
  const names = labels(some);
  const drawn = looks(some);
  const known = (run, place) => ({ run, label: names.get(run), look: drawn[place], ...details[place] });
  await keepFocus(found("panel"), (node) => PANELS[panel].show(node, some.map(known), drawPanel));
}

function keepFocus(node, draw) {
  const name = node.contains(document.activeElement) ? document.activeElement.name : null;
  forget(node);
  const drawn = draw(node);
  if (name) node.querySelector(`[name="${CSS.escape(name)}"]`)?.focus();
  return drawn;
}

function selectionText() {
  const { length } = chosen.selected;
  return length > MOST ? `${length} selected, the first ${MOST} drawn` : `${length} selected`;
}

function changed(change) {
  found("selected").textContent = selectionText();
  if (PANELS[panel].on in change) drawPanel();
}

function heading() {
  const statuses = Object.keys(STATUS).map((status) => [runs.filter((run) => run.status === status).length, status]);
  const parts = statuses.filter(([number]) => number).map(([number, status]) => `${number} ${status}`);
  found("summary").textContent = [
    `${count(runs.length, "run")} in ${data.folders.join(", ")}${parts.length ? `: ${parts.join(", ")}` : ""}`,
    data.generated,
  ].join(" · ");
  const { problems, copies } = data;
  const ended = runs.filter(({ ending }) => ending).length;
  const words = [
    ended && `${count(ended, "run")} ended early`,
    problems.length && count(problems.length, "problem"),
    copies.length && `${count(copies.length, "copy", "copies")} counted once`,
  ];
  found("notice").textContent = words.filter(Boolean).join(", ");
  found("notice").hidden = !noted;
  found("notice").addEventListener("click", () => openView("problems"));
}

heading();
paint();
themeSwitch(found("theme"), () => {
  paint();
  VIEWS[view].show();
});
found("select-shown").addEventListener("click", () => {
  table.rows().deselect();
  table.rows({ search: "applied" }).select();
});
found("select-none").addEventListener("click", () => table.rows().deselect());
openView("answer");
