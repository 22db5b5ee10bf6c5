//! Status events: what became of deliveries, what arrived, what destinations do, for applications that follow along.
//!
//! | who | does | file |
//! |---|---|---|
//! | whoever changes something | writes one row for all of a chunk (or batch) in the same statement or transaction | `books/tell.rs`, `books/settle.rs`, `inbox/receive.rs`, `destinations/shares.rs`, `campaigns/keep.rs` |
//! | a keeper | hands them over to the webhooks that want them, and moves their cursors | `feeds` |
//! | readers | read behind a [`Cursor`]; a row becomes one event for each delivery or entry in it | `read`, `tell` |
//!
//! Promises: whoever reads from cursor to cursor misses no event and gets none twice, however many processes write and however
//! long their transactions last. Rows are in the order of (transaction, number), and only those of transactions below the oldest
//! one still running are shown: nothing can appear behind a cursor any more. The price is that a transaction that stays open
//! (any, of any program in the same PostgreSQL cluster, that writes) holds events back until it ends.
//!
//! What an event tells of its delivery beyond its kind is looked up when it is read. Leaves out who may read, and deliveries of
//! the events themselves (lane status), which make none.

mod cursor;
mod feeds;
mod read;
mod tell;

pub use cursor::{Cursor, CursorError};
pub use feeds::{Feed, LINE, advance, feed, subscribed};
pub use read::{Page, adopt, newest, now, read};
pub use tell::{Event, Of};

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::db::DbError;
use crate::inbox;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The peer has it.
    Delivered,
    /// The peer said no for good.
    Failed,
    /// Its life ended first.
    Expired,
    /// Sent, asked for, and the answer lost.
    Unconfirmed,
    /// Withdrawn.
    Cancelled,
    /// One of our accounts received a message.
    Received,
    /// A destination's breaker opened: nothing goes there for now.
    Opened,
    /// It closed again.
    Closed,
    /// A campaign's last delivery has ended.
    Finished,
}

/// What is no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a kind of event; they are {all}", all = Kind::ALL.map(Kind::name).join(", "))]
pub struct KindError(String);

/// Why events could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The inbox, for the text of what was received.
    #[error(transparent)]
    Inbox(inbox::Error),
}

impl From<inbox::Error> for Error {
    fn from(error: inbox::Error) -> Self {
        match error {
            inbox::Error::Db(error) => Self::Db(error),
            other => Self::Inbox(other),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Failed,
        Self::Expired,
        Self::Unconfirmed,
        Self::Cancelled,
        Self::Received,
        Self::Opened,
        Self::Closed,
        Self::Finished,
    ];

    /// As stored: from 1.
    pub fn number(self) -> i16 {
        self as i16 + 1
    }

    /// As read; `None`: stored by a newer program.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivery.delivered",
            Self::Failed => "delivery.failed",
            Self::Expired => "delivery.expired",
            Self::Unconfirmed => "delivery.unconfirmed",
            Self::Cancelled => "delivery.cancelled",
            Self::Received => "message.received",
            Self::Opened => "destination.opened",
            Self::Closed => "destination.closed",
            Self::Finished => "campaign.finished",
        }
    }

    /// Kinds from a list with commas: names, `delivery.*` and the like, or `*`. Empty: all.
    pub fn list(text: &str) -> Result<Vec<Self>, KindError> {
        let mut kinds = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name.strip_suffix('*').filter(|group| group.is_empty() || group.ends_with('.')) {
                Some(group) if Self::ALL.iter().any(|kind| kind.name().starts_with(group)) => {
                    kinds.extend(Self::ALL.into_iter().filter(|kind| kind.name().starts_with(group)));
                }
                _ => kinds.push(name.parse()?),
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        Ok(if kinds.is_empty() { Self::ALL.to_vec() } else { kinds })
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| KindError(text.chars().filter(|c| !c.is_control()).take(64).collect()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl schemars::JsonSchema for Kind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventType".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "enum": Self::ALL.map(Self::name)})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_come_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind.number()), Some(kind));
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!((Kind::Delivered.number(), Kind::Closed.number()), (1, 8));
        assert_eq!(Kind::from_number(0), None);
    }

    #[test]
    fn kinds_are_listed_by_name_or_group() {
        assert_eq!(Kind::list("").unwrap(), Kind::ALL);
        assert_eq!(Kind::list("*").unwrap(), Kind::ALL);
        assert_eq!(
            Kind::list("destination.*, message.received").unwrap(),
            [Kind::Received, Kind::Opened, Kind::Closed]
        );
        assert_eq!(Kind::list("delivery.*").unwrap().len(), 5);
        for wrong in ["delivered", "delivery", "deliv*", "x.*", "delivery.*.*"] {
            assert!(Kind::list(wrong).is_err(), "{wrong}");
        }
    }
}
