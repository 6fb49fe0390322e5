// Light and dark: as the system has it, until it is switched here.

const KEY = "snnbench-theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = [];
let own = stored();

// Pages opened from files may have no storage, or a forbidden one.
function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function store(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // it is forgotten when the page is closed
  }
}

const dark = () => (own === "dark" || own === "light" ? own === "dark" : system.matches);

function apply() {
  document.documentElement.classList.toggle("dark", dark());
  listeners.forEach((listener) => listener());
}

export function themeSwitch(button, changed) {
  const name = () => {
    button.textContent = dark() ? "☀" : "☾";
    button.title = button.ariaLabel = dark() ? "Light colours" : "Dark colours";
  };
  listeners.push(name, changed);
  button.addEventListener("click", () => {
    own = dark() ? "light" : "dark";
    store(own);
    apply();
  });
  name();
}

// A colour of the page's styles, as it is now.
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

system.addEventListener("change", apply);
apply();

const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const linear = (part) => (part <= 10 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4);
function luminance(hex) {
  const [red, green, blue] = parts(hex).map(linear);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
const contrast = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};

export function mixed(hex, other, share) {
  const [from, to] = [parts(hex), parts(other)];
  const text = from.map((part, at) => Math.round(part + share * (to[at] - part)).toString(16).padStart(2, "0"));
  return `#${text.join("")}`;
}

// The colour; on a dark page made lighter until it can be seen there, and black the colour of text.
export function visible(hex) {
  if (!dark()) return hex;
  if (hex === "#000000") return colour("ink");
  let found = hex;
  for (let share = 0; contrast(found, colour("card")) < 3.5; share += 0.05) found = mixed(hex, "#ffffff", share);
  return found;
}
