// Events of the whole chain, all or of one kind.

import { h, p, f } from "./page_kit.js";
import { feedOf } from "./feed.js";
import { eventItem } from "./value.js";
import { filters, unknown as missing } from "./page_kit.js";

/** The pallets that tell of something, as links: asked once, because a node's rules stay while it runs. */
async function kindsOf(visit) {
  visit.state.kinds ??= (await visit.call("state_getMetadata", [])).pallets
    .filter((pallet) => pallet.events.length)
    .map((pallet) => [pallet.name, f.words(pallet.name)]);
  return [["", "all"], ...visit.state.kinds];
}

/** Events of one block follow under one heading. */
function byBlock(items) {
  const groups = [];
  for (const event of items) {
    if (groups.at(-1)?.block !== event.block) groups.push({ block: event.block, time: event.time, events: [] });
    groups.at(-1).events.push(event);
  }
  return groups;
}

export const events = {
  name: "events",
  needs: "The list of events",
  title: (_, kind) => (kind ? `Events of ${f.clean(kind, 40)}` : "Events"),
  unknown: (kind) => missing("Kind of event", kind),
  load: async (visit, kind) => {
    const feed = feedOf(
      visit,
      "events",
      (cursor) => visit.call("explorer_events", { kind, limit: 50, cursor }),
      (one) => `${one.blockHash}${one.index}`,
    );
    const [kinds] = await Promise.all([kindsOf(visit), feed.refresh()]);
    return { feed, kinds };
  },
  watch: (visit) => visit.onBlock(() => visit.reload()),
  view: ({ feed, kinds }, visit, kind) =>
    [
      p.heading("Chain", kind ? `Events: ${f.clean(kind, 40)}` : "Events"),
      filters("Kinds of events", "events", kind, kinds),
      feed.items.length
        ? byBlock(feed.items).map((group) =>
            h(
              "section",
              { class: "group", key: String(group.block) },
              h(
                "h2",
                { class: "group-head" },
                "Block ",
                p.block(group.block),
                h("span", { class: "dim" }, " · "),
                p.time(group.time),
              ),
              h("ol", { class: "events" }, group.events.map(eventItem)),
            ),
          )
        : h("p", { class: "empty" }, "No such event yet."),
      feed.button(visit),
    ]
      .flat()
      .filter(Boolean),
};
