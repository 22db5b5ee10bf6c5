//! A figure for each kind of process that takes part.

use serde::Serialize;

/// CPU seconds, or MiB.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct ByProcess {
    pub(crate) serve: f64,
    /// All workers.
    pub(crate) work: f64,
    pub(crate) postgres: f64,
    pub(crate) rabbitmq: f64,
    pub(crate) loader: f64,
    pub(crate) sink: f64,
    /// The benchmark's own conductor.
    pub(crate) bench: f64,
}

impl ByProcess {
    /// All of them.
    pub(crate) fn total(self) -> f64 {
        self.serve + self.work + self.postgres + self.rabbitmq + self.loader + self.sink + self.bench
    }

    /// Each with its counterpart.
    pub(crate) fn with(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            serve: f(self.serve, other.serve),
            work: f(self.work, other.work),
            postgres: f(self.postgres, other.postgres),
            rabbitmq: f(self.rabbitmq, other.rabbitmq),
            loader: f(self.loader, other.loader),
            sink: f(self.sink, other.sink),
            bench: f(self.bench, other.bench),
        }
    }

    /// Each by itself.
    pub(crate) fn each(self, f: impl Fn(f64) -> f64) -> Self {
        self.with(self, |value, _| f(value))
    }
}
