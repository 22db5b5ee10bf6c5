//! Homing Space, by whoever speaks it.

mod gateway;
mod hub;
