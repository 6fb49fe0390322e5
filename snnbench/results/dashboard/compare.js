// The selected runs side by side: what came out, and what may explain why it differs.

import * as format from "format";
import { keysOf, value } from "store";

const { element, NONE } = format;
const MOST = 12;
const GROUPS = ["Recipe", "Beside the recipe", "Code and machine"];
const state = { all: false };

const epoch = (acc, at) => (acc === null ? NONE : `${format.accuracy(acc)} (epoch ${at})`);
const RESULT = {
  status: (run) => run.status,
  error: (run) => run.error ?? NONE,
  "test acc., last epoch, %": (run) => format.accuracy(run.last),
  "test acc., best test epoch, %": (run) => epoch(run.best, run.best_epoch),
  "test acc., validation-chosen, %": (run) => epoch(run.chosen, run.chosen_epoch),
  "epochs run / planned": (run) => `${run.epochs} / ${run.planned}`,
  "firing rate, %": (run) => format.percent(run.firing),
  "energy per sample, nJ": (run) => (run.picojoule === null ? NONE : format.significant(run.picojoule / 1000)),
  parameters: (run) => format.count(run.parameters),
  "parameters of neurons": (run) => format.count(run.neuron_parameters),
  "wall time": (run) => format.duration(run.seconds),
  "peak memory": (run) => (run.peak_memory === null ? NONE : `${Math.round(run.peak_memory / 2 ** 20)} MiB`),
  data: (run) => (run.provenance === "real" ? "real" : `not the real data: ${run.provenance}`),
  recipe: (run) => run.recipe,
  "not counted in a table": (run) => run.note ?? NONE,
  command: (run) => run.command || NONE,
  started: (run) => format.moment(run.started),
  folder: (run) => run.folder,
};

export function compare(node, found, redraw) {
  const some = found.slice(0, MOST);
  if (!some.length) return node.replaceChildren(format.empty("Select two runs or more to see in what they differ."));
  const each = (show) => some.map(({ run }) => show(run));
  const of = (group) => keysOf(group).map((key) => [key, each((run) => format.setting(value(run, key)))]);
  const notes = [
    "Marked: other than the first run’s.",
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
        section(
          "Result",
          Object.entries(RESULT).map(([name, show]) => [name, each(show)]),
        ),
        ...GROUPS.map((group) => section(group, of(group))),
      ),
    ),
  );
}

function section(title, rows) {
  const equal = (values) => values.length > 1 && values.every((text) => text === values[0]);
  const shown = rows.filter(([, values]) => state.all || !equal(values));
  const body = element("tbody", {}, element("tr", { class: "group" }, element("th", { colspan: MOST + 1 }, title)));
  for (const [name, values] of shown) {
    const cells = values.map((text) => element("td", { class: text === values[0] ? null : "differs" }, text));
    body.append(element("tr", {}, element("th", {}, name), ...cells));
  }
  if (!shown.length)
    body.append(element("tr", {}, element("td", { colspan: MOST + 1, class: "hint" }, "equal in all")));
  return body;
}
