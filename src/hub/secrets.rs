//! How what is secret is stored: as a keyed hash where it only has to be recognised, sealed where it has to be used.

use zeroize::Zeroizing;

use crate::App;
use crate::crypto::{Purpose, random};
use crate::homing::encode;

/// A new secret of 32 bytes, as text.
pub(super) fn new() -> Zeroizing<String> {
    Zeroizing::new(encode(Zeroizing::new(random::<32>()).as_slice()))
}

/// How something secret is stored: under every node key, the current one first.
pub(super) fn hashes(app: &App, what: &str, secret: &str) -> Vec<[u8; 32]> {
    app.keys.hashes(Purpose::Homing, &[b"hub", what.as_bytes(), secret.as_bytes()])
}

/// The same under the current key: for storing.
pub(super) fn hash(app: &App, what: &str, secret: &str) -> [u8; 32] {
    app.keys.hash(Purpose::Homing, &[b"hub", what.as_bytes(), secret.as_bytes()])
}

/// What a sealed value is bound to: its table, and its row.
pub(super) fn place(table: &str, row: &str) -> Vec<u8> {
    format!("{table}/{row}").into_bytes()
}
