//! handfast: a messaging node.
pub mod clock;
pub mod config;
pub mod crypto;
pub mod openmsg;
pub mod outbound;
pub mod listen;
pub mod tls;
pub mod embedded;
pub mod supervise;
pub mod cli;
