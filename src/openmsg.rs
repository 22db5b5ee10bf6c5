//! The Openmsg protocol without its wires: addresses, secrets, packages, and every request and answer as a type.
//!
//! Promises: what parses is right (nothing behind the door checks a shape again), what is emitted is what every known dialect
//! reads, and nothing a stranger sends can panic or is echoed. The door, the workers and the pages build on these types; storage,
//! time and the network are theirs. Liberal in what it takes, one form in what it gives: a number where a text is meant, either
//! base64 alphabet, and every dialect's field names are understood.
//!
//! In the order of the journey: an [`Address`] and a [`PassCode`] make a handshake ([`handshake`]); its outcome is an [`AuthCode`],
//! an [`IdentCode`] and a [`CryptKey`]; with them a text becomes a [`Package`] and travels ([`message`]); everything is answered by
//! [`answer`] (ours) and read by [`reply`] (theirs), with a [`Code`] that tells the sender what to do ([`Verdict`]).

pub mod answer;
pub mod handshake;
pub mod message;
pub mod reply;

mod address;
mod code;
mod field;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod name;
mod package;
mod secrets;

pub use address::{Address, AddressError, AddressId, Domain, DomainError, IdError};
pub use code::{Code, Verdict};
pub use field::WireError;
pub use name::{DisplayName, NameError};
pub use package::{
    Alphabet, Decoded, Nonce, Package, PackageError, message_hash, passcode_hash, passcode_hash_swapped,
};
pub use secrets::{AuthCode, CryptKey, IdentCode, MessageHash, PassCode, PassCodeError, Salt};
