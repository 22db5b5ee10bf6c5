//! The requests of a handshake, read and written for every dialect at once.
//!
//! `auth` is the same in all of them. `auth-confirm` is not: one body with all four fields satisfies every initiator, and our own
//! initiator reads whichever fields it gets.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::field::{self, Field};
use super::{Address, AddressId, DisplayName, PassCode, WireError, passcode_hash, passcode_hash_swapped};
use crate::crypto::{decode_hex_any_case, encode_hex, same};

/// What `auth` asks: a stranger presents a code of one of our accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthRequest {
    /// Our account, without our domain.
    pub receiving_id: AddressId,
    /// The code that its user passed on.
    pub pass_code: PassCode,
    /// Who asks.
    pub sending: Address,
    /// The same as the peer spelled it: what is hashed.
    pub sending_verbatim: String,
    /// How the peer's user is called.
    pub sending_name: DisplayName,
    /// Whether the peer's user takes messages back.
    pub allow_replies: bool,
    /// Whether the peer is a node like this one.
    pub handfast: bool,
}

/// What `auth-confirm` asks: whether we really sent that `auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfirmRequest {
    /// The address our `auth` was for.
    pub receiving: Address,
    /// The same as the peer spelled it: what it may have hashed.
    pub receiving_verbatim: String,
    proof: ConfirmProof,
}

#[derive(Clone, PartialEq, Eq)]
enum ConfirmProof {
    Hash([u8; 32]),
    Code(PassCode),
}

impl AuthRequest {
    /// Reads the body. A malformed code or receiving ID is to be answered like a wrong code, see [`super::answer`].
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let wire: AuthWire<'_> = field::object(body)?;
        let receiving_id = field::text(wire.receiving_openmsg_address_id, "receiving_openmsg_address_id")?;
        let code_was_number = !matches!(wire.pass_code, Some(Field::Text(_)));
        let pass_code = Zeroizing::new(field::text(wire.pass_code, "pass_code")?.into_owned());
        let sending = field::text(wire.sending_openmsg_address, "sending_openmsg_address")?;
        let name = field::text(wire.sending_openmsg_address_name, "sending_openmsg_address_name")?;
        Ok(Self {
            receiving_id: receiving_id.parse().map_err(|_| WireError::Malformed("receiving_openmsg_address_id"))?,
            pass_code: read_code(&pass_code, code_was_number)?,
            sending: sending.parse().map_err(|_| WireError::Malformed("sending_openmsg_address"))?,
            sending_verbatim: sending.into_owned(),
            sending_name: DisplayName::from_peer(&name).ok_or(WireError::Missing("sending_openmsg_address_name"))?,
            allow_replies: field::flag(wire.sending_allow_replies.as_ref()),
            handfast: field::flag(wire.handfast.as_ref()),
        })
    }
}

impl AuthConfirmRequest {
    /// Reads any dialect's body: the address under either name; the hash, or without one the code.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        const ADDRESS: &str = "receiving_openmsg_address";
        let wire: AuthConfirmWire<'_> = field::object(body)?;
        let named_first = field::text(wire.receiving_openmsg_address, ADDRESS);
        let verbatim = named_first.or_else(|_| field::text(wire.other_openmsg_address, ADDRESS))?;
        let proof = match field::text(wire.passcode_hash, "passcode_hash") {
            Ok(hash) => {
                ConfirmProof::Hash(decode_hex_any_case(&hash).map_err(|_| WireError::Malformed("passcode_hash"))?)
            }
            Err(WireError::Missing(_)) => {
                let was_number = !matches!(wire.pass_code, Some(Field::Text(_)));
                let code = Zeroizing::new(field::text(wire.pass_code, "pass_code")?.into_owned());
                ConfirmProof::Code(read_code(&code, was_number)?)
            }
            Err(error) => return Err(error),
        };
        let receiving = verbatim.parse().map_err(|_| WireError::Malformed(ADDRESS))?;
        Ok(Self { receiving, receiving_verbatim: verbatim.into_owned(), proof })
    }

    /// Whether this confirms the handshake in which `sending` presented `code` to `receiving`. Takes the same time for every code.
    ///
    /// The receiving address may be hashed in the peer's own spelling: a node whose domain is configured with capitals hashes those.
    pub fn confirms(&self, code: &PassCode, sending: &Address, receiving: &Address) -> bool {
        let proven = match &self.proof {
            ConfirmProof::Code(given) => given == code,
            ConfirmProof::Hash(given) => {
                let spellings = [receiving.as_str(), self.receiving_verbatim.as_str()];
                let matches = |spelling: &&str| {
                    same(given, &passcode_hash(code, sending.as_str(), spelling))
                        | same(given, &passcode_hash_swapped(code, sending.as_str(), spelling))
                };
                spellings.iter().fold(false, |proven, spelling| proven | matches(spelling))
            }
        };
        proven & (self.receiving == *receiving)
    }
}

impl std::fmt::Debug for ConfirmProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A hash of six digits and two known addresses is as good as the code.
        f.write_str(match self {
            Self::Hash(_) => "Hash(••••)",
            Self::Code(_) => "Code(••••••)",
        })
    }
}

/// The body of our `auth`.
pub fn auth_body(
    receiving: &AddressId,
    code: &PassCode,
    sending: &Address,
    name: &DisplayName,
    allow_replies: bool,
) -> Vec<u8> {
    json(&AuthBody {
        receiving_openmsg_address_id: receiving,
        pass_code: code,
        sending_openmsg_address: sending,
        sending_openmsg_address_name: name,
        sending_allow_replies: if allow_replies { Flag::Yes(true) } else { Flag::No(0) },
        openmsg_version: 1,
        handfast: 1,
    })
}

/// The body of our `auth-confirm`, with the sending address as the peer spelled it.
///
/// The code in the clear does no harm: it is burnt by now, and the hash of six digits hides nothing. `strict` leaves it out all the
/// same, for nodes that only talk to 1.0 peers.
pub fn auth_confirm_body(code: &PassCode, sending_verbatim: &str, receiving: &Address, strict: bool) -> Vec<u8> {
    let hash = encode_hex(&passcode_hash(code, sending_verbatim, receiving.as_str()));
    json(&AuthConfirmBody {
        receiving_openmsg_address: receiving,
        other_openmsg_address: (!strict).then_some(receiving),
        pass_code: (!strict).then_some(code),
        passcode_hash: &hash,
    })
}

/// Bytes of a value that always serialises.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    // Unwrap safety: plain structs of texts and numbers, without maps of other keys.
    serde_json::to_vec(value).expect("texts and numbers serialise")
}

/// Six digits; a code sent as a number has lost its leading zeros.
fn read_code(text: &str, was_number: bool) -> Result<PassCode, WireError> {
    let malformed = WireError::Malformed("pass_code");
    if was_number {
        let number = text.parse().map_err(|_| malformed)?;
        return PassCode::from_number(number).map_err(|_| malformed);
    }
    text.trim().parse().map_err(|_| malformed)
}

#[derive(Deserialize)]
struct AuthWire<'a> {
    #[serde(borrow)]
    receiving_openmsg_address_id: Option<Field<'a>>,
    #[serde(borrow)]
    pass_code: Option<Field<'a>>,
    #[serde(borrow)]
    sending_openmsg_address: Option<Field<'a>>,
    #[serde(borrow)]
    sending_openmsg_address_name: Option<Field<'a>>,
    #[serde(borrow)]
    sending_allow_replies: Option<Field<'a>>,
    #[serde(borrow)]
    handfast: Option<Field<'a>>,
}

#[derive(Deserialize)]
struct AuthConfirmWire<'a> {
    #[serde(borrow)]
    receiving_openmsg_address: Option<Field<'a>>,
    #[serde(borrow)]
    other_openmsg_address: Option<Field<'a>>,
    #[serde(borrow)]
    pass_code: Option<Field<'a>>,
    #[serde(borrow)]
    passcode_hash: Option<Field<'a>>,
}

#[derive(Serialize)]
struct AuthBody<'a> {
    receiving_openmsg_address_id: &'a AddressId,
    pass_code: &'a PassCode,
    sending_openmsg_address: &'a Address,
    sending_openmsg_address_name: &'a DisplayName,
    sending_allow_replies: Flag,
    openmsg_version: u8,
    handfast: u8,
}

/// `false` makes a PHP receiver fail after the code is burnt; the integer 0 means the same and works.
#[derive(Serialize)]
#[serde(untagged)]
enum Flag {
    Yes(bool),
    No(u8),
}

#[derive(Serialize)]
struct AuthConfirmBody<'a> {
    receiving_openmsg_address: &'a Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_openmsg_address: Option<&'a Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass_code: Option<&'a PassCode>,
    passcode_hash: &'a str,
}

#[cfg(test)]
mod tests;
