//! The Openmsg protocol between real processes and stand-in peers.

mod bad_input;
mod dialects;
mod no_worker;
mod scene;
mod two_nodes;
mod weaknesses;
mod wire;
