// The shell: which page an address names, when it loads and reloads, and what is shown while it cannot.

import { h, patch } from "./dom.js";
import * as p from "./parts.js";
import { tickTimes } from "./parts.js";
import { Rpc, RpcError, NodeDown, NO_INDEX, isUnknown } from "./rpc.js";
import { Live } from "./live.js";
import { mountChrome, showConnection, markSection } from "./chrome.js";
import { mountSearch } from "./search.js";
import { overview } from "./page_overview.js";
import { blocks, block } from "./page_blocks.js";
import { extrinsics, extrinsic } from "./page_extrinsics.js";
import { events } from "./page_events.js";
import { account } from "./page_account.js";
import { validators } from "./page_validators.js";
import { workers, worker } from "./page_workers.js";
import { tasks } from "./page_tasks.js";
import { task } from "./page_task.js";
import { program } from "./page_program.js";
import { disputes } from "./page_disputes.js";
import { dispute } from "./page_dispute.js";
import { search } from "./page_search.js";

/** First part of the address -> page with and page without an argument. */
const PAGES = {
  "": { bare: overview },
  blocks: { bare: blocks },
  block: { one: block },
  extrinsics: { bare: extrinsics },
  extrinsic: { one: extrinsic },
  events: { bare: events, one: events },
  account: { one: account },
  validators: { bare: validators },
  workers: { bare: workers, one: workers },
  worker: { one: worker },
  tasks: { bare: tasks, one: tasks },
  task: { one: task },
  program: { one: program },
  disputes: { bare: disputes, one: disputes },
  dispute: { one: dispute },
  search: { one: search },
};

const SKELETON_AFTER_MS = 150;
const MIN_RELOAD_MS = 600;
const main = document.getElementById("main");

const rpc = new Rpc(new URL("/", location.href).href, new URL("/", location.href).href.replace(/^http/, "ws"));
const live = new Live(rpc);

/** One visit of one page. Mutable: it loads, reloads and ends. */
class Visit {
  constructor(page, parameter) {
    this.page = page;
    this.parameter = parameter;
    this.rpc = rpc;
    this.live = live;
    this.state = {};
    this.ends = [];
    this.data = undefined;
    this.isEnded = false;
    this.lastLoad = 0;
  }

  call(method, params) {
    return rpc.call(method, params);
  }

  /** The result, or `NO_INDEX` where this node keeps no index. */
  async indexed(method, params) {
    try {
      return await rpc.call(method, params);
    } catch (error) {
      if (error instanceof RpcError && error.code === NO_INDEX) return null;
      throw error;
    }
  }

  onEnd(end) {
    this.ends.push(end);
  }

  onBlock(handler) {
    this.onEnd(live.onBlock(handler));
  }

  subscribe(method, params, unsubscribe, handler) {
    this.onEnd(rpc.subscribe(method, params, unsubscribe, (result) => !this.isEnded && handler(result)));
  }

  end() {
    this.isEnded = true;
    clearTimeout(this.timer);
    this.ends.forEach((end) => end());
  }

  /** Load again soon: now, or when the last load is a little while ago. Never two at a time. */
  reload() {
    if (this.isEnded || this.timer) return;
    const wait = this.isLoading ? MIN_RELOAD_MS : Math.max(0, this.lastLoad + MIN_RELOAD_MS - Date.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.isLoading) this.reload();
      else this.load();
    }, wait);
  }

  async load() {
    this.isLoading = true;
    try {
      const data = await this.page.load(this, this.parameter);
      if (this.isEnded) return;
      this.data = data;
      this.draw();
    } catch (error) {
      if (!this.isEnded) this.fail(error);
    } finally {
      this.isLoading = false;
      this.lastLoad = Date.now();
    }
  }

  /** Show the data that is there (again: the page's own state may have changed). */
  draw() {
    if (this.isEnded || this.data === undefined) return;
    const isFirst = main.dataset.shown !== this.page.name + (this.parameter ?? "");
    const content =
      this.data === null ? this.page.unknown(this.parameter) : this.page.view(this.data, this, this.parameter);
    show([content].flat(), isFirst);
    main.dataset.shown = this.page.name + (this.parameter ?? "");
    main.removeAttribute("aria-busy");
    document.title = `${this.data === null ? "Not found" : this.page.title(this.data, this.parameter)} · Solvent`;
    tickTimes();
    if (isFirst) this.arrive();
  }

  arrive() {
    if (document.activeElement === document.body || main.contains(document.activeElement)) {
      if (arrivedByLink) main.querySelector("h1")?.focus({ preventScroll: true });
    }
    if (arrivedByLink) scrollTo(0, scrolls.get(location.hash) ?? 0);
    this.page.arrived?.(this, this.parameter);
  }

  fail(error) {
    if (error instanceof NodeDown) {
      // What is on screen stays, with the banner above it; the connection's return reloads it.
      if (this.data === undefined) show(nodeDown(), true);
      return;
    }
    if (isUnknown(error)) show([this.page.unknown(this.parameter)].flat(), true);
    else if (error.code === NO_INDEX)
      show([p.heading("No index", this.page.needs ?? "This page"), p.noIndex(this.page.needs ?? "This page")], true);
    else
      show(
        broken(error, () => this.load()),
        true,
      );
    if (!(error instanceof RpcError)) console.error(error);
    delete main.dataset.shown;
    main.removeAttribute("aria-busy");
  }
}

function show(nodes, isNew) {
  patch(main, nodes, isNew);
}

const skeleton = () => [
  h(
    "div",
    { class: "skeleton", "aria-hidden": "true" },
    [60, 100, 100, 90, 100, 80].map((width) => h("span", { style: { width: `${width}%` } })),
  ),
  h("p", { class: "offscreen" }, "Loading"),
];

const nodeDown = () => [
  p.heading("Connection", "The node does not answer"),
  p.notice(
    "error",
    "Nothing answers at this address",
    h(
      "p",
      {},
      "The node that served this page has stopped, is starting, or cannot be reached from here. This page tries again by itself and will show what you asked for as soon as the node is back.",
    ),
    h("p", {}, h("button", { type: "button", on: { click: () => rpc.hurry() } }, "Try now")),
  ),
];

const broken = (error, again) => [
  p.heading("Error", "This could not be shown"),
  p.notice(
    "error",
    error instanceof RpcError ? `The node says: ${error.message}` : "The page failed",
    h("p", {}, error instanceof RpcError ? `JSON-RPC error ${error.code}.` : String(error)),
    h("p", {}, h("button", { type: "button", on: { click: again } }, "Try again")),
  ),
];

const nowhere = {
  name: "nowhere",
  load: async () => ({}),
  view: () => [
    p.heading("Not found", "There is no such page"),
    p.notice("plain", "The address names nothing here", h("p", {}, h("a", { href: "#/" }, "Back to the overview"))),
  ],
  title: () => "Not found",
};

// --- addresses

let visit = null;
let arrivedByLink = false;
const scrolls = new Map();
let isTraversal = false;

function parseAddress() {
  const [first = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const page = PAGES[first];
  if (!page) return [nowhere, null, ""];
  try {
    const parameter = rest.length ? decodeURIComponent(rest.join("/")) : null;
    return [(parameter === null || parameter === "" ? page.bare : page.one) ?? nowhere, parameter || null, first];
  } catch {
    return [nowhere, null, ""];
  }
}

function go() {
  if (location.hash === "#main") {
    main.querySelector("h1")?.focus();
    return;
  }
  const [page, parameter, first] = parseAddress();
  if (!isTraversal) scrolls.delete(location.hash);
  isTraversal = false;
  visit?.end();
  visit = new Visit(page, parameter);
  markSection(first);
  const current = visit;
  const mine = page.name + (parameter ?? "");
  if (main.dataset.shown !== mine) main.setAttribute("aria-busy", "true");
  setTimeout(() => {
    if (current === visit && current.data === undefined && current.isLoading && main.dataset.shown !== mine) {
      delete main.dataset.shown;
      show(skeleton(), true);
    }
  }, SKELETON_AFTER_MS);
  page.watch?.(visit, parameter);
  visit.load();
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.querySelector("h1")?.focus();
});
addEventListener("popstate", () => (isTraversal = true));
addEventListener("scroll", () => scrolls.set(location.hash, scrollY), { passive: true });
addEventListener("click", (event) => {
  if (event.target.closest?.("a[href^='#/']")) isTraversal = false;
});
addEventListener("hashchange", () => {
  arrivedByLink = true;
  go();
});
rpc.addEventListener("state", () => {
  showConnection(rpc, live);
  if (rpc.state === "polling" || rpc.state === "live") visit?.reload();
});
rpc.addEventListener("restored", () => visit?.reload());
live.addEventListener("change", () => showConnection(rpc, live));
setInterval(() => {
  tickTimes();
  showConnection(rpc, live);
}, 1000);

mountChrome(rpc, live);
mountSearch(document.getElementById("search"), rpc);
go();
