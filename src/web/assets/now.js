// The view "Now": the answer in one sentence, then each account, then what concerns all of them.

import { accountPart } from "./account.js";
import { attr, h, icon, keyed, setIcon, shown, text } from "./dom.js";
import { line } from "./entity.js";
import { gatePart, ledgerPart } from "./gate.js";
import { nodesPart } from "./nodes.js";
import { webhooksPart } from "./webhooks.js";
import { capital, limitClass, listed, number, plain } from "./words.js";

export function open() {
  const sign = icon("idle"), word = h("span");
  const detail = line("detail");
  // Announced when the sentence changes, which is seldom; the numbers and countdowns are not part of it.
  const sentence = h("p", { class: "sentence", role: "status" }, sign, word);
  const verdictPart = h("div", { class: "verdict", "data-state": "idle" }, sentence, detail.node);
  const accounts = h("div", { class: "accounts" });
  const updateAccounts = keyed(accounts, (item) => item.account.account_id, accountPart);
  const gate = gatePart(), ledger = ledgerPart(), nodes = nodesPart(), webhooks = webhooksPart();
  const whole = h("div", { class: "whole" }, gate.node, ledger.node, nodes.node, webhooks.node);
  const node = h("div", { class: "now" }, h("h1", { class: "unseen", tabindex: "-1" }, "Now"), verdictPart, accounts, whole);
  text(word, "Asking the service");
  shown(whole, false);

  const update = (status) => {
    const { kind, words, parts } = verdict(status);
    attr(verdictPart, "data-state", kind);
    setIcon(sign, kind);
    text(word, words);
    detail.set(parts);
    const isOneOfMany = status.accounts.length > 1;
    const hasNodes = status.nodes?.length > 1;
    updateAccounts(status.accounts.map((account) => ({ account, waitingFor: pauseOf(status), isOneOfMany, hasNodes })));
    gate.update(status);
    ledger.update(status);
    nodes.update(status);
    webhooks.update(status);
    shown(whole, true);
  };
  return { title: "Now", node, update };
}

const pauseOf = (status) => (status.gate.waiting_for?.kind === "pause" ? status.gate.waiting_for : null);

/** What a person wants to know first; the most serious state wins. */
export function verdict(status) {
  if (status.accounts.length === 0) {
    return { kind: "idle", words: "Nobody is signed in", parts: ["run segno login in a terminal; the service notices it within seconds"] };
  }
  const entities = status.accounts.flatMap((account) => account.entities);
  const names = (list) => listed([...new Set(list.map((entity) => plain(entity.entity_type)))]);
  const parked = status.accounts.filter(({ sign_in: { state } }) => ["ended", "refused", "signed_out"].includes(state));
  const failed = entities.filter((entity) => entity.state === "failed" && !entity.is_paused_by_hand);
  const running = entities.filter((entity) => entity.state === "running" && !entity.is_paused_by_hand);
  const paused = entities.filter((entity) => entity.state === "paused" && !entity.is_paused_by_hand);
  const byHand = entities.filter((entity) => entity.is_paused_by_hand);
  const aside = byHand.length > 0 && `${names(byHand)} paused by hand`;

  if (parked.length === status.accounts.length) {
    return { kind: "failed", words: "Sign in again to carry on", parts: ["run segno login in a terminal; nothing is read twice"] };
  }
  if (failed.length > 0) {
    return { kind: "failed", words: `${capital(names(failed))} failed`, parts: ["the rest continues", aside] };
  }
  const pause = pauseOf(status) ?? firstLimit(status);
  if (pause && (pause.family === "*" || running.length === 0) && (running.length > 0 || paused.length > 0)) {
    return {
      kind: "paused",
      words: `Waiting for Spotify's ${limitClass(pause.class)}`.replace("Spotify's daily ceiling", "your daily ceiling"),
      parts: [["continues in ", [pause.until, "left"], ", at ", [pause.until, "clock"]], aside],
    };
  }
  if (running.length > 0) {
    const open = running.map((entity) => entity.live ?? { done: entity.offset, total: entity.total });
    const sum = (numbers) => numbers.reduce((total, each) => total + (each ?? 0), 0);
    const [done, total] = [sum(open.map((each) => each.done)), sum(open.map((each) => each.total))];
    const ends = running.map((entity) => entity.live?.done_at).filter(Boolean).sort();
    return {
      kind: "running",
      words: `Reading ${names(running)}`,
      parts: [total > 0 && `${number(done)} of ${number(total)}`, ends.length > 0 && ["done ", [ends.at(-1), "in"]], aside],
    };
  }
  if (byHand.length > 0) {
    return { kind: "by-hand", words: `${capital(names(byHand))} paused by hand`, parts: ["nothing is asked for until you resume"] };
  }
  if (entities.length > 0 && entities.every((entity) => entity.state === "complete")) {
    const last = entities.map((entity) => entity.completed_at).filter(Boolean).sort();
    const next = entities.map((entity) => entity.next_run_at).filter(Boolean).sort();
    return {
      kind: "complete",
      words: "Everything is current",
      parts: [last.length > 0 && ["as of ", [last[0], "ago"]], next.length > 0 && ["next run ", [next[0], "in"]]],
    };
  }
  if (paused.length > 0) {
    return { kind: "paused", words: `${capital(names(paused))} waiting`, parts: [paused[0].resume_at && ["continues in ", [paused[0].resume_at, "left"]]] };
  }
  return { kind: "idle", words: "About to begin", parts: ["the first run takes a few minutes; what is read shows here at once"] };
}

function firstLimit(status) {
  const limit = [...status.limits].sort((a, b) => (a.blocked_until < b.blocked_until ? -1 : 1))[0];
  return limit && { family: limit.family, class: limit.class, until: limit.blocked_until };
}
