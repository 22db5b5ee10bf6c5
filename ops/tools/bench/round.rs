//! One round: the bare loop, the node, the bare loop, all within a minute, and what everything took meanwhile.

use serde::Serialize;

use crate::bare::{self, BareOrder};
use crate::by_process::ByProcess;
use crate::latencies::Latencies;
use crate::loader::Load;
use crate::machine::Machine;
use crate::stage::Stage;

/// How long the bare loop runs before and after the node.
const BARE_SECONDS: f64 = 3.0;
/// Share of the machine, in percent, that others may take before a round is called disturbed.
const DISTURBED: f64 = 5.0;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    pub(crate) messages: u32,
    /// Deliveries a second, from the first request to the last arrival.
    pub(crate) rate: f64,
    /// Messages a second that were answered as accepted, while they were delivered.
    pub(crate) accept_rate: f64,
    /// Deliveries a second while messages were still being accepted.
    pub(crate) rate_while_accepting: f64,
    pub(crate) bare_rate: f64,
    pub(crate) ratio: f64,
    /// CPU seconds of bare loop and sink per 1,000 calls.
    pub(crate) bare_cpu_s_per_1000: f64,
    /// The same for the bare loop with one thread.
    pub(crate) bare_one_thread_rate: f64,
    pub(crate) ratio_one_thread: f64,
    pub(crate) bare_one_thread_cpu_s_per_1000: f64,
    /// From the loader's sending to the arrival.
    pub(crate) latencies: Latencies,
    /// How long the node took to answer a request.
    pub(crate) accept_latencies: Latencies,
    pub(crate) cpu: ByProcess,
    /// Share of the machine that the host took for others while the node was measured, and that other processes took.
    pub(crate) steal_percent: f64,
    pub(crate) other_percent: f64,
    /// The same over the whole round, bare loops included, is above a limit: do not quote it.
    pub(crate) disturbed: bool,
    pub(crate) lost: u64,
    pub(crate) doubles: u64,
    pub(crate) strange: u64,
    pub(crate) unsigned: u64,
    /// That the node opened during the round, of those it did not keep from before.
    pub(crate) connections: u64,
    pub(crate) asked_to_wait: u64,
}

/// Plays a load between two bare loops.
pub(crate) async fn round(stage: &mut Stage, load: &Load) -> anyhow::Result<Round> {
    let begun = Machine::now();
    let before = [race(stage, bare::THREADS).await?, race(stage, bare::ONE_THREAD).await?];
    let mut round = node_alone(stage, load).await?;
    let after = [race(stage, bare::ONE_THREAD).await?, race(stage, bare::THREADS).await?];
    let mean = |a: (f64, f64), b: (f64, f64)| (f64::midpoint(a.0, b.0), f64::midpoint(a.1, b.1));
    (round.bare_rate, round.bare_cpu_s_per_1000) = mean(before[0], after[1]);
    (round.bare_one_thread_rate, round.bare_one_thread_cpu_s_per_1000) = mean(before[1], after[0]);
    round.ratio = round.rate / round.bare_rate;
    round.ratio_one_thread = round.rate / round.bare_one_thread_rate;
    let whole = Machine::now().since(begun);
    round.disturbed |= 100.0 * whole.steal / whole.all > DISTURBED;
    Ok(round)
}

/// Rate and CPU seconds per 1,000.
async fn race(stage: &mut Stage, which: &str) -> anyhow::Result<(f64, f64)> {
    let (rate, cpu) = stage.bare(which, BareOrder::Race { seconds: BARE_SECONDS }).await?;
    Ok((rate.per_second, cpu))
}

/// Plays a load; what concerns the bare loop stays 0.
pub(crate) async fn node_alone(stage: &mut Stage, load: &Load) -> anyhow::Result<Round> {
    let (machine, used) = (Machine::now(), stage.cpu().await);
    let (loaded, report) = stage.play(load, 0, u64::from(load.count)).await?;
    let lost = u64::from(load.count).saturating_sub(report.different);
    if lost == 0 {
        stage.books.settled().await?;
    }
    let cpu = stage.cpu().await.with(used, |now, then| now - then);
    let machine = Machine::now().since(machine);
    // A double may come after all have arrived.
    let report = crate::sink::Report { doubles: stage.report(0, 0).await?.doubles, ..report };
    let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1_000_000.0;
    let accepting = seconds(loaded.first_us, loaded.last_us);
    let count = f64::from(load.count);
    let percent = |part: f64| (100.0 * part / machine.all).max(0.0);
    let (steal_percent, other_percent) = (percent(machine.steal), percent(machine.busy - cpu.total()));
    Ok(Round {
        messages: load.count,
        rate: count / seconds(loaded.first_us, report.last_us),
        accept_rate: count / accepting,
        rate_while_accepting: report.until as f64 / accepting,
        bare_rate: 0.0,
        ratio: 0.0,
        bare_cpu_s_per_1000: 0.0,
        bare_one_thread_rate: 0.0,
        ratio_one_thread: 0.0,
        bare_one_thread_cpu_s_per_1000: 0.0,
        latencies: report.latencies,
        accept_latencies: loaded.answers,
        cpu: cpu.each(|seconds| seconds * 1000.0 / count),
        steal_percent,
        other_percent,
        disturbed: steal_percent + other_percent > DISTURBED,
        lost,
        doubles: report.doubles,
        strange: report.strange,
        unsigned: report.unsigned,
        connections: report.connections,
        asked_to_wait: loaded.asked_to_wait,
    })
}

/// The round in the middle by ratio, of the undisturbed ones where there are any; of two the lower one.
pub(crate) fn median(rounds: &[Round]) -> Option<&Round> {
    let mut quiet: Vec<&Round> = rounds.iter().filter(|round| !round.disturbed).collect();
    if quiet.is_empty() {
        quiet = rounds.iter().collect();
    }
    quiet.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    quiet.get(quiet.len().saturating_sub(1) / 2).copied()
}

impl Round {
    /// For whoever watches.
    pub(crate) fn sentence(&self) -> String {
        let mark = if self.disturbed { ", disturbed" } else { "" };
        format!(
            "{:.0}/s, bare {:.0}/s, ratio {:.2} (one thread: {:.0}/s, {:.2}), accepted {:.0}/s, {:.3} CPU s per 1,000; {} connections; \
             steal {:.1} %, other {:.1} %{mark}",
            self.rate,
            self.bare_rate,
            self.ratio,
            self.bare_one_thread_rate,
            self.ratio_one_thread,
            self.accept_rate,
            self.cpu.total(),
            self.connections,
            self.steal_percent,
            self.other_percent,
        )
    }
}
