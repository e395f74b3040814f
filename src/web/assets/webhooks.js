// Webhooks, and a NATS stream, that accept nothing: since when, what waits for them, and when they are tried again.

import { h, keyed, shown, text } from "./dom.js";
import { line } from "./entity.js";
import { number } from "./words.js";

export function webhooksPart() {
  const list = h("ul", { class: "webhooks" });
  const update = keyed(list, (webhook) => webhook.key, webhookLine);
  const heading = h("h2", { id: "webhooks" }, "Webhooks");
  const node = h("section", { class: "card", "aria-labelledby": "webhooks" }, heading, list);
  shown(node, false);
  return {
    node,
    update: ({ webhooks, stream }) => {
      const streams = stream ? [{ ...stream, host: `NATS at ${stream.host}` }] : [];
      const followers = [...streams, ...(webhooks ?? [])].map((follower, key) => ({ ...follower, key }));
      const failing = followers.filter((follower) => follower.failing_since);
      text(heading, stream?.failing_since ? "Webhooks and NATS" : "Webhooks");
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
      ["has accepted nothing since ", [webhook.failing_since, "clock"]],
      `${number(webhook.waiting)} ${webhook.waiting === 1 ? "entry" : "entries"} waiting`,
      webhook.next_try_at && ["next try ", [webhook.next_try_at, "in"]],
    ]);
    shown(error, webhook.error);
    text(error, webhook.error);
  };
  return { node, update };
}
