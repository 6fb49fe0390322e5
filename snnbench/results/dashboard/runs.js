// The table of runs: sorted, filtered, searched and selected from.

import DataTable from "datatables";
import { swatch } from "chart";
import * as format from "format";
import { explained, number, titled, unitOf, valueOf } from "quantities";
import { choose, chosen, data, runs } from "store";

const { element, NONE } = format;
const FILTERS = {
  list: [{ extend: "searchList", orthogonal: "label" }],
  number: ["searchNumber"],
  text: ["searchText"],
};

// A column whose cells are text, shown by `show`, and sorted and searched by what stands in the data.
function column(data, title, { filter = "number", show = (value) => value ?? NONE, hint, ...rest } = {}) {
  const render = (value, type, run) => (type === "display" ? cell(show(value, run)) : raw(value ?? "", type));
  const [over, own] = Array.isArray(title) ? title : [null, title];
  return {
    data,
    render,
    className: filter === "number" ? "dt-right" : "dt-left",
    type: filter === "number" ? "num" : "string",
    head: element("th", { title: hint }, over && element("small", {}, over, " "), ...broken(own)),
    columnControl: [FILTERS[filter]],
    ...rest,
  };
}

const broken = (title) => title.split("\n").flatMap((part, place) => (place ? [element("br"), ` ${part}`] : [part]));

// DataTables takes the labels of its lists for markup, and text that it searches too, once there is an ampersand in it.
function raw(value, type) {
  if (typeof value !== "string") return value;
  if (type === "label") return format.escaped(value);
  return type === "filter" ? value.replaceAll("&", "＆") : value;
}

const cell = (shown) => (shown instanceof Node ? shown : element("span", {}, String(shown)));

const clipped = (text) => element("span", { title: text, class: "clip" }, text ?? NONE);

const status = (value, run) =>
  element(
    "span",
    { title: run.error },
    format.chip(value),
    run.error && element("span", { class: "error" }, run.error),
  );

function source(value, run) {
  if (run.provenance === "real") return value;
  const mark = element("span", { class: "chip unreal", title: `not the real data: ${run.provenance}` }, run.provenance);
  return element("span", {}, `${value} `, mark);
}

const neuron = (value, { kind }) =>
  element("span", {}, element("i", { class: "swatch", style: `background: ${swatch(kind)}` }), value);

// All values of a quantity in one unit; those of quantities that are not shown here wait in the menu of columns.
function measured(quantity) {
  const { key, short, over } = quantity;
  const unit = unitOf(quantity, runs.map((run) => valueOf(run, quantity)));
  const at = (run) => (key in run.chosen ? `epoch ${run.chosen[key] + 1}` : null);
  return column(`values.${key}`, over ? [titled(over, unit), halved(short)] : halved(titled(short, unit)), {
    show: (value, run) => element("span", { title: at(run) }, number(quantity, value, unit)),
    visible: quantity.shown.includes("runs"),
    hint: explained(quantity),
  });
}

// Broken at the space nearest to its middle.
function halved(title) {
  const spaces = [...title.matchAll(/ /g)].map(({ index }) => index);
  const off = (place) => Math.abs(place - title.length / 2);
  const [place] = spaces.sort((a, b) => off(a) - off(b));
  return place ? `${title.slice(0, place)}\n${title.slice(place + 1)}` : title;
}

const COLUMNS = [
  {
    data: null,
    defaultContent: "",
    orderable: false,
    className: "dt-select",
    render: DataTable.render.select(),
    columnControl: [],
    head: element("th"),
  },
  column("name", "name", { filter: "text", show: clipped }),
  column("status", "status", { filter: "list", show: status }),
  column("error", "error", { filter: "text", show: clipped, visible: false }),
  column("neuron", "neuron", { filter: "list", show: neuron }),
  column("data", "data", { filter: "list", show: source }),
  column("backbone", "backbone", { filter: "list" }),
  column("T", "T", { filter: "list", type: "num", className: "dt-right" }),
  column("seed", "seed", { filter: "list", type: "num", className: "dt-right" }),
  column("epochs", "epochs\nrun / planned", { show: (value, run) => `${value} / ${run.planned}` }),
  ...data.quantities.map(measured),
  column("row", "row of\na paper", { filter: "list", show: clipped }),
  column("started", "started", { filter: "text", show: format.moment }),
  column("folder", "folder", { filter: "text", show: clipped, className: "dt-left folder" }),
];

export function runsTable() {
  const heads = COLUMNS.map(({ head }) => head);
  document.getElementById("runs").append(element("thead", {}, element("tr", {}, ...heads)));
  const table = new DataTable("#runs", {
    data: runs,
    columns: COLUMNS,
    rowId: (run) => `run-${run.id}`,
    order: [[COLUMNS.findIndex((column) => column.data === "started"), "desc"]],
    ordering: { indicators: false, handler: true },
    deferRender: true,
    scrollX: true,
    scrollY: "27vh",
    scrollCollapse: true,
    scroller: { loadingIndicator: false },
    fixedColumns: { start: 2 },
    select: { style: "multi+shift", selector: "td:not(.folder)", info: false },
    layout: {
      topStart: [{ search: { placeholder: "Search all columns", text: "" } }, "info"],
      topEnd: { buttons: buttons() },
      bottomStart: null,
      bottomEnd: null,
    },
    language: {
      emptyTable: "No runs.",
      zeroRecords: "No run matches the filters.",
      info: "_TOTAL_ runs",
      infoFiltered: "of _MAX_",
      infoEmpty: "0 runs",
    },
  });
  const selected = () => table.rows({ selected: true }).data().toArray();
  const inOrder = () => {
    const now = new Set(selected());
    const kept = chosen.selected.filter((run) => now.delete(run));
    return [...kept, ...now];
  };
  table.on("select deselect", () => choose({ selected: inOrder() }));
  table.on("search", () => choose({ shown: table.rows({ search: "applied", order: "index" }).data().toArray() }));
  return table;
}

const buttons = () => [
  { extend: "colvis", background: false, text: "Columns", columns: ":gt(1)" },
  { text: "Clear filters", action: (event, table) => table.search("").columns().ccSearchClear().draw() },
  {
    extend: "csvHtml5",
    text: "CSV",
    filename: "snnbench-runs",
    exportOptions: { orthogonal: "export", columns: ":gt(0)" },
  },
];
