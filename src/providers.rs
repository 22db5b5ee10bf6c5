//! Services of others that the node needs: who wakes devices.

pub mod push;
