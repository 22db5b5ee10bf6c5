//! Services of others that the node needs: who carries codes, who wakes devices.

pub mod carriers;
pub mod push;
