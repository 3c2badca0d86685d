// The descent of a dispute, drawn: each level is a committed tree, each row a node of it opened into its descendants. The
// cone is the subtree; the bright line is the path of the claim that is still in dispute; what lies left of it is agreed.

import { h, s } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";

const WIDE = 1000;
const FAN = 6;
const TALL = 100;
const CELLS_TOP = 80;
const CELLS_END = 94;
const MOST_CELLS = 96;

const LEVEL_NAMES = { segment: "Segment", step: "Step", tensor: "Tensor", state: "State", trace: "Trace" };

/** How far the descent has come after the moves in `seen`: levels, each with its rows. Pure. */
export function outline(dispute, seen) {
  const played = dispute.moves.filter((move) => seen.has(move.number));
  const levels = [];
  for (const level of dispute.levels) {
    const own = played.filter((move) => level.moves.includes(move.number));
    const isEntered = own.length > 0 || played.at(-1)?.after?.level === level.level;
    if (!isEntered) break;
    const isDone = level.leaf !== null && level.moves.every((number) => seen.has(number));
    levels.push({
      ...level,
      isDone,
      rows: rowsOf(level, own, dispute),
      opened: own.find((move) => move.kind.endsWith("Root")) ?? null,
    });
  }
  return levels;
}

function rowsOf(level, moves, dispute) {
  const rows = [];
  for (const move of moves) {
    const last = rows.at(-1);
    if (move.kind === "Reveal")
      rows.push({
        kind: "nodes",
        count: move.details.nodes.length,
        nodes: move.details.nodes,
        place: move.before,
        by: [move],
        chosen: null,
      });
    else if (move.kind === "Select" && last?.kind === "nodes")
      Object.assign(last, { chosen: move.details.position, hash: move.details.node, by: [...last.by, move] });
    else if (move.kind === "PostChunk")
      rows.push({ kind: "elements", count: null, bytes: move.details.bytes, by: [move], chosen: null });
    else if (move.kind === "SelectElement" && last?.kind === "elements") {
      const size = Math.max(1, (move.details.bits.length - 2) / 2);
      Object.assign(last, {
        chosen: move.details.element,
        count: Math.floor(last.bytes / size),
        bits: move.details.bits,
        by: [...last.by, move],
      });
    } else if (move.kind === "PostGroup") rows.push(groupRow(move, dispute.leaf));
    else if (move.kind === "SelectOperand" && last?.kind === "operations")
      rows.push({ kind: "operands", count: last.operands, chosen: move.details.operand, by: [move] });
    else if (["OpenOperand", "OpenValue"].includes(move.kind))
      rows.push({ kind: "opening", count: 1, chosen: 0, by: [move], tensor: move.details.tensor });
  }
  return rows;
}

function groupRow(move, leaf) {
  const operations = leaf?.instructions.length || null;
  const at = leaf?.instructions.findIndex((one) => one.disputed) ?? -1;
  return {
    kind: "operations",
    count: operations,
    operands: move.details.operands.length,
    chosen: leaf?.kind === "group" && at >= 0 ? at : null,
    by: [move],
  };
}

// --- geometry

const centre = (chosen, count) => (WIDE * (chosen + 0.5)) / count;

function cells({ count, chosen }) {
  if (count <= MOST_CELLS) {
    const pitch = WIDE / count;
    const gap = Math.min(3, pitch / 6);
    return Array.from({ length: count }, (_, place) =>
      s("rect", {
        class: kindOf(place, chosen),
        x: (place * pitch + gap / 2).toFixed(2),
        y: CELLS_TOP,
        width: (pitch - gap).toFixed(2),
        height: CELLS_END - CELLS_TOP,
      }),
    );
  }
  if (chosen === null)
    return [s("rect", { class: "cell unknown", x: 0, y: CELLS_TOP, width: WIDE, height: CELLS_END - CELLS_TOP })];
  const x = centre(chosen, count);
  const half = Math.max(2, WIDE / count / 2);
  return [
    s("rect", {
      class: "cell agreed",
      x: 0,
      y: CELLS_TOP,
      width: Math.max(0, x - half - 1),
      height: CELLS_END - CELLS_TOP,
    }),
    s("rect", {
      class: "cell unknown",
      x: x + half + 1,
      y: CELLS_TOP,
      width: Math.max(0, WIDE - x - half - 1),
      height: CELLS_END - CELLS_TOP,
    }),
    s("rect", { class: "cell chosen", x: x - half, y: CELLS_TOP, width: 2 * half, height: CELLS_END - CELLS_TOP }),
  ];
}

const kindOf = (place, chosen) =>
  `cell ${chosen === null ? "unknown" : place < chosen ? "agreed" : place === chosen ? "chosen" : "unknown"}`;

/** One opened node: the cone from where the claim stood to its descendants, and the path to the chosen one. */
function fan(row, x) {
  const next = row.chosen === null ? null : centre(row.chosen, row.count);
  const label =
    row.chosen === null
      ? `${row.count} nodes, none chosen yet`
      : `${row.count} in all; number ${row.chosen} is disputed, those before it are agreed`;
  return s(
    "svg",
    { class: "fan", viewBox: `0 0 ${WIDE} ${TALL}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("polygon", { class: "cone", points: `${x},0 ${WIDE},${CELLS_TOP - 3} 0,${CELLS_TOP - 3}` }),
    cells(row),
    next === null
      ? null
      : [
          s("path", { class: "path", d: `M${x} 0L${next} ${CELLS_TOP}` }),
          s("path", { class: "path", d: `M${next} ${CELLS_END}L${next} ${TALL}` }),
        ],
  );
}

const through = (x, kind = "") =>
  s(
    "svg",
    { class: `through ${kind}`, viewBox: `0 0 ${WIDE} ${TALL}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("path", { class: "path", d: `M${x} 0V${TALL}` }),
  );

// --- words

const rangeText = (first, last) =>
  first === last ? `leaf ${f.grouped(first)}` : `leaves ${f.grouped(first)} – ${f.grouped(last)}`;

function rangeOf(row) {
  const height = Math.max(0, row.place.height - FAN);
  const size = 2 ** height;
  const first = row.place.first + row.chosen * size;
  return { first, last: Math.min(first + size, row.place.width) - 1 };
}

function leftText(row) {
  if (row.kind === "nodes")
    return [
      h("strong", {}, f.count(row.count, "node")),
      h("span", {}, `over ${rangeText(row.place.first, row.place.last)}`),
    ];
  if (row.kind === "elements")
    return [
      h("strong", {}, row.count === null ? f.bytes(row.bytes) : f.count(row.count, "element")),
      h("span", {}, "of the posted chunk"),
    ];
  if (row.kind === "operations")
    return [
      h("strong", {}, row.count === null ? "a group" : f.count(row.count, "operation")),
      h("span", {}, `of the recipe, ${f.count(row.operands, "operand")}`),
    ];
  if (row.kind === "operands")
    return [h("strong", {}, f.count(row.count, "operand")), h("span", {}, "that the group loads")];
  return [h("strong", {}, "opened"), h("span", {}, "by its path in its tree")];
}

function rightText(row) {
  if (row.kind === "opening") return [p.hash(row.tensor, { copy: "root" })];
  if (row.chosen === null)
    return [h("span", { class: "dim" }, row.kind === "operations" ? "for the chain to run" : "not chosen yet")];
  if (row.kind === "nodes") {
    const { first, last } = rangeOf(row);
    return [h("strong", {}, `→ ${rangeText(first, last)}`), p.hash(row.hash, { copy: "node" })];
  }
  const name = { elements: "element", operations: "operation", operands: "operand" }[row.kind];
  return [
    h("strong", {}, `→ ${name} ${f.grouped(row.chosen)}`),
    row.bits ? h("span", { class: "mono" }, f.clean(row.bits, 20)) : null,
  ];
}

const moveText = (move, parties) =>
  h(
    "a",
    {
      class: `move-chip ${move.mover}`,
      href: p.href("extrinsic", move.extrinsic),
      title: `${f.words(move.kind)}, move ${move.number} in block ${Number(move.block)}`,
    },
    h("span", {}, parties[move.mover]),
    h("span", { class: "num dim" }, `${f.words(move.kind)}, ${f.bytes(move.bytes)}`),
  );

// --- rows

function rowPart(row, x, parties, key) {
  return h(
    "div",
    { class: "rung", key },
    h("div", { class: "rung-left" }, leftText(row)),
    row.count === null ? through(x, "fan") : fan(row, x),
    h(
      "div",
      { class: "rung-right" },
      rightText(row),
      h(
        "div",
        { class: "moves" },
        row.by.map((move) => moveText(move, parties)),
      ),
    ),
  );
}

const headPart = (level, x, place, parties) =>
  h(
    "div",
    { class: "rung head", key: `head-${place}` },
    h(
      "div",
      { class: "rung-left" },
      h("h3", {}, LEVEL_NAMES[level.level] ?? f.words(level.level)),
      h("span", {}, f.clean(level.label, 80)),
    ),
    through(x, "stem"),
    h(
      "div",
      { class: "rung-right" },
      h("strong", {}, f.count(level.width, "leaf", "leaves")),
      level.root ? h("span", {}, "root ", p.hash(level.root, { copy: "root" })) : null,
      level.opened ? h("div", { class: "moves" }, moveText(level.opened, parties)) : null,
    ),
  );

const leafPart = (level, x, place) =>
  h(
    "div",
    { class: "rung end", key: `leaf-${place}` },
    h("div", { class: "rung-left" }, level.width === 1 ? h("span", { class: "dim" }, "a tree of one leaf") : null),
    h("div", { class: "through" }, through(x), h("span", { class: "landing", style: { left: `${x / 10}%` } })),
    h(
      "div",
      { class: "rung-right" },
      h("strong", {}, level.leafLabel ? f.clean(level.leafLabel, 80) : `leaf ${level.leaf}`),
    ),
  );

const endPart = (x) =>
  h(
    "div",
    { class: "rung final", key: "end" },
    h("div", {}),
    h("div", { class: "through" }, h("span", { class: "landing", style: { left: `${x / 10}%` } })),
    h("div", {}),
  );

/** The drawing. `parties` names the two players; `seen` holds the numbers of the moves to draw. */
export function descent(dispute, seen, parties) {
  const levels = outline(dispute, seen);
  if (!levels.length)
    return h(
      "p",
      { class: "empty" },
      "No move has been played yet: the defender owes the root over the states of the segment.",
    );
  let x = WIDE / 2;
  const parts = [];
  levels.forEach((level, place) => {
    parts.push(headPart(level, x, place, parties));
    level.rows.forEach((row, number) => {
      parts.push(rowPart(row, x, parties, `row-${place}-${number}`));
      if (row.chosen !== null && row.count) x = centre(row.chosen, row.count);
    });
    const last = level.rows.at(-1);
    if (
      place === levels.length - 1 &&
      ["operations", "operands", "opening"].includes(last?.kind) &&
      last.chosen !== null
    )
      parts.push(endPart(x));
    if (level.isDone && !level.rows.some((row) => ["elements", "operations", "opening"].includes(row.kind)))
      parts.push(leafPart(level, x, place));
  });
  return h("div", { class: "descent" }, parts);
}

/** The way down in one line: "segment 3 of 9 › value 31 of 74 › chunk 2 of 98 › element 17 of 1 024". */
export function trail(dispute) {
  const steps = dispute.levels
    .filter((level) => level.leaf !== null)
    .map((level) => ({ name: level.leafLabel ?? `${level.level} ${level.leaf}`, of: level.width }));
  return h(
    "ol",
    { class: "trail" },
    steps.map((step, place) =>
      h(
        "li",
        { key: String(place) },
        h("span", {}, f.clean(step.name, 60)),
        h("span", { class: "num dim" }, ` 1 of ${f.grouped(step.of)}`),
      ),
    ),
  );
}
