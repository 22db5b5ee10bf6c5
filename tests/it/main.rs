//! Everything for real: own database, own keys. See `support` for what the environment must offer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod people;
mod support;
