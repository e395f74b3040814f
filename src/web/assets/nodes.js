// Which services keep the accounts current, if there are several, and what the limit of the application allows.

import { h, keyed, shown, text } from "./dom.js";
import { line } from "./entity.js";
import { setTime } from "./time.js";
import { counted, number } from "./words.js";

export function nodesPart() {
  const list = h("ul", { class: "plain" });
  const updateNodes = keyed(list, (node) => node.id, nodeLine);
  const node = h("section", { class: "card nodes", "aria-labelledby": "nodes" }, h("h2", { id: "nodes" }, "Nodes"), list);
  const update = ({ nodes }) => {
    updateNodes(nodes ?? []);
    shown(node, nodes?.length > 1);
  };
  return { node, update };
}

function nodeLine() {
  const what = h("bdi"), how = h("span"), when = h("time");
  const node = h("li", null, what, how, when);
  const update = ({ label, version, is_here: isHere, lives, num_accounts: accounts, started_at: began, seen_at: seen }) => {
    text(what, label);
    const here = isHere ? ", this one" : "";
    text(how, lives ? ` ${version}${here}: ${counted(accounts, "account")}, began ` : ` ${version}: silent; last heard of `);
    setTime(when, lives ? began : seen, "ago");
  };
  return { node, update };
}

/** What the limit allows, in a sentence. */
export function capacityLine() {
  const told = line("capacity");
  const update = ({ capacity }) => {
    shown(told.node, Boolean(capacity));
    if (!capacity) return;
    const { accounts, requests_per_day: aDay, is_learned: isLearned, requests_per_account: each, is_measured: isMeasured } = capacity;
    told.set([
      `The limit carries about ${counted(accounts, "account")}: ${number(aDay)} requests a day${isLearned ? "" : " (assumed)"}, ` +
        `${number(each)} for each account (${isMeasured ? "measured" : "by the settings"})`,
      capacity.all_read_at && ["all is read ", [capacity.all_read_at, "in"]],
    ]);
  };
  return { node: told.node, update };
}
