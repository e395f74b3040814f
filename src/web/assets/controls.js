// What a person can make the service do: a button, what became of it, and the question before a reset.

import { post } from "./api.js";
import { h, icon, setIcon, text, unseen } from "./dom.js";
import { capital, listed, plain } from "./words.js";

/** How long the outcome of a button stays in view. */
const SAID_MS = 8_000;

const DONE = {
  sync: (what) => `${what}: a run begins as soon as it may.`,
  pause: (what) => `${what}: paused by hand, until you resume it.`,
  resume: (what) => `${what}: goes on.`,
  reset: (what) => `${what}: the next run starts over.`,
};

/** Tells everyone, those who listen to the page included, what happened. */
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
    if (action === "reset" && !(await agrees(scope().entity_types, of))) return;
    if (node.getAttribute("aria-disabled") === "true") return;
    // Not `disabled`, which would take the focus away from whoever pressed it.
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
    const { accepted, skipped } = await post(action, scope);
    const names = (entries) => capital(listed([...new Set(entries.map((entry) => plain(entry.entity_type)))]));
    const parts = skipped.map((entry) => `${capital(plain(entry.entity_type))}: nothing done, ${entry.why}.`);
    if (accepted.length > 0) parts.unshift(DONE[action](names(accepted)));
    say(parts.join(" ") || "There is nothing to do.", accepted.length === 0);
  } catch (problem) {
    say(problem.message, true);
  }
}

/** Asks before an entity type is reset; the answer. */
function agrees(entityTypes, of) {
  const what = listed(entityTypes.map(plain));
  const keep = h("button", { type: "button", autofocus: true }, "Keep it as it is");
  const go = h("button", { type: "button", class: "danger" }, `Reset ${what}`);
  const dialog = h("dialog", { "aria-labelledby": "ask-title", "aria-describedby": "ask-text" },
    h("h2", { id: "ask-title" }, `Reset ${what}?`),
    h("div", { id: "ask-text" },
      h("p", null, `segno forgets how far it has read ${of}. The next run reads the whole listing again from its beginning, and that costs requests.`),
      h("p", null, "Nothing in your library is deleted, here or at Spotify.")),
    h("div", { class: "choice" }, keep, go));
  document.body.append(dialog);
  return new Promise((resolve) => {
    keep.addEventListener("click", () => dialog.close("keep"));
    go.addEventListener("click", () => dialog.close("reset"));
    // Escape closes it, too, and means no.
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "reset");
    });
    dialog.showModal();
  });
}
