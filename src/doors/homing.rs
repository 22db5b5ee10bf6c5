//! The Homing Space doors.

pub(super) mod hub;
