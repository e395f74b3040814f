// Loads the page again if a part of it did not arrive, as when the service restarts meanwhile: browsers remember that it
// failed, and the view was never opened.

const RETRY_MS = 2_000;
const TRIES_MAX = 5;
const TRIES = "segno.tries";

addEventListener("load", () => {
  const view = document.getElementById("view");
  if (!view.querySelector("noscript")) return sessionStorage.removeItem(TRIES);
  const tries = Number(sessionStorage.getItem(TRIES)) + 1;
  const isLast = tries >= TRIES_MAX;
  const notice = document.createElement("p");
  notice.className = "notice";
  notice.textContent = `A part of this page did not arrive. ${isLast ? "Load it again later." : "Trying again."}`;
  view.replaceChildren(notice);
  if (isLast) return sessionStorage.removeItem(TRIES);
  sessionStorage.setItem(TRIES, tries);
  setTimeout(() => location.reload(), RETRY_MS);
});
