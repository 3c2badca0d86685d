// Who may author and vote, and how far the votes have come.

import { h, p, f, unknown as missing } from "./page_kit.js";
import { lagOf } from "./live.js";

const PARTS = 1_000_000_000;

/** The round to look at: the last one that had time to be voted in. */
const settledRound = (finality) => finality?.background?.at(-1) ?? finality?.best ?? null;

function standing(one, round) {
  const silent = ["prevotes", "precommits"].filter((stage) => round[stage].missing.includes(one.sessionKey));
  if (!silent.length) return p.badge("voted", "good", "voted");
  return silent.length === 2 ? p.badge("silent", "bad", "silent") : p.badge("late", "mark", "half");
}

const columns = (round) => [
  {
    head: "Validator",
    cell: (one) =>
      one.account ? p.account(one.account, { copy: true }) : h("span", { class: "dim" }, "the chain's one author"),
  },
  { head: "Session key", hide: true, cell: (one) => p.hash(one.sessionKey, { copy: "session key" }) },
  {
    head: "Weight",
    num: true,
    cell: (one) => (one.account ? p.amount(one.weight, { rough: true }) : p.number(one.weight)),
  },
  {
    head: "Share",
    cell: (one) =>
      h(
        "span",
        { class: "progress" },
        h(
          "span",
          { class: "meter", "aria-hidden": "true" },
          h("span", { style: { width: `${(100 * one.share) / PARTS}%` } }),
        ),
        h("span", { class: "num" }, f.percent(one.share, PARTS)),
      ),
  },
  ...(round ? [{ head: `Round ${f.grouped(round.round)}`, cell: (one) => standing(one, round) }] : []),
];

function voteBar(name, votes, round) {
  const ratio = round.totalWeight ? (100 * votes.currentWeight) / round.totalWeight : 0;
  const missing = (votes.missing ?? []).length;
  return h(
    "div",
    { class: "votes", key: name },
    h("span", {}, name),
    h(
      "span",
      { class: "meter wide", role: "img", "aria-label": `${name}: ${ratio.toFixed(0)} percent of the weight` },
      h("span", { style: { width: `${ratio}%` } }),
      h("span", { class: "threshold", style: { left: `${(100 * round.thresholdWeight) / round.totalWeight}%` } }),
    ),
    h("span", { class: "num dim" }, `${ratio.toFixed(0)}\u202f%`, missing ? `, ${missing} missing` : ""),
  );
}

function roundPanel(finality) {
  const round = finality?.best ?? settledRound(finality);
  if (!round) return null;
  return p.section(
    `Round ${f.grouped(round.round)}`,
    `set ${finality.setId}; the mark is two thirds`,
    voteBar("prevotes", round.prevotes ?? {}, round),
    voteBar("precommits", round.precommits ?? {}, round),
  );
}

function view(data, visit) {
  const lag = lagOf(visit.live);
  return [
    p.heading("Consensus", "Validators and finality"),
    p.figures([
      ["Validators", p.number(data.validators.length)],
      [
        "Finalized",
        visit.live.finalized ? p.block(visit.live.finalized.number) : "–",
        lag === null ? null : lag ? `${f.count(lag, "block")} behind the best` : "every block is final",
      ],
      ["Session", p.number(data.session)],
      ["Epoch", p.number(data.epoch)],
      ["Era", p.number(data.era)],
      ["Set", p.number(data.setId), "of voters"],
    ]),
    data.hasOneAuthor
      ? p.notice(
          "plain",
          "A development chain",
          h(
            "p",
            {},
            "One author makes every block and finalizes it at once. Nothing here says anything about how a network would agree.",
          ),
        )
      : null,
    p.section(
      "Validators",
      null,
      p.table("Validators", columns(settledRound(data.finality)), data.validators, { key: (one) => one.sessionKey, empty: "No validators." }),
    ),
    roundPanel(data.finality),
  ].filter(Boolean);
}

export const validators = {
  name: "validators",
  title: () => "Validators",
  unknown: (id) => missing("Validator", id),
  load: (visit) => visit.call("explorer_validators", []),
  watch: (visit) => visit.onBlock(() => visit.reload()),
  view,
};
