//! What dies and what is promised then: processes killed, stopped and frozen, broker and database taken away, while messages flow.
//!
//! The proof is a ledger, not a belief: what an application saw accepted, what the books hold, and what the receiver got must
//! agree by content when everything is back and the work is done; doubles are counted. Moments are drawn from a seed, which is
//! printed and can be given in `HANDFAST_CHAOS_SEED`. No test asserts how long anything takes, only that it comes to its end.

mod application;
mod books;
mod broker;
mod cancel;
mod database;
mod dice;
mod failover;
mod failpoints;
mod ingress;
mod lease;
mod ledger;
mod network;
mod php;
mod power;
mod stage;
mod whole;
mod workers;

// What `ops/chaos` tells at length.
#[path = "../../ops/tools/chaos/story.rs"]
mod story;
