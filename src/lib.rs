//! handfast: a messaging node.
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod embedded;
pub mod listen;
pub mod openmsg;
pub mod outbound;
pub mod supervise;
