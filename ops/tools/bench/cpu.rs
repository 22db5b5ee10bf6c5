//! CPU time of processes and all they started, from `/proc`.

use std::collections::HashMap;

use handfast::demo::town::Town;

/// Linux counts CPU time in hundredths of a second, whatever the kernel's own tick is.
const TICKS: f64 = 100.0;

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
        let all = read_all();
        let sum = |pids: &[u32]| pids.iter().map(|pid| tree(&all, *pid)).sum();
        let [postgres, rabbitmq] = town.pair().process_ids().await;
        Self {
            shop: sum(&town.shop().process_ids()),
            customers: sum(&town.customers().process_ids()),
            postgres: sum(postgres.as_slice()),
            rabbitmq: sum(rabbitmq.as_slice()),
            // The nodes are its children, so only itself.
            loader: all.get(&std::process::id()).map_or(0.0, |stat| stat.own),
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

struct Stat {
    parent: u32,
    /// Seconds of itself.
    own: f64,
    /// Seconds of children that have ended.
    ended: f64,
}

fn read_all() -> HashMap<u32, Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// proc(5): after the name in brackets come state, ppid … utime, stime, cutime, cstime.
fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |n: usize| Some(fields.get(n)?.parse::<f64>().ok()? / TICKS);
    let (own, ended) = (seconds(11)? + seconds(12)?, seconds(13)? + seconds(14)?);
    Some(Stat { parent: fields.get(1)?.parse().ok()?, own, ended })
}

fn tree(all: &HashMap<u32, Stat>, pid: u32) -> f64 {
    let own = all.get(&pid).map_or(0.0, |stat| stat.own + stat.ended);
    let children = all.iter().filter(|(_, stat)| stat.parent == pid).map(|(child, _)| tree(all, *child));
    own + children.sum::<f64>()
}
