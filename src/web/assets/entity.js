// One entity type of one account: what it is doing, its progress, what it waits for, and its buttons.

import { attr, h, icon, setIcon, shown, text } from "./dom.js";
import { button, turn } from "./controls.js";
import { setTime } from "./time.js";
import { capital, counted, counts, number, ofAll, phase, plain, rate, stage, state } from "./words.js";

/** `of` names the account if there are several. */
export function entityCard({ account, entity, of }) {
  const type = entity.entity_type;
  const name = plain(type);
  const scope = () => ({ account: account.account_id, entity_types: [type] });

  const sign = icon("idle"), word = h("span");
  const badge = h("p", { class: "badge" }, sign, word);
  const bar = h("progress", { "aria-label": `Progress of ${name}${of}` });
  const count = h("strong"), percent = h("span", { class: "percent" });
  const pace = line("pace"), wait = line("wait"), doing = line("doing"), runs = line("runs");
  const gaps = h("p", { class: "note" }), leftOut = h("p", { class: "note" }), held = h("p", { class: "note" }), askedAgain = h("p", { class: "note" }), error = h("p", { class: "trouble" });

  const sync = button("sync", "Sync now", `${name}${of}`, scope, "added_again");
  const hold = button("pause", "Pause", `${name}${of}`, scope, "by-hand");
  const reset = button("reset", "Reset…", `${name}${of}`, scope);
  const confirm = button("confirm-removals", "Show what would be removed…", `${name}${of}`, scope);

  const node = h("article", { class: "card entity", "data-type": type, "aria-label": `${capital(name)}${of}` },
    h("header", null, h("h3", null, capital(name)), badge),
    h("p", { class: "count" }, count, percent), bar,
    pace.node, wait.node, doing.node, runs.node, gaps, held, askedAgain, leftOut, error,
    h("div", { class: "buttons" }, sync, hold, reset, confirm));

  const update = ({ entity, waitingFor }) => {
    const [kind, words] = state(entity);
    attr(node, "data-state", kind);
    setIcon(sign, kind);
    text(word, words);

    const live = entity.live;
    // A run that a person has paused, rather than the time between two runs.
    const isHeldInRun = kind === "by-hand" && !entity.completed_at;
    const isOpen = isHeldInRun || ["running", "paused", "failed"].includes(kind);
    const inItems = live?.stage === "items" || Boolean(live?.playlists);
    // New items end where they meet known ones, and not at the end of the listing.
    const [done, total] = isOpen && live ? [live.done, live.stage === "head" ? null : live.total] : [entity.offset, entity.total];
    if (isOpen) progress(kind, done, total, inItems);
    else rest(entity);

    const isReading = kind === "running" && live;
    pace.set(isReading && [
      live.items_per_second !== null && live.items_per_second !== undefined && rate(live.items_per_second),
      live.done_at && ["done ", [live.done_at, "in"], ", at ", [live.done_at, "clock"]],
    ]);
    wait.set(waiting(kind, entity, waitingFor));
    doing.set([
      (isOpen || live) && phase(entity.phase),
      isReading && stage(live.stage),
      live?.playlists && `playlist ${number(live.playlists[0])} of ${number(live.playlists[1])}`,
      live && counts(live),
      live && live.requests > 0 && counted(live.requests, "request"),
    ]);
    runs.set([
      entity.completed_at && ["last run ", [entity.completed_at, "ago"]],
      kind !== "by-hand" && entity.next_run_at && !entity.resume_at && ["next run ", [entity.next_run_at, "in"]],
      !entity.completed_at && kind === "idle" && "the first run begins by itself",
    ]);
    const openGaps = entity.open_gaps ?? 0;
    shown(gaps, openGaps > 0);
    text(gaps, `${counted(openGaps, "gap")} that Spotify could not serve; retried later.`);
    const heldRemovals = entity.held_removals ?? 0;
    shown(held, heldRemovals > 0);
    shown(confirm, heldRemovals > 0);
    text(held, `${counted(heldRemovals, "removal")} held back until a later run misses the same, or you confirm.`);
    const asked = entity.waiting_playlists ?? [];
    shown(askedAgain, asked.length > 0);
    text(askedAgain, `${counted(asked.length, "playlist")} to be retried: ${asked.slice(0, 3).map((one) => one.name).join(", ")}${asked.length > 3 ? " and others" : ""}.`);
    const numLeftOut = entity.left_out_playlists ?? 0;
    shown(leftOut, numLeftOut > 0);
    text(leftOut, `${counted(numLeftOut, "playlist")} left out by sync.playlists, with items as they were.`);
    shown(error, entity.error);
    // After a run that went well the text is a remark.
    attr(error, "class", kind === "failed" ? "trouble" : "note");
    text(error, entity.error);

    shown(reset, kind !== "idle");
    if (entity.is_paused_by_hand) turn(hold, "resume", "Resume", "running");
    else turn(hold, "pause", "Pause", "by-hand");
  };

  function rest(entity) {
    text(count, entity.completed_at ? `${number(entity.total ?? entity.offset)} listed` : "Nothing read yet");
    text(percent, "");
    shown(bar, false);
  }

  function progress(kind, done, total, inItems) {
    text(count, done > 0 || total > 0 ? `${ofAll(done, total)}${inItems ? " items" : ""}` : kind === "running" ? "Just begun" : "Nothing read yet");
    text(percent, total > 0 ? `${Math.floor((100 * done) / total)} %` : "");
    shown(bar, true);
    attr(bar, "max", total > 0 ? total : null);
    // Without a value the bar shows an unknown end, which would be wrong if nothing moves.
    attr(bar, "value", total > 0 ? Math.min(done, total) : kind === "running" ? null : 0);
  }

  return { node, update };
}

function waiting(kind, entity, waitingFor) {
  if (kind === "by-hand") return ["nothing is requested until you resume it"];
  const until = entity.resume_at ?? (kind === "paused" ? waitingFor?.until : null);
  return until && [["continues in ", [until, "left"], ", at ", [until, "clock"]]];
}

/**
 * A line of parts with dots between them: strings, or lists of strings and `[moment, way]`. What a part says is written
 * into the nodes that are there.
 */
export function line(kind) {
  const node = h("p", { class: `line ${kind}` });
  let shape = "";
  const set = (parts) => {
    const present = (parts || []).filter(Boolean).map((part) => (Array.isArray(part) ? part : [part]));
    const pieces = present.flatMap((part, index) => (index > 0 ? [" · ", ...part] : part));
    const wanted = pieces.map((piece) => (Array.isArray(piece) ? "t" : "s")).join("");
    if (wanted !== shape) {
      shape = wanted;
      node.replaceChildren(...pieces.map((piece) => h(Array.isArray(piece) ? "time" : "span")));
      shown(node, pieces.length > 0);
    }
    pieces.forEach((piece, index) => {
      const part = node.children[index];
      if (Array.isArray(piece)) setTime(part, ...piece);
      else text(part, piece);
    });
  };
  shown(node, false);
  return { node, set };
}
