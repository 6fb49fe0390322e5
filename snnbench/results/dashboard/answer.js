// What came out, first of all: reported beside reproduced, neurons beside each other, over T, and against their cost.

import { choice, controls, element, empty, hint } from "format";
import { COSTS, frontier } from "frontier";
import { places } from "groups";
import { matrix } from "matrix";
import { papers } from "papers";
import { named } from "quantities";
import { runs } from "store";
import { overTimesteps, QUANTITIES } from "timesteps";

const state = { where: null, key: QUANTITIES[0][0], cost: COSTS[0][0] };
const found = places(runs);

export function answer(node, redraw) {
  const parts = { papers: element("div"), matrix: card(), charts: card() };
  node.replaceChildren(...Object.values(parts));
  matrix(parts.matrix, redraw);
  return Promise.all([papers(parts.papers, redraw), charts(parts.charts, redraw)]);
}

const card = () => element("div", { class: "card" });
const chart = (id) => element("div", { class: "chart", id });

function charts(node, redraw) {
  const title = element("h2", {}, "Over timesteps, and against cost");
  if (!found.length) return node.replaceChildren(title, empty("No run has finished all of its epochs."));
  const [where, here] = found.find(([name]) => name === state.where) ?? found[0];
  const set = (change) => redraw(Object.assign(state, change));
  const quantity = named(state.key);
  const options = found.map(([name, some]) => [name, `${name} (${some.length})`]);
  const [left, right] = [chart("over-timesteps"), chart("frontier")];
  node.replaceChildren(
    title,
    controls(
      choice("Data and network", options, where, (where) => set({ where })),
      choice("Accuracy", QUANTITIES.filter(([key]) => named(key).over), state.key, (key) => set({ key })),
      choice("Cost", COSTS, state.cost, (cost) => set({ cost })),
      hint("mean ± standard deviation over seeds"),
    ),
    element("div", { class: "pair" }, left, right),
  );
  return Promise.all([
    overTimesteps(left, here, quantity, "Over timesteps"),
    frontier(right, here, quantity, state.cost, `Against ${named(state.cost).label}`),
  ]);
}
