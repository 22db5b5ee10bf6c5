// Keeps a page up to date: parts of it, marked by data-live, are replaced as the server sends them. Without this the page says the
// same, as of when it was loaded. It stops while nobody looks, begins anew when a connection ends, and ends with the session.
"use strict";
(() => {
  const main = document.querySelector("[data-stream]");
  const mark = document.getElementById("live");
  if (!main || !mark || !window.EventSource) return;
  const FIRST_WAIT = 1000, LONGEST_WAIT = 30000, AGAIN = 3000;
  const shown = new Map();
  let source = null, timer = 0, wait = FIRST_WAIT, over = false, next = Date.now() + AGAIN;

  const say = (state, words) => {
    mark.hidden = false;
    mark.dataset.state = state;
    mark.textContent = words;
  };

  // What somebody types into or has selected stays as it is.
  const isInUse = (part) => {
    const active = document.activeElement;
    if (part.contains(active) && active.matches("input, select, textarea")) return true;
    const selection = document.getSelection();
    return Boolean(selection && !selection.isCollapsed && part.contains(selection.anchorNode));
  };

  const put = (name, html) => {
    const part = document.querySelector(`[data-live="${CSS.escape(name)}"]`);
    if (!part || shown.get(name) === html || isInUse(part)) return;
    const active = part.contains(document.activeElement) ? document.activeElement.id : "";
    const opened = Array.from(part.querySelectorAll("details[open][id]"), (details) => details.id);
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    for (const id of opened) fresh.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
    part.replaceChildren(...fresh.childNodes);
    if (active) document.getElementById(active)?.focus();
    shown.set(name, html);
  };

  // A page whose parts the stream does not send asks for itself again, as long as somebody looks; the slower the answer, the less often.
  const again = async () => {
    if (!document.querySelector("[data-again]") || Date.now() < next) return;
    const begun = Date.now();
    next = Infinity;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
      // What a form was answered with cannot be asked for again.
      if (answer.status === 404 || answer.status === 405) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.ok) for (const part of fresh.querySelectorAll("[data-again]")) put(part.dataset.live, part.innerHTML);
    } catch {
      // The stream says that it broke; the next event tries again.
    }
    next = Date.now() + Math.max(AGAIN, 20 * (Date.now() - begun));
  };

  const stop = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };

  const start = () => {
    stop();
    if (over || document.hidden) return;
    source = new EventSource(main.dataset.stream);
    source.addEventListener("parts", (event) => {
      wait = FIRST_WAIT;
      say("on", "Live");
      for (const [name, html] of Object.entries(JSON.parse(event.data))) put(name, html);
      again();
    });
    source.addEventListener("over", () => {
      over = true;
      stop();
      say("off", "Signed out");
    });
    source.addEventListener("error", () => {
      stop();
      say("waiting", "Reconnecting…");
      timer = setTimeout(start, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    });
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", (event) => event.persisted && start());
  start();
})();
