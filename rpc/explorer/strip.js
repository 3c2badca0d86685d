// The last blocks as a row of bars: height is work, fill is finality, a mark is a failed extrinsic.

import { s, h } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";
import { isFinal } from "./page_kit.js";

const HEIGHT = 56;
const PITCH = 12;
const PLACES = 60;

const barHeight = (extrinsics, most) => 4 + (HEIGHT - 10) * Math.sqrt(extrinsics / Math.max(4, most));

export function blockStrip(blocks, live) {
  if (!blocks.length) return h("p", { class: "empty" }, "No block yet.");
  const most = Math.max(...blocks.map((one) => Number(one.extrinsics)));
  const shown = [...blocks].reverse();
  const bars = shown.map((one, place) => bar(one, PLACES - shown.length + place, most, live));
  return s(
    "svg",
    {
      class: "strip",
      viewBox: `0 0 ${PLACES * PITCH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label(blocks, live),
    },
    bars,
  );
}

function bar(one, place, most, live) {
  const height = barHeight(Number(one.extrinsics), most);
  const final = isFinal(one, live);
  const text = `Block ${f.grouped(Number(one.number))}: ${f.count(one.extrinsics, "extrinsic")}${one.failed ? `, ${one.failed} failed` : ""}, ${final ? "final" : "not final"}`;
  return s(
    "a",
    { href: p.href("block", Number(one.number)), key: one.hash, tabindex: -1, "aria-label": text },
    s("title", {}, text),
    s("rect", { class: "hit", x: place * PITCH, y: 0, width: PITCH, height: HEIGHT }),
    s("rect", {
      class: final ? "bar final" : "bar",
      x: place * PITCH + 2,
      y: HEIGHT - height,
      width: PITCH - 4,
      height,
    }),
    one.failed
      ? s("rect", { class: "bar failed", x: place * PITCH + 2, y: HEIGHT - height, width: PITCH - 4, height: 3 })
      : null,
  );
}

function label(blocks, live) {
  const pending = blocks.filter((one) => !isFinal(one, live)).length;
  return `The last ${blocks.length} blocks, up to ${Number(blocks[0].number)}; ${pending || "none"} of them not yet final.`;
}
