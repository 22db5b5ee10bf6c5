//! The Openmsg protocol between real processes and stand-in peers.

mod two_nodes;
