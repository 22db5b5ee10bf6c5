// The keys of a space: all of them follow from its root, 32 random bytes that never leave the browser unsealed.

import { canonical, sodium, toText } from "./sodium.js";

const SEED_BYTES = 32;
const SPACE = "HSspace_";
const PERSONA_SIGN = "HSpsign_";
const PERSONA_BOX = "HSpbox__";

/** A new root. */
export const newRoot = () => sodium.randombytes_buf(SEED_BYTES);

function derived(root, number, context, use) {
  const seed = sodium.crypto_kdf_derive_from_key(SEED_BYTES, number, context, root);
  try {
    return use(seed);
  } finally {
    sodium.memzero(seed);
  }
}

/** The pair with which a space signs in. */
export const spaceKeys = (root) => derived(root, 0, SPACE, (seed) => sodium.crypto_sign_seed_keypair(seed));

/** The two pairs of a persona. Its index begins at 1 and is never used twice, so no two personas ever share a key. */
export function personaKeys(root, index) {
  if (!Number.isSafeInteger(index) || index < 1) throw new RangeError("a persona's index begins at 1");
  return {
    sign: derived(root, index, PERSONA_SIGN, (seed) => sodium.crypto_sign_seed_keypair(seed)),
    box: derived(root, index, PERSONA_BOX, (seed) => sodium.crypto_box_seed_keypair(seed)),
  };
}

/** The files that a merchant's server is given: one line of base64 each. */
export function keyFiles(root, index) {
  const line = (bytes) => `${sodium.to_base64(bytes, sodium.base64_variants.ORIGINAL)}\n`;
  return [
    { name: "homing-sign.key", text: derived(root, index, PERSONA_SIGN, line) },
    { name: "homing-box.key", text: line(personaKeys(root, index).box.privateKey) },
  ];
}

/** A signature over a tag and its parts, as text. */
export const sign = (pair, tag, parts) => toText(sodium.crypto_sign_detached(canonical(tag, parts), pair.privateKey));

/** The text in a box that was sealed for a pair; throws when it is for another. */
export const openSealed = (pair, sealed) =>
  sodium.to_string(sodium.crypto_box_seal_open(sealed, pair.publicKey, pair.privateKey));

/** Overwrites secrets. */
export function wipe(...secrets) {
  for (const secret of secrets) if (secret) sodium.memzero(secret);
}
