// What is known of the runs, and which of them are selected.

const read = (id) => JSON.parse(document.getElementById(id).textContent);

export const data = read("data");
export const runs = data.runs.map((run, id) => ({ ...run, id }));

export const points = new Map(data.papers.flatMap((paper) => paper.points).map((point) => [point.row, point]));

// The selected runs in the order in which they were selected, and those that the table's filters leave.
export const chosen = { selected: [], shown: runs, listeners: [] };

export function choose(change) {
  Object.assign(chosen, change);
  chosen.listeners.forEach((listener) => listener(change));
}

// What a run's config, code or machine says.
export const value = (run, key) => {
  const column = data.config[key];
  return column.values[column.index ? column.index[run.id] : 0];
};

export const keysOf = (group) => Object.keys(data.config).filter((key) => data.config[key].group === group);
export const RECIPE = keysOf("Recipe");

// Keys in which not all of some runs agree.
export function varying(some, keys = RECIPE) {
  return keys.filter((key) => {
    const index = data.config[key].index;
    return index && some.some((run) => index[run.id] !== index[some[0].id]);
  });
}

// The text of something gzipped, as base64.
export function inflated(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let place = 0; place < raw.length; place++) bytes[place] = raw.charCodeAt(place);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

let packed;
const unpacked = new Map();

// Of a run, unpacked once they are asked for: its metrics by column, quantity -> layer -> {x: epochs, y: values} in the
// order of the network, its energy, and which classes were taken for which.
export function detail(run) {
  if (!unpacked.has(run.id)) unpacked.set(run.id, unpack(run.id));
  return unpacked.get(run.id);
}

async function unpack(id) {
  packed ??= read("details");
  const raw = JSON.parse(await inflated(packed[id]));
  const metrics = Object.fromEntries(Object.entries(raw.metrics).map(([name, values]) => [name, numbers(values)]));
  const layers = Object.entries(raw.layers).map(([quantity, each]) => [
    quantity,
    new Map(Object.entries(each).map(series)),
  ]);
  return { metrics, layers: new Map(layers), energy: raw.energy, confusion: raw.confusion && confusion(raw.confusion) };
}

// cells: [class, what it was taken for, samples]; classes: {label, samples, right}, all of a class's samples.
function confusion([labels, taken, counts, classes, samples]) {
  const [from, to, count] = [labels, taken, counts].map(numbers);
  const cells = from.map((label, at) => [label, to[at], count[at]]);
  const right = new Map(cells.filter(([label, taken]) => label === taken).map(([label, , count]) => [label, count]));
  const all = numbers(samples);
  const found = numbers(classes).map((label, at) => ({ label, samples: all[at], right: right.get(label) ?? 0 }));
  return { cells, classes: found.sort((a, b) => a.label - b.label) };
}

// Numbers are kept as texts with commas; null stands where there is none, or none that is finite.
const numbers = (text) => text.split(",").map((part) => (part === "" || !isFinite(part) ? null : Number(part)));
const series = ([layer, [epochs, values]]) => [layer, { x: numbers(epochs), y: numbers(values) }];
