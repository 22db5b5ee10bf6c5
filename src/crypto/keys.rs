//! The node's own keys: what seals secrets at rest and keys the hashes of codes.
//!
//! They live in a file, never in the database, so that a stolen database says nothing. Each key has a number that is written into
//! everything it sealed; the first of the file seals, all open, so a key is replaced by putting a new one on top and dropping the
//! old one when nothing sealed by it is left. From every key one subkey a [`Purpose`] is derived, and a value is bound to its
//! context (the row it belongs to), so that nothing sealed for one place opens in another.
//!
//! A process takes up what is added to the file while it runs, and never lets go of a key that it holds: a file that has lost one is
//! refused. What is in the file and was not compared with the database yet may open, and neither seals nor is said to be held.
//! Leaves out re-sealing, and who holds what: that is [`crate::keyring`].

mod file;

pub use file::KeyFileError;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

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

/// What [`NodeKeys::marks`] seals: a key that opens it is the same key.
const MARKED: &[u8] = b"handfast";
const MARK_CONTEXT: &[u8] = b"key check";

/// What names a key that is not held may be made up by a stranger (a cookie): the file is read for it at most so often.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// The keys of the node. Clones share them.
#[derive(Clone)]
pub struct NodeKeys {
    ring: Arc<Ring>,
}

struct Ring {
    /// Never empty; the first seals.
    held: RwLock<Arc<Vec<NodeKey>>>,
    /// Where they came from.
    file: Option<PathBuf>,
    /// What the file held when something could not be opened, and when that was.
    unchecked: Mutex<Option<(Instant, Arc<Vec<NodeKey>>)>>,
    /// The key that something could not be opened for want of; 0: none.
    missed: AtomicU16,
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

impl OpenError {
    /// The key that is wanting, where it is that.
    pub fn lacks(&self) -> Option<u16> {
        match self {
            Self::UnknownKey(number) => Some(*number),
            Self::Form | Self::Seal => None,
        }
    }
}

impl NodeKeys {
    /// Reads the key file. Refused when anybody but its owner may read it, and when a line is not `<number> <64 hex digits>`.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        Ok(Self::of(read(&file::read(path)?)?, Some(path.into())))
    }

    /// Makes a key file with one new key, readable by its owner only. An existing file is never overwritten.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        Ok(Self::of(read(&file::create(path)?)?, Some(path.into())))
    }

    /// Adds a new key to a key file, below all others: it opens, and does not seal yet. Gives its number.
    pub fn add(path: &Path) -> Result<u16, KeyFileError> {
        file::add(path)
    }

    /// Moves a key of a key file above all others: it seals from when the file is read next.
    pub fn promote(path: &Path, number: u16) -> Result<(), KeyFileError> {
        file::promote(path, number)
    }

    /// One new key that is kept nowhere: what it seals is lost with the process. For tests.
    pub fn ephemeral() -> Self {
        Self::of(vec![NodeKey::derive(1, &Zeroizing::new(random()))], None)
    }

    fn of(keys: Vec<NodeKey>, file: Option<PathBuf>) -> Self {
        let held = RwLock::new(Arc::new(keys));
        Self { ring: Arc::new(Ring { held, file, unchecked: Mutex::default(), missed: AtomicU16::new(0) }) }
    }

    /// The text of a key file.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        Ok(Self::of(read(text)?, None))
    }

    /// What the file that the keys came from holds now, if that is something else. Nothing is taken up: that is [`Self::hold`].
    ///
    /// # Errors
    /// What is wrong with the file, or that it lacks a key that is held.
    pub fn fresh(&self) -> Result<Option<Self>, KeyFileError> {
        let Some(path) = &self.ring.file else { return Ok(None) };
        let fresh = Self::load(path)?;
        let (new, held) = (fresh.held(), self.held());
        for key in held.iter() {
            let same = find(&new, key.number).ok_or(KeyFileError::Lost(key.number))?;
            if same.subkeys.iter().zip(&key.subkeys).any(|(a, b)| *a.sealing != *b.sealing) {
                return Err(KeyFileError::Lost(key.number));
            }
        }
        Ok((fresh.numbers() != self.numbers()).then_some(fresh))
    }

    /// From now on these are the keys, in all clones. They are what [`Self::fresh`] gave, and found to be the database's.
    pub fn hold(&self, fresh: &Self) {
        *self.ring.held.write().unwrap_or_else(PoisonError::into_inner) = fresh.held();
    }

    /// The key that something could not be opened for want of, if that is still so. Whoever sealed it may have made the number up.
    pub fn missed(&self) -> Option<u16> {
        let number = self.ring.missed.load(Ordering::Relaxed);
        (number != 0 && find(&self.held(), number).is_none()).then_some(number)
    }

    /// There is no such key: what names it is damaged, or a stranger's.
    pub fn never_was(&self, number: u16) {
        let _ = self.ring.missed.compare_exchange(number, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The number of the key that seals.
    pub fn current(&self) -> u16 {
        self.held()[0].number
    }

    /// The numbers of all keys, the one that seals first.
    pub fn numbers(&self) -> Vec<u16> {
        self.held().iter().map(|key| key.number).collect()
    }

    /// A known text sealed under each key, by its number: what [`Self::opens_mark`] is asked later.
    pub fn marks(&self) -> Vec<(u16, Vec<u8>)> {
        let mark = |key: &NodeKey| (key.number, seal(key, Purpose::Credential, MARK_CONTEXT, MARKED));
        self.held().iter().map(mark).collect()
    }

    /// Whether the very key that made this mark is held.
    pub fn opens_mark(&self, mark: &[u8]) -> bool {
        let held = self.held();
        let key = Self::number_of(mark).ok().and_then(|number| find(&held, number));
        let opened = key.map(|key| open(key, Purpose::Credential, MARK_CONTEXT, mark));
        opened.is_some_and(|opened| opened.is_ok_and(|text| text.as_slice() == MARKED))
    }

    /// Seals `text` for `purpose`, bound to `context`: what identifies the place it is kept in (a table and a row's id).
    pub fn seal(&self, purpose: Purpose, context: &[u8], text: &[u8]) -> Vec<u8> {
        seal(&self.held()[0], purpose, context, text)
    }

    /// Opens what [`seal`](Self::seal) made for the same purpose and context.
    pub fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let number = Self::number_of(sealed)?;
        if let Some(key) = find(&self.held(), number) {
            return open(key, purpose, context, sealed);
        }
        // Another process has a newer key: this one slept while it was added. What opens proves that it is the right one.
        let opened = find(&self.unchecked(), number).and_then(|key| open(key, purpose, context, sealed).ok());
        opened.ok_or_else(|| {
            self.ring.missed.store(number, Ordering::Relaxed);
            OpenError::UnknownKey(number)
        })
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
        self.held()[0].hash(purpose, parts)
    }

    /// The same under every key, the current one first: what a look-up asks for while keys are being replaced.
    pub fn hashes(&self, purpose: Purpose, parts: &[&[u8]]) -> Vec<[u8; 32]> {
        self.held().iter().map(|key| key.hash(purpose, parts)).collect()
    }

    /// The same under the node's first key, whichever seals now: for what must be called the same by all processes at any time, such as
    /// what tells whether something has come before. There a change of keys must not make the same thing new.
    pub fn lasting_hash(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let held = self.held();
        held.iter().min_by_key(|key| key.number).unwrap_or(&held[0]).hash(purpose, parts)
    }

    fn held(&self) -> Arc<Vec<NodeKey>> {
        Arc::clone(&self.ring.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn unchecked(&self) -> Arc<Vec<NodeKey>> {
        let mut unchecked = self.ring.unchecked.lock().unwrap_or_else(PoisonError::into_inner);
        match unchecked.as_ref() {
            Some((read_at, keys)) if read_at.elapsed() < READ_AGAIN => Arc::clone(keys),
            _ => {
                let keys = self.fresh().ok().flatten().map(|fresh| fresh.held()).unwrap_or_default();
                *unchecked = Some((Instant::now(), Arc::clone(&keys)));
                keys
            }
        }
    }
}

fn read(text: &str) -> Result<Vec<NodeKey>, KeyFileError> {
    Ok(file::parse(text)?.iter().map(|key| NodeKey::derive(key.number, &key.secret)).collect())
}

fn find(keys: &[NodeKey], number: u16) -> Option<&NodeKey> {
    keys.iter().find(|key| key.number == number)
}

fn open(key: &NodeKey, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let nonce: &[u8; NONCE_BYTES] = sealed[3..].first_chunk().ok_or(OpenError::Form)?;
    let bound = bound_context(key.number, context);
    open_with_context(&sealed[HEAD_BYTES..], &bound, nonce, &key.of(purpose).sealing).map_err(|_| OpenError::Seal)
}

fn seal(key: &NodeKey, purpose: Purpose, context: &[u8], text: &[u8]) -> Vec<u8> {
    let nonce = random::<NONCE_BYTES>();
    let mut sealed = Vec::with_capacity(HEAD_BYTES + TAG_BYTES + text.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&key.number.to_be_bytes());
    sealed.extend_from_slice(&nonce);
    let bound = bound_context(key.number, context);
    sealed.extend(seal_with_context(text, &bound, &nonce, &key.of(purpose).sealing));
    sealed
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.numbers()).finish()
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
    fn a_running_process_takes_up_a_new_key_and_lets_go_of_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.keys");
        let keys = NodeKeys::create(&path).unwrap();
        let (old, lasting) = (keys.seal(Purpose::Inbox, b"", b"old"), keys.lasting_hash(Purpose::Code, &[b"a"]));
        assert!(keys.fresh().unwrap().is_none());
        assert_eq!(NodeKeys::add(&path).unwrap(), 2);
        let fresh = keys.fresh().unwrap().unwrap();
        assert_eq!(keys.numbers(), [1], "nothing is taken up that nobody has looked at");
        keys.hold(&fresh);
        assert_eq!(keys.numbers(), [1, 2]);
        let other = keys.clone();
        NodeKeys::promote(&path, 2).unwrap();
        other.hold(&other.fresh().unwrap().unwrap());
        assert_eq!((keys.current(), keys.numbers()), (2, vec![2, 1]), "clones share their keys");
        assert_eq!(keys.open(Purpose::Inbox, b"", &old).unwrap().as_slice(), b"old");
        assert_eq!(keys.lasting_hash(Purpose::Code, &[b"a"]), lasting);
        assert_ne!(keys.hash(Purpose::Code, &[b"a"]), lasting);
        // A file that has lost a key, or holds another under its number, is refused, and the process goes on as it was.
        let text = std::fs::read_to_string(&path).unwrap();
        let without: String =
            text.lines().filter(|line| !line.starts_with("1 ")).map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, &without).unwrap();
        assert!(matches!(keys.fresh(), Err(KeyFileError::Lost(1))));
        std::fs::write(&path, format!("{without}1 {}\n", "11".repeat(32))).unwrap();
        assert!(matches!(keys.fresh(), Err(KeyFileError::Lost(1))));
        assert_eq!(keys.numbers(), [2, 1]);
    }

    #[test]
    fn who_slept_while_a_key_was_added_opens_what_it_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.keys");
        let sleeper = NodeKeys::create(&path).unwrap();
        NodeKeys::add(&path).unwrap();
        NodeKeys::promote(&path, 2).unwrap();
        let sealed = NodeKeys::load(&path).unwrap().seal(Purpose::Message, b"m", b"text");
        assert_eq!(sleeper.open(Purpose::Message, b"m", &sealed).unwrap().as_slice(), b"text");
        assert_eq!((sleeper.numbers(), sleeper.missed()), (vec![1], None), "it opens, and is not held");
        assert!(sleeper.marks().iter().all(|(_, mark)| NodeKeys::load(&path).unwrap().opens_mark(mark)));
        assert!(!sleeper.opens_mark(&NodeKeys::load(&path).unwrap().marks()[0].1));
        assert!(!NodeKeys::ephemeral().opens_mark(&sleeper.marks()[0].1));
    }

    #[test]
    fn a_key_that_is_missing_is_told_apart_from_damage_and_the_file_is_read_once_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.keys");
        let keys = NodeKeys::create(&path).unwrap();
        // Two machines made a key of one number each.
        NodeKeys::add(&path).unwrap();
        let text = format!("2 {}", "22".repeat(32));
        let theirs = NodeKeys::parse(&text).unwrap().seal(Purpose::Message, b"m", b"text");
        assert_eq!(keys.open(Purpose::Message, b"m", &theirs), Err(OpenError::UnknownKey(2)));
        assert_eq!(keys.missed(), Some(2));
        keys.never_was(2);
        assert_eq!(keys.missed(), None);
        // Whatever a stranger names, the file is not read again for it within the second.
        NodeKeys::add(&path).unwrap();
        NodeKeys::promote(&path, 3).unwrap();
        let sealed = NodeKeys::load(&path).unwrap().seal(Purpose::Message, b"m", b"text");
        assert_eq!(keys.open(Purpose::Message, b"m", &sealed), Err(OpenError::UnknownKey(3)));
        let later = Instant::now() - READ_AGAIN;
        keys.ring.unchecked.lock().unwrap().as_mut().unwrap().0 = later;
        assert_eq!(keys.open(Purpose::Message, b"m", &sealed).unwrap().as_slice(), b"text");
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
