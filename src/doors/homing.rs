//! The Homing Space doors. They never share a host name: what one keeps in a browser must not be the other's.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod gateway;
pub mod hub;
