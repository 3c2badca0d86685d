// A task's events as sentences. Unknown kinds read as their event, so that a newer node never breaks the page.

import { h } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";
import { record } from "./value.js";

const who = (account) => p.account(account);
const list = (numbers) =>
  h("span", { class: "numbers" }, (numbers ?? []).slice(0, 24).join(", "), (numbers ?? []).length > 24 ? " …" : "");
const segments = (numbers) => [(numbers ?? []).length === 1 ? "segment " : "segments ", list(numbers)];
const until = (deadline) =>
  deadline ? h("span", { class: "dim" }, " Until block ", p.number(Number(deadline)), ".") : null;

/** kind -> (fields, entry) => what happened, in words. */
const TELL = {
  submitted: (e) => [
    who(e.submitter),
    " submitted the task and put ",
    p.amount(e.escrow),
    " in escrow: at most ",
    p.amount(e.solver_fee),
    " for the solver and ",
    p.amount(e.verifier_fee),
    " for each verifier.",
  ],
  pooled: (e) => [
    "Waiting for a solver",
    e.attempt > 1 ? `, attempt ${e.attempt}` : "",
    e.reason ? h("span", { class: "dim" }, ` (${f.words(e.reason)})`) : "",
    ".",
    until(e.deadline),
  ],
  assigned: (e) => [
    "The draw among ",
    f.count(e.candidates, "candidate"),
    " fell on ",
    who(e.solver),
    ", who is paid ",
    p.number(e.price),
    " units per thousand operations and puts up ",
    p.amount(e.lock),
    ".",
    until(e.deadline),
  ],
  accepted: (e) => [who(e.solver), " accepted and trains.", until(e.deadline)],
  acceptance_missed: (e) => [who(e.solver), " did not accept in time and loses ", p.amount(e.penalty), "."],
  training_missed: (e) => [who(e.solver), " did not finish in time and loses ", p.amount(e.penalty), "."],
  status: (e) => ["Now ", p.badge(e.after), "."],
  paid: (e) => [who(e.account), " was paid ", p.amount(e.amount), " as ", f.words(e.role), "."],
  settled: (e) => [
    "Settled: the model's root is ",
    p.hash(e.final_root, { copy: "state root" }),
    ". Solver ",
    p.amount(e.solver_paid),
    ", verifiers ",
    p.amount(e.verifiers_paid),
    ", treasury ",
    p.amount(e.treasury_paid),
    "; ",
    p.amount(e.refund),
    " went back.",
  ],
  failed: (e) => ["The task failed: ", f.words(e.reason), ". ", p.amount(e.refund), " went back."],
  cancelled: (e) => ["The submitter cancelled the task; ", p.amount(e.refund), " went back."],
  expired: (e) => ["Nobody took the task in time; ", p.amount(e.refund), " went back."],
  proof: (e) => [
    who(e.solver),
    " posted the proof: ",
    f.count(e.checkpoints, "checkpoint"),
    ", the last of which is ",
    p.hash(e.final_root, { copy: "state root" }),
    ".",
  ],
  verifier_drawn: (e) => [
    "The draw among ",
    f.count(e.candidates, "verifier"),
    " fell on ",
    who(e.verifier),
    ", who puts up ",
    p.amount(e.lock),
    ".",
    until(e.deadline),
  ],
  audit_accepted: (e) => [who(e.verifier), " accepted the audit and committed a secret."],
  audit_opened: (e) => [
    "The beacon for ",
    who(e.verifier),
    " is known; with the secret it chooses the segments.",
    until(e.deadline),
  ],
  verdict: (e) =>
    e.failed?.length
      ? [
          who(e.verifier),
          " replayed ",
          segments(e.segments),
          " and got another state in ",
          h("strong", {}, segments(e.failed)),
          ".",
        ]
      : [who(e.verifier), " replayed ", segments(e.segments), ": every state equal, bit for bit."],
  verifier_replaced: (e) => [
    who(e.verifier),
    " was replaced (",
    f.words(e.reason),
    ") and loses ",
    p.amount(e.penalty),
    ".",
  ],
  search_ended: (e) => [
    "No more verifiers were found: ",
    p.number(e.passed),
    " of ",
    p.number(e.wanted),
    " passed the proof.",
  ],
  window: (e) => ["Anybody may dispute the proof until block ", p.number(Number(e.end)), "."],
  dispute_claimed: (e) => [who(e.challenger), " says that segment ", p.number(e.segment), " is false."],
  dispute_closed: (e) => ["The challenge of segment ", p.number(e.segment), " by ", who(e.challenger), " is closed."],
  proof_voided: (e) => [
    "The proof is void. ",
    who(e.solver),
    " was slashed ",
    p.amount(e.slashed),
    "; ",
    who(e.challenger),
    " receives ",
    p.amount(e.reward),
    ", the treasury ",
    p.amount(e.to_treasury),
    ".",
  ],
  dispute_opened: (e) => [
    who(e.challenger),
    " opened ",
    h("a", { href: p.href("dispute", e.dispute) }, `dispute #${e.dispute}`),
    " about segment ",
    p.number(e.segment),
    ", with a bond of ",
    p.amount(e.bond),
    ".",
  ],
  dispute_decided: (e) => [
    h("a", { href: p.href("dispute", e.dispute) }, `Dispute #${e.dispute}`),
    " was decided for the ",
    h("strong", {}, f.words(e.winner)),
    " (",
    f.words(e.reason),
    ").",
  ],
  dispute_cancelled: (e) => [
    h("a", { href: p.href("dispute", e.dispute) }, `Dispute #${e.dispute}`),
    " ended with the proof it was about; the bond of ",
    p.amount(e.bond),
    " went back.",
  ],
  bond_locked: (e) => [p.amount(e.amount), " of ", who(e.account), "'s bond as ", f.words(e.role), " is locked."],
  bond_unlocked: (e) => [p.amount(e.amount), " of ", who(e.account), "'s bond is free again."],
  slashed: (e) => [who(e.account), " was slashed ", p.amount(e.amount), " as ", f.words(e.role), "."],
};

const TONE = {
  settled: "good",
  paid: "good",
  verdict: "good",
  proof_voided: "bad",
  slashed: "bad",
  failed: "bad",
  dispute_opened: "bad",
  dispute_claimed: "bad",
  acceptance_missed: "bad",
  training_missed: "bad",
  verifier_replaced: "bad",
  dispute_decided: "mark",
  assigned: "mark",
  proof: "mark",
  submitted: "mark",
};
const MINOR = new Set([
  "status",
  "bond_locked",
  "bond_unlocked",
  "dispute_claimed",
  "dispute_closed",
  "heartbeats",
  "audit_accepted",
]);

const toneOf = (entry) =>
  entry.kind === "verdict" && entry.fields.failed?.length ? "bad" : (TONE[entry.kind] ?? "plain");

function heartbeats(run) {
  const [first, last] = [run[0], run.at(-1)];
  if (run.length === 1)
    return ["Step ", p.number(first.step), ", loss ", h("span", { class: "num" }, f.float(first.loss)), "."];
  return [
    f.count(run.length, "report"),
    ": step ",
    p.number(first.step),
    " → ",
    p.number(last.step),
    ", loss ",
    h("span", { class: "num" }, `${f.float(first.loss)} → ${f.float(last.loss)}`),
    ".",
  ];
}

/** Runs of heartbeats become one item; everything else stays. */
export function condense(entries) {
  const items = [];
  for (const entry of entries) {
    const last = items.at(-1);
    if (entry.kind === "bond_unlocked" && entry.fields?.amount === "0") continue;
    if (entry.kind !== "heartbeat") items.push(entry);
    else if (last?.kind === "heartbeats" && last.attempt === entry.attempt) last.run.push(entry);
    else items.push({ ...entry, kind: "heartbeats", run: [entry] });
  }
  return items;
}

function tell(entry) {
  if (entry.kind === "heartbeats") return heartbeats(entry.run);
  const told = TELL[entry.kind];
  try {
    if (told) return told(entry.fields ?? {}, entry);
  } catch {
    // Fields that this page does not expect: fall through to the record itself.
  }
  return [`${f.words(entry.pallet)} · ${f.words(entry.name)}`, record(entry.fields, entry.pallet)];
}

function item(entry) {
  const end = entry.kind === "heartbeats" ? entry.run.at(-1) : entry;
  const kind = `story-item ${toneOf(entry)}${MINOR.has(entry.kind) ? " minor" : ""}`;
  return h(
    "li",
    { class: kind, key: `${entry.blockHash}-${entry.index}` },
    h("div", { class: "story-text" }, tell(entry)),
    h(
      "div",
      { class: "story-when" },
      p.block(end.block),
      " · ",
      p.time(end.time),
      entry.extrinsicHash && entry.kind !== "heartbeats"
        ? [
            " · ",
            h("a", { href: p.href("extrinsic", entry.extrinsicHash), "aria-label": "its extrinsic" }, "extrinsic"),
          ]
        : null,
    ),
  );
}

/** The whole story, oldest first, cut into attempts where there were several. */
export function story(entries) {
  if (!entries.length) return h("p", { class: "empty" }, "Nothing has happened yet.");
  const items = condense(entries);
  const several = new Set(items.map((one) => one.attempt)).size > 1;
  const rows = [];
  let attempt = null;
  for (const entry of items) {
    if (several && entry.attempt !== attempt && entry.attempt > 0)
      rows.push(
        h("li", { class: "story-attempt", key: `attempt-${entry.attempt}-${entry.index}` }, `Attempt ${entry.attempt}`),
      );
    attempt = entry.attempt;
    rows.push(item(entry));
  }
  return h("ol", { class: "story" }, rows);
}
