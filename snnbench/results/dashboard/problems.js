// What ended early and why, with the command to go on; what could not be read, and what was counted once.

import { chip, count, element, empty, hint } from "format";
import { grouped } from "names";
import { data, runs } from "store";

const ended = runs.filter(({ ending }) => ending);
const MOST = 100; // runs of one cause that are listed
export const noted = ended.length + data.problems.length + data.copies.length;

// Errors that differ in numbers alone are the same.
const alike = ({ status, ending, error }) => JSON.stringify([status, ending.cause, (error ?? "").replace(/\d+/g, "#")]);

export function problems(node) {
  const causes = [...grouped(ended, alike).values()].sort((a, b) => b.length - a.length);
  const copies = data.copies.map(([copy, original]) => `${copy} is a copy of ${original}`);
  const cards = [
    card("ended", `Ended early: ${ended.length} of ${runs.length} runs`, causes.map(cause)),
    list("unread", "Could not be read or shown", data.problems),
    list("copies", "Counted once", copies),
  ].filter(Boolean);
  const none = empty("Every run that was found is read, and none has ended early.");
  node.replaceChildren(...(cards.length ? cards : [none]));
}

const card = (id, title, parts) =>
  parts.length > 0 && element("div", { class: "card", id }, element("h2", {}, title), ...parts);

function list(id, title, lines) {
  const items = lines.slice(0, MOST).map((text) => element("li", {}, text));
  const more = lines.length > MOST && hint(`The first ${MOST} of ${lines.length}.`);
  return lines.length > 0 && card(id, `${title}: ${lines.length}`, [element("ul", {}, ...items), more].filter(Boolean));
}

// The runs of one cause; listed once it is opened.
function cause(same, place) {
  const [{ status, ending, error }] = same;
  const runs = element("div");
  const fill = () => runs.childElementCount || runs.append(...listed(same));
  const opened = place === 0;
  const node = element(
    "details",
    { class: "cause", open: opened, ontoggle: fill },
    element(
      "summary",
      {},
      element("strong", {}, count(same.length)),
      " ",
      chip(status),
      ` ${ending.cause}`,
      error && element("span", { class: "why" }, error),
    ),
    runs,
  );
  if (opened) fill();
  return node;
}

// A command that all of them have, as of a sweep, stands once.
function listed(same) {
  const [{ ending }] = same;
  const shared = same.every((run) => run.ending.command === ending.command);
  const items = same.slice(0, MOST).map((run) => {
    const what = `${run.neuron}, T=${run.T}, seed ${run.seed}, ${run.data}`;
    const words = `${what}, after ${run.epochs} of ${run.planned} epochs`;
    const where = element("span", { class: "hint" }, ` ${run.folder}`);
    return element("li", {}, words, where, !shared && command(run.ending.command));
  });
  return [
    element("p", { class: "advice" }, `${ending.advice}:`, shared && command(ending.command)),
    element("ul", { class: "ended" }, ...items),
    same.length > MOST && hint(`The first ${MOST} of ${same.length}.`),
  ].filter(Boolean);
}

// A command; its button selects it, and copies it where the browser lets pages do so.
function command(text) {
  if (!text) return hint("not recorded");
  const code = element("code", {}, text);
  const copy = async ({ target }) => {
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(text);
      target.textContent = "copied";
    } catch {
      target.textContent = "selected";
    }
  };
  return element("span", { class: "command" }, code, element("button", { onclick: copy }, "copy"));
}
