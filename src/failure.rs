//! What every error of the modules behind the doors can say of itself: is it passing? And how its causes are written in one line.

use std::error::Error;
use std::fmt::Write;

use crate::batch::Stopped;
use crate::books::BooksError;
use crate::db::DbError;

/// An error of the modules behind the doors.
pub trait Failure: Error + 'static {
    /// Whether trying again later may help.
    fn is_passing(&self) -> bool;

    /// Whether the caller brings more than is taken now: its own doing rather than ours.
    fn is_too_much(&self) -> bool {
        false
    }
}

macro_rules! failures {
    ($($error:ident: $($path:ident)::+),* $(,)?) => {$(
        impl Failure for crate::$($path)::+::$error {
            fn is_passing(&self) -> bool {
                matches!(self, Self::Db(error) if error.is_passing())
            }
        }
    )*};
}
failures!(Error: codes, Error: connections, Error: events, Error: gateway, Error: handshakes, Error: inbox, Error: senders, Error: webhooks, Error: hub);

impl Failure for DbError {
    fn is_passing(&self) -> bool {
        self.is_passing()
    }
}

impl Failure for BooksError {
    fn is_passing(&self) -> bool {
        self.is_passing()
    }

    fn is_too_much(&self) -> bool {
        matches!(self, Self::Busy { backlog: true })
    }
}

impl Failure for crate::logins::Error {
    fn is_passing(&self) -> bool {
        match self {
            Self::Db(error) => error.is_passing(),
            Self::Books(error) => error.is_passing(),
            Self::Json(_) => false,
        }
    }
}

impl Failure for crate::mailbox::Error {
    fn is_passing(&self) -> bool {
        match self {
            Self::Db(error) => error.is_passing(),
            Self::Books(error) => error.is_passing(),
            Self::Inbox(error) => Failure::is_passing(error),
            Self::Connections(error) => Failure::is_passing(error),
            Self::Handshakes(error) => Failure::is_passing(error),
        }
    }

    fn is_too_much(&self) -> bool {
        matches!(self, Self::Books(error) if Failure::is_too_much(error))
    }
}

impl Failure for crate::webhooks::Unread {
    fn is_passing(&self) -> bool {
        self.passing
    }
}

impl Failure for Stopped {
    fn is_passing(&self) -> bool {
        true
    }
}

/// An answer that could not be written as JSON: a defect.
impl Failure for serde_json::Error {
    fn is_passing(&self) -> bool {
        false
    }
}

/// An error and what is behind it, in one line for the log.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
