// "Download" at a list: the whole list as a file, in the formats that can hold it.

import { BASE, h } from "./dom.js";

const GENERAL = [["csv", "CSV"], ["jsonl", "JSON Lines"], ["parquet", "Parquet"]];
const LISTED = [...GENERAL, ["exportify", "Exportify"], ["exportify-net", "exportify.net"], ["m3u8", "M3U8"], ["xspf", "XSPF"], ["jspf", "JSPF"]];
const HEARD = [...GENERAL, ["listenbrainz", "ListenBrainz"], ["spotify", "Spotify's own"]];

/** The formats of a list of `segno export`. */
const formats = { tracks: LISTED, items: LISTED, listening: HEARD };

/** `path` below `/api/v1/`; `what` is the kind of list; `query()` returns the account and the period. */
export function download(path, what, query) {
  const select = h("select", { name: "format", "aria-label": "Format" },
    (formats[what] ?? GENERAL).map(([value, words]) => h("option", { value }, words)));
  const box = h("input", { type: "checkbox", name: "spreadsheet" });
  const safe = h("label", { class: "check", title: "An apostrophe before what a spreadsheet would take for a formula" }, box, "for spreadsheets");
  const link = h("a", { class: "button", download: "" }, "Download");
  const update = () => {
    const isCsv = select.value === "csv";
    safe.hidden = !isCsv;
    const given = { format: select.value, spreadsheet: isCsv && box.checked ? "true" : null, ...query() };
    const params = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
    link.setAttribute("href", `${BASE}/api/v1/${path}?${params}`);
  };
  select.addEventListener("change", update);
  box.addEventListener("change", update);
  // With the current values of the list's fields.
  link.addEventListener("pointerdown", update);
  link.addEventListener("focus", update);
  update();
  return h("div", { class: "download" }, link, select, safe);
}
