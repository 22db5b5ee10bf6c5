// The space of this browser: made, brought here, unlocked, and what it asks of the hub.
// Its keys are in this module's memory and nowhere else; a page that is left or reloaded asks for the password again.

import { Refused, call } from "./api.js";
import { newRoot, openSealed, personaKeys, sign, spaceKeys, wipe } from "./keys.js";
import { toBytes, toText } from "./sodium.js";
import { forget, forgetSession, keep, keepSession, kept, renew, session } from "./store.js";
import * as vault from "./vault.js";

export { kept };

/** Words for a person, as they are. */
class Told extends Error {}

/** Refuses to put a space in the place of another one, which a second tab may have made or brought here. */
async function onlyOne(space) {
  const record = await kept();
  if (record && record.space !== space) throw new Told("There is a space in this browser already. Reload this page to see it.");
}

/** Ends this tab's session, whichever space's it is. */
async function endSession() {
  const held = session();
  forgetSession();
  if (held) await call("POST", "spaces/logout", undefined, { token: held.token }).catch(() => null);
}

/** Removes a space that is locked from this browser, and what is left of its session. */
export async function remove(space) {
  await endSession();
  await forget(space);
}

/** An opened space. */
export class Space {
  #vault;
  #token = null;
  #lifted = new AbortController();

  constructor(id, opened, version) {
    this.id = id;
    this.version = version;
    this.#vault = opened;
  }

  /** Makes a space at the hub and keeps it in this browser. */
  static async create(password) {
    await onlyOne(null);
    const opened = vault.locked(password, newRoot(), {});
    const text = vault.seal(opened);
    const pair = spaceKeys(opened.root);
    const public_ = toText(pair.publicKey);
    const signature = sign(pair, "homing/space/v1", ["create", public_, text]);
    const { space } = await call("POST", "spaces", { sign_pk: public_, vault: text, sig: signature });
    await keep({ space, vault: text, version: 1 });
    return new Space(space, opened, 1);
  }

  /** Brings a space to this browser: its code leads to the vault, its password opens it. */
  static async bring(space, password) {
    await onlyOne(space);
    let held;
    try {
      held = await call("POST", "vault/fetch", { space });
    } catch (error) {
      throw error.status === 404 || error.status === 400 ? new Told("There is no space with this code. Is it whole?") : error;
    }
    const opened = vault.open(held.vault, password);
    await keep({ space, ...held });
    return new Space(space, opened, held.version);
  }

  /** Unlocks the space that this browser keeps. */
  static async unlock(password) {
    const record = await kept();
    if (!record) throw new Told("There is no space in this browser.");
    // The vault may have changed on another phone, password included. An older one than ours is never taken.
    const newer = await call("POST", "vault/fetch", { space: record.space }).catch(() => null);
    const candidates = newer && newer.version > record.version ? [newer, record] : [record];
    for (const held of candidates) {
      try {
        const opened = vault.open(held.vault, password);
        if (held === newer) await renew({ space: record.space, ...newer });
        return new Space(record.space, opened, held.version);
      } catch (error) {
        if (held === candidates.at(-1)) throw error;
      }
    }
  }

  /** Aborted when the space is locked. */
  get locked() {
    return this.#lifted.signal;
  }

  /** What merchants may be given, by name. */
  get properties() {
    return { ...this.#vault.properties };
  }

  /** Keeps properties: sealed here, and as a copy at the hub. */
  async remember(properties) {
    await this.#put({ ...this.#vault, properties: { ...properties } });
  }

  /** Seals the vault under another password. */
  async changePassword(old, password) {
    const record = await kept();
    if (record?.space !== this.id) throw new Told("This space was removed from this browser in another tab. Reload this page.");
    vault.open(record.vault, old);
    await this.#put(vault.locked(password, this.#vault.root, this.#vault.properties));
  }

  async #put(changed) {
    const text = vault.seal(changed);
    const version = this.version + 1;
    try {
      await this.call("PUT", "vault", { vault: text, version });
    } catch (error) {
      if (error.status !== 409) throw error;
      throw new Told("The space was changed on another phone or in another tab. Reload this page, then change it again.");
    }
    await renew({ space: this.id, vault: text, version });
    this.#vault = changed;
    this.version = version;
  }

  /** Calls the hub as this space; signs in when there is no session or when it is over. */
  async call(method, path, body, signal) {
    this.#token ??= this.#held() ?? (await this.#signIn());
    const once = () => call(method, path, body, { token: this.#token, signal: signal ?? this.locked });
    try {
      return await once();
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error;
      this.#token = await this.#signIn();
      return once();
    }
  }

  /** The token of this tab's session, if it is this space's: with another's, this vault would take the place of that one's. */
  #held() {
    const held = session();
    return held?.space === this.id ? held.token : null;
  }

  async #signIn() {
    const signal = { signal: this.locked };
    const { nonce } = await call("POST", "spaces/challenge", { space: this.id }, signal);
    const sig = sign(spaceKeys(this.#vault.root), "homing/space-login/v1", [this.id, nonce]);
    const { token } = await call("POST", "spaces/login", { space: this.id, nonce, sig }, signal);
    keepSession(this.id, token);
    return token;
  }

  /** {personas, next_index}. */
  personas() {
    return this.call("GET", "personas");
  }

  /** Takes a name. */
  async take(name) {
    const { next_index: index } = await this.personas();
    const { sign: signing, box } = personaKeys(this.#vault.root, index);
    const body = { name, index, box_pk: toText(box.publicKey), sign_pk: toText(signing.publicKey) };
    return this.call("POST", "personas", body);
  }

  /** Both pairs of a persona by its name. */
  async keysOf(name) {
    const { personas } = await this.personas();
    const found = personas.find((persona) => persona.name === name.toLowerCase());
    if (!found) throw new Told(`Your space has no persona ${name}.`);
    return personaKeys(this.#vault.root, found.index);
  }

  /** A welcome, opened: what the hub says of it, and what was sealed for its persona. */
  async welcome(challenge) {
    const outside = await this.call("GET", `welcomes/${encodeURIComponent(challenge)}`);
    const keys = await this.keysOf(outside.persona);
    let inside;
    try {
      inside = JSON.parse(openSealed(keys.box, toBytes(outside.sealed)));
    } catch {
      throw new Told("This request cannot be opened with the keys of your space.");
    }
    const same = inside.challenge === challenge && inside.username.toLowerCase() === outside.persona.toLowerCase();
    if (!same) throw new Told("This request says one thing outside and another inside. It was not shown.");
    return { outside, inside, keys };
  }

  /** Does something with the root; it must not keep it. */
  withRoot(use) {
    return use(this.#vault.root);
  }

  /** Ends the session and overwrites the keys. */
  async lock() {
    this.#lifted.abort();
    this.wipe();
    await endSession();
  }

  /** Overwrites the keys. */
  wipe() {
    wipe(this.#vault.root, this.#vault.key);
    this.#vault.properties = {};
    this.#token = null;
  }

  /** Locks it and removes it from this browser. */
  async leave() {
    await this.lock();
    await forget(this.id);
  }
}
