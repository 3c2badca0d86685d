// The frame around every page: sections, connection, theme, keyboard shortcuts, footer.

import { h, s, patch } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";

const SECTIONS = [
  ["", "Overview", "o"],
  ["tasks", "Tasks", "t"],
  ["disputes", "Disputes", "d"],
  ["workers", "Workers", "w"],
  ["blocks", "Blocks", "b"],
  ["extrinsics", "Extrinsics", "x"],
  ["events", "Events", "e"],
  ["validators", "Validators", "v"],
];
const PARENTS = {
  block: "blocks",
  extrinsic: "extrinsics",
  task: "tasks",
  program: "tasks",
  dispute: "disputes",
  worker: "workers",
};
const ICONS = {
  light:
    "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.5M8 13.500v1.500M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  dark: "M13 9.500A5.500 5.500 0 0 1 6.500 3a5.500 5.500 0 1 0 6.500 6.500z",
  system: "M2.500 3.500h11v7h-11zM6 13.500h4M8 10.500v3",
};
const NEXT_THEME = { system: "light", light: "dark", dark: "system" };

const currentTheme = () => document.documentElement.dataset.theme ?? "system";

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // Not remembered, then.
  }
  p.announce(`Theme: ${theme}`);
}

function themeButton() {
  const theme = currentTheme();
  const label = `Theme: ${theme}. Change to ${NEXT_THEME[theme]}`;
  const click = () => {
    setTheme(NEXT_THEME[currentTheme()]);
    drawTools();
  };
  return h(
    "button",
    { type: "button", class: "tool", id: "theme", "aria-label": label, title: label, on: { click } },
    p.icon(ICONS[theme], 16),
  );
}

const helpButton = () =>
  h(
    "button",
    {
      type: "button",
      class: "tool hide-narrow",
      "aria-label": "Keyboard shortcuts",
      title: "Keyboard shortcuts (?)",
      on: { click: showHelp },
    },
    "?",
  );

let connection = null;

function drawTools() {
  patch(document.getElementById("tools"), [connectionPart(), helpButton(), themeButton()]);
}

function connectionPart() {
  if (!connection) return h("span", { class: "connection" });
  const { rpc, live } = connection;
  const words = { connecting: "connecting", live: "live", polling: "polling", down: "node down" };
  const titles = {
    connecting: "Connecting to the node",
    live: "Live over a WebSocket",
    polling: "The node answers over HTTP only; this page asks every three seconds",
    down: "The node does not answer; this page tries again by itself",
  };
  const best = live.best
    ? h("a", { class: "height num", href: p.href("block", live.best.number) }, `#${f.grouped(live.best.number)}`)
    : null;
  return h(
    "span",
    { class: `connection ${rpc.state}`, title: titles[rpc.state] },
    h("span", { class: "dot", "aria-hidden": "true" }),
    h("span", { class: "connection-word" }, words[rpc.state]),
    best,
  );
}

/** Show the state of the connection in the header and, while the node is down, in a banner. */
export function showConnection(rpc, live) {
  connection = { rpc, live };
  drawTools();
  const banner = document.getElementById("banner");
  const isDown = rpc.state === "down";
  if (banner.hidden === isDown) banner.hidden = !isDown;
  if (!isDown) return;
  const wait = Math.max(0, Math.ceil((rpc.retryAt - Date.now()) / 1000));
  const last = live.best ? ` What you see is as of block #${live.best.number}.` : "";
  patch(banner, [
    h("span", {}, "The node does not answer.", last),
    h(
      "button",
      { type: "button", on: { click: () => rpc.hurry() } },
      wait ? `Try now (else in ${wait}\u202fs)` : "Trying …",
    ),
  ]);
}

export function markSection(first) {
  const name = PARENTS[first] ?? first;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.section === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// --- keyboard

let afterG = 0;

function isTyping(target) {
  return target.closest?.("input:not([type=range]), textarea, select, [contenteditable]");
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "/") {
    event.preventDefault();
    const box = document.getElementById("search-input");
    box.focus();
    box.select();
  } else if (event.key === "?") showHelp();
  else if (event.key === "g") afterG = Date.now();
  else if (Date.now() - afterG < 1200) {
    afterG = 0;
    const section = SECTIONS.find(([, , key]) => key === event.key);
    if (section) location.hash = `#/${section[0]}`;
  } else if (event.key === "[" || event.key === "]")
    document.querySelector(event.key === "[" ? "a[rel=prev]" : "a[rel=next]")?.click();
}

function showHelp() {
  const rows = [
    ["/", "search"],
    ...SECTIONS.map(([, name, key]) => [`g ${key}`, name.toLowerCase()]),
    ["[ ]", "previous, next block, dispute or task"],
    ["?", "this help"],
    ["Esc", "close"],
  ];
  const keys = (text) => text.split(" ").map((key) => h("kbd", {}, key));
  const dialog = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    h("h2", { id: "help-title" }, "Keyboard"),
    h(
      "dl",
      { class: "facts" },
      rows.map(([key, what]) => h("div", { class: "fact" }, h("dt", {}, keys(key)), h("dd", {}, what))),
    ),
    h(
      "p",
      { class: "close" },
      h("button", { type: "button", autofocus: true, on: { click: () => dialog.close() } }, "Close"),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

export function mountChrome(rpc, live) {
  const link = ([path, name]) => h("a", { href: `#/${path}`, "data-section": path }, name);
  document.getElementById("nav").append(h("div", { class: "nav-row" }, SECTIONS.map(link)));
  showConnection(rpc, live);
  addEventListener("keydown", onKey);
  live.addEventListener("change", () => drawFoot(live));
  drawFoot(live);
}

function drawFoot(live) {
  const about = live.statistics;
  patch(
    document.getElementById("foot"),
    [
      h("span", {}, about ? [f.clean(about.chain, 60), " · version ", f.clean(about.version, 30)] : "Solvent"),
      about ? h("span", {}, "genesis ", p.hash(about.genesisHash, { copy: "genesis hash" })) : null,
      h("span", {}, "Read from this node alone, over JSON-RPC."),
    ].filter(Boolean),
  );
}

export const chevron = (rel, to, label) =>
  h(
    "a",
    { class: "step", rel, href: to, "aria-label": label, title: `${label} (${rel === "prev" ? "[" : "]"})` },
    s(
      "svg",
      { class: "icon", viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" },
      s("path", { d: rel === "prev" ? "M10 3 5 8l5 5" : "M6 3l5 5-5 5" }),
    ),
  );
