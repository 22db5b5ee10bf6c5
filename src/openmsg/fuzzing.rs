//! Fuzz targets of what strangers' nodes send and answer.

use super::answer::{self, HandshakeRefusal};
use super::handshake::{AuthConfirmRequest, AuthRequest};
use super::message::{MessageConfirmRequest, MessageReceiveRequest, message_confirm_body};
use super::reply::{AuthReply, ConfirmReply, MessageReply, PeerText};
use super::{
    Address, AddressId, Alphabet, AuthCode, Code, CryptKey, DisplayName, Domain, IdentCode, MessageHash, Nonce,
    Package, PassCode, Salt,
};
use crate::fuzzing::{carried, read_back, text};

/// No answer to a body that does not parse is longer.
const LONGEST_REFUSAL: usize = 400;
/// Characters of a peer's words that are kept.
const LONGEST_WORDS: usize = 200;

/// Bodies of all four requests.
pub(crate) fn requests(data: &[u8]) {
    auth(data);
    auth_confirm(data);
    message(data);
    message_confirm(data);
}

fn auth(data: &[u8]) {
    match AuthRequest::parse(data) {
        Ok(request) => {
            carried(&request);
            assert!(request.sending_verbatim.parse::<Address>().is_ok_and(|again| again == request.sending));
        }
        Err(error) => assert!(HandshakeRefusal::of_auth(&error).body().len() < LONGEST_REFUSAL),
    }
}

fn auth_confirm(data: &[u8]) {
    match AuthConfirmRequest::parse(data) {
        Ok(request) => {
            let (Ok(code), Ok(sending)) = (PassCode::from_number(1), "1*a.example".parse()) else { return };
            // Of another address it confirms nothing, whatever it holds.
            let other = if request.receiving.as_str() == "2*b.example" { "3*b.example" } else { "2*b.example" };
            let Ok(other) = other.parse() else { return };
            assert!(!request.confirms(&code, &sending, &other));
        }
        Err(error) => assert!(HandshakeRefusal::of_confirm(&error).body().len() < LONGEST_REFUSAL),
    }
}

fn message(data: &[u8]) {
    match MessageReceiveRequest::parse(data) {
        Ok(request) => {
            carried(&request);
            let code = AuthCode::from_bytes([7; 32]);
            assert!(request.proven_id(&code).is_none() && !request.is_hashed_with(&code), "nobody knows that code");
            assert!(!request.is_timely(i64::MIN) && !request.is_timely(i64::MAX));
            package(&request.package);
        }
        Err(error) => assert!(answer::message_malformed(&error).len() < LONGEST_REFUSAL),
    }
}

fn message_confirm(data: &[u8]) {
    match MessageConfirmRequest::parse(data) {
        Ok(request) => {
            let again = message_confirm_body(&request.message_hash, &request.nonce.to_text());
            assert!(MessageConfirmRequest::parse(&again).is_ok_and(|again| again == request));
        }
        Err(error) => assert!(answer::message_confirm_malformed(&error).len() < LONGEST_REFUSAL),
    }
}

/// Its parts make the same package again, and it opens for nobody who has no key.
fn package(package: &Package) {
    let Ok(decoded) = package.decode() else { return };
    assert!(decoded.open(&CryptKey::from_bytes([7; 32])).is_err(), "opened without its key");
    let Some(nonce) = package.nonce_text() else { panic!("a package without a nonce was taken apart") };
    assert!(Nonce::from_text(nonce).is_ok_and(|nonce| nonce == *decoded.nonce()), "two nonces in one package");
}

/// Bodies of all answers.
pub(crate) fn replies(data: &[u8]) {
    let refusals = [
        AuthReply::parse(data).ok().and_then(|reply| match reply {
            AuthReply::Refused(text) => Some(text),
            AuthReply::Granted { .. } => None,
        }),
        ConfirmReply::parse(data).ok().and_then(|reply| match reply {
            ConfirmReply::Refused { text, .. } => Some(text),
            ConfirmReply::Confirmed => None,
        }),
        MessageReply::parse(data).ok().and_then(|reply| match reply {
            MessageReply::Refused { text, .. } => Some(text),
            MessageReply::Accepted => None,
        }),
        Some(PeerText::of_answer(data)),
    ];
    refusals.iter().flatten().for_each(words_of_a_peer);
}

/// They go to logs and tables: short, printable, and without what may be a code or a key.
fn words_of_a_peer(text: &PeerText) {
    let text = text.as_str();
    assert!(text.chars().count() <= LONGEST_WORDS && !text.chars().any(char::is_control));
    let digits = text.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() >= 6);
    let hex = text.split(|c: char| !c.is_ascii_hexdigit()).any(|run| run.len() >= 32);
    assert!(!digits && !hex, "a code or a key in a peer's words");
}

/// Addresses, names, codes, keys, hashes and packages.
pub(crate) fn words(data: &[u8]) {
    let text = text(data);
    if let Ok(address) = text.parse::<Address>() {
        read_back(&address);
        assert!(Address::new(&address.id(), address.domain()).is_ok_and(|again| again == address));
    }
    text.parse::<Domain>().iter().for_each(read_back);
    text.parse::<AddressId>().iter().for_each(read_back);
    text.parse::<DisplayName>().iter().for_each(read_back);
    // What was mended is what we would take ourselves: it travels through the broker as such.
    DisplayName::from_peer(text).iter().for_each(read_back);
    text.parse::<MessageHash>().iter().for_each(read_back);
    text.parse::<Salt>().iter().for_each(read_back);
    text.parse::<PassCode>().iter().for_each(|code| assert!(code.as_str().len() == 6));
    if let Ok(code) = IdentCode::from_hex_any_case(text) {
        assert!(code.to_hex().parse::<IdentCode>().is_ok_and(|again| again == code));
    }
    if let Some(code) = Code::from_wire(text) {
        assert_eq!(Code::from_wire(code.wire()), Some(code));
    }
    package(&Package::from_wire(text));
    sealed(text);
}

fn sealed(text: &str) {
    let (key, nonce) = (CryptKey::from_bytes([3; 32]), Nonce::from_bytes([5; 24]));
    for alphabet in [Alphabet::UrlSafe, Alphabet::Standard] {
        let package = Package::seal(text, &nonce, &key, alphabet);
        let opened = package.decode().and_then(|decoded| decoded.open(&key));
        assert!(opened.is_ok_and(|opened| *opened == text), "what was sealed does not open");
    }
}
