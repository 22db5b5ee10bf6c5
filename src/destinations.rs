//! Pace and health of what deliveries go to, for all processes of a node.
//!
//! A destination is a peer's domain or the name of a webhook. Its row says how many calls it may be made at once and a second,
//! and how it is; the rows of `shares` say which worker may make how many of them. The rules are [`pace`]'s, which is pure;
//! `shares` applies them under the rows' locks, many destinations in one transaction; `settings` is for operators. It promises:
//! the shares of living workers never add up to more than the destination's limit (after a limit was lowered they only shrink);
//! every opening and closing of a breaker is an event, in the same transaction. It leaves out who makes the calls, and when:
//! that is the worker's gate.

pub mod pace;
mod settings;
mod shares;

pub use settings::{
    Change, Destination, Filter, MOST_AT_ONCE, RATES, STATES, Setting, default_schedule, find, is_name, list, moved,
    pause, resume, set,
};
pub use shares::{Given, Told, Want, changed_since, release, release_dead, sync};
