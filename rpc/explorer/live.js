// What the whole page knows of the chain at this moment: the best and the final block, and when each was heard of.

import { h } from "./dom.js";

const POLL_MS = 3000;
const REMEMBERED = 64;

export class Live extends EventTarget {
  constructor(rpc) {
    super();
    this.rpc = rpc;
    this.statistics = null;
    this.best = null;
    this.finalized = null;
    this.listeners = new Set();
    rpc.subscribe("explorer_subscribeBlocks", [], "explorer_unsubscribeBlocks", (block) => this.onBest(block));
    rpc.subscribe("chain_subscribeFinalizedHeads", [], "chain_unsubscribeFinalizedHeads", (header) =>
      this.onFinal(header),
    );
    rpc.addEventListener("restored", () => this.refresh());
    rpc.addEventListener("state", () => this.refresh());
    setInterval(() => rpc.state !== "live" && this.refresh(), POLL_MS);
    this.refresh();
  }

  /** Call `handler(summary | null)` for every new best block, and (null) when finality moved or blocks were missed. */
  onBlock(handler) {
    this.listeners.add(handler);
    return () => this.listeners.delete(handler);
  }

  notify(summary) {
    this.dispatchEvent(new Event("change"));
    for (const listener of this.listeners) listener(summary);
  }

  onBest(summary) {
    this.best = { number: Number(summary.number), hash: summary.hash };
    this.notify(summary);
  }

  onFinal(header) {
    this.finalized = { number: Number(header.number), hash: header.hash };
    this.notify(null);
  }

  /** Ask for the present figures; without a socket this is the heartbeat of the page. */
  async refresh() {
    let statistics;
    try {
      statistics = await this.rpc.call("explorer_statistics", []);
    } catch {
      return;
    }
    const before = `${this.best?.hash} ${this.finalized?.hash}`;
    this.statistics = statistics;
    this.best = { number: Number(statistics.best.number), hash: statistics.best.hash };
    this.finalized = { number: Number(statistics.finalized.number), hash: statistics.finalized.hash };
    if (before !== `${this.best.hash} ${this.finalized.hash}`) this.notify(null);
    else this.dispatchEvent(new Event("change"));
  }
}

/** The newest summaries, newest first, for a strip or a list; pure, so that a reload and a notice merge alike. */
export function mergeBlocks(known, fresh, limit = REMEMBERED) {
  const byHash = new Map([...known, ...fresh].map((one) => [one.hash, one]));
  const byNumber = new Map();
  for (const one of byHash.values()) byNumber.set(Number(one.number), one);
  return [...byNumber.values()].sort((a, b) => Number(b.number) - Number(a.number)).slice(0, limit);
}

export const lagOf = (live) => (live.best && live.finalized ? live.best.number - live.finalized.number : null);

export const heightText = (live) => (live.best ? h("span", { class: "num" }, `#${live.best.number}`) : null);
