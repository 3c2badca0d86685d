// A task: what was asked, how far it is, what was proved, who checked it, who was paid, and the whole story in order.

import { h, p, f, disputeColumns, progressOf, unknown as missing } from "./page_kit.js";
import { lossCurve } from "./chart.js";
import { segmentBar, segmentTable, auditColumns } from "./segments.js";
import { story } from "./story.js";
import { record } from "./value.js";

const MOST_ENTRIES = 2000;
const OVER = new Set(["settled", "failed", "cancelled", "expired"]);

/** The whole timeline, page by page; a story is read from its beginning. */
async function timeline(visit, id) {
  const known = visit.state.entries ?? [];
  let cursor = visit.state.cursor ?? null;
  let entries = known;
  do {
    const page = await visit.indexed("tasks_timeline", { task: id, limit: 100, cursor });
    if (page === null) return null;
    const names = new Set(entries.map((one) => `${one.blockHash}${one.index}`));
    entries = [...entries, ...page.items.filter((one) => !names.has(`${one.blockHash}${one.index}`))];
    if (page.next === null) break;
    cursor = page.next;
  } while (entries.length < MOST_ENTRIES);
  visit.state.entries = entries;
  visit.state.cursor = cursor;
  return entries;
}

async function load(visit, id) {
  const [task, points, entries] = await Promise.all([
    visit.call("tasks_get", [id]),
    visit.indexed("tasks_progress", [id]),
    timeline(visit, id),
  ]);
  return task === null ? null : { task, points, entries };
}

function watch(visit, id) {
  visit.subscribe("tasks_subscribeTimeline", [id], "tasks_unsubscribeTimeline", () => visit.reload());
  visit.onBlock((summary) => {
    if (visit.live.rpc.state !== "live" && !OVER.has(visit.data?.task.status) && summary === null) visit.reload();
  });
}

function figures(task) {
  const paid = task.payments.reduce((sum, one) => sum + BigInt(one.amount), 0n);
  return p.figures([
    [
      "Steps",
      [p.number(task.step), h("span", { class: "dim" }, ` / ${f.grouped(task.steps)}`)],
      f.percent(progressOf(task), 1, 0),
    ],
    [
      "Loss",
      h("span", { class: "num" }, f.float(task.loss)),
      task.loss === null ? "not reported yet" : "last reported",
    ],
    ["Solver", p.account(task.solver), task.attempt > 1 ? `attempt ${task.attempt}` : null],
    [
      "Price",
      Number(task.price) ? p.number(task.price) : ["≤ ", p.number(task.priceLimit)],
      Number(task.price)
        ? `units per thousand operations, limit ${f.grouped(task.priceLimit)}`
        : "units per thousand operations",
    ],
    [
      "Escrow",
      p.amount(task.escrow, { rough: true }),
      Number(task.escrow) ? "held for this task" : "all of it is paid out or back",
    ],
    ["Paid out", p.amount(paid, { rough: true }), f.count(task.payments.length, "payment")],
  ]);
}

const moneyColumns = [
  { head: "Account", cell: (one) => p.account(one.account, { copy: true }) },
  { head: "As", cell: (one) => p.role(one.role) },
  {
    head: "Amount",
    num: true,
    cell: (one) =>
      one.isSlash ? h("span", { class: "bad-text" }, "−", p.amount(one.amount)) : p.amount(one.amount, { sign: true }),
  },
];

function money(task) {
  const rows = [...task.payments, ...task.slashes.map((one) => ({ ...one, isSlash: true }))];
  return p.section(
    "Payments and slashes",
    null,
    p.table("Payments and slashes", moneyColumns, rows, {
      empty: "Nobody has been paid yet. Payments follow when the challenge window has closed.",
    }),
  );
}

function proofPanel(task) {
  if (!task.proof)
    return p.section(
      "Proof",
      null,
      h(
        "p",
        { class: "empty" },
        "No proof yet. It is posted when training is done: one state root for each checkpoint.",
      ),
    );
  const { proof } = task;
  return p.section(
    "Proof",
    h(
      "span",
      {},
      f.words(proof.phase),
      Number(proof.windowEnd) ? [" · disputes until block ", p.number(Number(proof.windowEnd))] : null,
    ),
    segmentBar(proof),
    p.facts(
      [
        ["solver", p.account(proof.solver, { copy: true })],
        ["posted", p.moment(proof.registered)],
        ["final state", p.hash(proof.finalRoot, { copy: "final state root" })],
        ["manifest", p.hash(proof.manifest, { copy: "manifest" })],
      ],
      "columns",
    ),
    p.table("Audits", auditColumns, proof.audits, {
      key: (one) => one.verifier,
      empty: "No verifier has been drawn yet.",
    }),
    segmentTable(proof),
  );
}

function programPanel(task) {
  const { program, spec } = task;
  const stateColumns = [
    { head: "Tensor of the state", cell: (one) => h("bdi", {}, f.clean(one.name, 80)) },
    {
      head: "Type",
      cell: (one) => h("span", { class: "num" }, `${f.clean(one.dtype, 10)}[${(one.shape ?? []).join(", ")}]`),
    },
    {
      head: "Elements",
      num: true,
      cell: (one) => p.number((one.shape ?? []).reduce((product, size) => product * BigInt(size), 1n)),
    },
  ];
  return p.section(
    "Program",
    h("a", { href: p.href("program", spec.program) }, "the whole graph"),
    p.facts(
      [
        ["parameters", p.number(program.parameters)],
        ["nodes", p.number(program.nodes)],
        ["values", p.number(program.values)],
        ["inputs", p.number(program.inputs)],
        ["training", p.hash(spec.program, { to: p.href("program", spec.program), copy: "program hash" })],
        [
          "initialisation",
          p.hash(spec.init_program ?? spec.initProgram, {
            to: p.href("program", spec.init_program ?? spec.initProgram),
            copy: "program hash",
          }),
        ],
      ],
      "columns",
    ),
    h(
      "details",
      { class: "disclosure" },
      h("summary", {}, `${f.count(program.state.length, "tensor")} of state`),
      p.table("State", stateColumns, program.state.slice(0, 300)),
    ),
  );
}

const terms = (task) =>
  p.section(
    "Terms",
    "as the submitter signed them",
    p.facts([
      ["submitter", p.account(task.submitter, { copy: true })],
      ["submitted", p.moment(task.submitted)],
      Number(task.deadline) ? ["deadline", ["block ", p.number(Number(task.deadline))]] : null,
      task.excluded?.length
        ? ["excluded", task.excluded.map((one, place) => [place ? ", " : "", p.account(one)])]
        : null,
    ]),
    h("details", { class: "disclosure" }, h("summary", {}, "The whole spec"), record(task.spec, "tasks")),
    h(
      "details",
      { class: "disclosure" },
      h("summary", {}, "The estimate, part by part"),
      record(task.estimate, "tasks"),
    ),
  );

function view({ task, points, entries }) {
  return [
    p.heading("Task", p.hash(task.task, { copy: "task id" }), p.badge(task.status)),
    figures(task),
    h(
      "div",
      { class: "split" },
      h(
        "div",
        {},
        p.section(
          "Loss",
          "as the solver reports it; the proof is what counts",
          points === null ? p.noIndex("The loss curve") : lossCurve(points, task.steps),
        ),
        proofPanel(task),
        task.disputes.length
          ? p.section(
              "Disputes",
              null,
              p.table(
                "Disputes of this task",
                disputeColumns.filter((one) => one.head !== "Task"),
                task.disputes,
                { key: (one) => String(one.dispute) },
              ),
            )
          : null,
        money(task),
        programPanel(task),
        terms(task),
      ),
      h(
        "div",
        {},
        p.section(
          "Story",
          entries ? f.count(entries.length, "event") : null,
          entries === null ? p.noIndex("The story of a task") : story(entries),
        ),
      ),
    ),
  ];
}

export const task = {
  name: "task",
  title: ({ task: one }) => `Task ${f.shortHash(one.task)}`,
  unknown: (id) => missing("Task", id),
  load,
  watch,
  view,
};
