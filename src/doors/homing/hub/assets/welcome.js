// The page of one request: who asks, for what, and the answer.

import { words } from "./api.js";
import { $, attempt, make, onSubmit, say, show, shown, time, unlocking } from "./page.js";
import { clean, field, parse } from "./scopes.js";
import { sign } from "./keys.js";

const TAG = "homing/approve/v1";

const challenge = decodeURIComponent(location.pathname.split("/").at(-1));
let space = null;
let request = null;

async function enter(opened) {
  space = opened;
  request = await space.welcome(challenge);
  const { outside, inside } = request;
  if (outside.state !== "pending") return over(outside.state);
  if (time(outside.expires_at) <= Date.now()) return over("expired");
  $("site").textContent = inside.site_name;
  $("merchant").textContent = inside.merchant;
  $("origin").textContent = inside.origin;
  $("persona").textContent = inside.username;
  $("asked").textContent = shown(inside.iat);
  $("until").textContent = shown(outside.expires_at);
  showScopes(parse(inside.scopes));
  show("request");
  say(`${inside.site_name} asks to welcome ${inside.username}.`);
}

const OVER = {
  released: "You have already approved this request. Go back to the merchant's site to sign in again.",
  denied: "You have refused this request. Nothing was sent.",
  expired: "This request is too old. Go back to the merchant's site and begin again.",
};

function over(state) {
  $("over-words").textContent = OVER[state] ?? "This request is closed.";
  show("over");
}

// What is asked for

function showScopes({ mandatory, optional }) {
  const held = space.properties;
  const inputs = (names, must) => names.map((name) => scopeInput(name, held[name] ?? "", must));
  $("mandatory").replaceChildren(...inputs(mandatory, true));
  $("optional").replaceChildren(...inputs(optional, false));
  $("mandatory-part").hidden = mandatory.length === 0;
  $("optional-part").hidden = optional.length === 0;
  $("remember-field").hidden = mandatory.length + optional.length === 0;
  $("asks-nothing").hidden = mandatory.length + optional.length > 0;
}

function scopeInput(name, value, must) {
  const { label, hint, ...about } = field(name);
  const id = `sc-${name}`;
  const input = make("input", { id, name, value, required: must, disabled: !must, ...about, "aria-describedby": hint && `${id}-hint` });
  const words_ = hint ? make("small", { id: `${id}-hint` }, hint) : null;
  if (must) return make("div", {}, make("label", { for: id }, label), input, words_);
  const give = make("input", { type: "checkbox", id: `give-${name}` });
  give.addEventListener("change", () => {
    input.disabled = !give.checked;
    input.required = give.checked;
  });
  return make("div", {}, make("p", { class: "choice" }, give, make("label", { for: `give-${name}` }, `Give: ${label}`)),
    make("label", { for: id, class: "unseen" }, label), input, words_);
}

/** What is given, by name, mandatory names first and each list in the merchant's order: the page shows them so. */
function given() {
  const inputs = [...$("request-form").querySelectorAll("#mandatory input, #optional input:not([type=checkbox])")];
  return inputs.filter((input) => !input.disabled).map((input) => [input.name, clean(input.value)]);
}

// The answer

onSubmit($("request-form"), "Approving…", async () => {
  const values = given();
  if (values.some(([, value]) => value === "")) throw new Error("Fill in what you want to give, or do not give it.");
  if ($("remember").checked) await remember(values);
  const granted = values.map(([name]) => name).join(";");
  const { inside, keys } = request;
  const body = { persona: inside.username, granted, sig: sign(keys.sign, TAG, [challenge, "approve", granted]) };
  const release = await space.call("POST", `welcomes/${encodeURIComponent(challenge)}/approve`, body);
  leaveFor(release, new Map(values));
});

async function remember(values) {
  const changed = { ...space.properties, ...Object.fromEntries(values) };
  try {
    await space.remember(changed);
  } catch (error) {
    $("remember").checked = false;
    throw new Error(`Nothing was sent yet: these values could not be remembered (${words(error)}) Press Approve again to go on without.`);
  }
}

/** Goes to the merchant with a form: the values are in its body, seen by the merchant only. */
function leaveFor({ action, fields }, values) {
  const { inside } = request;
  if (new URL(action).origin !== new URL(inside.origin).origin) {
    throw new Error("The hub named another site than the one that asked. Nothing was sent.");
  }
  const form = $("release-form");
  form.action = action;
  const inputs = fields.map((name) => make("input", { type: "hidden", name, value: values.get(name.replace(/^sc_/, "")) ?? "" }));
  $("release-fields").replaceChildren(...inputs);
  $("release-site").textContent = inside.site_name;
  show("release");
  say(`Approved. Taking you to ${inside.site_name}.`);
  form.submit();
}

$("deny").addEventListener("click", () =>
  attempt("Refusing…", async () => {
    const { inside, keys } = request;
    const body = { persona: inside.username, sig: sign(keys.sign, TAG, [challenge, "deny", ""]) };
    await space.call("POST", `welcomes/${encodeURIComponent(challenge)}/deny`, body);
    over("denied");
  }));

await unlocking("none", enter);
