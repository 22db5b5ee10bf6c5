// The vault: a space's root and properties, sealed under its password. To the hub it is a text like any other.

import { sodium, toBytes, toText, utf8 } from "./sodium.js";

const ALGORITHM = "argon2id13";
const OPS = 2;
const MEM = 64 * 1024 * 1024;
/** More than this no vault of ours asks for: a browser should not be kept busy by a text from elsewhere. */
const MOST_OPS = 16;
const MOST_MEM = 1024 * 1024 * 1024;

/** The password does not open the vault (or somebody changed the vault: the two cannot be told apart). */
export class WrongPassword extends Error {}

/** The text is no vault. */
export class NoVault extends Error {}

function keyFrom(password, { salt, ops, mem }) {
  // The same letters give the same bytes, whichever way a keyboard composes them.
  const bytes = utf8(password.normalize("NFC"));
  try {
    return sodium.crypto_pwhash(
      sodium.crypto_secretbox_KEYBYTES, bytes, salt, ops, mem, sodium.crypto_pwhash_ALG_ARGON2ID13,
    );
  } finally {
    sodium.memzero(bytes);
  }
}

/** An opened vault with a fresh key made from a password. */
export function locked(password, root, properties) {
  const made = { salt: sodium.randombytes_buf(sodium.crypto_pwhash_SALTBYTES), ops: OPS, mem: MEM };
  return { ...made, key: keyFrom(password, made), root, properties };
}

/** The text of an opened vault, under the key it has and a nonce of its own. */
export function seal({ salt, ops, mem, key, root, properties }) {
  const plain = utf8(JSON.stringify({ root: toText(root), properties }));
  const nonce = sodium.randombytes_buf(sodium.crypto_secretbox_NONCEBYTES);
  const box = sodium.crypto_secretbox_easy(plain, nonce, key);
  sodium.memzero(plain);
  return JSON.stringify({
    v: 1, alg: ALGORITHM, ops, mem, salt: toText(salt), nonce: toText(nonce), box: toText(box),
  });
}

/** Opens a vault: its root (bytes), its properties (texts by name), and what is needed to seal it again. */
export function open(text, password) {
  const { salt, nonce, box, ops, mem } = parse(text);
  const key = keyFrom(password, { salt, ops, mem });
  let plain;
  try {
    plain = sodium.crypto_secretbox_open_easy(box, nonce, key);
  } catch {
    sodium.memzero(key);
    throw new WrongPassword("the password does not open the vault");
  }
  const { root, properties } = JSON.parse(sodium.to_string(plain));
  sodium.memzero(plain);
  return { salt, ops, mem, key, root: toBytes(root), properties: { ...properties } };
}

function parse(text) {
  let read;
  try {
    const { v, alg, ops, mem, salt, nonce, box } = JSON.parse(text);
    if (v !== 1 || alg !== ALGORITHM) throw new NoVault("a vault of another version");
    if (!(ops >= 1 && ops <= MOST_OPS && mem >= 8192 && mem <= MOST_MEM)) throw new NoVault("a vault that asks too much");
    read = { ops, mem, salt: toBytes(salt), nonce: toBytes(nonce), box: toBytes(box) };
  } catch (error) {
    throw new NoVault(error.message);
  }
  if (read.salt.length !== sodium.crypto_pwhash_SALTBYTES || read.nonce.length !== sodium.crypto_secretbox_NONCEBYTES) {
    throw new NoVault("a vault that is damaged");
  }
  return read;
}
