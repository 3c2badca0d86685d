// Building and patching the page. Data only ever becomes text nodes and attributes that are set by name: there is no
// innerHTML anywhere in the explorer, so nothing that comes from the chain can become markup.

const SVG = "http://www.w3.org/2000/svg";

function append(element, child) {
  if (child === null || child === undefined || child === false || child === true) return;
  if (Array.isArray(child)) child.forEach((one) => append(element, one));
  else element.append(child instanceof Node ? child : document.createTextNode(String(child)));
}

function dispatch(event) {
  this.handlers?.[event.type]?.call(this, event);
}

/** Listeners live in a table on the node, so that `patch` can hand a kept node the newest closures. */
function listen(element, type, handler) {
  element.handlers ??= {};
  if (!(type in element.handlers)) element.addEventListener(type, dispatch);
  element.handlers[type] = handler;
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") Object.entries(value).forEach(([type, handler]) => listen(element, type, handler));
    else if (name === "style") Object.entries(value).forEach(([key, one]) => element.style.setProperty(key, one));
    else if (name === "keep") element.keep = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** An HTML element. `props` are attributes, plus `on` (listeners by type), `style` (properties) and `key` (identity). */
export const h = (tag, props, ...children) => build(document.createElement(tag), props, children);

/** An SVG element, likewise. */
export const s = (tag, props, ...children) => build(document.createElementNS(SVG, tag), props, children);

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("key") : null);

/** Attributes that belong to the reader: an opened section stays open, a chosen value stays chosen. */
const OWNED = new Set(["open", "value"]);

function patchElement(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !OWNED.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) === value || OWNED.has(name)) continue;
    if (name === "style") old.style.cssText = fresh.style.cssText; // as an attribute the page's policy forbids it
    else old.setAttribute(name, value);
  }
  for (const [type, handler] of Object.entries(fresh.handlers ?? {})) listen(old, type, handler);
  if (!fresh.keep) patch(old, [...fresh.childNodes]);
}

const alike = (old, fresh) =>
  old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);

/**
 * Make the children of `parent` look like `fresh`, keeping every node that can be kept: focus, selection, scroll
 * positions and opened sections survive an update. Elements with a `key` are matched by it, others by place.
 */
export function patch(parent, fresh, isNew = false) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    const key = keyOf(child);
    if (key !== null) keyed.set(key, child);
  }
  const updating = parent.hasChildNodes() && !isNew;
  let place = parent.firstChild;
  for (const node of fresh) {
    const key = keyOf(node);
    const match = key !== null ? keyed.get(key) : place;
    if (match && alike(match, node)) {
      if (match !== place) parent.insertBefore(match, place);
      else place = place.nextSibling;
      if (node.nodeType === Node.ELEMENT_NODE) patchElement(match, node);
      else if (match.data !== node.data) match.data = node.data;
    } else {
      if (updating && key !== null) node.classList.add("fresh");
      parent.insertBefore(node, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}
