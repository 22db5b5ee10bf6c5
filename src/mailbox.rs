//! The mailbox: people of this node who sign in to read and to write.
//!
//! | file | what |
//! |---|---|
//! | `users` | passwords, and the links under which somebody sets one |
//! | `sign_in` | who may try, how often, and what it costs |
//! | `sessions` | browsers that are signed in |
//! | `conversations` | with whom there is something to read |
//! | `talk` | one conversation, page by page |
//! | `write` | a message on its way, and who may send one |
//!
//! Promises: an address that does not exist costs and answers the same as one that does; tries are counted over all processes before
//! a password is looked at, and so few are looked at at once that sign-ins cannot eat the node; a new password, and disabling an
//! account, end its sessions; work does not grow with what an account holds. Messages are those of the [books](crate::books) and
//! the [inbox](crate::inbox): *read* here is *acknowledged* there. Leaves out the pages.

mod conversations;
mod sessions;
mod sign_in;
mod talk;
mod users;
mod write;

pub use conversations::{Conversation, Conversations, conversations, unread};
pub use sessions::{
    SESSION_TOKEN_CHARS, Session, SignedIn, find_session, look_session, sessions, sign_out, sign_out_all,
};
pub use sign_in::{From, Outcome};
pub use talk::{Line, Said, Talk, said, states, talk};
pub use users::{Changed, Invitation, PasswordFault, Set, check_new};
pub use write::{Allowance, SENDER, Sent, allowed, send};

use crate::App;
use crate::crypto::Cost;
use crate::db::DbError;
use crate::passwords::Passwords;

/// What sign-ins share in one process; cheap to clone.
#[derive(Clone)]
pub struct Mailbox {
    app: App,
    passwords: Passwords,
}

impl Mailbox {
    /// With the settings.
    pub fn new(app: &App) -> Self {
        let settings = &app.config.mailbox;
        let passwords = Passwords::new(settings.password_checks, settings.password_checks_waiting, Cost::Person);
        Self { app: app.clone(), passwords }
    }
}

/// Why the mailbox could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The books.
    #[error(transparent)]
    Books(#[from] crate::books::BooksError),
    /// The inbox.
    #[error(transparent)]
    Inbox(#[from] crate::inbox::Error),
    /// Connections.
    #[error(transparent)]
    Connections(#[from] crate::connections::Error),
    /// Handshakes.
    #[error(transparent)]
    Handshakes(#[from] crate::handshakes::Error),
}

impl std::convert::From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Removes up to 1,000 sessions and as many invitations whose time is over; returns how many.
pub async fn purge(app: &App) -> Result<u64, DbError> {
    Ok(sessions::purge(app).await? + users::purge_invitations(app).await?)
}
