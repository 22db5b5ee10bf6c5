//! The one test binary: everything for real. See `support` for what the environment must offer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod peers;
mod people;
mod support;
