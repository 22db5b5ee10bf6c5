// libsodium, ready to use, and the encodings of HS/1.
// Everything that computes with keys imports it from here, so that nothing runs before the library is there.

import sodium from "./libsodium-wrappers.mjs";

await sodium.ready;

export { sodium };

const WITHOUT_PADDING = sodium.base64_variants.URLSAFE_NO_PADDING;

/** Bytes as base64url without padding. */
export const toText = (bytes) => sodium.to_base64(bytes, WITHOUT_PADDING);

/** The bytes of base64url without padding; throws when it is none. */
export const toBytes = (text) => sodium.from_base64(text, WITHOUT_PADDING);

/** Text as UTF-8. */
export const utf8 = (text) => new TextEncoder().encode(text);

/** What is signed: the tag, a zero, and each part behind its length as four bytes, the highest first. Parts are texts. */
export function canonical(tag, parts) {
  const pieces = [utf8(tag), new Uint8Array(1)];
  for (const part of parts.map(utf8)) {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, part.length);
    pieces.push(length, part);
  }
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
