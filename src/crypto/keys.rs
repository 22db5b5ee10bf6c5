//! The node's own keys: what seals secrets at rest and keys the hashes of codes.
//!
//! They live in a file, never in the database, so that a stolen database says nothing. Each key has a number that is written into
//! everything it sealed; the first of the file seals, all open, so a key is replaced by putting a new one on top and dropping the
//! old one when nothing sealed by it is left. From every key one subkey a [`Purpose`] is derived, and a value is bound to its
//! context (the row it belongs to), so that nothing sealed for one place opens in another. Leaves out re-sealing.

mod file;

pub use file::KeyFileError;

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::{NONCE_BYTES, TAG_BYTES, hmac_sha256, open_with_context, random, seal_with_context};

/// The form of sealed values; a change of cipher gets the next number.
const VERSION: u8 = 1;
/// Version, number of the key, nonce.
const HEAD_BYTES: usize = 1 + 2 + NONCE_BYTES;

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// What something is sealed or hashed for. A value made for one purpose is noise to every other.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Purpose { $($(#[$doc])* $name,)* }

        impl Purpose {
            const ALL: &[Self] = &[$(Self::$name,)*];

            /// Part of the key derivation: a label never changes once something was sealed under it.
            fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

purposes! {
    /// The secrets of a connection: auth code, ident code, key.
    Connection = "connection",
    /// The look-up hash of an ident code.
    Ident = "ident",
    /// The text of a message on its way out.
    Message = "message",
    /// The template of a campaign.
    Campaign = "campaign",
    /// The text of a message that arrived.
    Inbox = "inbox",
    /// The body of a POST in flight.
    Outbox = "outbox",
    /// Requests and answers of asks, which cross the broker.
    Ask = "ask",
    /// The pass code of a handshake we start.
    Handshake = "handshake",
    /// Pass codes of our accounts.
    PassCode = "pass code",
    /// Every other one-time code.
    Code = "code",
    /// API keys.
    ApiKey = "api key",
    /// Sessions of the pages.
    Session = "session",
    /// Content an idempotency key stands for.
    Idempotency = "idempotency",
    /// Where a webhook is, and what it is signed with.
    Webhook = "webhook",
    /// Messages that wait for devices, and the names of their mailboxes.
    Envelope = "envelope",
    /// Access data of devices and providers.
    Credential = "credential",
    /// URLs of files.
    Attachment = "attachment",
    /// Logins by code: addresses, tokens, what is known of an application's back end.
    Login = "login",
    /// Homing Space: the hub's keys and sauces, a gateway's attempts and sessions.
    Homing = "homing",
    /// The mailbox: sessions and invitations.
    Mailbox = "mailbox",
}

/// The keys of the node. Cloning is for start-up; share it in an `Arc`.
#[derive(Clone)]
pub struct NodeKeys {
    /// Never empty; the first seals.
    keys: Vec<NodeKey>,
}

#[derive(Clone)]
struct NodeKey {
    number: u16,
    /// By `Purpose as usize`.
    subkeys: Vec<Subkeys>,
}

#[derive(Clone)]
struct Subkeys {
    sealing: Zeroizing<[u8; 32]>,
    hashing: Zeroizing<[u8; 32]>,
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, or of a form this version does not know.
    #[error("not a sealed value of this version")]
    Form,
    /// Sealed by a key that the key file no longer holds.
    #[error("sealed by node key {0}, which is not in the key file")]
    UnknownKey(u16),
    /// Damaged, or of another purpose or context.
    #[error("the sealed value is damaged or belongs elsewhere")]
    Seal,
}

impl NodeKeys {
    /// Reads the key file. Refused when anybody but its owner may read it, and when a line is not `<number> <64 hex digits>`.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        Self::parse(&file::read(path)?)
    }

    /// Makes a key file with one new key, readable by its owner only. An existing file is never overwritten.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let text = file::create(path)?;
        Self::parse(&text)
    }

    /// One new key that is kept nowhere: what it seals is lost with the process. For tests.
    pub fn ephemeral() -> Self {
        Self { keys: vec![NodeKey::derive(1, &Zeroizing::new(random()))] }
    }

    /// The text of a key file.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let masters = file::parse(text)?;
        Ok(Self { keys: masters.iter().map(|key| NodeKey::derive(key.number, &key.secret)).collect() })
    }

    /// The number of the key that seals.
    pub fn current(&self) -> u16 {
        self.sealing().number
    }

    /// Seals `text` for `purpose`, bound to `context`: what identifies the place it is kept in (a table and a row's id).
    pub fn seal(&self, purpose: Purpose, context: &[u8], text: &[u8]) -> Vec<u8> {
        let key = self.sealing();
        let nonce = random::<NONCE_BYTES>();
        let mut sealed = Vec::with_capacity(HEAD_BYTES + TAG_BYTES + text.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.number.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        let bound = bound_context(key.number, context);
        sealed.extend(seal_with_context(text, &bound, &nonce, &key.of(purpose).sealing));
        sealed
    }

    /// Opens what [`seal`](Self::seal) made for the same purpose and context.
    pub fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let number = Self::number_of(sealed)?;
        let nonce: &[u8; NONCE_BYTES] = sealed[3..].first_chunk().ok_or(OpenError::Form)?;
        let key = self.keys.iter().find(|key| key.number == number).ok_or(OpenError::UnknownKey(number))?;
        let bound = bound_context(number, context);
        open_with_context(&sealed[HEAD_BYTES..], &bound, nonce, &key.of(purpose).sealing).map_err(|_| OpenError::Seal)
    }

    /// The number of the key that sealed a value, for counting what an old key still holds.
    pub fn number_of(sealed: &[u8]) -> Result<u16, OpenError> {
        match sealed {
            [VERSION, high, low, rest @ ..] if rest.len() >= NONCE_BYTES + TAG_BYTES => {
                Ok(u16::from_be_bytes([*high, *low]))
            }
            _ => Err(OpenError::Form),
        }
    }

    /// The keyed hash of `parts` under the current key. Parts are told apart by their lengths: `["ab", "c"]` is not `["a", "bc"]`.
    pub fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        self.sealing().hash(purpose, parts)
    }

    /// The same under every key, the current one first: what a look-up asks for while keys are being replaced.
    pub fn hashes(&self, purpose: Purpose, parts: &[&[u8]]) -> Vec<[u8; 32]> {
        self.keys.iter().map(|key| key.hash(purpose, parts)).collect()
    }

    fn sealing(&self) -> &NodeKey {
        &self.keys[0]
    }
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.number)).finish()
    }
}

impl NodeKey {
    fn derive(number: u16, master: &Zeroizing<[u8; 32]>) -> Self {
        let subkey = |role: &str, purpose: Purpose| {
            Zeroizing::new(hmac_sha256(master, &[b"handfast ", role.as_bytes(), b" ", purpose.label().as_bytes()]))
        };
        let both = |purpose: &Purpose| Subkeys { sealing: subkey("seal", *purpose), hashing: subkey("hash", *purpose) };
        Self { number, subkeys: Purpose::ALL.iter().map(both).collect() }
    }

    fn of(&self, purpose: Purpose) -> &Subkeys {
        &self.subkeys[purpose as usize]
    }

    fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut framed = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum()));
        for part in parts {
            framed.extend_from_slice(&(part.len() as u64).to_be_bytes());
            framed.extend_from_slice(part);
        }
        hmac_sha256(&self.of(purpose).hashing, &[&framed])
    }
}

/// The head is vouched for together with the caller's context.
fn bound_context(number: u16, context: &[u8]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(3 + context.len());
    bound.push(VERSION);
    bound.extend_from_slice(&number.to_be_bytes());
    bound.extend_from_slice(context);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn two_lines() -> (String, String) {
        (format!("1 {}", "11".repeat(32)), format!("2 {}", "22".repeat(32)))
    }

    #[test]
    fn a_value_opens_only_at_its_place() {
        let keys = NodeKeys::ephemeral();
        let sealed = keys.seal(Purpose::Message, b"message 7", b"text");
        assert_eq!(keys.open(Purpose::Message, b"message 7", &sealed).unwrap().as_slice(), b"text");
        assert_eq!(keys.open(Purpose::Message, b"message 8", &sealed), Err(OpenError::Seal));
        assert_eq!(keys.open(Purpose::Inbox, b"message 7", &sealed), Err(OpenError::Seal));
        for at in 3..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(keys.open(Purpose::Message, b"message 7", &damaged), Err(OpenError::Seal), "byte {at}");
        }
        assert_ne!(sealed, keys.seal(Purpose::Message, b"message 7", b"text"));
    }

    #[test]
    fn after_a_change_of_keys_old_values_open_and_new_ones_are_under_the_new_key() {
        let (one, two) = two_lines();
        let before = NodeKeys::parse(&one).unwrap();
        let during = NodeKeys::parse(&format!("# changed\n{two}\n{one}\n")).unwrap();
        let after = NodeKeys::parse(&two).unwrap();
        let old = before.seal(Purpose::Inbox, b"", b"old");
        assert_eq!(during.open(Purpose::Inbox, b"", &old).unwrap().as_slice(), b"old");
        assert_eq!(after.open(Purpose::Inbox, b"", &old), Err(OpenError::UnknownKey(1)));
        assert_eq!(NodeKeys::number_of(&during.seal(Purpose::Inbox, b"", b"new")), Ok(2));
        assert_eq!(during.current(), 2);
        let hash = before.hash(Purpose::PassCode, &[b"1*a.example", b"042137"]);
        assert_eq!(during.hashes(Purpose::PassCode, &[b"1*a.example", b"042137"])[1], hash);
    }

    #[test]
    fn hashes_tell_parts_and_purposes_apart() {
        let keys = NodeKeys::ephemeral();
        let hash = keys.hash(Purpose::Code, &[b"ab", b"c"]);
        assert_eq!(hash, keys.hash(Purpose::Code, &[b"ab", b"c"]));
        assert_ne!(hash, keys.hash(Purpose::Code, &[b"a", b"bc"]));
        assert_ne!(hash, keys.hash(Purpose::ApiKey, &[b"ab", b"c"]));
    }

    /// What is in a database of today must open tomorrow: the form and the derivation may not drift.
    #[test]
    fn the_form_is_fixed() {
        let keys = NodeKeys::parse(&two_lines().0).unwrap();
        let hash = crate::crypto::encode_hex(&keys.hash(Purpose::PassCode, &[b"a", b"b"]));
        assert_eq!(hash, FIXED_HASH);
        let sealed: [u8; 45] = crate::crypto::decode_hex(FIXED_SEALED).unwrap();
        assert_eq!(keys.open(Purpose::Connection, b"row", &sealed).unwrap().as_slice(), b"ok");
    }

    // Calculated by an independent implementation of the derivation and of XChaCha20-Poly1305.
    const FIXED_HASH: &str = "27ea53cb9a9658e251f13d675a2adde96231a3e58834780598ad7b41c6ada189";
    const FIXED_SEALED: &str =
        "010001000102030405060708090a0b0c0d0e0f1011121314151617cee331c0cdeb993bf2fc5e3910f4855eb39b";

    #[test]
    fn debug_shows_numbers_only() {
        assert_eq!(format!("{:?}", NodeKeys::parse(&two_lines().0).unwrap()), "[1]");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            prop_assert!(NodeKeys::ephemeral().open(Purpose::Ask, b"", &bytes).is_err());
        }

        #[test]
        fn what_was_sealed_opens(text: Vec<u8>, context: Vec<u8>) {
            let keys = NodeKeys::ephemeral();
            let sealed = keys.seal(Purpose::Ask, &context, &text);
            let opened = keys.open(Purpose::Ask, &context, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), text.as_slice());
        }
    }
}
