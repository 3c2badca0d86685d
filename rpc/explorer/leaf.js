// The end of a dispute: the one operation that the chain ran itself, both answers side by side, and the recipe around it.

import { h } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";
import { bitField, decimalOf, formula, kindsOf, scalar } from "./scalar.js";

const AROUND = 4;

/** What stands at the leaf, in the order of the descent: "step 97 · value 31 = matmul f32[128, 10] · element 17". */
function whereText(leaf, operation) {
  const parts = [];
  if (leaf.step) parts.push(`step ${f.grouped(leaf.step)}`);
  if (leaf.operator && leaf.kind !== "pack")
    parts.push(
      `value ${leaf.value} = ${f.words(leaf.operator)}${leaf.dtype ? ` ${leaf.dtype}[${(leaf.shape ?? []).join(", ")}]` : ""}`,
      `element ${f.grouped(leaf.element)}`,
    );
  if (leaf.group !== null) parts.push(`group ${leaf.group} of ${leaf.groups}`);
  if (operation) parts.push(`operation ${f.grouped(operation.operation)}`);
  return parts.join(" · ");
}

function sourceText(source) {
  if (source.kind === "register") return `register ${source.register}`;
  const where = `${f.clean(source.space, 20)} ${f.clean(source.name || source.tensor, 60)}`;
  return source.kind === "load_at"
    ? `${where} [from ${f.grouped(source.element)} on, by register ${source.register}]`
    : `${where} [${f.grouped(source.element)}]`;
}

function equation(operation) {
  const kinds = kindsOf(operation.opcode);
  const operands = operation.operands ?? [];
  return h(
    "p",
    { class: "equation" },
    formula(operation.opcode, operation.sources.length, (place) =>
      h(
        "span",
        { class: "term", title: operands[place] ?? null },
        decimalOf(operands[place], kinds.source(place) ?? (operands[place]?.length > 10 ? "f64" : "f32")) ??
          `r${operation.sources[place].register ?? "?"}`,
      ),
    ),
  );
}

function operandTable(operation) {
  const kinds = kindsOf(operation.opcode);
  const rows = operation.sources.map((source, place) => ({ source, place, bits: operation.operands?.[place] ?? null }));
  return p.table(
    "Operands of the operation",
    [
      { head: "Operand", cell: (row) => "abcdefg"[row.place] ?? String(row.place) },
      { head: "From", cell: (row) => h("bdi", {}, sourceText(row.source)) },
      {
        head: "Decimal",
        num: true,
        cell: (row) => h("span", { class: "num" }, decimalOf(row.bits, kinds.source(row.place)) ?? "–"),
      },
      { head: "Bits", num: true, cell: (row) => h("span", { class: "mono" }, row.bits ?? "–") },
    ],
    rows,
  );
}

/** One side's answer: who, the number, its bits in hexadecimal and one by one. */
function answer(kind, who, bits, decimal, scalarKind, other) {
  return h(
    "div",
    { class: `answer ${kind}` },
    h("div", { class: "answer-who" }, who),
    h(
      "div",
      { class: "answer-number num" },
      decimal === null || decimal === undefined ? "–" : f.clean(decimal, 40).replace(/^-/, "−"),
    ),
    h(
      "div",
      { class: "answer-bits" },
      h("span", { class: "mono" }, f.clean(bits ?? "", 70)),
      bitField(bits, scalarKind, other),
    ),
  );
}

function answers(leaf, parties, kind) {
  const differ = leaf.claimed !== leaf.computed;
  return h(
    "div",
    { class: "answers" },
    answer(
      differ ? "false" : "true",
      [parties.defender, " claims"],
      leaf.claimed,
      leaf.claimedDecimal,
      kind,
      differ ? leaf.computed : null,
    ),
    answer(
      "true",
      leaf.kind === "operand" ? "the committed tensor holds" : "the chain computes",
      leaf.computed,
      leaf.computedDecimal,
      kind,
      differ ? leaf.claimed : null,
    ),
  );
}

const FLAG = { true: "◆", false: "" };

function instructionColumns(leaf) {
  const text = (source, place, one) => {
    const bits = one.operands?.[place];
    const kind = kindsOf(one.opcode).source(place) ?? "f32";
    return [
      source.kind === "register"
        ? h("span", { class: "num" }, `r${source.register}`)
        : h("bdi", {}, sourceText(source)),
      bits ? h("span", { class: "dim num" }, ` ${decimalOf(bits, kind)}`) : null,
    ];
  };
  return [
    {
      head: "",
      cell: (one) =>
        h("span", { class: "accent", title: one.disputed ? "the disputed operation" : null }, FLAG[one.disputed]),
    },
    { head: "Nr", num: true, cell: (one) => p.number(one.operation) },
    { head: "Operation", cell: (one) => h("strong", {}, f.words(one.opcode)) },
    { head: "Reads", cell: (one) => one.sources.map((source, place) => [place ? ", " : "", text(source, place, one)]) },
    { head: "Into", cell: (one) => h("span", { class: "num" }, `r${one.destination}`) },
    {
      head: "Result",
      num: true,
      cell: (one) => (one.result ? scalar(one.result, kindsOf(one.opcode).result ?? leaf.dtype ?? "f32") : "–"),
    },
  ];
}

function recipe(leaf) {
  if (!leaf.instructions.length) return null;
  const at = leaf.instructions.findIndex((one) => one.disputed);
  const around = at < 0 ? [] : leaf.instructions.slice(Math.max(0, at - AROUND), at + AROUND + 1);
  const columns = instructionColumns(leaf);
  const key = (one) => `${one.operation}${one.disputed ? " disputed" : ""}`;
  return [
    around.length
      ? [
          h("h3", {}, "What the chain ran, around the operation"),
          p.table("Operations around the disputed one", columns, around, { key }),
        ]
      : null,
    h(
      "details",
      { class: "disclosure" },
      h("summary", {}, `All ${f.count(leaf.instructions.length, "operation")} that the chain ran`),
      p.table("All operations", columns, leaf.instructions, { key: (one) => `all ${key(one)}` }),
    ),
  ];
}

function registers(leaf) {
  const { before, claimed, computed } = leaf.registers;
  const numbers = [...new Set([before, claimed ?? [], computed ?? []].flat().map((one) => one.register))].sort(
    (a, b) => a - b,
  );
  if (!numbers.length) return null;
  const find = (list, number) => list?.find((one) => one.register === number);
  const cell = (one) => (one ? scalar(one.bits, one.kind, one.decimal) : h("span", { class: "dim" }, "–"));
  return h(
    "details",
    { class: "disclosure" },
    h("summary", {}, "Registers before and after the group"),
    p.table(
      "Registers",
      [
        {
          head: "Register",
          cell: (number) =>
            h(
              "span",
              { class: number === leaf.register ? "num bad-text" : "num" },
              `r${number}${number === leaf.register ? " differs" : ""}`,
            ),
        },
        { head: "Before, agreed", num: true, cell: (number) => cell(find(before, number)) },
        { head: "After, claimed", num: true, cell: (number) => cell(find(claimed, number)) },
        { head: "After, computed", num: true, cell: (number) => cell(find(computed, number)) },
      ],
      numbers,
    ),
  );
}

function operandList(leaf) {
  if (!leaf.operands.length) return null;
  const shown = leaf.operands.slice(0, 256);
  return h(
    "details",
    { class: "disclosure", open: leaf.kind === "operand" },
    h("summary", {}, `${f.count(leaf.operands.length, "operand")} that the defender posted`),
    p.table(
      "Posted operands",
      [
        { head: "Nr", num: true, cell: (one) => p.number(one.operand) },
        { head: "Loaded from", cell: (one) => h("bdi", {}, f.clean(one.from, 80)) },
        {
          head: "Posted",
          num: true,
          cell: (one) =>
            h(
              "span",
              { class: "scalar" },
              h("span", { class: "num" }, f.clean(one.decimal ?? "", 40)),
              " ",
              h("span", { class: "mono dim" }, one.posted),
            ),
        },
        {
          head: "Opened",
          num: true,
          cell: (one) =>
            one.opened
              ? h("span", { class: one.opened === one.posted ? "mono" : "mono bad-text" }, one.opened)
              : h("span", { class: "dim" }, "–"),
        },
      ],
      shown,
    ),
  );
}

const silence = (leaf) => [
  h("p", {}, "The game ended before it came to an operation: a player's clock ran out."),
  leaf.step ? h("p", { class: "dim" }, `It had come to ${whereText({ ...leaf, group: leaf.group ?? null })}.`) : null,
];

function pack(leaf, parties, evidence) {
  return [
    h(
      "p",
      {},
      "Every value of the step is agreed. What differs is how the next state was put together: ",
      h("bdi", {}, f.clean(evidence.operand, 100)),
      ".",
    ),
    h(
      "div",
      { class: "answers" },
      answer(
        leaf.claimed === leaf.computed ? "true" : "false",
        [parties.defender, "'s state holds"],
        leaf.claimed,
        "",
        null,
        null,
      ),
      answer("true", "the value it was packed from", leaf.computed, "", null, null),
    ),
  ];
}

/** The panel at the bottom of the descent. `parties` draws the two players' names. */
export function leafPanel(leaf, evidence, parties) {
  const operation = leaf.instructions.find((one) => one.disputed) ?? null;
  const kind =
    operation && leaf.kind === "group"
      ? (leaf.registers.computed?.find((one) => one.register === leaf.register)?.kind ??
        kindsOf(operation.opcode).result)
      : kindOfBits(leaf);
  const where = whereText(leaf, operation);
  const body =
    leaf.kind === "silence"
      ? silence(leaf)
      : leaf.kind === "pack"
        ? pack(leaf, parties, evidence)
        : [
            operation && leaf.kind === "group" ? equation(operation) : null,
            leaf.kind === "operand"
              ? h(
                  "p",
                  {},
                  "The two sides agree on every operation and disagree on what one of them reads: ",
                  h("strong", {}, h("bdi", {}, f.clean(evidence.operand, 100))),
                  ".",
                )
              : null,
            leaf.claimed || leaf.computed ? answers(leaf, parties, kind) : null,
            operation && leaf.kind === "group" ? operandTable(operation) : null,
            recipe(leaf),
            operandList(leaf),
            registers(leaf),
          ];
  return h(
    "div",
    { class: "leaf" },
    where && leaf.kind !== "silence" ? h("p", { class: "leaf-where num" }, where) : null,
    body,
  );
}

function kindOfBits(leaf) {
  const bits = leaf.computed ?? leaf.claimed ?? "";
  if (bits.length === 18) return "f64";
  return ["i32", "u32", "f32"].includes(leaf.dtype) ? leaf.dtype : bits.length === 10 ? "f32" : null;
}
