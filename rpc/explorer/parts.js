// The small pieces that every page is made of: links to things, amounts, times, badges, tables, and designed states.

import { h, s } from "./dom.js";
import * as f from "./format.js";
import { nameOf } from "./known.js";

export const href = (...path) => "#/" + path.map((part) => encodeURIComponent(String(part))).join("/");

// --- copying

const ICON_COPY = "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z";

/** A stroked 16 x 16 icon. */
export const icon = (path, size = 14) =>
  s(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true" },
    s("path", { d: path }),
  );

export function announce(text) {
  const region = document.getElementById("announcer");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text));
}

async function writeClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without a secure context (a node reached by plain http on another machine) only the old way works.
  const area = h("textarea", { class: "offscreen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser refused");
  return undefined;
}

export function copyButton(text, what) {
  const copy = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    const button = event.currentTarget;
    try {
      await writeClipboard(String(text));
      button.dataset.copied = "";
      announce(`${what} copied`);
      setTimeout(() => delete button.dataset.copied, 1200);
    } catch {
      announce("copying failed");
    }
  };
  return h(
    "button",
    { type: "button", class: "copy", "aria-label": `Copy ${what}`, title: `Copy ${what}`, on: { click: copy } },
    icon(ICON_COPY),
  );
}

// --- links to things

const mono = (text, full) => h("span", { class: "mono", title: full === text ? null : full }, text);

/** A hash, shortened; `to` makes it a link, `copy` names what the button copies, `full` shows all of it. */
export function hash(value, { to = null, copy = null, full = false } = {}) {
  if (value === null || value === undefined) return h("span", { class: "dim" }, "–");
  const text = f.clean(value, 200);
  const shown = mono(full ? text : f.shortHash(text), text);
  const body = to ? h("a", { href: to }, shown) : shown;
  return copy ? h("span", { class: full ? "copyable wrap" : "copyable" }, body, copyButton(value, copy)) : body;
}

/** A mark drawn from an address: the eye tells two accounts apart before it reads them. */
function mark(account) {
  let state = 2166136261;
  for (const letter of account) state = Math.imul(state ^ letter.codePointAt(0), 16777619) >>> 0;
  const cells = [];
  for (let column = 0; column < 3; column++) {
    for (let row = 0; row < 5; row++) {
      state = Math.imul(state ^ (state >>> 13), 1540483477) >>> 0;
      if (!((state >>> 16) & 1)) continue;
      for (const x of new Set([column, 4 - column])) cells.push(`M${x} ${row}h1v1h-1z`);
    }
  }
  return s(
    "svg",
    { class: "mark", viewBox: "0 0 5 5", width: 11, height: 11, "aria-hidden": "true" },
    s("path", { d: cells.join("") || "M2 2h1v1h-1z" }),
  );
}

export function account(value, { copy = false, full = false, link = true } = {}) {
  if (value === null || value === undefined) return h("span", { class: "dim" }, "–");
  const text = f.clean(value, 100);
  const name = nameOf(value);
  const shown =
    name && !full ? h("span", { class: "name", title: text }, name) : mono(full ? text : f.shortAccount(text), text);
  const inner = [mark(text), shown];
  const body = link
    ? h("a", { class: "account", href: href("account", value) }, inner)
    : h("span", { class: "account" }, inner);
  const extra = name && full ? h("span", { class: "dim" }, ` ${name}`) : null;
  return copy
    ? h("span", { class: full ? "copyable wrap" : "copyable" }, body, extra, copyButton(value, "address"))
    : [body, extra];
}

export const block = (number) =>
  number === null || number === undefined
    ? h("span", { class: "dim" }, "–")
    : h("a", { class: "num", href: href("block", Number(number)) }, f.grouped(Number(number)));

export const task = (id, options = {}) => hash(id, { to: href("task", id), ...options });
export const dispute = (number) => h("a", { class: "num", href: href("dispute", number) }, `#${number}`);
export const extrinsic = (id, options = {}) => hash(id, { to: href("extrinsic", id), ...options });

/** `{block, time}` as a link to the block with how long ago it was. */
export const moment = (at) =>
  at ? h("span", {}, "block ", block(at.block), " · ", time(at.time)) : h("span", { class: "dim" }, "–");

// --- values

/** An amount in tokens; the exact number of units is in its title and in its `value`. */
export function amount(units, { rough = false, sign = false, unit = true } = {}) {
  if (units === null || units === undefined) return h("span", { class: "dim" }, "–");
  const text = (rough ? f.roughTokens : f.tokens)(units);
  return h(
    "data",
    { class: "amount", value: units, title: `${f.grouped(units)} units` },
    sign && !text.startsWith("−") ? "+" : "",
    text,
    unit ? h("span", { class: "unit" }, "\u202fSOLV") : null,
  );
}

export function number(value, unit = "") {
  if (value === null || value === undefined) return h("span", { class: "dim" }, "–");
  return h("span", { class: "num" }, f.grouped(value), unit ? h("span", { class: "unit" }, `\u202f${unit}`) : null);
}

export function time(milliseconds, { both = false } = {}) {
  if (milliseconds === null || milliseconds === undefined) return h("span", { class: "dim" }, "genesis");
  const exact = f.absolute(milliseconds);
  const relative = h(
    "time",
    { class: "num", datetime: f.isoTime(milliseconds), title: exact, "data-ago": milliseconds },
    f.ago(milliseconds),
  );
  return both
    ? h("span", {}, h("span", { class: "num" }, exact), h("span", { class: "dim" }, " · "), relative)
    : relative;
}

/** Keeps every relative time on the page true. */
export function tickTimes(now = Date.now()) {
  for (const one of document.querySelectorAll("time[data-ago]")) {
    const text = f.ago(Number(one.dataset.ago), now);
    if (one.textContent !== text) one.textContent = text;
  }
}

const TONES = {
  settled: "good",
  passed: "good",
  finalized: "good",
  ok: "good",
  paid: "good",
  confirmed: "good",
  failed: "bad",
  disputed: "bad",
  slashed: "bad",
  challenger_won: "bad",
  voided: "bad",
  wrong: "bad",
  open: "live",
  training: "live",
  auditing: "live",
  assigned: "live",
  proved: "live",
  pending: "live",
  disputing: "live",
  opened: "live",
  accepted: "live",
};

/** A state in words with a small sign of its tone, never colour alone. */
export function badge(state, tone = TONES[state] ?? "plain", label = f.words(state)) {
  return h("span", { class: `badge ${tone}` }, label);
}

export const role = (name) => h("span", { class: "role" }, f.words(name));

// --- structure

/** A section with a heading; `aside` stands at the right of it. */
export const section = (title, aside, ...children) =>
  h(
    "section",
    { class: "panel", key: `section-${title}` },
    h("div", { class: "panel-head" }, h("h2", {}, title), aside ? h("div", { class: "aside" }, aside) : null),
    children,
  );

/** Names and values; a null pair is left out. */
export function facts(pairs, kind = "") {
  const rows = pairs
    .filter(Boolean)
    .map(([name, value]) => h("div", { class: "fact", key: name }, h("dt", {}, name), h("dd", {}, value)));
  return h("dl", { class: `facts ${kind}` }, rows);
}

/**
 * A table. `columns`: {head, cell(row), num?, wide?, hide?}; on narrow screens columns with `hide` go. `key(row)`
 * identifies rows, so that an update moves rather than redraws them.
 */
export function table(caption, columns, rows, { key = null, empty = "Nothing here yet." } = {}) {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const kind = (column) =>
    [column.num && "right", column.hide && "hide-narrow", column.wide && "grow"].filter(Boolean).join(" ") || null;
  const head = h(
    "tr",
    {},
    columns.map((column) => h("th", { scope: "col", class: kind(column) }, column.head)),
  );
  const body = rows.map((row) =>
    h(
      "tr",
      { key: key?.(row) },
      columns.map((column) => h("td", { class: kind(column) }, column.cell(row))),
    ),
  );
  const scroller = { class: "scroller", tabindex: 0, role: "region", "aria-label": caption };
  return h(
    "div",
    scroller,
    h("table", {}, h("caption", { class: "offscreen" }, caption), h("thead", {}, head), h("tbody", {}, body)),
  );
}

/** The title of a page: kind, the thing itself, and what stands beside it. */
export const heading = (kind, title, ...aside) =>
  h(
    "header",
    { class: "page-head" },
    h("p", { class: "kind" }, kind),
    h("div", { class: "title-row" }, h("h1", { tabindex: -1 }, title), aside),
  );

export const more = (isLoading, onClick) =>
  h(
    "p",
    { class: "more" },
    h("button", { type: "button", disabled: isLoading, on: { click: onClick } }, isLoading ? "Loading …" : "Show more"),
  );

/** A designed state in place of content. */
export const notice = (kind, title, ...body) =>
  h("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : null }, h("h2", {}, title), body);

export const noIndex = (what) =>
  notice(
    "plain",
    "This node keeps no index",
    h("p", {}, `${what} needs one: it is read from every block that was. The rest of this page works without it.`),
    h("p", { class: "dim" }, "The node was started with --no-index; start it without to build one."),
  );

/** Status as three or so small figures in a row. */
export const figures = (items) =>
  h(
    "dl",
    { class: "figures" },
    items
      .filter(Boolean)
      .map(([name, value, note]) =>
        h(
          "div",
          { key: name },
          h("dt", {}, name),
          h("dd", {}, value, note ? h("span", { class: "note" }, note) : null),
        ),
      ),
  );
