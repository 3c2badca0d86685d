// A task's events as sentences. Unknown kinds read as their event, so that a newer node never breaks the page.

import { h } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";
import { record } from "./value.js";

const shortened = (numbers = []) =>
  h("span", { class: "numbers" }, numbers.slice(0, 24).join(", "), numbers.length > 24 ? " …" : "");

/** How a field is shown where a sentence names it as `{shape:field}`. */
const SHAPES = {
  who: (account) => p.account(account),
  amount: (units) => p.amount(units),
  number: (value) => p.number(value),
  height: (value) => p.number(Number(value)),
  words: (text) => f.words(text),
  strong: (text) => h("strong", {}, f.words(text)),
  badge: (status) => p.badge(status),
  root: (hash) => p.hash(hash, { copy: "state root" }),
  dispute: (number) => h("a", { href: p.href("dispute", number) }, `dispute #${number}`),
  candidates: (number) => f.count(number, "candidate"),
  verifiers: (number) => f.count(number, "verifier"),
  checkpoints: (number) => f.count(number, "checkpoint"),
  segments: (numbers) => [numbers?.length === 1 ? "segment " : "segments ", shortened(numbers)],
  failed: (numbers) => h("strong", {}, SHAPES.segments(numbers)),
  until: (deadline) =>
    deadline ? h("span", { class: "dim" }, " Until block ", p.number(Number(deadline)), ".") : null,
  because: (reason) => (reason ? h("span", { class: "dim" }, ` (${f.words(reason)})`) : null),
  attempt: (number) => (number > 1 ? `, attempt ${number}` : null),
};

/** kind -> what happened, in words. */
const SENTENCES = {
  submitted:
    "{who:submitter} submitted the task and put {amount:escrow} in escrow: at most {amount:solver_fee} for the solver and {amount:verifier_fee} for each verifier.",
  pooled: "Waiting for a solver{attempt:attempt}{because:reason}.{until:deadline}",
  assigned:
    "The draw among {candidates:candidates} fell on {who:solver}, who is paid {number:price} units per thousand operations and puts up {amount:lock}.{until:deadline}",
  accepted: "{who:solver} accepted and trains.{until:deadline}",
  acceptance_missed: "{who:solver} did not accept in time and loses {amount:penalty}.",
  training_missed: "{who:solver} did not finish in time and loses {amount:penalty}.",
  status: "Now {badge:after}.",
  paid: "{who:account} was paid {amount:amount} as {words:role}.",
  settled:
    "Settled: the model's root is {root:final_root}. Solver {amount:solver_paid}, verifiers {amount:verifiers_paid}, treasury {amount:treasury_paid}; {amount:refund} went back.",
  failed: "The task failed: {words:reason}. {amount:refund} went back.",
  cancelled: "The submitter cancelled the task; {amount:refund} went back.",
  expired: "Nobody took the task in time; {amount:refund} went back.",
  proof: "{who:solver} posted the proof: {checkpoints:checkpoints}, the last of which is {root:final_root}.",
  verifier_drawn:
    "The draw among {verifiers:candidates} fell on {who:verifier}, who puts up {amount:lock}.{until:deadline}",
  audit_accepted: "{who:verifier} accepted the audit and committed a secret.",
  audit_opened:
    "The beacon for {who:verifier} is known; with the secret it chooses the segments.{until:deadline}",
  verdict: "{who:verifier} replayed {segments:segments}: every state equal, bit for bit.",
  verdict_against: "{who:verifier} replayed {segments:segments} and got another state in {failed:failed}.",
  verifier_replaced: "{who:verifier} was replaced ({words:reason}) and loses {amount:penalty}.",
  search_ended: "No more verifiers were found: {number:passed} of {number:wanted} passed the proof.",
  window: "Anybody may dispute the proof until block {height:end}.",
  dispute_claimed: "{who:challenger} says that segment {number:segment} is false.",
  dispute_closed: "The challenge of segment {number:segment} by {who:challenger} is closed.",
  proof_voided:
    "The proof is void. {who:solver} was slashed {amount:slashed}; {who:challenger} receives {amount:reward}, the treasury {amount:to_treasury}.",
  dispute_opened: "{who:challenger} opened {dispute:dispute} about segment {number:segment}, with a bond of {amount:bond}.",
  dispute_decided: "In {dispute:dispute} the {strong:winner} was right ({words:reason}).",
  dispute_cancelled: "The {dispute:dispute} ended with the proof it was about; the bond of {amount:bond} went back.",
  bond_locked: "{amount:amount} of {who:account}'s bond as {words:role} is locked.",
  bond_unlocked: "{amount:amount} of {who:account}'s bond is free again.",
  slashed: "{who:account} was slashed {amount:amount} as {words:role}.",
};

/** The words of a sentence with its fields between them: split by a pattern with two groups, (text, shape, field) repeat. */
function write(sentence, fields) {
  const parts = sentence.split(/\{(\w+):(\w+)\}/);
  return parts.map((part, place) =>
    place % 3 === 0 ? part : place % 3 === 1 ? SHAPES[part](fields[parts[place + 1]]) : null,
  );
}

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
  const against = entry.kind === "verdict" && entry.fields?.failed?.length;
  const sentence = SENTENCES[against ? "verdict_against" : entry.kind];
  try {
    if (sentence) return write(sentence, entry.fields ?? {});
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
