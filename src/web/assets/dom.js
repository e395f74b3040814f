// Making and updating elements. Text goes in as text nodes and nowhere else, so that no string is ever parsed as
// markup. Names come from strangers: invisible characters that change how other text looks are dropped from all of
// them.

/** The path of a proxy below which the page is; empty for its root. */
export const BASE = document.documentElement.dataset.base ?? "";

/** The path of a view, with or without the base in front. */
export const viewOf = (path) => (BASE && path.startsWith(`${BASE}/`) ? path.slice(BASE.length) : path);

const SVG = "http://www.w3.org/2000/svg";

/** Control characters, line breaks, direction marks, and zero-width characters: as in `model::text`. */
const UNSEEN = /[\p{Cc}\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u2028-\u202E\u2060-\u206F\u3164\uFEFF\uFFA0\uFFF0-\uFFFB\u{1D173}-\u{1D17A}\u{E0000}-\u{E007F}]/gu;
const BREAK = /[\p{Cc}\u2028\u2029]/gu;

/** The text on one line, without invisible characters. */
export const seen = (value) => String(value).replace(BREAK, " ").replace(UNSEEN, "");

/** Somebody else's text, which cannot change the direction of text beside it. */
export const name = (value, props = null) => h("bdi", props, value);

/** An element: `h("p", { class: "note" }, "text", child)`. Functions are listeners, `false` and `null` mean nothing. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same in SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else attr(node, name, value);
  }
  const present = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  node.append(...present.map((child) => (child instanceof Node ? child : seen(child))));
  return node;
}

/** Sets an attribute if it differs; `null`, `undefined` and `false` remove it. */
export function attr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : seen(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Sets the text if it differs: unchanged text is not touched, so nothing flickers and no selection is lost. */
export function text(node, value) {
  const wanted = seen(value ?? "");
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Shows or hides. */
export function shown(node, is) {
  if (node.hidden === Boolean(is)) node.hidden = !is;
}

/** A sign beside words; it adds no meaning of its own. */
export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true" }, s("use", { href: `#i-${name}` }));
}

export function setIcon(node, name) {
  attr(node.firstChild, "href", `#i-${name}`);
}

/** Words for screen readers, which do not see the surroundings. */
export function unseen(words) {
  return h("span", { class: "unseen" }, words);
}

/**
 * Keeps one part per item in a parent, in the order of the items: `make(item)` gives `{ node, update(item) }`. Parts live
 * as long as their key is there.
 */
export function keyed(parent, keyOf, make) {
  const parts = new Map();
  return (items) => {
    const wanted = new Map(items.map((item) => [keyOf(item), item]));
    for (const [key, part] of parts) {
      if (!wanted.has(key)) {
        part.node.remove();
        parts.delete(key);
      }
    }
    let before = null;
    for (const [key, item] of wanted) {
      if (!parts.has(key)) parts.set(key, make(item));
      const part = parts.get(key);
      part.update(item);
      const place = before ? before.nextSibling : parent.firstChild;
      if (part.node !== place) parent.insertBefore(part.node, place);
      before = part.node;
    }
  };
}
