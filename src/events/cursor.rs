//! A place among the events, as text that its holder need not understand.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// Behind which event a reader is. Also the id of that event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The transaction that wrote the row.
    pub(super) xid: u64,
    /// The row's number.
    pub(super) n: i64,
    /// Parts of the row that were read.
    pub(super) part: u32,
    /// When the row was written: older partitions need not be looked at. In microseconds.
    pub(super) at: i64,
}

/// What is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this node's events")]
pub struct CursorError;

impl Cursor {
    /// Before everything that is kept.
    pub const START: Self = Self { xid: 0, n: 0, part: 0, at: 0 };

    /// From the columns of a feed (`feeds`), whose time is when it was moved.
    pub fn stored(xid: &str, n: i64, part: i32, at: Timestamp) -> Result<Self, CursorError> {
        let xid = xid.parse().map_err(|_| CursorError)?;
        let part = u32::try_from(part).map_err(|_| CursorError)?;
        Ok(Self { xid, n, part, at: at.as_microsecond() })
    }

    /// The transaction, as PostgreSQL reads it.
    pub fn xid(&self) -> String {
        self.xid.to_string()
    }

    /// The row's number.
    pub fn n(&self) -> i64 {
        self.n
    }

    /// Parts of the row that were read.
    pub fn part(&self) -> i32 {
        i32::try_from(self.part).unwrap_or(i32::MAX)
    }

    /// When the row was written.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_microsecond(self.at).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}-{:x}", self.xid, self.n, self.part, self.at)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.split('-').map(|part| u64::from_str_radix(part, 16).map_err(|_| CursorError));
        let mut next = || parts.next().unwrap_or(Err(CursorError));
        let (xid, n, part, at) = (next()?, next()?, next()?, next()?);
        let cursor = Self {
            xid,
            n: i64::try_from(n).map_err(|_| CursorError)?,
            part: u32::try_from(part).map_err(|_| CursorError)?,
            at: i64::try_from(at).map_err(|_| CursorError)?,
        };
        // Nothing may be written in two ways: an event's id is compared as text by those who keep it.
        if cursor.to_string() == text && Timestamp::from_microsecond(cursor.at).is_ok() {
            Ok(cursor)
        } else {
            Err(CursorError)
        }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_not_written_here_is_refused() {
        for wrong in
            ["", "-", "1-2-3", "1-2-3-4-5", "1-2-3-x", "01-2-3-4", "1-2-3-A", "+1-2-3-4", "1-2-3-ffffffffffffffff"]
        {
            assert_eq!(wrong.parse::<Cursor>(), Err(CursorError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn cursors_come_back(xid: u64, n in 0..i64::MAX, part: u32, at in 0..253_402_300_799_000_000_i64) {
            let cursor = Cursor { xid, n, part, at };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn any_text_is_answered(text: String) {
            let _ = text.parse::<Cursor>();
        }
    }
}
