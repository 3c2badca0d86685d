// A dispute: who says what, the descent to the first thing the two disagree about, what the chain computed, and who paid.

import { h, p, f, disputeBadge, unknown as missing } from "./page_kit.js";
import { descent, trail } from "./descent.js";
import { leafPanel } from "./leaf.js";
import { nameOf } from "./known.js";
import { chevron } from "./chrome.js";

const PLAY_MS = 650;

const REASONS = {
  wrong_result:
    "The chain ran the disputed operations on what both sides agree on, and got another result than the one claimed.",
  halted: "The chain ran the disputed operations on the posted operands, and they do not run to an end.",
  wrong_operand: "What the defender posted as an operand is not what the committed tensor holds.",
  wrong_pack: "The claimed state does not hold the value that the step computed for it.",
  nothing_to_dispute:
    "The chain ran the disputed operations and got what was claimed; they load nothing, so nothing is left to dispute.",
  operand_confirmed: "The operand that the challenger doubted is what the committed tensor holds. The claim stands.",
  pack_confirmed: "The state holds the value that the step computed for it. The claim stands.",
  silence: "A player's clock ran out. Silence loses.",
};

const shortName = (account) => nameOf(account) ?? f.shortAccount(account);
const loserOf = (one) =>
  one.status === "challenger_won" ? one.defender : one.status === "defender_won" ? one.challenger : null;
const winnerOf = (one) =>
  one.status === "challenger_won" ? one.challenger : one.status === "defender_won" ? one.defender : null;

function lede(one) {
  const last = Number(one.claim.firstStep) + Number(one.claim.steps) - 1;
  const span =
    one.segment === 0 ? "the initialisation" : [`steps ${f.grouped(one.claim.firstStep)} – `, f.grouped(last)];
  return h(
    "p",
    { class: "lede" },
    p.account(one.challenger),
    " says that segment ",
    p.number(one.segment),
    " (",
    span,
    ") of task ",
    p.task(one.task),
    " does not end in the state that ",
    p.account(one.defender),
    one.kind === "witness" ? " found in its replay. " : " claims. ",
    ending(one),
  );
}

function ending(one) {
  if (one.status === "open")
    return [`${f.count(one.moves.length, "move")} so far; the ${one.waitsFor ?? "defender"} is to move.`];
  if (one.status === "cancelled") return "It ended with the proof it was about; nobody won.";
  const blocks = one.ended && one.opened ? Number(one.ended.block) - Number(one.opened.block) : null;
  const slashed = one.slashes.reduce((sum, item) => sum + BigInt(item.amount), 0n);
  return [
    `After ${f.count(one.moves.length, "move")}${blocks === null ? "" : ` in ${f.count(blocks, "block")}`} the chain decided for `,
    p.account(winnerOf(one)),
    slashed > 0n ? [". ", p.account(loserOf(one)), " lost ", p.amount(slashed)] : null,
    ".",
  ];
}

function clocks(one) {
  if (one.status !== "open") return null;
  const clock = (name) => [p.number(one.clocks[name]), h("span", { class: "dim" }, " blocks left")];
  return p.figures([
    ["Waits for", f.words(one.waitsFor ?? "–")],
    ["Defender's clock", clock("defender")],
    ["Challenger's clock", clock("challenger")],
    ["Must move by block", p.number(Number(one.deadline))],
  ]);
}

// --- moving through the moves

class Player {
  constructor(visit) {
    this.visit = visit;
    this.at = null;
    this.timer = null;
    visit.onEnd(() => this.stop());
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  go(at) {
    const most = this.visit.data.moves.length;
    this.at = at >= most ? null : Math.max(0, at);
    if (this.at === null) this.stop();
    this.visit.draw();
  }

  toggle() {
    if (this.timer) this.stop();
    else {
      if (this.at === null) this.at = 0;
      this.timer = setInterval(() => this.go((this.at ?? 0) + 1), PLAY_MS);
    }
    this.visit.draw();
  }
}

function controls(one, player, shown) {
  const move = one.moves[shown - 1];
  const text =
    shown === 0
      ? "Before the first move"
      : `Move ${shown} of ${one.moves.length}: ${shortName(move.account)} (${move.mover}) plays ${f.words(move.kind)}`;
  const slider = h("input", {
    type: "range",
    id: "move-slider",
    min: 0,
    max: one.moves.length,
    step: 1,
    "aria-label": "Moves shown",
    "aria-valuetext": text,
    on: {
      input: (event) => {
        player.stop();
        player.go(Number(event.currentTarget.value));
      },
    },
  });
  requestAnimationFrame(() => {
    const mounted = document.getElementById("move-slider");
    if (mounted && mounted.value !== String(shown)) mounted.value = String(shown);
  });
  return h(
    "div",
    { class: "player" },
    h(
      "button",
      {
        type: "button",
        id: "play",
        "aria-pressed": player.timer ? "true" : "false",
        on: { click: () => player.toggle() },
      },
      player.timer ? "Pause" : "Play",
    ),
    slider,
    h("output", { for: "move-slider" }, text),
  );
}

const legend = h(
  "ul",
  { class: "legend" },
  [
    ["agreed", "agreed: the challenger accepts it"],
    ["chosen", "disputed"],
    ["unknown", "not looked at"],
  ].map(([name, text]) => h("li", {}, h("span", { class: `swatch cell-${name}`, "aria-hidden": "true" }), text)),
);

// --- tables

const moveColumns = [
  { head: "Nr", num: true, cell: (move) => p.number(move.number) },
  {
    head: "Who",
    cell: (move) =>
      h(
        "span",
        { class: `mover ${move.mover}` },
        shortName(move.account),
        h("span", { class: "dim" }, ` ${move.mover}`),
      ),
  },
  { head: "Move", cell: (move) => h("a", { href: p.href("extrinsic", move.extrinsic) }, f.words(move.kind)) },
  {
    head: "In tree",
    hide: true,
    cell: (move) =>
      move.before
        ? [
            f.words(move.before.level),
            h(
              "span",
              { class: "num dim" },
              ` ${f.grouped(move.before.first)}–${f.grouped(move.before.last)} of ${f.grouped(move.before.width)}`,
            ),
          ]
        : h("span", { class: "dim" }, "–"),
  },
  { head: "Then waits for", hide: true, cell: (move) => f.words(move.next) },
  { head: "Size", num: true, cell: (move) => h("span", { class: "num" }, f.bytes(move.bytes)) },
  { head: "Block", num: true, cell: (move) => p.block(move.block) },
  { head: "Age", hide: true, cell: (move) => p.time(move.time) },
];

const moneyColumns = [
  { head: "Account", cell: (row) => p.account(row.account, { copy: true }) },
  { head: "As", cell: (row) => p.role(row.role) },
  {
    head: "Amount",
    num: true,
    cell: (row) =>
      row.isSlash ? h("span", { class: "bad-text" }, "−", p.amount(row.amount)) : p.amount(row.amount, { sign: true }),
  },
];

function verdictPanel(one) {
  const rows = [...one.slashes.map((item) => ({ ...item, isSlash: true })), ...one.payments];
  const reason = one.verdict?.reason ?? one.reason;
  return p.section(
    "Verdict",
    one.ended ? p.moment(one.ended) : null,
    h(
      "p",
      { class: `verdict ${one.status}` },
      h("strong", {}, winnerOf(one) ? [p.account(winnerOf(one)), " wins. "] : "Nobody wins. "),
      REASONS[reason] ?? (reason ? f.words(reason) : "The dispute was about a proof that is gone."),
    ),
    p.table("Who paid and who was paid", moneyColumns, rows, { empty: "No money moved; bonds went back." }),
  );
}

const claimPanel = (one) =>
  p.section(
    "What was claimed",
    null,
    p.facts(
      [
        ["task", p.task(one.task, { copy: "task id" })],
        ["attempt", p.number(one.attempt)],
        ["segment", p.number(one.segment)],
        ["by", one.kind === "witness" ? "a verifier, as its witness of a replay" : "the solver, in its proof"],
        [
          "steps",
          h(
            "span",
            { class: "num" },
            `${f.grouped(one.claim.firstStep)} – ${f.grouped(Number(one.claim.firstStep) + Number(one.claim.steps) - 1)}`,
          ),
        ],
        ["starts from", p.hash(one.claim.start, { copy: "state root" })],
        ["ends in", p.hash(one.claim.end, { copy: "state root" })],
        ["program", p.hash(one.claim.program, { to: p.href("program", one.claim.program), copy: "program hash" })],
        ["bond", p.amount(one.bond)],
        ["opened", p.moment(one.opened)],
      ],
      "columns",
    ),
  );

function view(one, visit) {
  visit.state.player ??= new Player(visit);
  const { player } = visit.state;
  const shown = player.at ?? one.moves.length;
  const seen = new Set(one.moves.slice(0, shown).map((move) => move.number));
  const parties = { defender: shortName(one.defender), challenger: shortName(one.challenger) };
  const isWhole = shown === one.moves.length;
  const evidence = one.verdict?.evidence ?? {};
  return [
    p.heading(
      "Dispute",
      `#${one.dispute}`,
      disputeBadge(one),
      h(
        "span",
        { class: "steps" },
        one.dispute > 0 ? chevron("prev", p.href("dispute", one.dispute - 1), "Previous dispute") : null,
        chevron("next", p.href("dispute", one.dispute + 1), "Next dispute"),
      ),
    ),
    lede(one),
    clocks(one),
    one.levels.some((level) => level.leaf !== null) ? trail(one) : null,
    p.section(
      "The descent",
      legend.cloneNode(true),
      one.moves.length ? controls(one, player, shown) : null,
      descent(one, seen, parties),
    ),
    one.leaf && isWhole
      ? p.section(
          one.leaf.kind === "silence"
            ? "No operation"
            : one.leaf.kind === "pack"
              ? "The state in dispute"
              : "The operation in dispute",
          one.leaf.kind === "group" ? "the chain ran it itself" : null,
          leafPanel(one.leaf, evidence, parties),
        )
      : null,
    one.status === "open" ? null : verdictPanel(one),
    p.section(
      "Moves",
      `${f.bytes(one.moves.reduce((sum, move) => sum + move.bytes, 0))} in all`,
      p.table("Moves", moveColumns, one.moves, { key: (move) => String(move.number), empty: "None yet." }),
    ),
    claimPanel(one),
  ].filter(Boolean);
}

export const dispute = {
  name: "dispute",
  needs: "The descent of a dispute",
  title: (one) => `Dispute ${one.dispute}`,
  unknown: (id) => missing("Dispute", id),
  load: async (visit, id) =>
    /^#?\d{1,15}$/.test(id) ? visit.call("disputes_get", [Number(id.replace("#", ""))]) : null,
  watch: (visit, id) => {
    visit.subscribe("disputes_subscribe", [Number(id.replace("#", ""))], "disputes_unsubscribe", () => visit.reload());
    visit.onBlock(
      (summary) =>
        summary === null && visit.live.rpc.state !== "live" && visit.data?.status === "open" && visit.reload(),
    );
  },
  view,
};
