//! Homing Space, HS/1: the wire types and rules that gateway, hub and a user's agent share. No input or output.
