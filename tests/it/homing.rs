//! The Homing Space doors.

mod gateway;
