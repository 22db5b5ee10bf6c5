//! Why the agent could not do what it was asked, in words for the person who typed it.

use serde::Deserialize;

use crate::cli::client::web::{WebAnswer, WebError};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nothing came back.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The hub said no.
    #[error("{0}")]
    Refused(Refusal),
    /// What answers does not talk like a hub.
    #[error("the answer was not understood ({0}): is this the address of a hub, as its pages have it?")]
    Odd(String),
    /// The password is wrong, or the vault is damaged.
    #[error("the space does not open: the password is wrong, or the vault is not whole")]
    Locked,
    /// A name, a key or a value that cannot be.
    #[error("{0}")]
    Wrong(String),
    /// The space has no such persona.
    #[error("this space has no persona {0}: see `handfast homing persona list`")]
    NoPersona(String),
    /// Something that must be given is not in the vault.
    #[error("{} must be given and {} not in the space: `handfast homing set {} …`", .0.join(", "), if .0.len() == 1 { "is" } else { "are" }, .0[0])]
    Missing(Vec<String>),
    /// The welcome, or where it leads, is not what it should be.
    #[error("not approved: {0}")]
    Suspicious(String),
    /// The merchant's pages do not lead anywhere.
    #[error("{0}")]
    Merchant(String),
}

/// What the hub said when it refused.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Refusal {
    /// A word of the protocol's table, such as `MISSING_SCOPE`.
    #[serde(rename = "error", default)]
    pub code: String,
    /// The hub's own words.
    #[serde(default)]
    pub message: String,
    /// What to name when asking the hub's people.
    #[serde(default)]
    pub request_id: String,
    /// The HTTP status it came with.
    #[serde(skip)]
    pub status: u16,
    /// In how many seconds to ask again, if the hub said so.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl AgentError {
    /// The hub's word, if it was the hub that refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    pub(super) fn refused(answer: &WebAnswer) -> Self {
        let retry_after = answer.header("retry-after").and_then(|text| text.trim().parse().ok());
        match serde_json::from_slice::<Refusal>(&answer.body) {
            Ok(refusal) if !refusal.code.is_empty() => {
                Self::Refused(Refusal { status: answer.status, retry_after, ..refusal })
            }
            _ => Self::Odd(format!("status {}", answer.status)),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = words(&self.code);
        match (words, self.message.as_str()) {
            ("", "") => write!(f, "the hub refused: {}", crate::cli::output::harmless(&self.code))?,
            ("", said) => write!(f, "the hub refused: {}", crate::cli::output::harmless(said))?,
            (words, _) => f.write_str(words)?,
        }
        match self.retry_after {
            Some(seconds) => write!(f, " (again in {seconds} s)"),
            None => Ok(()),
        }
    }
}

/// The table of B.4, and what the personas' and spaces' part of the API adds to it.
fn words(code: &str) -> &'static str {
    match code {
        "BAD_SCOPES" => "the scopes are not written as they must be: `mandatory;names|optional;names`",
        "BAD_USERNAME" => {
            "that is no name for a persona: 3 to 32 of a-z, 0-9, _ and -, a letter first, and not one that is kept back"
        }
        "BAD_SIGNATURE" => "the hub does not accept the signature: is this the space's own password and hub?",
        "BAD_OTP" => "the one-time password is not the site's: its sauce has been rotated, or its clock is wrong",
        "TRIAL_ENDED" => "the site's trial is over",
        "ENDPOINT_NOT_REGISTERED" => "the site has not registered that endpoint",
        "SITE_REVOKED" => "the site has been deleted",
        "SCOPE_NOT_ALLOWED" => "the site may not ask for that scope",
        "NOT_FOUND" => "there is none of that name or id in this space",
        "REPLAYED" => "this request has been made before",
        "ALREADY_DECIDED" => "it has been approved or denied already",
        "EXPIRED" => "it is too late: the welcome has expired; begin again at the merchant's page",
        "CLOCK_SKEW" => "the clocks differ by more than a minute",
        "MISSING_SCOPE" => "something that must be given is not given",
        "RATE_LIMITED" => "too often; the hub asks for patience",
        "TAKEN" => "somebody has that name already",
        "FULL" => "there is no room for more: a space has seven personas at most",
        "BAD_INDEX" | "CONFLICT" => "something was changed from elsewhere at the same moment; try again",
        "SIGNED_OUT" => "the session at the hub has ended",
        "WRONG_CODE" => "that is not the code that was sent",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};

    fn refused(status: u16, body: &'static str) -> AgentError {
        let mut headers = HeaderMap::new();
        if status == 429 {
            headers.insert("retry-after", HeaderValue::from_static("7"));
        }
        AgentError::refused(&WebAnswer { status, headers, body: Bytes::from_static(body.as_bytes()) })
    }

    #[test]
    fn refusals_are_said_in_words() {
        let said = |status, body| refused(status, body).to_string();
        assert_eq!(said(409, r#"{"error":"TAKEN","message":"x","request_id":"r"}"#), "somebody has that name already");
        let often = said(429, r#"{"error":"RATE_LIMITED","message":"x","request_id":"r"}"#);
        assert_eq!(often, "too often; the hub asks for patience (again in 7 s)");
        let unknown = said(400, "{\"error\":\"NEW\",\"message\":\"not\\u001b this\"}");
        assert_eq!(unknown, "the hub refused: not\\u{1b} this");
        assert!(said(502, "<html>").contains("is this the address of a hub"));
        assert_eq!(refused(410, r#"{"error":"EXPIRED"}"#).code(), Some("EXPIRED"));
        let missing = AgentError::Missing(vec!["email".into(), "phone1".into()]);
        insta::assert_snapshot!(missing, @"email, phone1 must be given and are not in the space: `handfast homing set email …`");
    }
}
