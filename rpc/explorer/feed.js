// A list that is paged from the node and grows at its top while it is being read.

import { f, h, p } from "./page_kit.js";

export class Feed {
  /** `ask(cursor)` gives a page `{items, next}`; `keyOf(item)` tells items apart. */
  constructor(ask, keyOf) {
    this.ask = ask;
    this.keyOf = keyOf;
    this.items = [];
    this.next = null;
    this.indexedFrom = null;
    this.pages = 0;
    this.isLoading = false;
  }

  /** Load the newest page again. Older pages that were asked for stay, unless too much is new to join them. */
  async refresh() {
    const { items, next, indexedFrom } = await this.ask(null);
    this.indexedFrom = indexedFrom;
    const last = items.length ? this.keyOf(items.at(-1)) : null;
    const joint = this.pages > 1 ? this.items.findIndex((one) => this.keyOf(one) === last) : -1;
    if (joint >= 0) this.items = [...items, ...this.items.slice(joint + 1)];
    else {
      this.items = items;
      this.next = next;
      this.pages = 1;
    }
    return this;
  }

  async more() {
    this.isLoading = true;
    try {
      const { items, next } = await this.ask(this.next);
      const known = new Set(this.items.map(this.keyOf));
      this.items = [...this.items, ...items.filter((one) => !known.has(this.keyOf(one)))];
      this.next = next;
      this.pages += 1;
    } finally {
      this.isLoading = false;
    }
  }

  /** What stands under the list: a button while there is more, then where the node's knowledge begins. */
  button(visit) {
    if (this.next === null)
      return Number(this.indexedFrom)
        ? h("p", { class: "dim" }, `This node knows histories from block ${f.grouped(Number(this.indexedFrom))} on.`)
        : null;
    const click = async () => {
      const loading = this.more();
      visit.draw();
      await loading.catch((error) => visit.fail(error));
      visit.draw();
    };
    return p.more(this.isLoading, click);
  }
}

/** The feed of a visit, made once and kept through reloads. */
export function feedOf(visit, name, ask, keyOf) {
  visit.state.feeds ??= {};
  visit.state.feeds[name] ??= new Feed(ask, keyOf);
  return visit.state.feeds[name];
}
