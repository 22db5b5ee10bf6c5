//! The Homing Space doors, under host names of their own: what merchants serve, and what a hub serves.

pub mod gateway;
