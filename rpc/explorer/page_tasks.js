// The list of tasks: all, or those in one status.

import { p, taskColumns, filters, unknown as missing } from "./page_kit.js";
import { feedOf } from "./feed.js";

const STATUSES = [
  "training",
  "auditing",
  "disputed",
  "settled",
  "pooled",
  "assigned",
  "failed",
  "cancelled",
  "expired",
];

export const tasks = {
  name: "tasks",
  needs: "The list of tasks",
  title: (data, status) => (status ? `Tasks, ${status}` : "Tasks"),
  unknown: (status) => missing("Status", status),
  load: async (visit, status) => {
    const feed = feedOf(
      visit,
      "tasks",
      (cursor) => visit.call("tasks_list", { status, limit: 30, cursor }),
      (one) => one.task,
    );
    const [statistics] = await Promise.all([visit.call("explorer_statistics", []), feed.refresh()]);
    return { feed, statistics };
  },
  watch: (visit) => visit.onBlock(() => visit.reload()),
  view: ({ feed, statistics }, visit, status) => [
    p.heading("Market", "Tasks"),
    filters("Status", "tasks", status, [
      ["", "all", statistics.tasks.total],
      ...STATUSES.map((name) => [name, name, statistics.tasks[name]]),
    ]),
    p.section(
      "Newest first",
      null,
      p.table("Tasks", taskColumns, feed.items, {
        key: (one) => one.task,
        empty: status ? `No task is ${status} now.` : "No task has been submitted yet.",
      }),
      feed.button(visit),
    ),
  ],
};
