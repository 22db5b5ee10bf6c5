// Calls of the hub, and words for what it refuses.

const HUB = new URL("../", import.meta.url);

/** The address of something below the hub's own. */
export const address = (path) => new URL(path, HUB).href;

/** A refusal of the hub, or a hub that cannot be reached (status 0). */
export class Refused extends Error {
  constructor(status, code, message, after) {
    super(message);
    this.status = status;
    this.code = code;
    this.after = after;
  }
}

/** Calls `api/v1/…`; the answer's JSON, or null. `options`: token, signal. */
export async function call(method, path, body, { token, signal } = {}) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token) headers.authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(address(`api/v1/${path}`), {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), credentials: "omit",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "UNREACHABLE", "");
  }
  const text = await answer.text();
  let said = null;
  try {
    said = text === "" ? null : JSON.parse(text);
  } catch {
    // A proxy between here and the hub has its own pages.
  }
  if (!answer.ok) throw new Refused(answer.status, said?.error ?? "", said?.message ?? "", answer.headers.get("retry-after"));
  return said;
}

const WORDS = {
  UNREACHABLE: "The hub cannot be reached. Are you online? Please try again.",
  SIGNED_OUT: "The session is over. Please reload the page and unlock the space again.",
  TAKEN: "Somebody has, or had, this name or one that looks like it. Please choose another.",
  FULL: "There are as many as there may be. Delete one first.",
  CONFLICT: "It was changed on another phone or in another tab meanwhile. Reload the page and try again.",
  WRONG_CODE: "This is not the code that was sent, or it is too old. After five wrong ones, add the address anew.",
  BAD_USERNAME:
    "A name has 3 to 32 characters: small letters, digits, _ and -, and begins with a letter. Some names are reserved.",
  BAD_INDEX: "Another tab or phone took a persona at the same time. Please try again.",
  BAD_SIGNATURE: "The hub did not accept this space's signature. Please unlock the space again.",
  TRIAL_ENDED: "The merchant's trial has ended, so its visitors cannot be let in at the moment.",
  ENDPOINT_NOT_REGISTERED: "The merchant's site sent an address that it never registered. Nothing was sent there.",
  SITE_REVOKED: "The merchant's site is no longer with this hub.",
  SCOPE_NOT_ALLOWED: "The merchant asked for something it may not ask for.",
  NOT_FOUND: "There is nothing under this address for your space.",
  REPLAYED: "This was sent before, and counts only once.",
  ALREADY_DECIDED: "You have already answered this request.",
  EXPIRED: "This request is too old. Go back to the merchant's site and begin again.",
  MISSING_SCOPE: "The merchant asks for more than what was given. Fill in everything that is marked as needed.",
};

/** A sentence for a person. */
export function words(error) {
  if (!(error instanceof Refused)) return error?.message || "Something went wrong in this page. Please reload it.";
  if (error.status === 429) {
    const seconds = Number(error.after);
    return seconds > 0 ? `That was too often. Please try again in ${duration(seconds)}.` : "That was too often. Please try again later.";
  }
  if (WORDS[error.code]) return WORDS[error.code];
  if (error.status >= 500) return "The hub is busy or restarting. Please try again in a moment.";
  return error.message || `The hub refused this (${error.status}).`;
}

/** Seconds in words. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.ceil(seconds))} seconds`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
  return `${Math.round(seconds / 3600)} hours`;
}
