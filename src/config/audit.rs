//! The record of who changed what.

use serde::{Deserialize, Serialize};

use super::Period;

/// The record of changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Audit {
    /// How long a change is remembered.
    pub keep: Period,
}

impl Default for Audit {
    fn default() -> Self {
        Self { keep: Period::days(365) }
    }
}

impl Audit {
    /// What is wrong with it: the setting and words.
    pub(super) fn mistakes(&self) -> Vec<(String, String)> {
        let short = self.keep < Period::days(1);
        short.then(|| ("audit.keep".to_owned(), "must be at least 1d".to_owned())).into_iter().collect()
    }
}
