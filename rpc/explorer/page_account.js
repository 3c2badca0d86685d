// An account: what it has, what is held and why, the parts it plays, and all it ever did.

import { h, p, f, callName, unknown as missing } from "./page_kit.js";
import { feedOf } from "./feed.js";
import { eventList } from "./value.js";
import { nameOf } from "./known.js";

async function load(visit, id) {
  const account = await visit.call("explorer_account", [id]);
  if (account === null) return null;
  const feed = feedOf(
    visit,
    "history",
    (cursor) => visit.call("explorer_accountHistory", { account: id, limit: 20, cursor }),
    (one) => `${one.blockHash}${one.index}`,
  );
  const history = (await visit.indexed("explorer_statistics", [])).indexed ? await feed.refresh() : null;
  return { account, history };
}

function holds(account) {
  const columns = [
    { head: "Reason", cell: (one) => f.words(one.reason) },
    { head: "Amount", num: true, cell: (one) => p.amount(one.amount) },
    {
      head: "For",
      cell: (one) =>
        one.task
          ? ["task ", p.task(one.task)]
          : one.dispute !== null && one.dispute !== undefined
            ? ["dispute ", p.dispute(one.dispute)]
            : one.role
              ? p.role(one.role)
              : "–",
    },
  ];
  return p.table("Holds", columns, account.holds, { empty: "Nothing is held: all of it is free to spend." });
}

export const workerFacts = (one, kind = "") =>
  p.facts(
    [
      [
        "price",
        one.price === null ? null : [p.number(one.price), h("span", { class: "unit" }, " units / 1000 operations")],
      ],
      ["bond", p.amount(one.bond)],
      ["locked", p.amount(one.locked)],
      ["completed", p.number(one.completed)],
      ["faults", p.number(one.faults)],
      ["slashed", p.amount(one.slashed)],
      ["earned", p.amount(one.earned)],
    ],
    kind,
  );

function parts(account) {
  if (!account.workers.length && !account.validator) return null;
  const { validator } = account;
  return p.section(
    "Parts it plays",
    account.workers.length ? h("a", { href: p.href("worker", account.account) }, "work and earnings") : null,
    h(
      "div",
      { class: "cards" },
      account.workers.map((one) =>
        h("div", { class: "card", key: one.role }, h("h3", {}, f.words(one.role)), workerFacts(one)),
      ),
      validator
        ? h(
            "div",
            { class: "card", key: "validator" },
            h("h3", {}, "validator"),
            p.facts([
              ["stake", p.amount(validator.stake)],
              ["session key", p.hash(validator.sessionKey, { copy: "session key" })],
              ["active", validator.active ? "yes" : "no"],
            ]),
          )
        : null,
    ),
  );
}

function historyItem(one) {
  const title = one.extrinsic ? callName(one.extrinsic) : h("span", { class: "call" }, "by the chain itself");
  return h(
    "li",
    { class: "history", key: `${one.blockHash}-${one.index}` },
    h(
      "div",
      { class: "history-head" },
      h(
        "span",
        {
          class: `sign ${one.signed ? "out" : "in"}`,
          title: one.signed ? "signed by this account" : "names this account",
        },
        one.signed ? "signed" : "named",
      ),
      one.extrinsic ? h("a", { href: p.href("extrinsic", one.extrinsic.hash) }, title) : title,
      one.extrinsic && !one.extrinsic.ok ? p.badge("failed", "bad", "failed") : null,
      h("span", { class: "spacer" }),
      one.signed && one.extrinsic
        ? h("span", { class: "dim" }, "fee ", p.amount(one.extrinsic.fee, { rough: true }))
        : null,
      h("span", { class: "dim" }, "block ", p.block(one.block)),
      p.time(one.time),
    ),
    eventList(
      one.events.filter((event) => !(one.signed && event.name === "FeePaid")),
      "",
    ),
  );
}

function view({ account, history }, visit) {
  const total = BigInt(account.free) + BigInt(account.held);
  const name = nameOf(account.account);
  return [
    p.heading(
      "Account",
      name ?? f.shortAccount(account.account),
      account.exists ? null : p.badge("empty", "plain", "never seen"),
    ),
    p.figures([
      ["Free", p.amount(account.free)],
      ["Held", p.amount(account.held)],
      ["Together", p.amount(total)],
      ["Nonce", p.number(account.nonce)],
    ]),
    p.facts([
      ["address", p.account(account.account, { copy: true, full: true, link: false })],
      ["public key", p.hash(account.publicKey, { copy: "public key", full: true })],
    ]),
    account.exists
      ? null
      : p.notice(
          "plain",
          "This account has never held anything",
          h("p", {}, "The address is well formed. It will exist as soon as somebody pays into it."),
        ),
    parts(account),
    account.holds.length || account.exists ? p.section("Holds", null, holds(account)) : null,
    p.section(
      "History",
      "newest first",
      history === null
        ? p.noIndex("History")
        : history.items.length
          ? [h("ol", { class: "histories" }, history.items.map(historyItem)), history.button(visit)]
          : h("p", { class: "empty" }, "Nothing has happened to this account."),
    ),
  ].filter(Boolean);
}

export const account = {
  name: "account",
  title: ({ account: one }) => `Account ${nameOf(one.account) ?? f.shortAccount(one.account)}`,
  unknown: (id) =>
    missing(
      "Account",
      id,
      "That is not an address of this network: addresses begin with 5 and have 47 or 48 letters and digits.",
    ),
  load,
  watch: (visit) =>
    visit.onBlock((summary) => (summary === null || summary.extrinsics > 0 || summary.events > 1) && visit.reload()),
  view,
};
