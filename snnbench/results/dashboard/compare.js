// The selected runs side by side: what came out, and what may explain why it differs.

import * as format from "format";
import { best, number, shown, titled, unitOf, valueOf } from "quantities";
import { keysOf, value } from "store";
import { worded } from "names";

const { element, NONE } = format;
const MOST = 12;
const GROUPS = ["Recipe", "Beside the recipe", "Code and machine"];
const state = { all: false };

const BEFORE = {
  status: (run) => run.status,
  error: (run) => run.error ?? NONE,
  "epochs run / planned": (run) => `${run.epochs} / ${run.planned}`,
};
const AFTER = {
  data: (run) => (run.provenance === "real" ? "real" : `not the real data: ${run.provenance}`),
  "not counted in a table": (run) => run.note ?? NONE,
  command: (run) => run.command || NONE,
  started: (run) => format.moment(run.started),
  folder: (run) => run.folder,
};

// Rows: [name, a text for each run, which of them are the best].
const plain = (shows, some) =>
  Object.entries(shows).map(([name, show]) => [name, some.map(({ run }) => show(run)), []]);

function measured(quantity, some) {
  const values = some.map(({ run }) => valueOf(run, quantity));
  const unit = unitOf(quantity, values);
  const at = ({ run }) => (quantity.key in run.chosen ? ` (epoch ${run.chosen[quantity.key] + 1})` : "");
  const texts = values.map((value, place) => `${number(quantity, value, unit)}${at(some[place])}`);
  return [titled(quantity.label, unit), texts, best(quantity, values)];
}

export function compare(node, found, redraw) {
  const some = found.slice(0, MOST);
  if (!some.length) return node.replaceChildren(format.empty("Select two runs or more to see in what they differ."));
  const of = (group) => keysOf(group).map((key) => [key, some.map(({ run }) => worded(key, value(run, key))), []]);
  const results = shown("differences").map((quantity) => measured(quantity, some));
  const notes = [
    "Marked: other than the first run’s; bold: the best.",
    some.length === 1 && "One run is selected; with a second, they are compared.",
    found.length > MOST && `The first ${MOST} of ${found.length} are shown.`,
  ];
  const heads = some.map(({ run, label }) => element("th", { title: run.folder }, label));
  return node.replaceChildren(
    format.controls(
      format.tick("also what is equal", state.all, (all) => redraw(Object.assign(state, { all }))),
      format.hint(notes.filter(Boolean).join(" ")),
    ),
    format.scroll(
      element(
        "table",
        { class: "plain", id: "compare" },
        element("thead", {}, element("tr", {}, element("th"), ...heads)),
        section("Result", [...plain(BEFORE, some), ...results, ...plain(AFTER, some)]),
        ...GROUPS.map((group) => section(group, of(group))),
      ),
    ),
  );
}

function section(title, rows) {
  const equal = (values) => values.length > 1 && values.every((text) => text === values[0]);
  const left = rows.filter(([, values]) => state.all || !equal(values));
  const body = element("tbody", {}, element("tr", { class: "group" }, element("th", { colspan: MOST + 1 }, title)));
  for (const [name, values, bold] of left) {
    const cells = values.map((text, place) => {
      const marks = [text !== values[0] && "differs", bold[place] && "best"].filter(Boolean);
      return element("td", { class: marks.join(" ") || null }, text);
    });
    body.append(element("tr", {}, element("th", {}, name), ...cells));
  }
  if (!left.length)
    body.append(element("tr", {}, element("td", { colspan: MOST + 1, class: "hint" }, "equal in all")));
  return body;
}
