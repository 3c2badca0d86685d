// Extrinsics: the newest, and one with its decoded arguments, events and fee.

import { h, p, f, extrinsicColumns, outcome, unknown as missing } from "./page_kit.js";
import { feedOf } from "./feed.js";
import { record, eventList } from "./value.js";

export const extrinsics = {
  name: "extrinsics",
  needs: "The list of extrinsics",
  title: () => "Extrinsics",
  load: (visit) =>
    feedOf(
      visit,
      "extrinsics",
      (cursor) => visit.call("explorer_extrinsics", { limit: 30, cursor }),
      (one) => one.hash + one.block,
    ).refresh(),
  watch: (visit) => visit.onBlock(() => visit.reload()),
  view: (feed, visit) => [
    p.heading("Chain", "Extrinsics"),
    p.section(
      "Newest first",
      "signed ones",
      p.table("Extrinsics", extrinsicColumns, feed.items, {
        key: (one) => one.hash,
        empty: "Nobody has signed anything yet.",
      }),
      feed.button(visit),
    ),
  ],
};

/** Dispatch errors explain themselves; the message is untrusted text like everything else. */
const failure = (error) =>
  error
    ? p.notice(
        "error",
        [f.words(error.pallet), ": ", f.words(error.code)],
        h("p", {}, h("bdi", {}, f.clean(error.message, 1000))),
        h("p", { class: "dim" }, "The call left no trace; the fee was kept."),
      )
    : null;

const eraText = (era) => {
  if (era === null || era === undefined) return null;
  if (typeof era === "object")
    return Object.entries(era)
      .map(([name, one]) => `${f.words(name)} ${f.clean(one, 80)}`)
      .join(", ");
  return f.clean(era, 80);
};

function facts(one) {
  return p.facts([
    ["hash", p.hash(one.hash, { copy: "extrinsic hash", full: true })],
    one.pending
      ? ["block", p.badge("pending", "live", "waiting in the pool")]
      : [
          "block",
          h(
            "span",
            {},
            p.block(one.block),
            h("span", { class: "dim" }, `, place ${one.index} · `),
            p.time(one.time, { both: true }),
          ),
        ],
    [
      "signer",
      one.signer
        ? p.account(one.signer, { copy: true, full: true })
        : h("span", { class: "dim" }, "the block's author, as every block demands"),
    ],
    one.pending || one.signer === null ? null : ["fee", p.amount(one.fee)],
    one.tip === null ? null : ["tip", p.amount(one.tip)],
    one.nonce === null ? null : ["nonce", p.number(one.nonce)],
    eraText(one.era) ? ["valid", eraText(one.era)] : null,
    one.weight === undefined || one.weight === null
      ? null
      : [
          "weight",
          h("span", { class: "num", title: `${f.grouped(one.weight)} ns on the reference core` }, f.weight(one.weight)),
        ],
    ["length", h("span", { class: "num" }, f.bytes(one.length))],
  ]);
}

function view(one) {
  return [
    p.heading(
      "Extrinsic",
      [f.words(one.pallet), h("span", { class: "dim" }, " · "), f.words(one.call)],
      one.pending ? p.badge("pending", "live", "waiting") : outcome(one),
      one.pending
        ? null
        : one.finalized
          ? p.badge("finalized", "good", "final")
          : p.badge("pending", "live", "not final"),
    ),
    facts(one),
    one.pending ? null : failure(one.error),
    p.section("Arguments", null, record(one.arguments, one.pallet)),
    one.pending ? null : p.section("Events", f.count(one.events.length, "event"), eventList(one.events)),
  ].filter(Boolean);
}

export const extrinsic = {
  name: "extrinsic",
  needs: "Looking up an extrinsic",
  title: (one) => `${f.words(one.pallet)} ${f.words(one.call)}`,
  unknown: (id) => missing("Extrinsic", id),
  load: (visit, id) => visit.call("explorer_extrinsic", [id]),
  watch: (visit) => visit.onBlock(() => !visit.data?.finalized && visit.reload()),
  view,
};
