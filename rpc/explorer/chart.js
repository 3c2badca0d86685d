// The loss curve: one line an attempt, gaps and marks where the loss is no number, a reading under the pointer or arrow keys.

import { h, s } from "./dom.js";
import * as f from "./format.js";

const WIDTH = 720;
const HEIGHT = 220;
const LEFT = 46;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 26;

/** Round steps (1, 2, 5 times a power of ten) that cut [low, high] into about `wanted` parts. */
export function niceTicks(low, high, wanted = 4) {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => span / one <= wanted + 0.5) ?? 10 * power;
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9 && ticks.length < 20; tick += step)
    ticks.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
  return ticks;
}

const isNumber = (point) => typeof point.loss === "number" && Number.isFinite(point.loss);

function scales(points, steps) {
  const losses = points.filter(isNumber).map((point) => point.loss);
  const high = losses.length ? Math.max(...losses) : 1;
  const low = losses.length ? Math.min(0, Math.min(...losses)) : 0;
  const last = Math.max(Number(steps) || 0, ...points.map((point) => point.step), 1);
  const top = high === low ? low + 1 : high;
  return {
    low,
    top,
    last,
    x: (step) => LEFT + ((WIDTH - LEFT - RIGHT) * step) / last,
    y: (loss) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (loss - low) / (top - low)),
  };
}

function linesOf(points, scale) {
  const parts = [];
  let pen = "M";
  for (const point of points) {
    if (isNumber(point)) {
      parts.push(`${pen}${scale.x(point.step).toFixed(1)} ${scale.y(point.loss).toFixed(1)}`);
      pen = "L";
    } else pen = "M";
  }
  return parts.join("");
}

function axes(scale) {
  const ticksY = niceTicks(scale.low, scale.top);
  const ticksX = niceTicks(0, scale.last, 5).filter((tick) => Number.isInteger(tick));
  const textY = (tick) =>
    (tick !== 0 && Math.abs(tick) < 0.001) || Math.abs(tick) >= 1e5
      ? tick.toExponential(0)
      : String(Number(tick.toPrecision(6)));
  return [
    ticksY.map((tick) => [
      s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: scale.y(tick), y2: scale.y(tick) }),
      s("text", { class: "tick", x: LEFT - 6, y: scale.y(tick) + 4, "text-anchor": "end" }, textY(tick)),
    ]),
    ticksX.map((tick) =>
      s(
        "text",
        {
          class: "tick",
          x: scale.x(tick),
          y: HEIGHT - 8,
          "text-anchor": tick === 0 ? "start" : scale.x(tick) > WIDTH - 40 ? "end" : "middle",
        },
        f.grouped(tick),
      ),
    ),
    s("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
  ];
}

/** Moves the reading to the point nearest to a step. Plain DOM, because it follows the pointer. */
class Reading {
  constructor(points, scale, figure) {
    Object.assign(this, { points, scale, figure, place: points.length - 1 });
  }

  show(place) {
    this.place = Math.max(0, Math.min(this.points.length - 1, place));
    const point = this.points[this.place];
    const cross = this.figure().querySelector(".cross");
    const x = this.scale.x(point.step);
    cross.setAttribute("transform", `translate(${x} 0)`);
    cross.querySelector("circle").setAttribute("cy", isNumber(point) ? this.scale.y(point.loss) : TOP);
    cross.classList.add("on");
    this.figure().querySelector(".reading").textContent =
      `step ${f.grouped(point.step)}: loss ${f.float(point.loss, 6)}${this.points.some((one) => one.attempt !== point.attempt) ? `, attempt ${point.attempt}` : ""}`;
  }

  at(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    let best = 0;
    this.points.forEach((point, place) => {
      if (Math.abs(this.scale.x(point.step) - x) <= Math.abs(this.scale.x(this.points[best].step) - x)) best = place;
    });
    this.show(best);
  }

  key(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    this.show(this.place + move);
  }

  hide() {
    this.figure().querySelector(".cross").classList.remove("on");
    this.figure().querySelector(".reading").textContent = "";
  }
}

function summary(points) {
  const numbers = points.filter(isNumber);
  if (!numbers.length) return "No loss so far was a number.";
  const [first, last] = [numbers[0], numbers.at(-1)];
  const odd = points.length - numbers.length;
  return `Loss ${f.float(first.loss)} at step ${f.grouped(first.step)}, ${f.float(last.loss)} at step ${f.grouped(last.step)}${odd ? `; ${odd} reports were no number` : ""}.`;
}

export function lossCurve(points, steps, id = "loss-curve") {
  if (!points.length) return h("p", { class: "empty" }, "The solver has not reported a loss yet.");
  const scale = scales(points, steps);
  const attempts = [...new Set(points.map((point) => point.attempt))];
  const reading = new Reading(points, scale, () => document.getElementById(id));
  const lines = attempts.map((attempt, place) => {
    const own = points.filter((point) => point.attempt === attempt);
    const kind = place === attempts.length - 1 ? "line" : "line earlier";
    const odd = own
      .filter((point) => !isNumber(point))
      .map((point) =>
        s(
          "path",
          { class: "odd", d: `M${scale.x(point.step) - 4} ${TOP}l8 8m0-8l-8 8` },
          s("title", {}, `step ${point.step}: ${f.float(point.loss)}`),
        ),
      );
    const numbers = own.filter(isNumber);
    const alone =
      numbers.length === 1
        ? s("circle", { class: "dot", cx: scale.x(numbers[0].step), cy: scale.y(numbers[0].loss), r: 3 })
        : null;
    return [s("path", { class: kind, d: linesOf(own, scale) || `M${LEFT} ${TOP}` }), alone, odd];
  });
  const cross = s("g", { class: "cross" }, s("line", { y1: TOP, y2: HEIGHT - BOTTOM }), s("circle", { r: 4 }));
  const handlers = {
    pointermove: (event) => reading.at(event),
    pointerdown: (event) => reading.at(event),
    pointerleave: () => reading.hide(),
    keydown: (event) => reading.key(event),
    blur: () => reading.hide(),
  };
  return h(
    "figure",
    { class: "chart", id },
    s(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        tabindex: 0,
        "aria-label": `${summary(points)} Arrow keys read single points.`,
        on: handlers,
      },
      axes(scale),
      lines,
      cross,
    ),
    h(
      "figcaption",
      {},
      h("span", { class: "dim" }, summary(points)),
      h("span", { class: "reading num", role: "status", keep: true }),
    ),
    attempts.length > 1 ? h("p", { class: "dim small" }, "Grey: earlier attempts, whose proofs did not stand.") : null,
  );
}
