//! `latency-50`: fifty messages a second, one by one, on a node that has nothing else to do; beside it what the disk takes for
//! the two syncs that lie on every message's way.

use std::path::Path;

use serde_json::json;

use crate::Options;
use crate::bare::{self, BareOrder};
use crate::disk;
use crate::latencies::Latencies;
use crate::loader::Load;
use crate::report::Row;
use crate::round::{self, Round};
use crate::stage::{Manner, Stage};

pub(crate) const NAME: &str = "latency-50";
const PER_SECOND: u32 = 50;
/// Length of a round.
const SECONDS: u32 = 20;
/// Connections of the loader: more than can be waiting at that pace.
const AT_ONCE: usize = 16;

struct Measured {
    round: Round,
    syncs: Latencies,
    bare: Latencies,
}

/// Plays it.
pub(crate) async fn play(options: &Options) -> anyhow::Result<Row> {
    Stage::with(options, NAME, 1, async |stage| play_on(stage, options).await).await
}

async fn play_on(stage: &mut Stage, options: &Options) -> anyhow::Result<Row> {
    stage.register(0..1, Manner::Prompt, None).await?;
    eprintln!("{NAME}: warm-up");
    paced(stage, 5 * PER_SECOND).await?;
    let mut measured = Vec::new();
    for n in 1..=options.rounds {
        let one = measure(stage, options).await?;
        let Measured { round, syncs, bare } = &one;
        eprintln!(
            "{NAME}: round {n}: p50 {:.2} ms, p99 {:.2} ms; two syncs {:.2}, {:.2}; bare {:.2}, {:.2}; steal {:.1} %, other {:.1} %",
            round.latencies.p50,
            round.latencies.p99,
            syncs.p50,
            syncs.p99,
            bare.p50,
            bare.p99,
            round.steal_percent,
            round.other_percent
        );
        measured.push(one);
    }
    row(measured, stage).await
}

async fn measure(stage: &mut Stage, options: &Options) -> anyhow::Result<Measured> {
    let count = PER_SECOND * options.seconds.unwrap_or(SECONDS);
    let data = stage.data.clone();
    let (before, bare) = (syncs(&data).await?, stage.bare(bare::ONE_THREAD, BareOrder::Paced { count: 250 }).await?.0);
    let mut round = paced(stage, count).await?;
    let after = syncs(&data).await?;
    round.bare_rate = bare.per_second;
    round.ratio = round.rate / round.bare_rate;
    // Each half has a hundredth of its own: their mean is no hundredth of anything, but the better estimate of a noisy figure.
    let syncs = Latencies { p50: f64::midpoint(before.p50, after.p50), p99: f64::midpoint(before.p99, after.p99) };
    Ok(Measured { round, syncs, bare: bare.latencies })
}

async fn syncs(data: &Path) -> anyhow::Result<Latencies> {
    disk::two_syncs(data, 400).await
}

async fn paced(stage: &mut Stage, count: u32) -> anyhow::Result<Round> {
    let load = Load { count, batch: 1, at_once: AT_ONCE, per_second: Some(f64::from(PER_SECOND)), ..stage.load() };
    round::node_alone(stage, &load).await
}

async fn row(mut measured: Vec<Measured>, stage: &Stage) -> anyhow::Result<Row> {
    // At a fixed pace all ratios are 1: the round in the middle is the one by its latency.
    measured.sort_by(|a, b| a.round.latencies.p99.total_cmp(&b.round.latencies.p99));
    if measured.iter().any(|one| !one.round.disturbed) {
        measured.retain(|one| !one.round.disturbed);
    }
    let Measured { round, syncs, bare } = measured.swap_remove(measured.len() / 2);
    let times = round.latencies.p99 / syncs.p99;
    let mut row = Row::of(NAME, vec![round], stage.memory().await)?;
    row.add("two_fdatasyncs_p50_ms", json!(syncs.p50));
    row.add("two_fdatasyncs_p99_ms", json!(syncs.p99));
    row.add("p99_to_two_fdatasyncs_p99", json!(times));
    row.add("bare_p50_ms", json!(bare.p50));
    row.add("bare_p99_ms", json!(bare.p99));
    row.remarks = vec![format!(
        "two serial fdatasyncs of 4 KiB on the data directory's disk in the same minute: p50 {:.2} ms, p99 {:.2} ms (p99 here: \
         {times:.1} times that); a bare call: p50 {:.2} ms, p99 {:.2} ms",
        syncs.p50, syncs.p99, bare.p50, bare.p99
    )];
    Ok(row)
}
