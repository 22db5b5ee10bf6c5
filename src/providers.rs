//! Services of others that the node needs: who carries codes, who wakes devices.

pub mod carriers;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod push;
