//! What our door answers. Every answer goes out with HTTP 200: peers ignore the JSON of any other status.
//!
//! The texts are fixed. Nothing the caller sent is echoed and nothing about our side is told: which of several reasons made a code
//! wrong, or how a callback failed, is in the log only.

use serde::Serialize;

use super::handshake::json;
use super::{AuthCode, Code, CryptKey, DisplayName, IdentCode, WireError};

/// What both sides of a new connection hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Grant {
    /// Goes into every message hash.
    pub auth_code: AuthCode,
    /// Names the connection.
    pub ident_code: IdentCode,
    /// Seals the texts.
    pub crypt_key: CryptKey,
}

/// Why a handshake is refused, as far as the other side is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub enum HandshakeRefusal {
    /// A required field is missing.
    Blank,
    /// Wrong, unknown account, expired, used or throttled: one answer for all.
    CodeNotValid,
    /// The address of the caller is none.
    SenderMalformed,
    /// The callback to the sending domain brought no confirmation.
    NotConfirmed,
    /// We cannot do it now.
    Temporarily,
    /// `auth-confirm`: we did not ask, or not with this code.
    UnknownPending,
    /// `auth-confirm`: we asked too long ago.
    ExpiredPending,
}

impl HandshakeRefusal {
    /// For an `auth` body that does not parse. A code or account that cannot exist is answered like one that does not.
    pub fn of_auth(error: &WireError) -> Self {
        match error {
            WireError::Malformed("sending_openmsg_address") => Self::SenderMalformed,
            WireError::Malformed("pass_code" | "receiving_openmsg_address_id") => Self::CodeNotValid,
            _ => Self::Blank,
        }
    }

    /// For an `auth-confirm` body that does not parse.
    pub fn of_confirm(_: &WireError) -> Self {
        Self::UnknownPending
    }

    /// `error_message`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Blank => {
                "receiving_openmsg_address_id, pass_code, sending_openmsg_address and sending_openmsg_address_name cannot be blank"
            }
            Self::CodeNotValid => "pass code not valid",
            Self::SenderMalformed => "sending_openmsg_address should be digits, a star and a domain",
            Self::NotConfirmed => "the sending domain did not confirm the handshake",
            Self::Temporarily => "temporarily unavailable",
            Self::UnknownPending => "unknown pending authorization",
            Self::ExpiredPending => "expired handshake, over 60 seconds old",
        }
    }

    /// The body.
    pub fn body(self) -> Vec<u8> {
        json(&HandshakeError { error: true, error_message: self.text() })
    }
}

/// `auth` succeeded. The name of our account goes out under the three keys that the dialects look for.
pub fn auth_granted(grant: &Grant, name: &DisplayName) -> Vec<u8> {
    json(&Granted {
        success: true,
        auth_code: &grant.auth_code,
        ident_code: &grant.ident_code,
        message_crypt_key: &grant.crypt_key,
        receiving_openmsg_address_name: name,
        other_openmsg_address_name: name,
        self_openmsg_address_name: name,
        handfast: 1,
    })
}

/// `auth-confirm` and `message-confirm`: yes, we did.
pub fn confirmed() -> Vec<u8> {
    b"{\"success\":true}".to_vec()
}

/// `message-receive`: stored.
pub fn message_accepted() -> Vec<u8> {
    b"{\"success\":true,\"response_code\":\"SM_S888\"}".to_vec()
}

/// `message-receive` and `message-confirm`: refused with a code.
pub fn message_refused(code: Code) -> Vec<u8> {
    message_error(code, code.name(), code.text())
}

/// `message-receive`: a body that does not parse.
///
/// A well-formed body with an ident code or hash that cannot exist is answered like one with a wrong one, as the reference does; all
/// other shapes are "data missing". Salt and time are among those: their shapes keep the hash unambiguous.
pub fn message_malformed(error: &WireError) -> Vec<u8> {
    match error {
        WireError::Malformed("ident_code") => message_refused(Code::IdentInvalid),
        WireError::Malformed("message_hash") => message_refused(Code::HashInvalid),
        _ => message_error(Code::Unknown, "message_data_missing", "Fields are missing or malformed"),
    }
}

/// `message-confirm`: a body that does not parse. A hash or nonce that cannot exist is unknown.
pub fn message_confirm_malformed(error: &WireError) -> Vec<u8> {
    match error {
        WireError::Malformed(_) => message_refused(Code::MessageUnknown),
        _ => message_malformed(error),
    }
}

fn message_error(code: Code, name: &str, text: &str) -> Vec<u8> {
    json(&MessageError { error: true, response_code: code.wire(), error_code: name, error_message: text })
}

#[derive(Serialize)]
struct HandshakeError<'a> {
    error: bool,
    error_message: &'a str,
}

#[derive(Serialize)]
struct MessageError<'a> {
    error: bool,
    response_code: &'a str,
    error_code: &'a str,
    error_message: &'a str,
}

#[derive(Serialize)]
struct Granted<'a> {
    success: bool,
    auth_code: &'a AuthCode,
    ident_code: &'a IdentCode,
    message_crypt_key: &'a CryptKey,
    receiving_openmsg_address_name: &'a DisplayName,
    other_openmsg_address_name: &'a DisplayName,
    self_openmsg_address_name: &'a DisplayName,
    handfast: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn answers_have_the_shapes_peers_read() {
        let grant = Grant {
            auth_code: AuthCode::from_bytes([0xaa; 32]),
            ident_code: IdentCode::from_bytes([0xbb; 32]),
            crypt_key: CryptKey::from_bytes([0xcc; 32]),
        };
        let (a, b, c) = ("aa".repeat(32), "bb".repeat(32), "cc".repeat(32));
        assert_eq!(
            text(auth_granted(&grant, &"Shop".parse().unwrap())),
            format!(
                "{{\"success\":true,\"auth_code\":\"{a}\",\"ident_code\":\"{b}\",\"message_crypt_key\":\"{c}\",\
                 \"receiving_openmsg_address_name\":\"Shop\",\"other_openmsg_address_name\":\"Shop\",\
                 \"self_openmsg_address_name\":\"Shop\",\"handfast\":1}}"
            )
        );
        assert_eq!(text(confirmed()), r#"{"success":true}"#);
        assert_eq!(text(message_accepted()), r#"{"success":true,"response_code":"SM_S888"}"#);
        assert_eq!(
            text(HandshakeRefusal::CodeNotValid.body()),
            r#"{"error":true,"error_message":"pass code not valid"}"#
        );
        assert_eq!(
            text(message_refused(Code::IdentInvalid)),
            concat!(
                r#"{"error":true,"response_code":"SM_E001","error_code":"ident_code_invalid","#,
                r#""error_message":"There is no connection with this ident_code for the receiving address"}"#
            )
        );
    }

    #[test]
    fn shapes_are_answered_like_wrong_values() {
        assert_eq!(HandshakeRefusal::of_auth(&WireError::Malformed("pass_code")), HandshakeRefusal::CodeNotValid);
        assert_eq!(HandshakeRefusal::of_auth(&WireError::NotJson), HandshakeRefusal::Blank);
        assert_eq!(message_malformed(&WireError::Malformed("ident_code")), message_refused(Code::IdentInvalid));
        let missing = text(message_malformed(&WireError::Malformed("message_salt")));
        assert!(missing.contains(r#""response_code":"SM_E000","error_code":"message_data_missing""#), "{missing}");
        assert_eq!(message_malformed(&WireError::NotJson), message_malformed(&WireError::Missing("ident_code")));
        let unknown = message_refused(Code::MessageUnknown);
        assert_eq!(message_confirm_malformed(&WireError::Malformed("message_hash")), unknown);
        assert_ne!(message_confirm_malformed(&WireError::Missing("message_hash")), unknown);
    }
}
