// Decoded arguments and event fields, whatever their shape: objects nest, hashes and accounts become links, and what is
// huge is cut until the reader asks for it.

import { h } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";

const HASH = /^0x[0-9a-f]{64}$/;
const ACCOUNT = /^5[1-9A-HJ-NP-Za-km-z]{46,47}$/;
const LONG = 160;
const MANY = 12;
const DEEPEST = 8;

const AMOUNTS = new Set([
  "amount",
  "fee",
  "tip",
  "bond",
  "reward",
  "price",
  "escrow",
  "refund",
  "lock",
  "stake",
  "penalty",
  "slashed",
  "dust",
  "solver_fee",
  "verifier_fee",
  "treasury_fee",
  "jackpot_fee",
  "solver_paid",
  "verifiers_paid",
  "treasury_paid",
  "jackpot_paid",
  "to_treasury",
  "audits_repaid",
  "jackpot",
  "share",
  "author_amount",
  "treasury_amount",
  "free",
  "held",
  "forfeit",
  "taken",
  "listing_fee",
]);
/** Names of fields that hold units in every pallet (prices and limits per gas are left as they are). */
const PER_GAS = new Set(["workers.price", "tasks.price_limit"]);

/** Reasons of holds are bytes: a word, then perhaps what it is about ("task:" and its id, "bond:solver", "dispute:" and its number). */
export function reasonText(hex) {
  const bytes = Uint8Array.from(hex.slice(2).match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const end = bytes.findIndex((byte) => byte < 0x20 || byte > 0x7e);
  const colon = bytes.indexOf(58);
  const rest = bytes.length - colon - 1;
  if (colon > 0 && rest === 32) return [ascii(bytes.slice(0, colon)), " ", p.task(`0x${hex.slice(-64)}`)];
  if (colon > 0 && end > colon && rest === 8)
    return [ascii(bytes.slice(0, colon)), ` #${BigInt(`0x${hex.slice(-16)}`)}`];
  return end < 0 && bytes.length ? f.clean(ascii(bytes).replace(":", " "), 60) : null;
}

const ascii = (bytes) => String.fromCharCode(...bytes);

function hashLink(name, value) {
  if (name === "task" || name === "job") return p.task(value, { copy: "task id" });
  if (name === "block" || name === "parent") return p.hash(value, { to: p.href("block", value), copy: "hash" });
  return p.hash(value, { copy: "hash" });
}

/** Text of any length: shown whole if short, else cut with a button for the rest. */
export function longText(text, kind = "") {
  const whole = String(text);
  if (whole.length <= LONG) return h("span", { class: `long ${kind}` }, h("bdi", {}, f.clean(whole, LONG)));
  const size = /^0x[0-9a-f]*$/.test(whole) ? f.bytes((whole.length - 2) / 2) : f.count(whole.length, "character");
  const rest = h("span", { class: `long ${kind}` });
  const fill = (event) => {
    if (event.currentTarget.open && !rest.hasChildNodes()) rest.append(h("bdi", {}, f.clean(whole, 65_536)));
  };
  return h(
    "details",
    { class: "cut", on: { toggle: fill }, keep: true },
    h(
      "summary",
      {},
      h("span", { class: `long ${kind}` }, h("bdi", {}, f.clean(whole, 64))),
      h("span", { class: "dim" }, ` ${size}`),
    ),
    rest,
  );
}

function listOf(items, name, pallet, depth) {
  if (items.length === 0) return h("span", { class: "dim" }, "none");
  if (items.every((one) => typeof one === "number"))
    return h("span", { class: "numbers" }, items.slice(0, 64).join(", "), items.length > 64 ? " …" : "");
  const shown = items.slice(0, MANY).map((one) => h("li", {}, value(one, name, pallet, depth + 1)));
  const rest = items.length - shown.length;
  return h(
    "ol",
    { class: "values", start: 0 },
    shown,
    rest > 0 ? h("li", { class: "dim" }, `and ${f.count(rest, "more", "more")}`) : null,
  );
}

/** Any JSON value of the node's decoded records. `name` is the field's name, which decides how it reads. */
export function value(one, name = "", pallet = "", depth = 0) {
  if (one === null || one === undefined) return h("span", { class: "dim" }, "none");
  if (typeof one === "boolean") return one ? "yes" : "no";
  if (depth > DEEPEST) return h("span", { class: "dim" }, "…");
  if (Array.isArray(one)) return listOf(one, name, pallet, depth);
  if (typeof one === "object") return record(one, pallet, depth + 1);
  const text = String(one);
  if (name === "reason" && /^0x([0-9a-f]{2})+$/.test(text)) return reasonText(text) ?? longText(text, "mono");
  if (HASH.test(text)) return hashLink(name, text);
  if (ACCOUNT.test(text)) return p.account(text, { copy: true });
  if (/^-?\d+$/.test(text)) {
    if (AMOUNTS.has(name) && !PER_GAS.has(`${pallet}.${name}`)) return p.amount(text);
    if (name === "dispute") return p.dispute(text);
    return p.number(text);
  }
  return longText(text, text.startsWith("0x") ? "mono" : "");
}

/** The fields of a record as names and values. */
export function record(fields, pallet = "", depth = 0) {
  const entries = Object.entries(fields ?? {});
  if (entries.length === 0) return h("span", { class: "dim" }, "no arguments");
  const rows = entries
    .slice(0, 64)
    .map(([name, one]) =>
      h("div", { class: "fact" }, h("dt", {}, f.words(name)), h("dd", {}, value(one, name, pallet, depth))),
    );
  return h("dl", { class: "facts nested" }, rows);
}

/** An event as a row: where it comes from, its name, its fields. */
export const eventItem = (event) =>
  h(
    "li",
    { class: "event", key: `${event.block}-${event.index}` },
    h(
      "details",
      {},
      h(
        "summary",
        {},
        h(
          "span",
          { class: "event-name" },
          h("span", { class: "dim" }, `${f.words(event.pallet)} · `),
          f.words(event.name),
        ),
        h("span", { class: "event-gist" }, gist(event)),
      ),
      record(event.fields, event.pallet),
    ),
  );

/** The one or two fields that say most, for the closed row. */
function gist({ fields, pallet }) {
  const shown = [];
  for (const [name, one] of Object.entries(fields ?? {})) {
    if (shown.length === 2) break;
    if (AMOUNTS.has(name) && /^\d+$/.test(String(one)) && !PER_GAS.has(`${pallet}.${name}`)) shown.push(p.amount(one));
    else if (typeof one === "string" && ACCOUNT.test(one)) shown.push(p.account(one, { link: false }));
    else if (name === "reason" && String(one).startsWith("0x")) shown.push(reasonText(String(one)) ?? f.clean(one, 20));
    else if (["status", "after", "reason", "kind", "code", "role"].includes(name)) shown.push(f.words(one));
  }
  return shown.flatMap((one, place) => (place ? [" · ", one] : [one]));
}

export const eventList = (events, empty = "No events.") =>
  events.length ? h("ol", { class: "events" }, events.map(eventItem)) : h("p", { class: "empty" }, empty);
