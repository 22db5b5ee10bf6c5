//! CPU time of both nodes, their servers and the benchmark.

use handfast::demo::town::Town;

use crate::machine::Processes;

/// CPU seconds used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) shop: f64,
    pub(crate) customers: f64,
    pub(crate) postgres: f64,
    pub(crate) rabbitmq: f64,
    /// The benchmark itself.
    pub(crate) loader: f64,
}

impl Cpu {
    /// As it is now.
    pub(crate) async fn of(town: &Town) -> Self {
        let all = Processes::now();
        let sum = |pids: &[u32]| pids.iter().map(|pid| all.tree(*pid)).sum();
        let [postgres, rabbitmq] = town.pair().process_ids().await;
        Self {
            shop: sum(&town.shop().process_ids()),
            customers: sum(&town.customers().process_ids()),
            postgres: sum(postgres.as_slice()),
            rabbitmq: sum(rabbitmq.as_slice()),
            // The nodes are its children, so only itself.
            loader: all.own(std::process::id()),
        }
    }

    /// What was used since `earlier`, per 1,000 of `count`.
    pub(crate) fn per_thousand_since(self, earlier: Self, count: usize) -> Self {
        let part = |now: f64, then: f64| (now - then) * 1000.0 / count as f64;
        Self {
            shop: part(self.shop, earlier.shop),
            customers: part(self.customers, earlier.customers),
            postgres: part(self.postgres, earlier.postgres),
            rabbitmq: part(self.rabbitmq, earlier.rabbitmq),
            loader: part(self.loader, earlier.loader),
        }
    }

    /// Everything but the benchmark itself.
    pub(crate) fn total(self) -> f64 {
        self.shop + self.customers + self.postgres + self.rabbitmq
    }
}
