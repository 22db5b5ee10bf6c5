// What every page does: sections that are shown in turn, forms that say how they fare, words to be read out.

import { words } from "./api.js";
import { Space, kept, remove } from "./space.js";
import { NoVault, WrongPassword } from "./vault.js";

export const $ = (id) => document.getElementById(id);

/** An element with attributes and children; texts stay texts. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Shows these of the page's sections and hides the others; the first one's heading is where reading goes on. */
export function show(...ids) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = !ids.includes(section.id);
  $("loading").hidden = true;
  const first = $(ids[0]);
  const target = first.querySelector("[autofocus]") ?? first.querySelector("h2, h1");
  if (!target.matches("input, button")) target.tabIndex = -1;
  target.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

/** Says that something went well. */
export function say(text) {
  $("alert").textContent = "";
  $("status").textContent = text;
}

/** Says what went wrong. */
export function complain(error) {
  $("status").textContent = "";
  $("alert").textContent = sentence(error);
}

function sentence(error) {
  if (error instanceof WrongPassword) return "This password does not open the space. Please try again.";
  if (error instanceof NoVault) return "What is stored of this space is damaged. Bring the space here again with its code.";
  return words(error);
}

/** Does something slow: says so first, and says what went wrong. True when it went well. */
export async function attempt(what, work) {
  say(what);
  try {
    await afterPaint();
    await work();
    if ($("status").textContent === what) say("");
    return true;
  } catch (error) {
    if (error.name !== "AbortError") complain(error);
    return false;
  }
}

// Making a key from a password keeps the page from being drawn, so the words come first.
const afterPaint = () => new Promise((resolve) => setTimeout(resolve, 30));

/** Lets a form be sent once at a time. `work` is given its fields. */
export function onSubmit(form, what, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    const button = event.submitter ?? form.querySelector("button");
    const fields = new FormData(form);
    form.ariaBusy = "true";
    button.disabled = true;
    const went = await attempt(what, () => work(fields, button));
    form.ariaBusy = "false";
    button.disabled = false;
    // Whoever works by keyboard goes on where they were.
    if (!went && form.isConnected && !form.hidden) (form.querySelector("[type=password]") ?? button).focus();
  });
}

/** A button that does something. */
export function button(text, what, work, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", async () => {
    made.disabled = true;
    await attempt(what, work);
    made.disabled = false;
  });
  return made;
}

/** Asks before something that cannot be taken back. */
export function sure(question, yes) {
  const dialog = $("sure");
  $("sure-question").textContent = question;
  $("sure-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** A button that copies a text. */
export const copyButton = (text, of) =>
  button("Copy", "", async () => {
    await navigator.clipboard.writeText(text()).catch(() => {
      throw new Error("This browser does not let the page copy. Select the text and copy it yourself.");
    });
    say(`${of} is copied.`);
  }, { class: "quiet", "aria-label": `Copy ${of}` });

/** A time of the API (RFC 3339 or seconds) as a Date. */
export const time = (value) => new Date(typeof value === "number" ? value * 1000 : value);

/** A time in the reader's words. */
export const shown = (value) => time(value).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Both new passwords, if they are good enough. */
export function newPassword(fields) {
  const password = fields.get("password");
  if ([...password].length < 10) throw new Error("The password needs at least 10 characters. Several words are good.");
  if (password !== fields.get("again")) throw new Error("The two passwords differ. Please type them again.");
  return password;
}

/**
 * The form that unlocks the space of this browser, on every page; calls `opened` with it. Without a space in this browser the
 * section `none` is shown instead. The keys are gone when the page is left.
 */
export async function unlocking(none, opened) {
  const form = $("unlock-form");
  onSubmit(form, "Unlocking…", async (fields) => {
    const space = await Space.unlock(fields.get("password"));
    form.reset();
    wipeWhenLeft(space);
    await opened(space);
  });
  let record;
  $("forget").addEventListener("click", async () => {
    const question = "Remove the space from this browser? You need its code and password to bring it back.";
    if (!(await sure(question, "Remove it"))) return;
    if (await attempt("Removing…", () => remove(record.space))) show(none);
  });
  try {
    record = await kept();
  } catch {
    $("loading").hidden = true;
    complain(new Error("This browser does not let the page keep anything (a private window?), and a space must be kept."));
    return;
  }
  show(record ? "locked" : none);
}

/** Overwrites the keys when the page goes, and starts anew when the browser brings it back from its memory. */
export function wipeWhenLeft(space) {
  addEventListener("pagehide", () => space.wipe());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}
