//! The Homing Space doors. They never share a host name: what one keeps in a browser must not be the other's.

pub mod gateway;
pub mod hub;
