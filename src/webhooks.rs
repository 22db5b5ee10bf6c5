//! Webhooks: HTTPS endpoints that messages and events are delivered to, signed by the Standard Webhooks convention.
//!
//! | file | what |
//! |---|---|
//! | `definition` | where it is, how it is signed, what goes along; sealed at rest |
//! | `secret` | signing secrets as text: `whsec_…`, `whsk_…`, `whpk_…` |
//! | `headers` | headers of the user's own, and what they may not be |
//! | `content` | a message for a webhook as it lies in the books |
//! | `sign` | the three headers of the convention |
//! | `store` | the table |
//! | `known` | opened definitions at hand, so that a delivery costs no look-up |
//!
//! Promises: URLs, secrets, credentials and header values lie sealed in the database, bound to the webhook's name, and are in no
//! log. A change is seen by every process within two seconds. Leaves out what an answer means (`workers/deliver_webhook.rs`), pace
//! and health (the destination of the same name), and which events are sent.

mod content;
mod definition;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod headers;
mod known;
mod operate;
mod secret;
mod sign;
mod store;

pub use content::{Content, ContentType};
pub use definition::{Auth, DatedSecret, Definition, FINAL_STATUSES, LONGEST_TIMEOUT, RotationError, Signing};
pub use headers::{CustomHeaders, HeaderError};
pub(crate) use known::{AGENT, ID, SIGNATURE, TIMESTAMP};
pub use known::{Ready, Unread, Webhooks};
pub use operate::{begin, ping, switch};
pub use secret::{SecretError, SecretKind, SigningSecret};
pub use sign::Signer;
pub use store::{Change, change, create, delete, find, list, mark_gone, set_disabled};

pub use crate::outbound::{Ports, Target, TargetError};

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::db::DbError;

/// Longest name, in characters.
const LONGEST_NAME: usize = 63;

/// What a webhook is called: 1–63 of `a-z`, `0-9`, `-` and `_`, not beginning with the last two. Without a dot, so that it is never
/// the domain of a peer: both are destinations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookName(Box<str>);

/// Not a name for a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook's name has 1 to 63 of a-z, 0-9, - and _, and begins with a letter or digit")]
pub struct NameError;

/// A webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// What it is called.
    pub name: WebhookName,
    /// Who made it.
    pub sender: String,
    /// Everything that is sealed.
    pub definition: Definition,
    /// Kinds of events it is sent.
    pub events: Vec<String>,
    /// Since when nothing is sent to it.
    pub disabled_at: Option<Timestamp>,
    /// When it last answered 410.
    pub gone_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Why webhooks could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl WebhookName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebhookName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = text.len() <= LONGEST_NAME
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|byte| plain(byte) || byte == b'-' || byte == b'_');
        if good { Ok(Self(text.into())) } else { Err(NameError) }
    }
}

impl fmt::Display for WebhookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_words_without_dots() {
        for good in ["a", "0", "orders", "orders-2_b", &"a".repeat(63)] {
            assert!(good.parse::<WebhookName>().is_ok(), "{good}");
        }
        for wrong in ["", "-a", "_a", "A", "a.b", "a b", "ä", "a/b", "a\n", &"a".repeat(64)] {
            assert!(wrong.parse::<WebhookName>().is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_is_a_domain(text in ".{0,70}") {
            if text.parse::<WebhookName>().is_ok() {
                prop_assert!(text.parse::<crate::openmsg::Domain>().is_err());
            }
        }
    }
}
