//! Homing Space, by whoever speaks it.

mod hub;
