//! The hub, over HTTP, by those who speak to it: people with a space, and merchants' servers.

mod decisions;
mod keys;
mod notices;
mod operators;
pub(super) mod scene;
mod sites;
mod spaces;
mod welcomes;
