//! What peers answered to us.
//!
//! PHP peers send JSON as `text/html` with blank lines around it. Nothing else before the JSON is tolerated: a warning there breaks
//! every node. Their texts are cut, cleaned, and freed of anything that looks like a code: they may echo what we sent.

use serde::Deserialize;

use super::answer::Grant;
use super::field::{self, Field};
use super::{Code, DisplayName, WireError};

/// Longest text of a peer that is kept, in characters.
const LONGEST_TEXT: usize = 200;

/// Why an answer with status 200 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Not what an answer looks like.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Neither an error nor a success.
    #[error("the answer says neither success nor error")]
    Neither,
}

/// A peer's own words for a refusal: at most 200 harmless characters, without anything that looks like a code. May be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerText(String);

/// The answer to our `auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthReply {
    /// There is a connection.
    Granted {
        /// Its secrets.
        grant: Grant,
        /// How the peer's user is called, if the peer says so.
        name: Option<DisplayName>,
        /// Whether the peer is a node like this one.
        handfast: bool,
    },
    /// The peer said no.
    Refused(PeerText),
}

/// The answer to our `auth-confirm` or `message-confirm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfirmReply {
    /// It was them.
    Confirmed,
    /// It was not, or they cannot tell.
    Refused {
        /// `message-confirm` only, and not from everybody.
        code: Option<Code>,
        /// Their words.
        text: PeerText,
    },
}

/// The answer to our `message-receive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageReply {
    /// Delivered.
    Accepted,
    /// Not delivered.
    Refused {
        /// What to do about it; `None` when the peer names no known code.
        code: Option<Code>,
        /// Their words.
        text: PeerText,
    },
}

impl AuthReply {
    /// Reads the body of a 200. An answer without its three secrets is an error: the peer then holds a connection that we do not.
    pub fn parse(body: &[u8]) -> Result<Self, ReplyError> {
        let wire: ReplyWire<'_> = field::object(trim(body))?;
        if let Some((_, text)) = wire.refusal()? {
            return Ok(Self::Refused(text));
        }
        let grant = Grant {
            auth_code: field::parsed(wire.auth_code, "auth_code")?,
            ident_code: field::parsed(wire.ident_code, "ident_code")?,
            crypt_key: field::parsed(wire.message_crypt_key, "message_crypt_key")?,
        };
        let names =
            [wire.receiving_openmsg_address_name, wire.other_openmsg_address_name, wire.self_openmsg_address_name];
        let name = names.into_iter().find_map(|name| DisplayName::from_peer(&field::text(name, "name").ok()?));
        Ok(Self::Granted { grant, name, handfast: field::flag(wire.handfast.as_ref()) })
    }
}

impl ConfirmReply {
    /// Reads the body of a 200.
    pub fn parse(body: &[u8]) -> Result<Self, ReplyError> {
        let wire: ReplyWire<'_> = field::object(trim(body))?;
        Ok(wire.refusal()?.map_or(Self::Confirmed, |(code, text)| Self::Refused { code, text }))
    }
}

impl MessageReply {
    /// Reads the body of a 200.
    pub fn parse(body: &[u8]) -> Result<Self, ReplyError> {
        let wire: ReplyWire<'_> = field::object(trim(body))?;
        Ok(wire.refusal()?.map_or(Self::Accepted, |(code, text)| Self::Refused { code, text }))
    }
}

impl PeerText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The beginning of whatever a peer answered.
    pub fn of_answer(body: &[u8]) -> Self {
        // Four bytes a character at the most; the rest of a long answer is not looked at.
        Self::clean(&String::from_utf8_lossy(&body[..body.len().min(4 * LONGEST_TEXT)]))
    }

    fn clean(text: &str) -> Self {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
        Self(hide_codes(&shown))
    }
}

#[derive(Deserialize)]
struct ReplyWire<'a> {
    #[serde(borrow)]
    error: Option<Field<'a>>,
    #[serde(borrow)]
    success: Option<Field<'a>>,
    #[serde(borrow)]
    response_code: Option<Field<'a>>,
    #[serde(borrow)]
    error_code: Option<Field<'a>>,
    #[serde(borrow)]
    error_message: Option<Field<'a>>,
    #[serde(borrow)]
    auth_code: Option<Field<'a>>,
    #[serde(borrow)]
    ident_code: Option<Field<'a>>,
    #[serde(borrow)]
    message_crypt_key: Option<Field<'a>>,
    #[serde(borrow)]
    receiving_openmsg_address_name: Option<Field<'a>>,
    #[serde(borrow)]
    other_openmsg_address_name: Option<Field<'a>>,
    #[serde(borrow)]
    self_openmsg_address_name: Option<Field<'a>>,
    #[serde(borrow)]
    handfast: Option<Field<'a>>,
}

impl ReplyWire<'_> {
    /// `error` in PHP's sense first, then `success`, of which only `true` and `1` count.
    fn refusal(&self) -> Result<Option<(Option<Code>, PeerText)>, ReplyError> {
        if field::truthy(self.error.as_ref()) {
            let text = text_of(&self.error_message).unwrap_or_default();
            return Ok(Some((self.code(), PeerText::clean(text))));
        }
        match self.success {
            Some(Field::Bool(true) | Field::Whole(1)) => Ok(None),
            _ => Err(ReplyError::Neither),
        }
    }

    /// The known code, under whichever key; a refusal is never "accepted".
    fn code(&self) -> Option<Code> {
        let known =
            [&self.response_code, &self.error_code].into_iter().find_map(|field| Code::from_wire(text_of(field)?));
        known.filter(|code| *code != Code::Accepted)
    }
}

fn text_of<'a>(field: &'a Option<Field<'_>>) -> Option<&'a str> {
    match field {
        Some(Field::Text(text)) => Some(text),
        _ => None,
    }
}

/// Blank lines around the JSON, and a byte order mark before it.
fn trim(body: &[u8]) -> &[u8] {
    let body = body.trim_ascii();
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii()
}

/// Words that hold six digits in a row, or 32 hexadecimal ones, become dots.
fn hide_codes(text: &str) -> String {
    let runs = |word: &str, length: usize, is_digit: fn(char) -> bool| {
        word.split(|c| !is_digit(c)).any(|run| run.chars().count() >= length)
    };
    let hide = |word: &str| runs(word, 6, |c| c.is_ascii_digit()) || runs(word, 32, |c| c.is_ascii_hexdigit());
    text.split(' ').map(|word| if hide(word) { "…" } else { word }).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openmsg::{AuthCode, answer};
    use proptest::prelude::*;

    fn grant() -> Grant {
        Grant {
            auth_code: AuthCode::from_bytes([1; 32]),
            ident_code: "02".repeat(32).parse().unwrap(),
            crypt_key: "03".repeat(32).parse().unwrap(),
        }
    }

    #[test]
    fn an_answer_that_repeats_our_request_keeps_its_secrets() {
        let page = format!("Fatal error: POST was ident_code={} at 1", "ab".repeat(32));
        assert_eq!(PeerText::of_answer(page.as_bytes()).as_str(), "Fatal error: POST was … at 1");
        assert_eq!(PeerText::of_answer(&[0xff; 2000]).as_str().chars().count(), LONGEST_TEXT);
    }

    #[test]
    fn our_own_answers_are_understood() {
        let body = answer::auth_granted(&grant(), &"Shop".parse().unwrap());
        let name = Some("Shop".parse().unwrap());
        assert_eq!(AuthReply::parse(&body), Ok(AuthReply::Granted { grant: grant(), name, handfast: true }));
        assert_eq!(ConfirmReply::parse(&answer::confirmed()), Ok(ConfirmReply::Confirmed));
        assert_eq!(MessageReply::parse(&answer::message_accepted()), Ok(MessageReply::Accepted));
        let MessageReply::Refused { code, text } =
            MessageReply::parse(&answer::message_refused(Code::Expired)).unwrap()
        else {
            panic!("refused");
        };
        assert_eq!((code, text.as_str()), (Some(Code::Expired), Code::Expired.text()));
    }

    #[test]
    fn every_dialects_name_is_found() {
        let (a, b, c) = ("01".repeat(32), "02".repeat(32), "03".repeat(32));
        let secrets =
            format!("\"success\":true,\"auth_code\":\"{a}\",\"ident_code\":\"{b}\",\"message_crypt_key\":\"{c}\"");
        for key in ["receiving", "other", "self"] {
            let body = format!("\r\n\r\n{{{secrets},\"{key}_openmsg_address_name\":\" Käse \"}}\r\n\r\n");
            let name = Some("Käse".parse().unwrap());
            assert_eq!(
                AuthReply::parse(body.as_bytes()),
                Ok(AuthReply::Granted { grant: grant(), name, handfast: false })
            );
        }
        let body = format!("\u{feff}{{{secrets}}}");
        assert!(matches!(AuthReply::parse(body.as_bytes()), Ok(AuthReply::Granted { name: None, .. })));
        let body = format!("{{{secrets}}}").replace(&a, "");
        assert_eq!(AuthReply::parse(body.as_bytes()), Err(WireError::Missing("auth_code").into()));
        let body = format!("{{{secrets}}}").replace(&b, &"0B".repeat(32));
        assert_eq!(AuthReply::parse(body.as_bytes()), Err(WireError::Malformed("ident_code").into()));
    }

    #[test]
    fn success_must_say_so() {
        for body in [
            "{\"success\":true}",
            "{\"success\":1}",
            "{\"success\":true,\"error\":false}",
            "{\"success\":true,\"error\":\"\"}",
        ] {
            assert_eq!(MessageReply::parse(body.as_bytes()), Ok(MessageReply::Accepted), "{body}");
        }
        for body in
            ["{}", "{\"success\":\"no\"}", "{\"success\":\"true\"}", "{\"success\":false}", "{\"success\":null}"]
        {
            assert_eq!(MessageReply::parse(body.as_bytes()), Err(ReplyError::Neither), "{body}");
        }
        assert_eq!(MessageReply::parse(b"\"text\""), Err(WireError::NotObject.into()));
        assert_eq!(MessageReply::parse(b"<br />\nWarning: x\n{\"success\":true}"), Err(WireError::NotJson.into()));
    }

    #[test]
    fn errors_come_first_and_name_their_code() {
        let code = |body: &str| match MessageReply::parse(body.as_bytes()) {
            Ok(MessageReply::Refused { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code("{\"error\":true,\"success\":true,\"response_code\":\"SM_E001\"}"), Some(Code::IdentInvalid));
        assert_eq!(code("{\"error\":1,\"response_code\":null,\"error_code\":\"SM_E003\"}"), Some(Code::MessageUnknown));
        assert_eq!(code("{\"error\":\"yes\",\"error_code\":\"message_expired\"}"), Some(Code::Expired));
        assert_eq!(code("{\"error\":true,\"response_code\":\"SM_S888\"}"), None);
        assert_eq!(code("{\"error\":true,\"response_code\":[1]}"), None);
    }

    #[test]
    fn echoed_codes_are_hidden() {
        let body = format!(
            "{{\"error\":true,\"error_message\":\"unknown pending authorization with 12*a.example, 042137 or {}\\n\"}}",
            "ab".repeat(32)
        );
        let Ok(AuthReply::Refused(text)) = AuthReply::parse(body.as_bytes()) else { panic!("refused") };
        assert_eq!(text.as_str(), "unknown pending authorization with 12*a.example, … or …");
        let long = format!("{{\"error\":true,\"error_message\":\"{}\"}}", "a ".repeat(500));
        let Ok(AuthReply::Refused(text)) = AuthReply::parse(long.as_bytes()) else { panic!("refused") };
        assert_eq!(text.as_str().len(), 200);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(body: Vec<u8>) {
            let _ = AuthReply::parse(&body);
            let _ = ConfirmReply::parse(&body);
            let _ = MessageReply::parse(&body);
        }
    }
}
