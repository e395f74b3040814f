// Opens the page. A part of it that does not arrive, as when the service restarts meanwhile, is missing until the whole
// page is loaded again: browsers remember that it failed.

const RETRY_MS = 2_000;
const TRIES_MAX = 5;
const TRIES = "segno.tries";

function retry() {
  const tries = Number(sessionStorage.getItem(TRIES)) + 1;
  sessionStorage.setItem(TRIES, tries);
  const isLast = tries >= TRIES_MAX;
  const notice = document.createElement("p");
  notice.className = "notice";
  notice.textContent = `A part of this page did not arrive. ${isLast ? "Load it again later." : "Trying again."}`;
  document.getElementById("view").replaceChildren(notice);
  if (isLast) sessionStorage.removeItem(TRIES);
  else setTimeout(() => location.reload(), RETRY_MS);
}

import("./app.js").then(() => sessionStorage.removeItem(TRIES), (error) => {
  retry();
  throw error;
});
