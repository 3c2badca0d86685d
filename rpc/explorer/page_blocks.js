// Blocks: the list, and one block with its body, hooks and header.

import { h, p, f, blockColumns, extrinsicColumns, isFinal, unknown as missing } from "./page_kit.js";
import { feedOf } from "./feed.js";
import { eventList, record } from "./value.js";
import { chevron } from "./chrome.js";

export const blocks = {
  name: "blocks",
  title: () => "Blocks",
  unknown: (id) => missing("Block", id),
  load: (visit) =>
    feedOf(
      visit,
      "blocks",
      (cursor) => visit.call("explorer_blocks", { limit: 30, cursor }),
      (one) => one.hash,
    ).refresh(),
  watch: (visit) => visit.onBlock(() => visit.reload()),
  view: (feed, visit) => [
    p.heading("Chain", "Blocks"),
    p.section(
      "Newest first",
      null,
      p.table("Blocks", blockColumns(visit.live), feed.items, { key: (one) => one.hash }),
      feed.button(visit),
    ),
  ],
};

const asNumber = (id) => (/^#?\d+$/.test(id) ? Number(id.replace("#", "")) : id);

function head(one, visit) {
  const number = Number(one.number);
  const isLast = visit.live.best && number >= visit.live.best.number;
  return p.heading(
    "Block",
    [h("span", { class: "num" }, f.grouped(number))],
    isFinal(one, visit.live) ? p.badge("finalized", "good", "final") : p.badge("pending", "live", "not final"),
    h(
      "span",
      { class: "steps" },
      number > 0 ? chevron("prev", p.href("block", number - 1), "Previous block") : null,
      isLast ? null : chevron("next", p.href("block", number + 1), "Next block"),
    ),
  );
}

function digestItem(item) {
  if (item === null || typeof item !== "object") return f.clean(item, 700);
  const { kind, ...fields } = item;
  return [h("span", { class: "role" }, f.words(kind ?? "item")), record(fields)];
}

function summary(one) {
  return p.facts([
    ["hash", p.hash(one.hash, { copy: "block hash", full: true })],
    [
      "parent",
      Number(one.number) > 0
        ? p.hash(one.parentHash, { to: p.href("block", one.parentHash), copy: "parent hash", full: true })
        : h("span", { class: "dim" }, "none: this is the genesis"),
    ],
    ["time", p.time(one.time, { both: true })],
    ["author", one.author ? p.account(one.author, { copy: true }) : h("span", { class: "dim" }, "none")],
    ["slot", p.number(one.slot)],
    [
      "contents",
      [
        f.count(one.extrinsics, "extrinsic"),
        one.failed ? [", ", h("span", { class: "bad-text" }, `${one.failed} failed`)] : null,
        `, ${f.count(one.events, "event")}`,
      ],
    ],
    [
      "weight",
      one.weight === null
        ? null
        : h("span", { class: "num", title: `${f.grouped(one.weight)} ns on the reference core` }, f.weight(one.weight)),
    ],
    ["length", h("span", { class: "num" }, f.bytes(one.length))],
  ]);
}

const headerFacts = (header) =>
  p.facts([
    ["state root", p.hash(header.stateRoot, { copy: "state root", full: true })],
    ["extrinsics root", p.hash(header.extrinsicsRoot, { copy: "extrinsics root", full: true })],
    [
      "digest",
      h(
        "ol",
        { class: "values" },
        (header.digest?.logs ?? []).map((item) => h("li", {}, digestItem(item))),
      ),
    ],
  ]);

function view(one, visit) {
  const signed = one.body.filter((item) => item.signer !== null);
  const inherent = one.body.filter((item) => item.signer === null);
  const columns = extrinsicColumns.filter((column) => !["Block", "Age"].includes(column.head));
  return [
    head(one, visit),
    summary(one),
    p.section(
      "Extrinsics",
      f.count(signed.length, "signed", "signed"),
      p.table("Signed extrinsics", columns, signed, {
        key: (item) => item.hash,
        empty: "Nobody signed anything in this block.",
      }),
    ),
    inherent.length
      ? p.section(
          "By the chain itself",
          null,
          p.table(
            "Inherents",
            columns.filter((column) => ["Call", "Result", "Extrinsic"].includes(column.head)),
            inherent,
            { key: (item) => item.hash },
          ),
        )
      : null,
    p.section(
      "Events of hooks",
      "what happened by itself at the block's start and end",
      eventList(one.hooks, "None in this block."),
    ),
    p.section("Header", null, headerFacts(one.header)),
  ].filter(Boolean);
}

export const block = {
  name: "block",
  title: (one) => `Block ${Number(one.number)}`,
  unknown: (id) =>
    missing(
      "Block",
      id,
      "It may not have been made yet, have been abandoned for a better branch, or have been pruned from this node.",
    ),
  load: (visit, id) => visit.call("explorer_block", [asNumber(id)]),
  watch: (visit) => visit.onBlock(() => (visit.data && !visit.data.finalized ? visit.reload() : visit.draw())),
  view,
};
