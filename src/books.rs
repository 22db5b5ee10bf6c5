//! The books: deliveries and attempts, and the only code that changes them.
//!
//! | who | does | file |
//! |---|---|---|
//! | the API door | opens: message, chunk, deliveries, idempotency key in one statement; the ids are published after the commit | `open` |
//! | the worker loop | claims a chunk (or exceptions) with its claim id, under its worker's lease | `claim` |
//! | the worker loop | settles what is finished, many chunks in one statement, refused where the claim is no longer the row's | `settle` |
//! | the scheduler | finds what is due and not in the broker, and what a dead worker held | `due` |
//! | the API door | looks at messages, counts them, cancels them | `inspect`, `cancel` |
//!
//! A chunk is what is claimed and settled; messages, deliveries and attempts are only ever inserted; only a delivery that leaves
//! its chunk gets an exception row. The state of a delivery is its exception's, if it has one; else `delivered` if its chunk is
//! settled or it has a delivered attempt; else what its chunk says.

pub mod model;

pub use model::*;
