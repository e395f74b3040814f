// What concerns an account as a whole: its sign-in, its listening history, and the buttons for all of it.

import { attr, h, icon, keyed, setIcon, shown, text } from "./dom.js";
import { button } from "./controls.js";
import { entityCard, line } from "./entity.js";
import { setTime, time } from "./time.js";
import { accountName, counted, listed, number } from "./words.js";

export function accountPart({ account }) {
  const id = `account-${account.account_id}`;
  const of = ` of ${accountName(account)}`;
  const scope = () => ({ account: account.account_id });
  const name = h("bdi");
  const signIn = signInPart();
  const keeper = h("p", { class: "note" });
  const cards = h("div", { class: "cards" });
  const updateCards = keyed(cards, (item) => item.entity.entity_type, entityCard);
  const playback = playbackCard(of);
  const hold = button("pause", "Pause all", of, scope, "by-hand");
  const resume = button("resume", "Resume all", of, scope, "running");
  const node = h("section", { class: "account", "aria-labelledby": id },
    h("header", null, h("h2", { id }, name),
      h("div", { class: "buttons" }, button("sync", "Sync all now", of, scope, "added_again"), hold, resume)),
    signIn.node, keeper, cards, playback.node);

  const update = ({ account, waitingFor, isOneOfMany, hasNodes }) => {
    text(name, accountName(account));
    shown(keeper, Boolean(hasNodes));
    text(keeper, account.service ? `Kept current by ${account.service}.` : "No node keeps it current now.");
    signIn.update(account);
    updateCards(account.entities.map((entity) => ({ account, entity, waitingFor, of: isOneOfMany ? of : "" })));
    playback.update(account.playback);
    const isHeld = account.entities.map((entity) => entity.is_paused_by_hand);
    shown(hold, isHeld.includes(false));
    shown(resume, isHeld.includes(true));
  };
  return { node, update };
}

/** The state of a sign-in: `[kind, what, moment, way, what to do]`. */
function told(signIn) {
  switch (signIn.state) {
    case "valid": return ["complete", "Signed in until ", signIn.until, "day", ". Then run ", "; Spotify ends every sign-in after six months."];
    case "ends_soon": return ["paused", "The sign-in ends ", signIn.until, "in", ". Run ", " before then."];
    case "ended": return ["failed", "The sign-in ended ", signIn.since, "ago", ". Run ", "; nothing is read twice."];
    case "refused": return ["failed", `Spotify refused the sign-in (${signIn.why}) `, signIn.since, "ago", ". Run ", "; nothing is read twice."];
    default: return ["failed", "Signed out", null, "ago", ". Run ", " to carry on."];
  }
}

function signInPart() {
  const sign = icon("complete");
  const before = h("span"), when = h("time"), then = h("span"), after = h("span"), missing = h("span");
  const stuck = h("span"), again = h("time");
  const node = h("p", { class: "sign-in" }, sign,
    h("span", null, before, when, then, h("code", null, "segno login"), after, missing, stuck, again));
  const update = ({ sign_in: signIn, missing_scopes: scopes, token_trouble: trouble }) => {
    const [kind, what, at, way, run, rest] = told(signIn);
    attr(node, "data-state", kind);
    setIcon(sign, kind);
    text(before, what);
    setTime(when, at, way);
    text(then, run);
    text(after, rest);
    shown(missing, scopes?.length > 0);
    text(missing, scopes?.length > 0 ? ` Spotify did not grant ${listed(scopes)}; sign in again and grant it.` : "");
    [stuck, again].forEach((part) => shown(part, Boolean(trouble)));
    text(stuck, trouble ? ` No new access token: ${trouble.why}. Tried again ` : "");
    setTime(again, trouble?.retry_at ?? null, "in");
  };
  return { node, update };
}

function playbackCard(of) {
  const plays = h("strong"), when = line("when"), gaps = h("p", { class: "note" }), error = h("p", { class: "trouble" });
  const node = h("article", { class: "card playback", "aria-label": `Listening history${of}` },
    h("header", null, h("h3", null, "Listening history")),
    h("p", { class: "count" }, plays), when.node, gaps, error);
  let gapShown = "";
  const update = (playback) => {
    text(plays, counted(playback.plays, "play"));
    when.set([
      playback.last_played_at ? ["last play ", [playback.last_played_at, "ago"]] : "nothing played yet",
      playback.last_polled_at ? ["last check ", [playback.last_polled_at, "ago"]] : "not checked yet",
      playback.next_poll_at && ["next check ", [playback.next_poll_at, "in"]],
    ]);
    const gap = playback.open_gaps > 0 ? playback.last_gap : null;
    shown(gaps, playback.open_gaps > 0);
    const wanted = JSON.stringify([gap, playback.open_gaps]);
    if (wanted !== gapShown) {
      gapShown = wanted;
      gaps.replaceChildren(...(gap ? [
        `${number(playback.open_gaps)} ${playback.open_gaps === 1 ? "gap" : "gaps; the latest"}: plays between `,
        time(gap.played_after, "clock"), " and ", time(gap.played_before, "clock"), " may be missing.",
      ] : []));
    }
    shown(error, playback.error);
    text(error, playback.error);
  };
  return { node, update };
}
