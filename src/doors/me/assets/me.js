// Comforts of the mailbox: times in the reader's own words, the countdown of a pass code, the newest message in sight, what arrives on an
// open page is read, and sending with Ctrl+Enter. Every page says and does the same without it.
"use strict";
(() => {
  const main = document.getElementById("main");
  if (!main) return;

  const words = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const localise = () => {
    for (const time of main.querySelectorAll("time.own:not([data-said])")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.dataset.said = "yes";
      time.title = time.textContent;
      time.textContent = words.format(at);
    }
  };

  // Read out rarely: what changes every second is nothing for ears.
  const countdown = main.querySelector(".countdown[data-until]");
  const until = countdown ? new Date(countdown.dataset.until).getTime() : 0;
  // The server's clock counts: what it said is left, from now on.
  const said = countdown ? /(?:(\d+) minutes?)?\s*(?:(\d+) seconds?)?/.exec(countdown.textContent.trim()) : null;
  const left = said ? (Number(said[1] || 0) * 60 + Number(said[2] || 0)) * 1000 : until - Date.now();
  const end = performance.now() + left;
  const count = () => {
    const seconds = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    countdown.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (seconds > 0) return;
    clearInterval(counting);
    const card = countdown.closest(".fresh");
    card.classList.add("over");
    countdown.parentElement.textContent = "This pass code is not good any more. Ask for another one.";
  };
  let counting = 0;
  if (countdown) {
    countdown.setAttribute("aria-live", "off");
    counting = setInterval(count, 1000);
    count();
  }

  const talk = main.querySelector("[data-live=talk]");
  const form = main.querySelector("form.answer");
  const isLow = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 400;
  const showNewest = () => talk?.querySelector("li:last-child")?.scrollIntoView({ block: "nearest" });
  let low = true;
  if (talk) {
    window.addEventListener("scroll", () => { low = isLow(); }, { passive: true });
    if (form && location.hash === "#text") form.elements.text.focus();
    form?.scrollIntoView({ block: "end" });
  }

  // What is shown here is read, and the server is told so: what it has sent may never have arrived.
  const token = document.querySelector("form.who input[name=token]")?.value;
  const told = new Set();
  const tell = async () => {
    if (!talk || !token || document.hidden) return;
    const shown = Array.from(talk.querySelectorAll("li[data-id]"), (line) => line.dataset.id);
    const ids = shown.filter((id) => !told.has(id));
    if (!ids.length) return;
    ids.forEach((id) => told.add(id));
    try {
      const body = new URLSearchParams({ token, ids: ids.join(" ") });
      const answer = await fetch("/me/read", { method: "POST", body, redirect: "manual" });
      if (answer.status < 500 && answer.status !== 429) return;
    } catch {
      // Nobody there: again in a while.
    }
    ids.forEach((id) => told.delete(id));
    setTimeout(tell, 5000);
  };
  document.addEventListener("visibilitychange", tell);

  form?.elements.text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    form.requestSubmit();
  });
  // One click, one message; the server knows a form that comes twice as well.
  form?.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => { if (form) delete form.dataset.sent; });

  new MutationObserver(() => {
    localise();
    if (talk && low) showNewest();
    tell();
  }).observe(main, { childList: true, subtree: true });
  localise();
})();
