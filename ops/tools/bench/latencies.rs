//! Two numbers for many durations.

use serde::{Deserialize, Serialize};

/// Half of them were at most `p50` milliseconds, 99 % at most `p99`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Latencies {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Latencies {
    /// Of milliseconds in any order.
    pub(crate) fn of(mut took: Vec<f64>) -> Self {
        took.sort_by(f64::total_cmp);
        let rank = |percent: usize| took.get((took.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Self { p50: rank(50).unwrap_or_default(), p99: rank(99).unwrap_or_default() }
    }
}
