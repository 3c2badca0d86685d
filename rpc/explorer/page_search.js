// What a search led to when it was not one thing: the list of candidates, or advice.

import { h, p, f } from "./page_kit.js";
import { find, target } from "./search.js";

const item = (result) =>
  h(
    "li",
    { key: result.kind + result.id },
    h(
      "a",
      { href: target(result) },
      h("span", { class: "role" }, f.clean(result.kind, 20)),
      h("bdi", {}, f.clean(result.label || result.id, 90)),
    ),
  );

export const search = {
  name: "search",
  title: (results, query) => `Search ${f.clean(query, 40)}`,
  load: (visit, query) => find(visit.rpc, query),
  unknown: () => [],
  view: (results, visit, query) => [
    p.heading("Search", [h("bdi", {}, f.clean(query, 100))]),
    results.length
      ? h("ul", { class: "results" }, results.map(item))
      : p.notice(
          "plain",
          "Nothing on this chain goes by that",
          h(
            "p",
            {},
            "Search by a block's number, an account's address, or at least four hexadecimal digits of the hash of a block, an extrinsic or a task. Names that people give to things are not on the chain.",
          ),
        ),
  ],
};
