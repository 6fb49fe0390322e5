// Numbers and names as people read them, and elements whose text is never taken for markup.

export const NONE = "–";

const or = (write) => (value) => (value === null || value === undefined ? NONE : write(value));

export const fixed = (digits) => or((value) => value.toFixed(digits));
export const significant = (digits) => or((value) => String(Number(value.toPrecision(digits))));
export const count = or((value) => {
  for (const [size, unit] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ]) {
    if (value >= size) return `${Number((value / size).toPrecision(4))} ${unit}`;
  }
  return String(value);
});
export const duration = or((seconds) => {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
});
export const moment = (time) => (time ? time.slice(0, 16).replace("T", " ") : NONE);

// Of some units, as [size, name] and from the smallest on, the largest that the largest of some values fills.
export function fitting(units, values) {
  const largest = Math.max(0, ...values.filter((value) => value !== null).map(Math.abs));
  const [size, name] = units.findLast(([size]) => largest >= size) ?? units[0];
  return { name, of: (value) => (value === null ? null : value / size) };
}

// A value of a config.
export function setting(value) {
  if (value === null) return "null";
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  return typeof value === "string" ? value : JSON.stringify(value);
}

export const escaped = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

// element("td", {class: "x", onclick}, "text", node): strings become text, never markup.
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter(Boolean));
  return node;
}

// A plain table of texts.
export const table = (head, rows, attributes = {}) =>
  element(
    "table",
    { class: "plain", ...attributes },
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", {}, text)))),
    element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((text) => element("td", {}, text))))),
  );

export const scroll = (...parts) => element("div", { class: "scroll" }, ...parts);
export const controls = (...parts) => element("div", { class: "controls" }, ...parts);
export const hint = (...text) => element("span", { class: "hint" }, ...text);
export const empty = (...text) => element("p", { class: "empty" }, ...text);

// A labelled choice among options of [value, text].
export function choice(label, options, current, onchange) {
  const items = options.map(([key, text]) => element("option", { value: key, selected: key === current }, text));
  const select = element("select", { onchange: (event) => onchange(event.target.value), name: label }, ...items);
  return element("label", { class: "choice" }, label, select);
}

// A labelled tick box.
export function tick(label, checked, onchange) {
  const box = element("input", { type: "checkbox", checked, onchange: () => onchange(!checked), name: label });
  return element("label", { class: "choice" }, box, label);
}

export const STATUS = { finished: "✓", failed: "✕", interrupted: "‖", killed: "⊘", running: "▸" };
export const chip = (status) => element("span", { class: `chip ${status}` }, `${STATUS[status]} ${status}`);
