//! What `/proc` says: CPU time and memory of processes with all they started, and what others took of the machine meanwhile.

use std::collections::HashMap;

/// Linux counts CPU time in hundredths of a second, whatever the kernel's own tick is.
const TICKS: f64 = 100.0;

/// All processes at a moment.
pub(crate) struct Processes(HashMap<u32, Stat>);

struct Stat {
    parent: u32,
    /// Seconds of itself.
    own: f64,
    /// Seconds of children that have ended.
    ended: f64,
}

impl Processes {
    /// As they are now.
    pub(crate) fn now() -> Self {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let stats =
            pids.filter_map(|pid| Some((pid, parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)));
        Self(stats.collect())
    }

    /// CPU seconds of a process alone.
    pub(crate) fn own(&self, pid: u32) -> f64 {
        self.0.get(&pid).map_or(0.0, |stat| stat.own)
    }

    /// CPU seconds of a process and all it started.
    pub(crate) fn tree(&self, pid: u32) -> f64 {
        let own = self.0.get(&pid).map_or(0.0, |stat| stat.own + stat.ended);
        own + self.children(pid).map(|child| self.tree(child)).sum::<f64>()
    }

    /// Memory of a process and all it started, in MiB: what they share is counted once.
    pub(crate) fn memory(&self, pid: u32) -> f64 {
        memory(pid) + self.children(pid).map(|child| self.memory(child)).sum::<f64>()
    }

    fn children(&self, pid: u32) -> impl Iterator<Item = u32> {
        self.0.iter().filter(move |(_, stat)| stat.parent == pid).map(|(child, _)| *child)
    }
}

/// proc(5): after the name in brackets come state, ppid … utime, stime, cutime, cstime.
fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |n: usize| Some(fields.get(n)?.parse::<f64>().ok()? / TICKS);
    let (own, ended) = (seconds(11)? + seconds(12)?, seconds(13)? + seconds(14)?);
    Some(Stat { parent: fields.get(1)?.parse().ok()?, own, ended })
}

/// Proportional share of what is resident; resident memory where the kernel does not let us see that.
fn memory(pid: u32) -> f64 {
    let field = |file: &str, name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let kib = field("smaps_rollup", "Pss:").or_else(|| field("status", "VmRSS:"));
    kib.unwrap_or_default() / 1024.0
}

/// CPU seconds of the whole machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Machine {
    /// All, of all cores.
    pub(crate) all: f64,
    /// Used by processes and the kernel.
    pub(crate) busy: f64,
    /// Taken by the host for somebody else.
    pub(crate) steal: f64,
}

impl Machine {
    /// Since the machine was started.
    pub(crate) fn now() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let field: Vec<f64> = line.split_whitespace().skip(1).map(|n| n.parse().unwrap_or(0.0) / TICKS).collect();
        // user nice system idle iowait irq softirq steal
        let of = |places: &[usize]| places.iter().filter_map(|n| field.get(*n)).sum::<f64>();
        Self { all: of(&[0, 1, 2, 3, 4, 5, 6, 7]), busy: of(&[0, 1, 2, 5, 6]), steal: of(&[7]) }
    }

    /// What was used between `earlier` and now.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { all: self.all - earlier.all, busy: self.busy - earlier.busy, steal: self.steal - earlier.steal }
    }
}
