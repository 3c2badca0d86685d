// What pages share: rows of blocks, extrinsics, tasks and disputes, filters, and the state of "nothing by that name".

import { h } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";

export { h, s, patch } from "./dom.js";
export * as f from "./format.js";
export * as p from "./parts.js";

/** What is shown where an id names nothing. */
export const unknown = (what, id, hint) => [
  p.heading(what, `No such ${what.toLowerCase()}`),
  p.notice(
    "plain",
    "This node knows nothing by that name",
    h("p", { class: "wrap" }, h("span", { class: "mono" }, f.clean(id, 120))),
    h("p", {}, hint ?? "It may be on another network, not have happened yet, or have been pruned from this node."),
  ),
];

const signOf = (one) =>
  one.finalized ? p.badge("finalized", "good", "final") : p.badge("pending", "live", "not final");

export const isFinal = (one, live) =>
  one.finalized || (live.finalized !== null && Number(one.number ?? one.block) <= live.finalized.number);

export const blockColumns = (live) => [
  { head: "Block", cell: (one) => p.block(one.number) },
  { head: "Age", cell: (one) => p.time(one.time) },
  { head: "Hash", hide: true, cell: (one) => p.hash(one.hash, { to: p.href("block", one.hash) }) },
  { head: "Author", grow: true, cell: (one) => p.account(one.author) },
  {
    head: "Extrinsics",
    num: true,
    cell: (one) => [
      p.number(one.extrinsics),
      one.failed ? h("span", { class: "bad-text" }, ` ${one.failed} failed`) : null,
    ],
  },
  { head: "Events", num: true, hide: true, cell: (one) => p.number(one.events) },
  { head: "Finality", hide: true, cell: (one) => signOf({ finalized: isFinal(one, live) }) },
];

export const callName = (one) =>
  h("span", { class: "call" }, h("span", { class: "dim" }, `${f.words(one.pallet)} · `), f.words(one.call));

export const outcome = (one) =>
  one.ok ? p.badge("ok", "good", "ok") : p.badge("failed", "bad", one.error ? f.words(one.error.code) : "failed");

const hashColumn = { head: "Extrinsic", hide: true, cell: (one) => p.extrinsic(one.hash) };

export const extrinsicColumns = [
  { head: "Call", cell: (one) => h("a", { href: p.href("extrinsic", one.hash) }, callName(one)) },
  { head: "Signer", cell: (one) => (one.signer ? p.account(one.signer) : h("span", { class: "dim" }, "the chain")) },
  { head: "Result", cell: outcome },
  { head: "Fee", num: true, hide: true, cell: (one) => p.amount(one.fee, { rough: true }) },
  { head: "Block", num: true, hide: true, cell: (one) => p.block(one.block) },
  hashColumn,
  { head: "Age", cell: (one) => p.time(one.time) },
];

export const progressOf = (one) => (Number(one.steps) ? Math.min(1, Number(one.step) / Number(one.steps)) : 0);

const RUNNING = new Set(["training", "assigned", "accepted"]);

export function progressBar(one) {
  const done = RUNNING.has(one.status) || Number(one.step) > 0 ? progressOf(one) : 0;
  return h(
    "span",
    { class: "progress", title: `step ${f.grouped(one.step)} of ${f.grouped(one.steps)}` },
    h(
      "span",
      { class: "meter", "aria-hidden": "true" },
      h("span", { class: RUNNING.has(one.status) ? "running" : "", style: { width: `${100 * done}%` } }),
    ),
    h("span", { class: "num" }, f.grouped(one.step), h("span", { class: "dim" }, ` / ${f.grouped(one.steps)}`)),
  );
}

export const taskColumns = [
  { head: "Task", cell: (one) => p.task(one.task) },
  { head: "Status", cell: (one) => p.badge(one.status) },
  { head: "Steps", cell: progressBar },
  { head: "Loss", num: true, cell: (one) => h("span", { class: "num" }, f.float(one.loss)) },
  { head: "Solver", hide: true, cell: (one) => p.account(one.solver) },
  { head: "Submitter", hide: true, cell: (one) => p.account(one.submitter) },
  { head: "Escrow", num: true, hide: true, cell: (one) => p.amount(one.escrow, { rough: true }) },
  { head: "Submitted", hide: true, cell: (one) => (one.submitted ? p.time(one.submitted.time) : "–") },
];

export const WINNERS = {
  open: "open",
  challenger_won: "claim was false",
  defender_won: "claim stood",
  cancelled: "cancelled",
};
export const disputeTone = { open: "live", challenger_won: "bad", defender_won: "good", cancelled: "plain" };

export const disputeBadge = (one) =>
  p.badge(one.status, disputeTone[one.status] ?? "plain", WINNERS[one.status] ?? f.words(one.status));

export const disputeColumns = [
  { head: "Dispute", cell: (one) => p.dispute(one.dispute) },
  { head: "Outcome", cell: disputeBadge },
  { head: "Challenger", hide: true, cell: (one) => p.account(one.challenger) },
  { head: "Defender", cell: (one) => p.account(one.defender) },
  { head: "Task", hide: true, cell: (one) => p.task(one.task) },
  { head: "Segment", num: true, hide: true, cell: (one) => p.number(one.segment) },
  { head: "Moves", num: true, cell: (one) => p.number(one.moves) },
  { head: "Opened", hide: true, cell: (one) => p.time(one.opened?.time) },
];

/** Links that choose one of several views of a list. */
export const filters = (label, path, chosen, options) =>
  h(
    "nav",
    { class: "filters", "aria-label": label },
    options.map(([name, text, number]) =>
      h(
        "a",
        { href: p.href(...(name ? [path, name] : [path])), "aria-current": (chosen ?? "") === name ? "true" : null },
        text,
        number === undefined || number === null ? null : h("span", { class: "num dim" }, ` ${f.grouped(number)}`),
      ),
    ),
  );
