//! The requests of a message, read and written.
//!
//! A received one is checked in its shape only: times, hashes and codes are the door's to judge, in the protocol's order. A sent
//! one is composed whole, because package, hash and time belong together and a repeat must be the same to the byte.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::field::{self, Field};
use super::handshake::json;
use super::{
    AddressId, Alphabet, AuthCode, CryptKey, DisplayName, IdentCode, MessageHash, Nonce, Package, Salt, WireError,
    message_hash,
};
use crate::crypto::{decode_hex, encode_hex, hmac_sha256, same};

/// Seconds a message may be older or newer than the receiver's clock.
pub const WINDOW_SECONDS: u64 = 60;

/// What `message-receive` brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReceiveRequest {
    /// Our account, without our domain.
    pub receiving_id: AddressId,
    /// With the account it names the connection, and so the sender.
    pub ident_code: IdentCode,
    /// The text, sealed.
    pub package: Package,
    /// What the sender says the hash is.
    pub message_hash: MessageHash,
    /// Goes into the hash.
    pub salt: Salt,
    /// Unix seconds.
    pub timestamp: i64,
    /// A new display name. Outside the hash: apply it only after the message was accepted.
    pub sending_name: Option<DisplayName>,
    /// The stable id that a node like this one adds.
    pub stable_id: Option<StableId>,
}

/// The extra field of nodes like this one: an id that stays the same when a message is composed anew, so that the receiver notices
/// a repeat that no hash shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StableId {
    /// The sender's id of the message. Believed only when the proof holds.
    pub message_id: Uuid,
    proof: [u8; 32],
}

/// What `message-confirm` asks: whether we are sending that message right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageConfirmRequest {
    /// The message.
    pub message_hash: MessageHash,
    /// Its package's nonce.
    pub nonce: Nonce,
}

/// What a connection contributes to a message on its way out.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The peer's account, without its domain.
    pub receiving_id: &'a AddressId,
    /// Names the connection to the peer.
    pub ident_code: &'a IdentCode,
    /// Goes into the hash.
    pub auth_code: &'a AuthCode,
    /// Seals the text.
    pub key: &'a CryptKey,
    /// What the peer can read.
    pub alphabet: Alphabet,
}

/// A message ready to be sent: what the outbox keeps and the POST carries.
#[derive(Clone, PartialEq, Eq)]
pub struct Composed {
    /// The whole body.
    pub body: Vec<u8>,
    /// What the peer will ask for, with the nonce.
    pub message_hash: MessageHash,
    /// The package's nonce.
    pub nonce: Nonce,
}

impl MessageReceiveRequest {
    /// Reads the body: first that nothing is missing in PHP's sense (there `"0"` is nothing), then the shapes.
    ///
    /// Which code a malformed field deserves is [`super::answer::message_malformed`]'s to say.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let wire: ReceiveWire<'_> = field::object(body)?;
        wire.check_required()?;
        Ok(Self {
            receiving_id: field::parsed(wire.receiving_openmsg_address_id, "receiving_openmsg_address_id")?,
            ident_code: IdentCode::from_hex_any_case(&field::text(wire.ident_code, "ident_code")?)
                .map_err(|_| WireError::Malformed("ident_code"))?,
            package: Package::from_wire(field::text(wire.message_package, "message_package")?),
            message_hash: field::parsed(wire.message_hash, "message_hash")?,
            salt: field::parsed(wire.message_salt, "message_salt")?,
            timestamp: field::whole_number(wire.message_timestamp, "message_timestamp")?,
            sending_name: match wire.sending_openmsg_address_name {
                Some(Field::Text(name)) => DisplayName::from_peer(&name),
                _ => None,
            },
            stable_id: wire.handfast.and_then(StableId::parse),
        })
    }

    /// Whether the time stamp is within 60 s of `now` (Unix seconds), either way. Checked before the hash: it also ensures the ten
    /// digits without which salt and time could be shifted against each other.
    pub fn is_timely(&self, now: i64) -> bool {
        (1_000_000_000..10_000_000_000).contains(&self.timestamp) && self.timestamp.abs_diff(now) <= WINDOW_SECONDS
    }

    /// Whether the hash is the one that `auth_code` gives, in constant time.
    pub fn is_hashed_with(&self, auth_code: &AuthCode) -> bool {
        self.message_hash.is(&message_hash(&self.package, auth_code, &self.salt, self.timestamp))
    }

    /// The sender's stable id, if there is one and it was made with `auth_code` for this very message.
    pub fn proven_id(&self, auth_code: &AuthCode) -> Option<Uuid> {
        let given = self.stable_id?;
        let true_proof = proof(auth_code, given.message_id, &self.message_hash);
        same(&given.proof, &true_proof).then_some(given.message_id)
    }
}

impl MessageConfirmRequest {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let wire: ConfirmWire<'_> = field::object(body)?;
        let hash = field::text(wire.message_hash, "message_hash")?;
        let nonce = field::text(wire.message_nonce, "message_nonce")?;
        Ok(Self {
            message_hash: hash.parse().map_err(|_| WireError::Malformed("message_hash"))?,
            nonce: Nonce::from_text(&nonce).map_err(|_| WireError::Malformed("message_nonce"))?,
        })
    }
}

impl Composed {
    /// Composes a message anew, with fresh nonce and salt, at `timestamp` (Unix seconds).
    pub fn new(envelope: Envelope<'_>, text: &str, message_id: Uuid, timestamp: i64) -> Self {
        Self::with(envelope, text, message_id, timestamp, Nonce::random(), Salt::random())
    }

    fn with(envelope: Envelope<'_>, text: &str, message_id: Uuid, timestamp: i64, nonce: Nonce, salt: Salt) -> Self {
        let package = Package::seal(text, &nonce, envelope.key, envelope.alphabet);
        let message_hash = message_hash(&package, envelope.auth_code, &salt, timestamp);
        let body = json(&ReceiveBody {
            receiving_openmsg_address_id: envelope.receiving_id,
            sending_openmsg_address_name: (),
            ident_code: envelope.ident_code,
            message_package: &package,
            message_hash: &message_hash,
            message_salt: &salt,
            message_timestamp: timestamp,
            openmsg_version: 1,
            verified_account: VerifiedAccount::default(),
            handfast: StableIdBody {
                message_id,
                proof: encode_hex(&proof(envelope.auth_code, message_id, &message_hash)),
            },
        });
        Self { body, message_hash, nonce }
    }
}

impl std::fmt::Debug for Composed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Composed({}, {} bytes)", self.message_hash, self.body.len())
    }
}

/// The body of our `message-confirm`. `nonce_text` is [`Package::nonce_text`], as it came.
pub fn message_confirm_body(message_hash: &MessageHash, nonce_text: &str) -> Vec<u8> {
    json(&ConfirmBody { message_hash, message_nonce: nonce_text })
}

impl StableId {
    /// Anything that is not exactly right is as if it were not there: the field is an extra, nobody's message fails for it.
    fn parse(raw: &RawValue) -> Option<Self> {
        let wire: StableIdWire<'_> = field::object(raw.get().as_bytes()).ok()?;
        let message_id = field::text(wire.message_id, "message_id").ok()?;
        let proof = field::text(wire.proof, "proof").ok()?;
        Some(Self { message_id: Uuid::try_parse(&message_id).ok()?, proof: decode_hex(&proof).ok()? })
    }
}

/// Binds the id to the connection and to this message: only who knows the auth code can make it.
fn proof(auth_code: &AuthCode, message_id: Uuid, message_hash: &MessageHash) -> [u8; 32] {
    let hash = message_hash.to_string();
    hmac_sha256(auth_code.as_bytes(), &[b"handfast message id\0", message_id.as_bytes(), hash.as_bytes()])
}

#[derive(Deserialize)]
struct ReceiveWire<'a> {
    #[serde(borrow)]
    receiving_openmsg_address_id: Option<Field<'a>>,
    #[serde(borrow)]
    sending_openmsg_address_name: Option<Field<'a>>,
    #[serde(borrow)]
    ident_code: Option<Field<'a>>,
    #[serde(borrow)]
    message_package: Option<Field<'a>>,
    #[serde(borrow)]
    message_hash: Option<Field<'a>>,
    #[serde(borrow)]
    message_salt: Option<Field<'a>>,
    #[serde(borrow)]
    message_timestamp: Option<Field<'a>>,
    #[serde(borrow)]
    handfast: Option<&'a RawValue>,
}

impl ReceiveWire<'_> {
    /// The reference's first check: six fields that PHP takes for true.
    fn check_required(&self) -> Result<(), WireError> {
        let required = [
            (&self.receiving_openmsg_address_id, "receiving_openmsg_address_id"),
            (&self.ident_code, "ident_code"),
            (&self.message_package, "message_package"),
            (&self.message_hash, "message_hash"),
            (&self.message_salt, "message_salt"),
            (&self.message_timestamp, "message_timestamp"),
        ];
        match required.into_iter().find(|(field, _)| !field::truthy(field.as_ref())) {
            Some((_, name)) => Err(WireError::Missing(name)),
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct ConfirmWire<'a> {
    #[serde(borrow)]
    message_hash: Option<Field<'a>>,
    #[serde(borrow)]
    message_nonce: Option<Field<'a>>,
}

#[derive(Deserialize)]
struct StableIdWire<'a> {
    #[serde(borrow)]
    message_id: Option<Field<'a>>,
    #[serde(borrow)]
    proof: Option<Field<'a>>,
}

#[derive(Serialize)]
struct ReceiveBody<'a> {
    receiving_openmsg_address_id: &'a AddressId,
    /// Null: we do not announce names with messages.
    sending_openmsg_address_name: (),
    ident_code: &'a IdentCode,
    message_package: &'a Package,
    message_hash: &'a MessageHash,
    message_salt: &'a Salt,
    message_timestamp: i64,
    openmsg_version: u8,
    verified_account: VerifiedAccount,
    handfast: StableIdBody,
}

/// A hook of the protocol for a later version; all null today.
#[derive(Default, Serialize)]
struct VerifiedAccount {
    verified_account_signature: (),
    verified_account_name: (),
    verified_account_expires: (),
}

#[derive(Serialize)]
struct StableIdBody {
    message_id: Uuid,
    proof: String,
}

#[derive(Serialize)]
struct ConfirmBody<'a> {
    message_hash: &'a MessageHash,
    message_nonce: &'a str,
}

#[cfg(test)]
mod tests;
