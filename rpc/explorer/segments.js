// The segments of a proof as one bar: which were replayed, by whom, and what came out.

import { h, s } from "./dom.js";
import * as f from "./format.js";
import * as p from "./parts.js";

const WIDTH = 1000;
const HEIGHT = 26;
const MOST_CELLS = 250;
const RANK = ["plain", "audit", "passed", "failed"];
const NAMES = {
  plain: "not replayed",
  audit: "being replayed",
  passed: "replayed, equal",
  failed: "replayed, differs",
};

/** Segment -> the state that it is drawn in. */
export function stateOf(segment, audited) {
  if (segment.failedBy.length) return "failed";
  if (segment.passedBy.length) return "passed";
  return audited.has(segment.segment) ? "audit" : "plain";
}

const auditedNow = (proof) =>
  new Set(
    proof.audits
      .filter((audit) => !["passed", "failed", "voided"].includes(audit.status))
      .flatMap((audit) => audit.segments),
  );

/** At most `MOST_CELLS` cells; a cell of several segments shows the gravest of them. */
function cellsOf(segments, audited) {
  const size = Math.ceil(segments.length / MOST_CELLS);
  const cells = [];
  for (let first = 0; first < segments.length; first += size) {
    const own = segments.slice(first, first + size);
    const state = own
      .map((one) => stateOf(one, audited))
      .reduce((worst, one) => (RANK.indexOf(one) > RANK.indexOf(worst) ? one : worst), "plain");
    cells.push({ state, first: own[0], last: own.at(-1) });
  }
  return cells;
}

function cellTitle({ state, first, last }) {
  const which =
    first === last
      ? first.segment === 0
        ? "Segment 0 (initialisation)"
        : `Segment ${first.segment}, steps ${first.firstStep}–${Number(first.firstStep) + Number(first.steps) - 1}`
      : `Segments ${first.segment}–${last.segment}`;
  return `${which}: ${NAMES[state]}`;
}

export function segmentBar(proof) {
  const audited = auditedNow(proof);
  const cells = cellsOf(proof.segments, audited);
  const pitch = WIDTH / cells.length;
  const gap = Math.min(3, pitch / 5);
  const counts = {};
  for (const one of proof.segments) counts[stateOf(one, audited)] = (counts[stateOf(one, audited)] ?? 0) + 1;
  const label = RANK.filter((name) => counts[name])
    .map((name) => `${counts[name]} ${NAMES[name]}`)
    .join(", ");
  const bars = cells.map((cell, place) =>
    s(
      "g",
      {},
      s("title", {}, cellTitle(cell)),
      s("rect", {
        class: `segment ${cell.state}`,
        x: place * pitch + gap / 2,
        y: 3,
        width: pitch - gap,
        height: HEIGHT - 6,
      }),
      cell.state === "failed"
        ? s("rect", { class: "segment flag", x: place * pitch + gap / 2, y: 0, width: pitch - gap, height: 3 })
        : null,
    ),
  );
  return h(
    "div",
    { class: "segments" },
    s(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `${proof.segments.length} segments: ${label}`,
      },
      bars,
    ),
    h(
      "ul",
      { class: "legend" },
      RANK.filter((name) => counts[name]).map((name) =>
        h(
          "li",
          { key: name },
          h("span", { class: `swatch segment-${name}`, "aria-hidden": "true" }),
          NAMES[name],
          h("span", { class: "num" }, ` ${counts[name]}`),
        ),
      ),
    ),
  );
}

const columns = [
  { head: "Segment", num: true, cell: (one) => p.number(one.segment) },
  {
    head: "Steps",
    cell: (one) =>
      one.segment === 0
        ? "initialisation"
        : h(
            "span",
            { class: "num" },
            `${f.grouped(one.firstStep)} – ${f.grouped(Number(one.firstStep) + Number(one.steps) - 1)}`,
          ),
  },
  { head: "Starts from", hide: true, cell: (one) => p.hash(one.start, { copy: "state root" }) },
  { head: "Ends in", cell: (one) => p.hash(one.end, { copy: "state root" }) },
  { head: "Equal for", cell: (one) => accounts(one.passedBy) },
  { head: "Differs for", cell: (one) => accounts(one.failedBy) },
];

const accounts = (list) =>
  list.length ? list.map((one, place) => [place ? ", " : "", p.account(one)]) : h("span", { class: "dim" }, "–");

const TABLE_ROWS = 200;

/** Every segment, behind a disclosure: the bar says enough for most. */
export const segmentTable = (proof) =>
  h(
    "details",
    { class: "disclosure" },
    h("summary", {}, `All ${f.grouped(proof.segments.length)} segments with their state roots`),
    p.table("Segments", columns, proof.segments.slice(0, TABLE_ROWS), { key: (one) => String(one.segment) }),
    proof.segments.length > TABLE_ROWS ? h("p", { class: "dim" }, `The first ${TABLE_ROWS} are listed.`) : null,
  );

export const auditColumns = [
  { head: "Verifier", cell: (one) => p.account(one.verifier, { copy: true }) },
  { head: "Status", cell: (one) => p.badge(one.status) },
  {
    head: "Replays",
    cell: (one) =>
      one.segments.length
        ? h("span", { class: "numbers" }, one.segments.slice(0, 40).join(", "), one.segments.length > 40 ? " …" : "")
        : h("span", { class: "dim" }, one.secretOpened ? "none" : "secret until it opens"),
  },
  {
    head: "Differs",
    cell: (one) =>
      one.failed.length
        ? h("span", { class: "bad-text numbers" }, one.failed.join(", "))
        : h("span", { class: "dim" }, "–"),
  },
  {
    head: "Gas",
    num: true,
    hide: true,
    cell: (one) => h("span", { class: "num", title: f.grouped(one.gas ?? 0) }, one.gas ? f.rough(one.gas) : "–"),
  },
  {
    head: "Until block",
    num: true,
    hide: true,
    cell: (one) => (Number(one.deadline) ? p.number(Number(one.deadline)) : h("span", { class: "dim" }, "–")),
  },
];
