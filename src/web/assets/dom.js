// Making and updating elements. Text goes in as text nodes and nowhere else, so that no string is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

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
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Sets an attribute if it differs; `null`, `undefined` and `false` take it away. */
export function attr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Sets the text if it differs: what stays the same is not touched, so nothing flickers and no selection is lost. */
export function text(node, value) {
  const wanted = value ?? "";
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Shows or hides. */
export function shown(node, is) {
  if (node.hidden === Boolean(is)) node.hidden = !is;
}

/** A sign beside words; it says nothing that the words do not. */
export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true" }, s("use", { href: `#i-${name}` }));
}

export function setIcon(node, name) {
  attr(node.firstChild, "href", `#i-${name}`);
}

/** Words for those who do not see what stands around. */
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
