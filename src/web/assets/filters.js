// The row of fields above a list. Their values are in the page's address, so that back, reload and a bookmark restore
// the list.

import { h, shown } from "./dom.js";
import { accountName } from "./words.js";

/** How long after the last key a search starts. */
const TYPING_MS = 250;

/**
 * Fields are `{ name, label, kind: "search" | "select" | "check", options }`, options `[value, words]` with the default
 * as `""`. `onChange()` is called when the address has changed.
 */
export function filters(context, fields, onChange) {
  const account = accountField(context, onChange);
  const node = h("form", { class: "filters", role: "search" }, fields.map((each) => field(context, each, onChange)), account.node);
  node.addEventListener("submit", (event) => event.preventDefault());
  return { node, update: account.update };
}

function field(context, { name, label, kind, options }, onChange) {
  const changed = (value, isTyping = false) => {
    if ((context.params.get(name) ?? "") === value) return;
    context.keep({ [name]: value }, isTyping);
    onChange();
  };
  const value = context.params.get(name) ?? "";
  if (kind === "check") {
    const box = h("input", { type: "checkbox", name, checked: value === "true" });
    box.addEventListener("change", () => changed(box.checked ? "true" : ""));
    return h("label", { class: "check" }, box, label);
  }
  if (kind === "select") {
    const select = h("select", { name }, choice(options, value));
    select.addEventListener("change", () => changed(select.value));
    return h("label", null, h("span", null, label), select);
  }
  const box = h("input", { type: "search", name, value, autocomplete: "off", maxlength: "200", spellcheck: "false" });
  let timer;
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => box.isConnected && changed(box.value.trim(), true), TYPING_MS);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    clearTimeout(timer);
    changed(box.value.trim(), true);
  });
  return h("label", { class: "search" }, h("span", null, label), box);
}

function choice(options, value) {
  return options.map(([each, words]) => h("option", { value: each, selected: each === value }, words));
}

/** Whose library it is; shown if there are several. */
export function accountField(context, onChange) {
  const select = h("select", { name: "account" });
  const node = h("label", null, h("span", null, "Account"), select);
  select.addEventListener("change", () => {
    context.keep({ account: select.value });
    onChange();
  });
  let known = "";
  const update = (status) => {
    const accounts = status?.accounts ?? [];
    shown(node, accounts.length > 1);
    const options = accounts.map((account) => [String(account.account_id), accountName(account)]);
    if (JSON.stringify(options) === known) return;
    known = JSON.stringify(options);
    // Without a choice it is the first one, as in the API.
    const first = options.map(([id]) => Number(id)).sort((a, b) => a - b)[0];
    const chosen = context.params.get("account") ?? String(first);
    select.replaceChildren(...choice(options, chosen));
    select.value = chosen;
  };
  update(context.status);
  return { node, update };
}
