//! The one test binary.
mod peers;
