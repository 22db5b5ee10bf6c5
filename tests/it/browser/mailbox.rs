//! The mailbox: people on two nodes, in real browsers.

mod safety;
mod scene;
mod talk;
