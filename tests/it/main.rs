//! Everything against the real servers.
mod embedded;
mod supervise;
