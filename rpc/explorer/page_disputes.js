// The list of disputes: all, or those that ended one way.

import { p, disputeColumns, filters, WINNERS, unknown as missing } from "./page_kit.js";
import { feedOf } from "./feed.js";

export const disputes = {
  name: "disputes",
  title: () => "Disputes",
  unknown: (status) => missing("Outcome", status),
  load: async (visit, status) => {
    const feed = feedOf(
      visit,
      "disputes",
      (cursor) => visit.call("disputes_list", { status, limit: 30, cursor }),
      (one) => String(one.dispute),
    );
    const [statistics] = await Promise.all([visit.call("explorer_statistics", []), feed.refresh()]);
    return { feed, statistics };
  },
  watch: (visit) => visit.onBlock(() => visit.reload()),
  view: ({ feed, statistics }, visit, status) => [
    p.heading("Court", "Disputes"),
    filters("Outcome", "disputes", status, [
      ["", "all", statistics.disputes.total],
      ...Object.entries(WINNERS).map(([name, text]) => [name, text, statistics.disputes[name]]),
    ]),
    p.section(
      "Newest first",
      null,
      p.table("Disputes", disputeColumns, feed.items, {
        key: (one) => String(one.dispute),
        empty: status ? "None ended like that." : "Nobody has disputed a claim.",
      }),
      feed.button(visit),
    ),
  ],
};
