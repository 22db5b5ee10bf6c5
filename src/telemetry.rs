//! What the node tells those who run it: logs, metrics, traces. `docs/observability.md` is its contract.
//!
//! | file | what |
//! |---|---|
//! | `logs` | a line for each thing that happened, to standard error |
//! | `metrics` | counters, gauges and histograms of this process, in the text form of Prometheus |
//! | `families` | the list of all metrics |
//! | `process` | what the operating system knows of this process |
//! | `traces` | the steps of a request through all processes, for a collector |
//!
//! What must never be told, in any of them: bodies, codes, keys, tokens, full phone numbers, paths and query strings of requests.
//! Labels are words of a fixed list, or names that the operator has given: never what a stranger chose.

pub mod families;
mod logs;
pub mod metrics;
mod process;
pub mod traces;

pub use logs::{failed, start};
pub use process::host;
