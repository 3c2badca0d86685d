// A program: the graph that a task pays for, node by node in the order in which it runs.

import { h, p, f, unknown as missing } from "./page_kit.js";

const FIRST_ROWS = 200;

const typeText = (one) => f.clean(one.dtype, 10) + (one.shape?.length ? `[${one.shape.join(", ")}]` : "");
const type = (one) => h("span", { class: "num" }, typeText(one));
const valueName = (number) => h("span", { class: "num value-name" }, `v${number}`);

/** An operator's attributes are integers in the order that its definition names them. */
function attributes(one) {
  const items = Array.isArray(one) ? one : Object.values(one ?? {});
  return items.length ? h("span", { class: "dim num" }, f.clean(items.join(", "), 80)) : null;
}

const nodeColumns = (most) => [
  { head: "Node", num: true, cell: (one) => p.number(one.node) },
  { head: "Operator", cell: (one) => h("strong", {}, f.words(one.op)) },
  { head: "Reads", cell: (one) => one.inputs.map((item, place) => [place ? " " : "", valueName(item)]) },
  {
    head: "Gives",
    cell: (one) => one.outputs.map((item, place) => [place ? ", " : "", valueName(item.value), " ", type(item)]),
  },
  { head: "Attributes", hide: true, cell: (one) => attributes(one.attributes) ?? h("span", { class: "dim" }, "–") },
  {
    head: "Gas",
    cell: (one) =>
      h(
        "span",
        { class: "progress" },
        h(
          "span",
          { class: "meter", "aria-hidden": "true" },
          h("span", { style: { width: `${most ? (100 * Number(one.gas)) / most : 0}%` } }),
        ),
        h("span", { class: "num", title: `${f.grouped(one.gas)} scalar operations` }, f.rough(one.gas)),
      ),
  },
];

const inputColumns = [
  { head: "Value", cell: (one) => valueName(one.value) },
  { head: "Kind", cell: (one) => p.role(one.kind) },
  { head: "Name", cell: (one) => h("bdi", {}, f.clean(one.name, 80)) },
  { head: "Type", cell: type },
];

const named = (caption, rows) =>
  p.table(
    caption,
    [
      { head: "Name", cell: (one) => h("bdi", {}, f.clean(one.name, 80)) },
      { head: "Value", cell: (one) => valueName(one.value) },
    ],
    rows,
    { empty: "None." },
  );

function view(one, visit, id) {
  const shown = visit.state.all ? one.nodes : one.nodes.slice(0, FIRST_ROWS);
  const total = one.nodes.reduce((sum, node) => sum + BigInt(node.gas), 0n);
  const most = Math.max(...one.nodes.map((node) => Number(node.gas)), 1);
  const all = () => {
    visit.state.all = true;
    visit.draw();
  };
  return [
    p.heading("Program", p.hash(id, { copy: "program hash" })),
    p.figures([
      ["Nodes", p.number(one.nodes.length)],
      ["Inputs", p.number(one.inputs.length)],
      ["Tensors of state", p.number(one.state.length)],
      ["Work of a step", h("span", { class: "num", title: f.grouped(total) }, f.rough(total)), "scalar operations"],
    ]),
    p.section(
      "Nodes",
      "in the order in which they run",
      p.table("Nodes", nodeColumns(most), shown, { key: (node) => String(node.node) }),
      shown.length < one.nodes.length
        ? h(
            "p",
            { class: "more" },
            h("button", { type: "button", on: { click: all } }, `Show all ${f.grouped(one.nodes.length)}`),
          )
        : null,
    ),
    p.section("Inputs", null, p.table("Inputs", inputColumns, one.inputs.slice(0, 500), { empty: "None." })),
    h(
      "div",
      { class: "halves" },
      p.section("Next state", null, named("Next state", one.state.slice(0, 500))),
      p.section("Metrics", null, named("Metrics", one.metrics.slice(0, 100))),
    ),
  ];
}

export const program = {
  name: "program",
  title: (one, id) => `Program ${f.shortHash(id)}`,
  unknown: (id) => missing("Program", id),
  load: (visit, id) => visit.call("tasks_program", [id]),
  view,
};
