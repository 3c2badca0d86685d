// Numbers, times and hashes as people read them. Amounts and gas arrive as decimal strings and stay exact (BigInt).

export const UNITS = 1_000_000_000n;
const MINUS = "−";

const toBigInt = (value) => {
  try {
    return BigInt(value);
  } catch {
    return null;
  }
};

/** 1234567 -> "1 234 567", with thin spaces, which do not read as a decimal mark in any language. */
export function grouped(value) {
  const text = String(value);
  const match = /^(-?)(\d+)$/.exec(text);
  if (!match || match[2].length < 5) return text.replace(/^-/, MINUS);
  return (match[1] ? MINUS : "") + match[2].replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Units to tokens, exact, without trailing zeros: "12345000000" -> "12.345". */
export function tokens(units) {
  const whole = toBigInt(units);
  if (whole === null) return String(units);
  const size = whole < 0n ? -whole : whole;
  const fraction = (size % UNITS).toString().padStart(9, "0").replace(/0+$/, "");
  return (whole < 0n ? MINUS : "") + grouped(size / UNITS) + (fraction ? "." + fraction : "");
}

/** The same for tables: at most four digits after the point, rounded down. */
export function roughTokens(units) {
  const [whole, fraction] = tokens(units).split(".");
  if (!fraction) return whole;
  const cut = fraction.slice(0, 4).replace(/0+$/, "");
  if (cut) return `${whole}.${cut}`;
  return whole === "0" ? "<0.0001" : whole;
}

/** A large count in four characters or so: 1234567 -> "1.23 M". */
export function rough(value) {
  const number = Number(value);
  if (!Number.isFinite(number)) return String(value);
  for (const [size, suffix] of [
    [1e15, "P"],
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e4, "k"],
  ]) {
    if (number >= size) return `${(number / (suffix === "k" ? 1e3 : size)).toPrecision(3)}\u202f${suffix}`;
  }
  return grouped(value);
}

export function bytes(count) {
  const number = Number(count);
  if (number < 1024) return `${number}\u202fB`;
  return number < 1048576 ? `${(number / 1024).toFixed(1)}\u202fKiB` : `${(number / 1048576).toFixed(1)}\u202fMiB`;
}

/** Weights are nanoseconds of a reference core. */
export function weight(nanoseconds) {
  const number = Number(nanoseconds);
  if (number < 1e6) return `${(number / 1e3).toFixed(0)}\u202fµs`;
  return number < 1e9 ? `${(number / 1e6).toPrecision(3)}\u202fms` : `${(number / 1e9).toPrecision(3)}\u202fs`;
}

export const shortHash = (hash, head = 8, tail = 6) => {
  const text = String(hash);
  return text.length <= head + tail + 4 ? text : `${text.slice(0, head + 2)}…${text.slice(-tail)}`;
};

export const shortAccount = (account) => {
  const text = String(account);
  return text.length <= 16 ? text : `${text.slice(0, 6)}…${text.slice(-6)}`;
};

/** A loss or another float that may be "NaN" or "Infinity". */
export function float(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value.replace("-Infinity", "−∞").replace("Infinity", "∞");
  return Number(value).toPrecision(digits).replace(/^-/, MINUS);
}

export const percent = (parts, whole, digits = 1) => {
  const ratio = Number(whole) ? (100 * Number(parts)) / Number(whole) : 0;
  return `${ratio.toFixed(digits)}\u202f%`;
};

/** "3 blocks", "1 block". */
export const count = (number, one, many = `${one}s`) => `${grouped(number)} ${Number(number) === 1 ? one : many}`;

const STEPS = [
  [60, 1, "s"],
  [3600, 60, "min"],
  [86400, 3600, "h"],
  [Infinity, 86400, "d"],
];

export function duration(milliseconds) {
  const seconds = Math.max(0, Number(milliseconds) / 1000);
  if (seconds < 10) return `${seconds.toFixed(1)}\u202fs`;
  const [, size, unit] = STEPS.find(([limit]) => seconds < limit);
  return `${Math.floor(seconds / size)}\u202f${unit}`;
}

export function ago(milliseconds, now = Date.now()) {
  const seconds = (now - milliseconds) / 1000;
  if (seconds < 1.5) return "now";
  const [, size, unit] = STEPS.find(([limit]) => seconds < limit);
  return `${Math.floor(seconds / size)}\u202f${unit} ago`;
}

const pad = (number, width = 2) => String(number).padStart(width, "0");

/** Local time, to the second: "2026-11-22 19:16:39". */
export function absolute(milliseconds) {
  const at = new Date(milliseconds);
  if (Number.isNaN(at.getTime())) return "an impossible time";
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export const isoTime = (milliseconds) => {
  const at = new Date(milliseconds);
  return Number.isNaN(at.getTime()) ? "" : at.toISOString();
};

// eslint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]/gu;

/** Untrusted text for the eye: control characters and those that reorder or hide text become a visible mark. */
export function clean(text, limit = 400) {
  const shown = String(text).slice(0, limit).replace(UNSAFE, "\ufffd");
  return String(text).length > limit ? `${shown}…` : shown;
}

/** snake_case and CamelCase to words: "bond_locked" -> "bond locked", "SegmentRoot" -> "segment root". */
export const words = (name) =>
  clean(name, 80)
    .replace(/_/g, " ")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .toLowerCase();
