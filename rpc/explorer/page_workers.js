// Workers: who trains and who checks, and one worker with its jobs and earnings.

import { h, p, f, filters, unknown as missing } from "./page_kit.js";
import { feedOf } from "./feed.js";
import { nameOf } from "./known.js";
import { workerFacts } from "./page_account.js";

const columns = [
  {
    head: "Worker",
    cell: (one) => h("a", { href: p.href("worker", one.account) }, p.account(one.account, { link: false })),
  },
  { head: "Role", cell: (one) => p.role(one.role) },
  { head: "Price", num: true, cell: (one) => p.number(one.price) },
  { head: "Bond", num: true, cell: (one) => p.amount(one.bond, { rough: true }) },
  { head: "Locked", num: true, hide: true, cell: (one) => p.amount(one.locked, { rough: true }) },
  {
    head: "Jobs",
    num: true,
    cell: (one) => [p.number(one.jobs.length), h("span", { class: "dim" }, ` / ${f.grouped(one.capacity)}`)],
  },
  { head: "Completed", num: true, hide: true, cell: (one) => p.number(one.completed) },
  {
    head: "Faults",
    num: true,
    hide: true,
    cell: (one) =>
      Number(one.faults) ? h("span", { class: "bad-text num" }, f.grouped(one.faults)) : p.number(one.faults),
  },
  { head: "Slashed", num: true, hide: true, cell: (one) => p.amount(one.slashed, { rough: true }) },
  { head: "Earned", num: true, cell: (one) => p.amount(one.earned, { rough: true }) },
];

const key = (one) => one.account + one.role;

export const workers = {
  name: "workers",
  title: () => "Workers",
  unknown: (id) => missing("Role", id, "Workers are solvers or verifiers."),
  load: (visit, role) =>
    feedOf(visit, "workers", (cursor) => visit.call("workers_list", { role, limit: 50, cursor }), key).refresh(),
  watch: (visit) => visit.onBlock((summary) => (summary === null || summary.extrinsics > 0) && visit.reload()),
  view: (feed, visit, role) => [
    p.heading("Market", "Workers"),
    filters("Roles", "workers", role, [
      ["", "all"],
      ["solver", "solvers"],
      ["verifier", "verifiers"],
    ]),
    p.section(
      "By bond",
      "prices in units per thousand operations",
      p.table("Workers", columns, feed.items, {
        key,
        empty: "Nobody offers to work. `solvent worker solver` registers one.",
      }),
      feed.button(visit),
    ),
  ],
};

const earningColumns = [
  { head: "When", cell: (one) => p.time(one.time) },
  { head: "Block", num: true, cell: (one) => p.block(one.block) },
  { head: "Task", cell: (one) => p.task(one.task) },
  { head: "As", cell: (one) => p.role(one.role) },
  {
    head: "Amount",
    num: true,
    cell: (one) =>
      one.kind === "slashed"
        ? h("span", { class: "bad-text" }, "−", p.amount(one.amount))
        : p.amount(one.amount, { sign: true }),
  },
];

async function load(visit, id) {
  const found = await visit.call("workers_get", [id]);
  if (!found) return null;
  const earnings = feedOf(
    visit,
    "earnings",
    async (cursor) =>
      (await visit.indexed("workers_earnings", { account: id, limit: 25, cursor })) ?? {
        items: [],
        next: null,
        none: true,
      },
    (one) => `${one.block}${one.task}${one.role}${one.amount}${one.kind}`,
  );
  return { ...found, earnings: await earnings.refresh() };
}

const jobs = (one) =>
  one.jobs.length
    ? h(
        "p",
        { class: "jobs" },
        h("span", { class: "dim" }, "working on "),
        one.jobs.map((job, place) => [place ? ", " : "", p.task(job)]),
      )
    : null;

function view(one, visit) {
  return [
    p.heading("Worker", nameOf(one.account) ?? f.shortAccount(one.account)),
    p.facts([["address", p.account(one.account, { copy: true, full: true })]]),
    one.roles.length
      ? null
      : p.notice(
          "plain",
          "This account does not work",
          h("p", {}, "It is not registered as a solver or a verifier now. What it earned before is below."),
        ),
    one.roles.map((part) =>
      p.section(
        f.words(part.role),
        part.since ? h("span", {}, "since block ", p.block(part.since.block ?? part.since)) : null,
        workerFacts(part, "columns"),
        jobs(part),
      ),
    ),
    one.unbonding.length
      ? p.section(
          "Unbonding",
          null,
          p.table(
            "Unbonding",
            [
              { head: "As", cell: (item) => p.role(item.role) },
              { head: "Amount", num: true, cell: (item) => p.amount(item.amount) },
              { head: "Released at block", num: true, cell: (item) => p.number(Number(item.release)) },
            ],
            one.unbonding,
          ),
        )
      : null,
    p.section(
      "Earnings",
      "newest first",
      p.table("Earnings", earningColumns, one.earnings.items, { empty: "Nothing earned and nothing lost so far." }),
      one.earnings.button(visit),
    ),
  ]
    .flat()
    .filter(Boolean);
}

export const worker = {
  name: "worker",
  title: (one) => `Worker ${nameOf(one.account) ?? f.shortAccount(one.account)}`,
  unknown: (id) => missing("Worker", id),
  load,
  watch: (visit) => visit.onBlock((summary) => (summary === null || summary.extrinsics > 0) && visit.reload()),
  view,
};
