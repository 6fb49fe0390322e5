// Charts of one look. Plotly is read only when the first is drawn, so that the table comes at once.

import { escaped } from "format";
import { inflated } from "store";

// Okabe and Ito's colours, told apart with any colour vision; without their yellow, which is too light for lines.
export const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444"];
const DASHES = ["solid", "dash", "dot", "dashdot"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon"];
export const MOST = 60;

export const look = (place) => ({
  colour: COLOURS[place % COLOURS.length],
  dash: DASHES[Math.floor(place / COLOURS.length) % DASHES.length],
  symbol: SYMBOLS[(place + Math.floor(place / COLOURS.length)) % SYMBOLS.length],
});

// Plotly takes some markup in its texts.
export const plain = (text) => escaped(text);

const FONT = {
  family: getComputedStyle(document.documentElement).getPropertyValue("--font"),
  size: 13,
  color: "#2b3440",
};
const AXIS = {
  gridcolor: "#eceff3",
  linecolor: "#9aa5b1",
  zeroline: false,
  showline: true,
  ticks: "outside",
  tickcolor: "#9aa5b1",
  ticklen: 4,
  automargin: true,
  title: { standoff: 8, font: { size: 13 } },
};
const LAYOUT = {
  font: FONT,
  paper_bgcolor: "#fff",
  plot_bgcolor: "#fff",
  margin: { l: 60, r: 12, t: 14, b: 46 },
  hoverlabel: { bgcolor: "#fff", bordercolor: "#c5cdd6", font: { ...FONT, size: 12 }, namelength: -1 },
  legend: { font: { size: 12 }, itemsizing: "constant", tracegroupgap: 0 },
  hovermode: "closest",
};
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
export async function plot(node, traces, { title = "", xaxis = {}, yaxis = {}, ...layout }) {
  await (loaded ??= load());
  if (!node.isConnected) return undefined;
  return window.Plotly.react(
    node,
    traces,
    {
      ...LAYOUT,
      ...layout,
      title: {
        text: title,
        x: 0,
        xref: "container",
        xanchor: "left",
        y: 0.99,
        yanchor: "top",
        font: { size: 14, weight: 600 },
      },
      ...(title ? { margin: { ...LAYOUT.margin, t: 34 } } : {}),
      xaxis: { ...AXIS, ...xaxis, title: { ...AXIS.title, ...xaxis.title } },
      yaxis: { ...AXIS, ...yaxis, title: { ...AXIS.title, ...yaxis.title } },
    },
    CONFIG,
  );
}

// Of an axis of whole numbers: no ticks between them.
export const integers = (values) => (values.every((value) => value <= 10) ? { dtick: 1 } : {});

// Forget the charts below a node that is about to be emptied.
export function forget(node) {
  node.querySelectorAll(".js-plotly-plot").forEach((chart) => window.Plotly.purge(chart));
}
