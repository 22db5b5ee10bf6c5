//! Services of others that the node needs: who carries codes to people.

pub mod carriers;
