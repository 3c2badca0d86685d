// The first page: is the chain alive and final, what is being trained, and what is being fought over.

import { h, p, f, blockColumns, taskColumns, disputeColumns } from "./page_kit.js";
import { blockStrip } from "./strip.js";
import { mergeBlocks, lagOf } from "./live.js";
import { unknown } from "./page_kit.js";

const STRIP = 60;
const ROWS = 8;
const FULL_RELOAD_MS = 2500;
const STATUSES = [
  "pooled",
  "assigned",
  "training",
  "proved",
  "auditing",
  "disputed",
  "settled",
  "failed",
  "cancelled",
  "expired",
];
const NOTHING = { items: [], next: null };

async function load(visit) {
  const [statistics, blocks, tasks, disputes] = await Promise.all([
    visit.call("explorer_statistics", []),
    visit.call("explorer_blocks", { limit: STRIP }),
    visit.indexed("tasks_list", { limit: ROWS }),
    visit.call("disputes_list", { limit: 5 }),
  ]);
  visit.live.statistics = statistics;
  visit.fullLoad = Date.now();
  return { statistics, blocks: blocks.items, tasks, disputes: disputes ?? NOTHING };
}

/** A block arrived: most of the page follows at once from its summary, the rest a moment later. */
function watch(visit) {
  visit.onBlock((summary) => {
    if (!visit.data || (summary && summary.skipped)) return visit.reload();
    if (summary) visit.data.blocks = mergeBlocks(visit.data.blocks, [summary], STRIP);
    visit.draw();
    const wait = visit.fullLoad + FULL_RELOAD_MS - Date.now();
    clearTimeout(visit.slow);
    visit.slow = setTimeout(() => visit.reload(), Math.max(0, wait));
    return undefined;
  });
  visit.onEnd(() => clearTimeout(visit.slow));
}

function vitals(statistics, live) {
  const lag = lagOf(live);
  const lagNote = lag === null ? "" : lag === 0 ? "every block is final" : `${f.count(lag, "block")} behind`;
  const interval = statistics.blockMilliseconds;
  return p.figures([
    ["Best block", live.best ? p.block(live.best.number) : "–", interval ? `one every ${f.duration(interval)}` : null],
    ["Finalized", live.finalized ? p.block(live.finalized.number) : "–", lagNote],
    ["Waiting", p.number(statistics.pool), "extrinsics in the pool"],
    ["Peers", p.number(statistics.peers), statistics.isSyncing ? "catching up" : "in step"],
    [
      "Workers",
      [p.number(statistics.workers.solver), h("span", { class: "dim" }, " + "), p.number(statistics.workers.verifier)],
      "solvers + verifiers",
    ],
    ["Validators", h("a", { href: "#/validators" }, p.number(statistics.validators))],
    ["Paid to workers", p.amount(statistics.paid, { rough: true }), "by settled tasks"],
    ["Slashed", p.amount(statistics.slashed, { rough: true }), "from those who lied"],
  ]);
}

function supply(statistics) {
  return p.facts(
    [
      ["issuance", p.amount(statistics.issuance)],
      ["treasury", p.amount(statistics.treasury)],
      ["accounts", p.number(statistics.accounts)],
      ["extrinsics", p.number(statistics.extrinsics)],
      ["events", p.number(statistics.events)],
      ["index", statistics.indexed ? `to block ${f.grouped(Number(statistics.indexed.number))}` : "none on this node"],
    ],
    "columns",
  );
}

function statusLine(tasks) {
  const present = STATUSES.filter((name) => Number(tasks[name]) > 0);
  if (!present.length) return null;
  const total = present.reduce((sum, name) => sum + Number(tasks[name]), 0);
  return [
    h(
      "div",
      { class: "stack", "aria-hidden": "true" },
      present.map((name) =>
        h("span", { class: `part ${name}`, key: name, style: { "flex-grow": String(tasks[name] / total) } }),
      ),
    ),
    h(
      "ul",
      { class: "legend" },
      present.map((name) =>
        h(
          "li",
          { key: name },
          h(
            "a",
            { href: p.href("tasks", name) },
            h("span", { class: `swatch ${name}`, "aria-hidden": "true" }),
            f.words(name),
            h("span", { class: "num" }, ` ${f.grouped(tasks[name])}`),
          ),
        ),
      ),
    ),
  ];
}

function taskPanel(statistics, tasks) {
  if (tasks === null) return p.section("Tasks", null, p.noIndex("The list of tasks"));
  const empty = [
    h("span", {}, "No task has been submitted yet. "),
    h("span", { class: "mono-text" }, "solvent task submit examples/mnist.py"),
    h("span", {}, " submits the first."),
  ];
  return p.section(
    "Tasks",
    h("a", { href: "#/tasks" }, "all tasks"),
    statusLine(statistics.tasks),
    p.table("Newest tasks", taskColumns, tasks.items, { key: (one) => one.task, empty }),
  );
}

function view({ statistics, blocks, tasks, disputes }, visit) {
  const { live } = visit;
  return [
    p.heading("Network", f.clean(statistics.chain, 60)),
    vitals(statistics, live),
    p.section(`Last ${blocks.length} blocks`, stripLegend(), blockStrip(blocks, live)),
    taskPanel(statistics, tasks),
    p.section(
      "Disputes",
      h("a", { href: "#/disputes" }, "all disputes"),
      p.table("Newest disputes", disputeColumns, disputes.items, {
        key: (one) => String(one.dispute),
        empty: "Nobody has disputed a claim.",
      }),
    ),
    p.section(
      "Blocks",
      h("a", { href: "#/blocks" }, "all blocks"),
      p.table("Newest blocks", blockColumns(live), blocks.slice(0, ROWS), { key: (one) => one.hash }),
    ),
    p.section("Ledger", null, supply(statistics)),
  ];
}

const stripLegend = () =>
  h(
    "ul",
    { class: "legend" },
    h("li", {}, h("span", { class: "swatch final", "aria-hidden": "true" }), "final"),
    h("li", {}, h("span", { class: "swatch unfinal", "aria-hidden": "true" }), "not final yet"),
    h("li", {}, "height: extrinsics"),
  );

export const overview = {
  name: "overview",
  load,
  view,
  watch,
  title: () => "Overview",
  unknown: () => unknown("Network", ""),
};
