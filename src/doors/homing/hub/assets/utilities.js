// The pages for merchants: the key files of a persona, and sites with their sauces.

import { address, call } from "./api.js";
import { $, button, copyButton, make, onSubmit, say, show, shown, sure, time, unlocking } from "./page.js";
import { keyFiles } from "./keys.js";

let space = null;

// Reveal keys

async function revealKeys(opened) {
  space = opened;
  const { personas } = await space.personas();
  $("keys").replaceChildren(...personas.map(personaKeys));
  $("keys-none").hidden = personas.length > 0;
  show("open");
}

function personaKeys({ name, index }) {
  const files = space.withRoot((root) => keyFiles(root, index));
  return make("section", { "aria-label": `Keys of ${name}` }, make("h3", {}, name), ...files.flatMap((file) => keyFile(name, file)));
}

function keyFile(persona, { name, text }) {
  const id = `${persona}-${name}`;
  const save = make("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/plain" })) }, "Save");
  save.setAttribute("aria-label", `Save ${name} of ${persona}`);
  return [
    make("label", { for: id }, name),
    make("input", { id, readonly: true, value: text.trimEnd(), class: "code", autocomplete: "off", spellcheck: "false" }),
    make("p", { class: "row" }, copyButton(() => text, `${name} of ${persona}`), save),
  ];
}

// Secret sauce

async function secretSauce(opened) {
  space = opened;
  const { personas } = await space.personas();
  $("site-persona").replaceChildren(...personas.map(({ name }) => make("option", { value: name }, name)));
  $("site-none").hidden = personas.length > 0;
  $("site-form").hidden = personas.length === 0;
  await showSites();
  show("open");
}

async function showSites() {
  const { sites } = await space.call("GET", "sites");
  $("sites").replaceChildren(...(await Promise.all(sites.map(siteRow))));
  $("sites-none").hidden = sites.length > 0;
}

async function siteRow(site) {
  const stats = await space.call("GET", `sites/${encodeURIComponent(site.site)}/stats`);
  const act = (text, what, work, more) => button(text, what, work, { "aria-label": `${text}: ${site.name}`, ...more });
  return make("section", { "aria-label": site.name },
    make("h3", {}, site.name),
    make("dl", {}, ...[
      ["Site", make("code", {}, site.site)],
      ["Persona", site.persona],
      ["Endpoints", (site.endpoints ?? []).join(", ")],
      ["Own scopes begin with", site.scope_prefix && make("code", {}, `${site.scope_prefix}_`)],
      ["State", state(stats)],
    ].filter(([, value]) => value).flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)])),
    statsTable(site.name, stats.days ?? []),
    make("p", { class: "row" }, act("New sauce", "", () => rotate(site, false)),
      act("Replace a stolen sauce", "", () => rotate(site, true), { class: "quiet" }), act("Delete", "", () => remove(site), { class: "quiet" })));
}

function state({ state: now, trial_ends_at }) {
  if (now === "revoked") return "taken back";
  if (!trial_ends_at) return "in use, without an end";
  return `${now === "trial-ended" ? "trial ended" : "trial until"} ${shown(trial_ends_at)}`;
}

const COLUMNS = { day: "Day", requests: "Asked", approved: "Approved", denied: "Refused", expired: "Expired", failed: "Failed", unique_fing: "People" };

function statsTable(name, days) {
  if (days.length === 0) return make("p", {}, "Nobody has come yet.");
  const head = make("tr", {}, ...Object.values(COLUMNS).map((text) => make("th", { scope: "col" }, text)));
  const rows = days.map((day) => make("tr", {}, ...Object.keys(COLUMNS).map((key) => make("td", {}, String(day[key] ?? 0)))));
  return make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": `Numbers of ${name}` },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

async function makeSite(fields) {
  const body = Object.fromEntries(["persona", "name", "fingerprint_mode", "otp_alg"].map((name) => [name, fields.get(name).trim()]));
  body.endpoints = fields.get("endpoints").split(/\s+/).filter((line) => line !== "");
  const made = await space.call("POST", "sites", body);
  $("site-form").reset();
  await showSauce({ ...body, ...made }, "The site is made.");
}

async function rotate(site, at_once) {
  const question = at_once
    ? `Replace the sauce of ${site.name} at once? Nobody can sign in there until the new one is in its settings.`
    : `Make a new sauce for ${site.name}? The one in use stays good for a while; put the new one in before that ends.`;
  if (!(await sure(question, "New sauce"))) return;
  const { sauce } = await space.call("POST", `sites/${encodeURIComponent(site.site)}/sauce`, { at_once });
  await showSauce({ ...site, sauce }, "The new sauce is made.");
}

async function remove(site) {
  if (!(await sure(`Delete ${site.name}? Nobody can sign in there through this hub any more.`, "Delete it"))) return;
  await space.call("DELETE", `sites/${encodeURIComponent(site.site)}`);
  await showSites();
  $("sites-heading").focus();
  say(`${site.name} is deleted.`);
}

async function showSauce(site, words) {
  const { keys } = await call("GET", "keys");
  const good = keys.filter(({ use, not_after }) => use === "sign" && (!not_after || time(not_after) > Date.now())).map((key) => key.public);
  $("sauce").value = site.sauce;
  $("sauce-copy").replaceChildren(copyButton(() => site.sauce, "the sauce"));
  $("settings").textContent = settings(site, good);
  show("sauce-shown");
  await showSites();
  say(words);
}

/** What a gateway's settings file is given. */
function settings({ site, persona, name, sauce, otp_alg }, keys) {
  const lines = {
    hub: address("").replace(/\/$/, ""), hub_keys: keys, site, persona, name, sauce, sign_key: "homing-sign.key", otp: otp_alg ?? "hmac",
  };
  return Object.entries(lines).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join("");
}

function forgetSauce() {
  $("sauce").value = "";
  $("sauce-copy").replaceChildren();
  $("settings").textContent = "";
  show("open");
}

if ($("keys")) {
  await unlocking("none", revealKeys);
} else {
  onSubmit($("site-form"), "Making the site…", makeSite);
  $("sauce-done").addEventListener("click", forgetSauce);
  await unlocking("none", secretSauce);
}
