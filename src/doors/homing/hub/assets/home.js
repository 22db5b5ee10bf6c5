// The home page: a space is made or brought here, unlocked, and looked after.

import { address, duration } from "./api.js";
import { $, attempt, button, complain, copyButton, make, newPassword, onSubmit, say, show, shown, sure, time, unlocking, wipeWhenLeft } from "./page.js";
import { STANDARD, clean, field } from "./scopes.js";
import { Space } from "./space.js";

/** How long the hub holds a question for welcomes, in seconds. */
const WAIT = 25;
const REST_MS = 5000;

let space = null;

onSubmit($("create-form"), "Making your space…", async (fields) => {
  space = await Space.create(newPassword(fields));
  $("create-form").reset();
  wipeWhenLeft(space);
  $("code").textContent = space.id;
  $("code-copy").replaceChildren(copyButton(() => space.id, "the code"));
  show("created");
});

onSubmit($("bring-form"), "Bringing your space here…", async (fields) => {
  const brought = await Space.bring(fields.get("space").trim(), fields.get("password"));
  $("bring-form").reset();
  wipeWhenLeft(brought);
  await enter(brought);
});

onSubmit($("created-form"), "Opening your space…", () => enter(space));

async function enter(opened) {
  space = opened;
  await showPersonas();
  showProperties();
  show("open");
  say("Your space is open.");
  $("open-code").textContent = space.id;
  $("open-code-copy").replaceChildren(copyButton(() => space.id, "the code"));
  listen();
  await showNotices();
}

// Personas

async function showPersonas() {
  const { personas } = await space.personas();
  const row = ({ name, created_at }) =>
    make("li", {}, make("strong", {}, name), make("small", {}, `since ${shown(created_at)}`),
      button("Delete", "", () => drop(name), { class: "quiet", "aria-label": `Delete the persona ${name}` }));
  $("personas").replaceChildren(...personas.map(row));
  $("personas-none").hidden = personas.length > 0;
  $("personas-left").textContent = personas.length < 7 ? `${7 - personas.length} of 7 are left.` : "All 7 are taken.";
}

async function drop(name) {
  const question = `Delete ${name}? Merchants will no longer reach it, its own sites are revoked, and nobody gets this name again.`;
  if (!(await sure(question, `Delete ${name}`))) return;
  await space.call("DELETE", `personas/${encodeURIComponent(name)}`);
  await showPersonas();
  $("personas-heading").focus();
  say(`${name} is deleted.`);
}

onSubmit($("persona-form"), "Taking the name…", async (fields) => {
  const { name } = await space.take(fields.get("name").trim().toLowerCase()).catch((error) => {
    throw error.code === "FULL"
      ? new Error("A space has seven personas at most. Delete one first; its name will not be given out again.")
      : error;
  });
  $("persona-form").reset();
  await showPersonas();
  say(`${name} is yours.`);
});

// Welcomes

async function listen() {
  const here = space;
  const rows = new Map();
  while (!here.locked.aborted) {
    const begun = Date.now();
    let news = false;
    try {
      const known = [...rows.keys()].join(",");
      const { welcomes } = await here.call("GET", `inbox?wait=${WAIT}&known=${encodeURIComponent(known)}`);
      news = await showWelcomes(here, welcomes, rows);
    } catch (error) {
      if (here.locked.aborted) return;
      if (error.status === 401 || error.status === 403) return complain(error);
    }
    // A hub that is busy or away answers at once, with nothing.
    if (!news && Date.now() - begun < REST_MS) await new Promise((resolve) => setTimeout(resolve, REST_MS));
  }
}

/** True when one is new. */
async function showWelcomes(here, welcomes, rows) {
  const fresh = welcomes.filter(({ challenge }) => !rows.has(challenge));
  const pending = new Set(welcomes.map(({ challenge }) => challenge));
  for (const [challenge, row] of rows) {
    if (!pending.has(challenge)) {
      row.remove();
      rows.delete(challenge);
    }
  }
  for (const welcome of fresh) {
    const row = await welcomeRow(here, welcome);
    rows.set(welcome.challenge, row);
    $("welcomes").append(row);
  }
  $("welcomes-none").hidden = rows.size > 0;
  if (fresh.length > 0) say(rows.size === 1 ? "A request is waiting." : `${rows.size} requests are waiting.`);
  return fresh.length > 0;
}

async function welcomeRow(here, { challenge, persona, expires_at }) {
  const left = `${duration((time(expires_at) - Date.now()) / 1000)} left`;
  let from = "Somebody";
  try {
    const { inside } = await here.welcome(challenge);
    from = `${inside.site_name} (${inside.origin})`;
  } catch {
    // The page of the request says what is wrong with it.
  }
  const link = make("a", { href: address(`w/${encodeURIComponent(challenge)}`) }, `${from} welcomes ${persona}`);
  return make("li", {}, link, make("small", {}, left));
}

// Properties

function showProperties() {
  const held = space.properties;
  const names = [...STANDARD, ...Object.keys(held).filter((name) => !STANDARD.includes(name))];
  $("properties").replaceChildren(...names.flatMap((name) => propertyInput(name, held[name] ?? "")));
}

function propertyInput(name, value) {
  const { label, hint, ...input } = field(name);
  const id = `property-${name}`;
  return [
    make("label", { for: id }, label),
    make("input", { id, name, value, ...input, "aria-describedby": hint && `${id}-hint` }),
    ...(hint ? [make("small", { id: `${id}-hint` }, hint)] : []),
  ];
}

onSubmit($("properties-form"), "Keeping…", async (fields) => {
  const entries = [...fields].map(([name, value]) => [name, clean(value)]).filter(([, value]) => value !== "");
  await space.remember(Object.fromEntries(entries));
  say("Kept, sealed under your password.");
});

// Notices

async function showNotices() {
  const { notices } = await space.call("GET", "notices");
  $("notices").replaceChildren(...notices.map(noticeRow));
}

const KINDS = { email: "Mail to", webhook: "A call of", webpush: "A push through" };

function noticeRow({ id, kind, address: to, confirmed, failed_at }) {
  const row = make("li", {}, make("span", {}, `${KINDS[kind] ?? kind} ${to}`),
    failed_at ? make("small", {}, `Nothing goes there since ${shown(failed_at)}: its service no longer knows it.`) : null,
    button("Delete", "", async () => {
      await space.call("DELETE", `notices/${encodeURIComponent(id)}`);
      await showNotices();
      $("notices-heading").focus();
      say("The notice is deleted.");
    }, { class: "quiet", "aria-label": `Delete the notice to ${to}` }));
  if (kind === "email" && !confirmed) row.append(confirmation(id));
  return row;
}

function confirmation(id) {
  const input = `code-${id}`;
  const form = make("form", {}, make("label", { for: input }, "Code from the mail"),
    make("input", { id: input, name: "code", required: true, inputmode: "numeric", autocomplete: "one-time-code" }),
    make("button", {}, "Confirm"));
  onSubmit(form, "Confirming…", async (fields) => {
    await space.call("POST", `notices/${encodeURIComponent(id)}/confirm`, { code: fields.get("code").trim() });
    await showNotices();
    say("The address is confirmed.");
  });
  return form;
}

onSubmit($("notice-form"), "Adding…", async (fields) => {
  const kind = fields.get("kind");
  const { secret } = await space.call("POST", "notices", { kind, address: fields.get("address").trim() });
  $("notice-form").reset();
  await showNotices();
  $("notice-secret-part").hidden = !secret;
  $("notice-secret").value = secret ?? "";
  $("notice-secret-copy").replaceChildren(copyButton(() => secret, "the secret"));
  say(kind === "email" ? "A code is on its way to this address. Type it in beside the address." : "The notice is added.");
});

// The space itself

onSubmit($("password-form"), "Changing the password…", async (fields) => {
  await space.changePassword(fields.get("old"), newPassword(fields));
  $("password-form").reset();
  say("The password is changed. Other phones ask for the new one from now on.");
});

$("lock").addEventListener("click", async () => {
  await space.lock();
  space = null;
  show("locked");
  say("You are signed out. The space is locked.");
});

$("leave").addEventListener("click", async () => {
  const question = "Remove the space from this browser? You need its code and password to bring it back.";
  if (!(await sure(question, "Remove it"))) return;
  const gone = await attempt("Removing…", () => space.leave());
  // Its keys are overwritten either way.
  space = null;
  show(gone ? "start" : "locked");
  if (gone) say("The space is no longer in this browser.");
});

await unlocking("start", enter);
