// Webhooks that take nothing: since when, what waits for them, and when they are tried again.

import { h, keyed, shown, text } from "./dom.js";
import { line } from "./entity.js";
import { number } from "./words.js";

export function webhooksPart() {
  const list = h("ul", { class: "webhooks" });
  const update = keyed(list, (webhook) => webhook.key, webhookLine);
  const node = h("section", { class: "card", "aria-labelledby": "webhooks" }, h("h2", { id: "webhooks" }, "Webhooks"), list);
  shown(node, false);
  return {
    node,
    update: ({ webhooks }) => {
      const failing = (webhooks ?? []).map((webhook, key) => ({ ...webhook, key })).filter((webhook) => webhook.failing_since);
      update(failing);
      shown(node, failing.length > 0);
    },
  };
}

function webhookLine() {
  const host = h("strong"), since = line("since"), error = h("p", { class: "trouble" });
  const node = h("li", null, host, since.node, error);
  const update = (webhook) => {
    text(host, webhook.host);
    since.set([
      ["takes nothing since ", [webhook.failing_since, "clock"]],
      `${number(webhook.waiting)} ${webhook.waiting === 1 ? "entry" : "entries"} to be told`,
      webhook.next_try_at && ["next try ", [webhook.next_try_at, "in"]],
    ]);
    shown(error, webhook.error);
    text(error, webhook.error);
  };
  return { node, update };
}
