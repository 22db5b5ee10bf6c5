//! How often what may be done.

use serde::{Deserialize, Serialize};

/// A leaky bucket: how much it holds, and how much leaks out in a minute. Each is read alone, so that each mistake is named; the one
/// that is not given is then 0, which is a mistake too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bucket {
    /// How much at once.
    pub bucket: u32,
    /// How much a minute in the long run.
    pub per_minute: f64,
}

impl Bucket {
    /// What is said of one that is none.
    pub(super) const MUST: &str = "bucket must be at least 1, and per_minute above 0";

    /// Whether anything fits in, and something leaks out.
    pub(super) fn is_one(self) -> bool {
        self.bucket > 0 && self.per_minute > 0.0 && self.per_minute.is_finite()
    }
}
