// Scalars as the chain's machine has them: bit patterns in hexadecimal, the numbers behind them, and their fields.

import { h } from "./dom.js";
import * as f from "./format.js";

const WIDTHS = { f32: 32, f64: 64, i32: 32, u32: 32 };
const FIELDS = { f32: [1, 9, 32], f64: [1, 12, 64] };

const isHex = (bits) => typeof bits === "string" && /^0x[0-9a-f]{1,16}$/i.test(bits);

/** The number behind bits, in as many digits as tell it from its neighbours. */
export function decimalOf(bits, kind) {
  if (!isHex(bits)) return null;
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(bits));
  if (kind === "f64") return number(view.getFloat64(0), 17);
  if (kind === "f32") return number(view.getFloat32(4), 9);
  return String(kind === "i32" ? view.getInt32(4) : view.getUint32(4));
}

function number(value, digits) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return Object.is(value, -0) ? "−0" : "0";
  const text = value.toPrecision(digits);
  const [mantissa, exponent] = text.split("e");
  const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return (exponent ? `${short}e${exponent.replace("+", "")}` : short).replace(/^-/, "−");
}

/** What an opcode reads at each place and what it gives: FMA_F32 -> f32; F64_TO_F32 -> f64 to f32. */
export function kindsOf(opcode) {
  const name = String(opcode).toUpperCase();
  const conversion = /^([FIU]\d\d)_TO_([FIU]\d\d)$/.exec(name);
  if (conversion) return { source: () => conversion[1].toLowerCase(), result: conversion[2].toLowerCase() };
  if (name === "PHILOX") return { source: () => "u32", result: "u32" };
  const kind = /_([FIU]\d\d)$/.exec(name)?.[1].toLowerCase() ?? null;
  if (/^(EQUAL|LESS|LESS_EQUAL)_/.test(name)) return { source: () => kind, result: "i32" };
  if (/^SELECT_/.test(name)) return { source: (place) => (place === 0 ? "i32" : kind), result: kind };
  return { source: () => kind, result: kind };
}

const INFIX = {
  ADD: "{0} + {1}",
  SUB: "{0} − {1}",
  MUL: "{0} × {1}",
  DIV: "{0} ÷ {1}",
  FMA: "{0} × {1} + {2}",
  SQRT: "√ {0}",
  EXP: "exp {0}",
  LOG: "log {0}",
  NEG: "− {0}",
  ABS: "| {0} |",
  MAX: "max ( {0} , {1} )",
  MIN: "min ( {0} , {1} )",
  EQUAL: "{0} = {1}",
  LESS: "{0} < {1}",
  LESS_EQUAL: "{0} ≤ {1}",
  SELECT: "{0} ? {1} : {2}",
  MOVE: "{0}",
  CANONICAL: "canonical {0}",
  SHIFT_RIGHT: "{0} >> {1}",
  F32_TO_F64: "f64 {0}",
  F64_TO_F32: "f32 {0}",
  F32_TO_I32: "i32 {0}",
  I32_TO_F32: "f32 {0}",
  U32_TO_F32: "f32 {0}",
  U32_TO_I32: "i32 {0}",
};

/** An operation in the notation of arithmetic; `show(place)` draws an operand. */
export function formula(opcode, count, show) {
  const name = String(opcode).toUpperCase();
  const pattern = INFIX[name] ?? INFIX[name.replace(/_[FIU]\d\d$/, "")];
  if (!pattern)
    return [f.words(name), " ( ", Array.from({ length: count }, (_, place) => [place ? ", " : "", show(place)]), " )"];
  return pattern
    .split(/(\{\d\})/)
    .filter(Boolean)
    .map((part) => {
      const match = /^\{(\d)\}$/.exec(part);
      if (match) return Number(match[1]) < count ? show(Number(match[1])) : null;
      return h("span", { class: "operator" }, part);
    });
}

/** The bits one by one, sign, exponent and fraction apart; those that differ from `other` are marked. */
export function bitField(bits, kind, other = null) {
  if (!isHex(bits) || !WIDTHS[kind]) return null;
  const width = WIDTHS[kind];
  const digits = (one) => BigInt(one).toString(2).padStart(width, "0");
  const [own, theirs] = [digits(bits), isHex(other) ? digits(other) : null];
  const ends = FIELDS[kind] ?? [width];
  let start = 0;
  const groups = ends.map((end, place) => {
    const cells = [];
    for (let at = start; at < end; at++)
      cells.push(
        h("i", { class: `${own[at] === "1" ? "one" : "zero"}${theirs && theirs[at] !== own[at] ? " differs" : ""}` }),
      );
    start = end;
    return h(
      "span",
      { class: `field field-${["sign", "exponent", "fraction"][ends.length === 1 ? 2 : place]}` },
      cells,
    );
  });
  const count = theirs ? [...own].filter((one, at) => one !== theirs[at]).length : 0;
  return h(
    "span",
    { class: "bits", role: "img", "aria-label": theirs ? `${count} of ${width} bits differ` : `${width} bits` },
    groups,
  );
}

/** A scalar: the number, with its bits in hexadecimal beside it. */
export const scalar = (bits, kind, decimal = decimalOf(bits, kind)) =>
  h(
    "span",
    { class: "scalar" },
    h(
      "span",
      { class: "num" },
      decimal === null || decimal === undefined ? "?" : f.clean(decimal, 40).replace(/^-/, "−"),
    ),
    " ",
    h("span", { class: "mono dim" }, f.clean(bits ?? "–", 70)),
  );
