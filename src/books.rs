//! The books: deliveries and attempts, and the only code that changes them.
//!
//! | who | does | file |
//! |---|---|---|
//! | the API door | opens: message, chunk, deliveries, idempotency key in one statement; the ids are published after the commit | `open` |
//! | the worker loop | claims a chunk (or exceptions) with its claim id, under its worker's lease | `claim` |
//! | the worker loop | settles what is finished, many chunks in one statement, refused where the claim is no longer the row's | `settle` |
//! | the scheduler | finds what is due and not in the broker, and what a dead worker held | `due` |
//! | the scheduler | lets go what waited for its destination, ends what is past its life | `release`, `expire` |
//! | whoever ends a delivery | moves its line on, notes what is to be told | `turns`, `tell` |
//! | the API door | finds deliveries, looks at them, counts them | `find`, `inspect` |
//! | who watches the node | counts what is open | `standing` |
//! | the API door | cancels, replays: one by one, or by filter as an operation that workers carry on | `cancel`, `replay`, `operations` |
//! | campaigns | hold, space, stop, count what is theirs | `campaign` |
//!
//! A chunk is what is claimed and settled; messages, deliveries and attempts are only ever inserted; only a delivery that leaves
//! its chunk gets an exception row. A message is one delivery, and has its id. The state of a delivery is its exception's, if it has one; else `delivered` if its chunk is
//! settled or it has a delivered attempt; else what its chunk says.

mod campaign;
mod cancel;
mod claim;
mod contents;
mod due;
mod expire;
mod find;
mod inspect;
mod model;
mod open;
mod operations;
mod outbox;
mod release;
mod replay;
mod settle;
mod standing;
pub mod tell;
pub mod turns;
mod workers;

pub use campaign::{
    ReportRow, count_campaign, hold_campaign, is_campaign_open, let_go_campaign, note_rows, paused_among,
    report_campaign, space_campaign, stop_campaign,
};
pub use cancel::{cancel, cancel_many, cancelled_among};
pub use claim::{Claimed, ClaimedDelivery, claim_again, claim_chunks, give_back, give_back_again, held_by, park};
pub use contents::{contents, deliveries_of};
pub use due::{Due, Pending, confirmed, due_again, due_chunks, pending, published, published_ahead, unpublish};
pub use expire::{expire_due, expire_waiting};
pub use find::{Count, Filter, Found, Group, Status, StatusError, count, deliveries};
pub use inspect::{Delivery, are_from, delivery, find, list, summary};
pub use model::*;
pub use open::{Acceptor, BatchKey, ToPublish, purge_keys};
pub use operations::{
    Carried, NewOperation, OPERATION_RATES, Operation, OperationKind, OperationResult, OperationState, Steer, Stop,
    begin_operation, carry, operation, operation_results, operations, purge_operations, steer, stops, take_operation,
};
pub use outbox::{Flight, OutboxEntry, asked, confirm_many, flights_of, forget_unasked, purge, put_many};
pub use release::{release_chunks, release_singles};
pub use replay::{Replayed, replay};
pub use settle::{Attempt, Held, Settle, Settled, Then, Written, settle_many};
pub use standing::{Standing, standing};
pub use workers::{die, hand_on_dead, renew};

use crate::batch::Stopped;
use crate::crypto::OpenError;
use crate::db::DbError;

/// Why the books could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A sealed value did not open: the wrong node key, or damage.
    #[error("a sealed value does not open")]
    Sealed(#[from] OpenError),
    /// This process is stopping.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The node has more than it may take; nothing of the request was accepted.
    #[error("{}", if *backlog { "more waits to be delivered than may" } else { "the database is slow, or too much waits for it" })]
    Busy {
        /// Whether it is the backlog; otherwise the database.
        backlog: bool,
    },
    /// So many count or search at this moment that there is no room for one more.
    #[error("too many count or search at once")]
    Crowded,
    /// A batch that many callers shared failed; each gets this.
    #[error("the database refused or was away")]
    Shared {
        /// Whether trying again later may help.
        passing: bool,
    },
}

impl BooksError {
    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Db(error) => error.is_passing(),
            Self::Stopped(_) | Self::Busy { .. } | Self::Crowded => true,
            Self::Shared { passing } => *passing,
            Self::Sealed(_) => false,
        }
    }
}

impl From<tokio_postgres::Error> for BooksError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}
