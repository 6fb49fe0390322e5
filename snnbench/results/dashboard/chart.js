// Charts of one look. Plotly is read only when the first is drawn, so that the table comes at once.

import { escaped } from "format";
import { data, inflated } from "store";
import { colour, mixed, visible } from "theme";

const DASHES = ["solid", "dash", "dot", "dashdot"];
const NARROW = 640; // pixels, below which a legend has no room beside its chart
export const MOST = 60;

// A neuron has its colour and symbol everywhere; of several lines of one neuron, each has other dashes, every second
// open symbols, and those beyond four a paler colour.
export function looks(runs) {
  const known = new Map();
  return runs.map(({ kind }) => {
    const place = known.get(kind) ?? 0;
    known.set(kind, place + 1);
    const [own, symbol] = data.neurons[kind];
    const pale = Math.min(0.6, 0.3 * Math.floor(place / DASHES.length));
    return {
      colour: mixed(visible(own), colour("card"), pale),
      dash: DASHES[place % DASHES.length],
      symbol: symbol + (place % 2 ? "-open" : ""),
    };
  });
}

// A neuron's colour for styles, which follows the theme.
const KINDS = Object.keys(data.neurons);
export const swatch = (kind) => `var(--neuron-${KINDS.indexOf(kind)})`;
export function paint() {
  const { style } = document.documentElement;
  KINDS.forEach((kind, place) => style.setProperty(`--neuron-${place}`, visible(data.neurons[kind][0])));
}

// Plotly takes some markup in its texts.
export const plain = (text) => escaped(text);

const font = () => ({ family: colour("font"), size: 13, color: colour("ink") });
const axis = () => ({
  gridcolor: colour("rule"),
  linecolor: colour("edge"),
  zeroline: false,
  showline: true,
  ticks: "outside",
  tickcolor: colour("edge"),
  ticklen: 4,
  automargin: true,
});
const layoutOf = () => ({
  font: font(),
  paper_bgcolor: colour("card"),
  plot_bgcolor: colour("card"),
  modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("edge"), activecolor: colour("soft") },
  hoverlabel: { bgcolor: colour("card"), bordercolor: colour("edge"), font: { ...font(), size: 12 }, namelength: -1 },
  legend: { font: { size: 12 }, itemsizing: "constant", tracegroupgap: 0 },
  hovermode: "closest",
});
const MARGIN = { l: 60, r: 12, t: 14, b: 46 };
const BELOW = { orientation: "h", x: 0, xanchor: "left", y: -0.22, yanchor: "top" };
const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  toImageButtonOptions: { format: "svg", filename: "snnbench" },
};

let loaded;

async function load() {
  const source = document.getElementById("plotly");
  document.head.append(
    Object.assign(document.createElement("script"), { textContent: await inflated(source.textContent) }),
  );
  source.remove();
}

// layout: {title, xaxis, yaxis, ...} of Plotly; a title stands at the left, above the plot.
export async function plot(node, traces, { title = "", xaxis = {}, yaxis = {}, legend = {}, ...layout }) {
  await (loaded ??= load());
  if (!node.isConnected) return undefined;
  const base = layoutOf();
  const narrow = node.clientWidth < NARROW;
  const titled = ({ title = {}, ...rest }) => ({
    ...axis(),
    ...rest,
    title: { standoff: 8, font: { size: 13 }, ...title },
  });
  return window.Plotly.react(
    node,
    traces,
    {
      ...base,
      ...layout,
      title: {
        text: title,
        x: 0,
        xref: "container",
        xanchor: "left",
        y: 0.99,
        yanchor: "top",
        font: { size: narrow ? 13 : 14, weight: 600 },
      },
      margin: { ...MARGIN, ...(title ? { t: 34 } : {}), ...(narrow ? { l: 44, r: 6 } : {}) },
      legend: { ...base.legend, ...(narrow ? BELOW : {}), ...legend },
      xaxis: titled(xaxis),
      yaxis: titled(yaxis),
    },
    { ...CONFIG, displayModeBar: narrow ? false : "hover" },
  );
}

// Of an axis of whole numbers: no ticks between them.
export const integers = (values) => (values.every((value) => value <= 10) ? { dtick: 1 } : {});

// Forget the charts below a node that is about to be emptied.
export function forget(node) {
  node.querySelectorAll(".js-plotly-plot").forEach((chart) => window.Plotly.purge(chart));
}
