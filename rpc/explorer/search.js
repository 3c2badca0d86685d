// The one search box: a combobox over `explorer_search`, which knows blocks, extrinsics, accounts, tasks and disputes.

import { h, patch } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";
import { NO_INDEX } from "./rpc.js";

const WAIT_MS = 140;

/** Where a result leads. */
export const target = ({ kind, id }) => p.href(kind, id);

/** What a query can only be, for nodes without an index. */
function guess(query) {
  const text = query.trim();
  if (/^#?\d{1,15}$/.test(text)) return [{ kind: "block", id: text.replace("#", ""), label: `block ${text}` }];
  if (/^5[1-9A-HJ-NP-Za-km-z]{46,47}$/.test(text)) return [{ kind: "account", id: text, label: text }];
  const match = /^(?:0x)?([0-9a-f]{64})$/i.exec(text);
  if (!match) return [];
  const id = `0x${match[1].toLowerCase()}`;
  return [
    { kind: "block", id, label: "as a block" },
    { kind: "task", id, label: "as a task" },
  ];
}

/** The results for a query, best first. */
export async function find(rpc, query) {
  if (!query.trim()) return [];
  try {
    return await rpc.call("explorer_search", [query.trim().slice(0, 200)]);
  } catch (error) {
    if (error.code === NO_INDEX) return guess(query);
    throw error;
  }
}

export function mountSearch(place, rpc) {
  const state = { results: [], active: -1, asked: "", message: "", timer: null };
  const input = h("input", {
    id: "search-input",
    type: "text",
    role: "combobox",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: "Search a hash, number, address or task",
    "aria-label": "Search",
    "aria-expanded": "false",
    "aria-controls": "search-results",
    "aria-autocomplete": "list",
    enterkeyhint: "search",
    maxlength: 200,
    on: { input: onInput, keydown: onKey, focus: onInput, blur: () => setTimeout(close, 150) },
  });
  const list = h("ul", { id: "search-results", role: "listbox", "aria-label": "Results", hidden: true });
  place.append(
    h(
      "form",
      { role: "search", on: { submit: (event) => event.preventDefault() } },
      p.icon("M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.500 10.500l3.500 3.500"),
      input,
      h("kbd", { class: "hide-narrow", "aria-hidden": "true" }, "/"),
      list,
    ),
  );

  function close() {
    state.active = -1;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function open(result) {
    clearTimeout(state.timer);
    input.value = "";
    state.results = [];
    close();
    input.blur();
    location.hash = target(result);
  }

  function draw() {
    const item = (result, place) =>
      h(
        "li",
        {
          id: `result-${place}`,
          role: "option",
          "aria-selected": place === state.active ? "true" : "false",
          on: {
            mousedown: (event) => {
              event.preventDefault();
              open(result);
            },
          },
        },
        h("span", { class: "kind" }, result.kind),
        h("span", { class: "label" }, h("bdi", {}, f.clean(result.label || result.id, 90))),
      );
    const rows = state.results.map(item);
    if (!rows.length && state.message) rows.push(h("li", { class: "none", role: "presentation" }, state.message));
    patch(list, rows, true);
    list.hidden = !rows.length || document.activeElement !== input;
    input.setAttribute("aria-expanded", String(!list.hidden));
    if (state.active >= 0) input.setAttribute("aria-activedescendant", `result-${state.active}`);
    else input.removeAttribute("aria-activedescendant");
    list.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }

  async function ask() {
    const query = input.value;
    state.asked = query;
    try {
      const results = await find(rpc, query);
      if (state.asked !== query) return;
      state.results = results;
      state.message = query.trim() ? "Nothing found" : "";
    } catch (error) {
      if (state.asked !== query) return;
      state.results = [];
      state.message = f.clean(error.message, 120);
    }
    state.active = -1;
    draw();
  }

  function onInput() {
    clearTimeout(state.timer);
    state.timer = setTimeout(ask, WAIT_MS);
  }

  async function enter() {
    clearTimeout(state.timer);
    const query = input.value.trim();
    if (!query) return;
    if (state.active >= 0) return open(state.results[state.active]);
    // Asked anew even if an answer to the same text is on its way: Enter must never act on results of an earlier text.
    await ask();
    if (input.value.trim() !== query) return undefined;
    if (state.results.length) open(state.results[0]);
    else {
      close();
      input.blur();
      location.hash = p.href("search", query);
    }
  }

  function onKey(event) {
    const many = state.results.length;
    if (event.key === "Enter") enter();
    else if (event.key === "Escape") {
      if (list.hidden) input.blur();
      close();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && many) {
      event.preventDefault();
      state.active =
        (state.active +
          (event.key === "ArrowDown" ? 1 : -1) +
          many +
          (state.active < 0 && event.key === "ArrowUp" ? 1 : 0)) %
        many;
      draw();
    }
  }
}
