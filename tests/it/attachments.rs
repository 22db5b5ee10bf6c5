//! Files behind signed URLs: a real node for those in its directory, a store that verifies signatures for those elsewhere.

mod interrupted;
mod outside;
mod purged;
mod scene;
mod statuses;
mod transfers;
