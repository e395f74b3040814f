// What a person can make the service do: a button, its outcome, and the questions before a reset and before held
// removals are confirmed.

import { get, post } from "./api.js";
import { h, icon, setIcon, text, unseen } from "./dom.js";
import { capital, counted, listed, plain } from "./words.js";

/** How long the outcome of a button stays in view. */
const SAID_MS = 8_000;

const DONE = {
  sync: (what) => `${what}: a run starts as soon as possible.`,
  pause: (what) => `${what}: paused by hand, until you resume it.`,
  resume: (what) => `${what}: resumed.`,
  reset: (what) => `${what}: the next run starts over.`,
  "confirm-removals": (what) => `${what}: confirmed. A run starts, and marks those that it misses too.`,
};

/** Announces what happened, also to screen readers. */
export function say(words, isTrouble = false) {
  const said = document.getElementById("said");
  const note = h("p", { class: isTrouble ? "trouble" : "" }, icon(isTrouble ? "failed" : "complete"), words);
  said.replaceChildren(note);
  setTimeout(() => note.remove(), isTrouble ? 2 * SAID_MS : SAID_MS);
}

/**
 * A button that acts on an account, or on one entity type of it. `scope()` gives `{ account, entity_types }`, and `of`
 * names it for those who hear the button without seeing where it stands.
 */
export function button(action, words, of, scope, sign = null) {
  const node = h("button", { type: "button", class: `do ${action}` }, sign && icon(sign), h("span", null, words), unseen(` ${of}`));
  node.addEventListener("click", async () => {
    if (action === "reset" && !(await agreesToReset(scope().entity_types, of))) return;
    if (action === "confirm-removals" && !(await agreesToRemovals(scope()))) return;
    if (node.getAttribute("aria-disabled") === "true") return;
    // Not `disabled`, which would take the focus away from the button.
    node.setAttribute("aria-disabled", "true");
    await perform(node.dataset.action ?? action, scope());
    node.removeAttribute("aria-disabled");
  });
  return node;
}

/** Turns a button into another one in its place. */
export function turn(node, action, words, sign) {
  node.dataset.action = action;
  setIcon(node.querySelector("svg"), sign);
  text(node.querySelector("span"), words);
}

async function perform(action, scope) {
  try {
    const { accepted, skipped, is_waiting: isWaiting } = await post(action, scope);
    const names = (entries) => capital(listed([...new Set(entries.map((entry) => plain(entry.entity_type)))]));
    const parts = skipped.map((entry) => `${capital(plain(entry.entity_type))}: nothing done, ${entry.why}.`);
    if (isWaiting) parts.push("Noted; no node has picked it up yet.");
    if (accepted.length > 0) parts.unshift(DONE[action](names(accepted)));
    say(parts.join(" ") || "There is nothing to do.", accepted.length === 0);
  } catch (problem) {
    say(problem.message, true);
  }
}

/** Asks before an entity type is reset; resolves to the answer. */
function agreesToReset(entityTypes, of) {
  const what = listed(entityTypes.map(plain));
  return asks(`Reset ${what}?`, `Reset ${what}`, [
    h("p", null, `segno forgets how far it has read ${of}. The next run reads the whole listing again from its beginning, and that costs requests.`),
    h("p", null, "Nothing in your library is deleted, here or at Spotify."),
  ]);
}

/** Shows what would be marked removed; resolves to the answer. */
async function agreesToRemovals({ account, entity_types: [type] }) {
  let held;
  try {
    held = await get("removals", { account, entity_type: type });
  } catch (problem) {
    say(problem.message, true);
    return false;
  }
  const rest = held.total - held.items.length;
  const row = ({ name, id, playlist_id: playlist }) => h("li", null, h("bdi", null, name || id), playlist && ` in playlist ${playlist}`);
  return asks(`Are these ${plain(type)} gone?`, "Yes, mark them removed", [
    h("p", null, `${counted(held.total, "item")} were missing from the last run. One look does not prove that they are gone, so nothing was marked.`),
    h("ul", { class: "held", tabindex: "0", "aria-label": "What would be marked removed" }, ...held.items.map(row), rest > 0 && h("li", null, `and ${counted(rest, "other")}`)),
    h("p", null, "If you agree, a run starts and marks those that it misses too. Their rows stay, with the time of their removal."),
  ]);
}

/** A question that can be dismissed; resolves to whether the answer was yes. */
function asks(title, yes, paragraphs) {
  const keep = h("button", { type: "button", autofocus: true }, "Keep it as it is");
  const go = h("button", { type: "button", class: "danger" }, yes);
  const dialog = h("dialog", { "aria-labelledby": "ask-title", "aria-describedby": "ask-text" },
    h("h2", { id: "ask-title" }, title),
    h("div", { id: "ask-text" }, ...paragraphs),
    h("div", { class: "choice" }, keep, go));
  document.body.append(dialog);
  return new Promise((resolve) => {
    keep.addEventListener("click", () => dialog.close("keep"));
    go.addEventListener("click", () => dialog.close("yes"));
    // Escape closes it, too, and means no.
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}
