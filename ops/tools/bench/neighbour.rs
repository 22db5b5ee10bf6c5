//! `slow-neighbour`: a hundred destinations, one of which never answers and one takes ten seconds; what that costs the other 98.
//!
//! The same load on the 98 is measured twice: without messages for those two, and with.

use serde_json::json;

use crate::Options;
use crate::latencies::Latencies;
use crate::loader::{Load, Loaded};
use crate::machine::Machine;
use crate::report::Row;
use crate::round::Round;
use crate::sink::Report;
use crate::stage::{Manner, Stage};
use crate::webhook::Volume;

pub(crate) const NAME: &str = "slow-neighbour";
const ALL: u32 = 100;
/// The silent one and the late one.
const SLOW: u32 = 2;
/// Above the longest time-out of a call, so that what a silent destination holds must come back during the run.
const SECONDS: u32 = 45;
/// Share of what `webhook-100` reaches that is offered.
const SHARE: f64 = 0.6;

/// What the 98 got.
struct Run {
    rate: f64,
    loaded: Loaded,
    report: Report,
    steal_percent: f64,
}

/// Plays it.
pub(crate) async fn play(options: &Options) -> anyhow::Result<Row> {
    Stage::with(options, NAME, 1, async |stage| play_on(stage, options).await).await
}

async fn play_on(stage: &mut Stage, options: &Options) -> anyhow::Result<Row> {
    stage.register(0..1, Manner::Silent, None).await?;
    stage.register(1..SLOW, Manner::Late, None).await?;
    // As many prompt ones as `webhook-100` has, so that the same volume can be measured first.
    stage.register(SLOW..ALL + SLOW, Manner::Prompt, None).await?;
    let capacity = capacity(stage, options).await?;
    let offered = options.offered.unwrap_or(capacity.rate * SHARE);
    let healthy = offered * f64::from(ALL - SLOW) / f64::from(ALL);
    eprintln!("{NAME}: {offered:.0}/s are offered, {healthy:.0}/s of them to the 98");
    let alone = run(stage, options, SLOW..ALL, healthy).await?;
    stage.books.settled().await?;
    let beside = run(stage, options, 0..ALL, offered).await?;
    row(stage, capacity, offered, &alone, &beside).await
}

async fn capacity(stage: &mut Stage, options: &Options) -> anyhow::Result<Round> {
    let options = Options { rounds: 1, ..options.clone() };
    let volume = Volume::named("webhook-100").map(|volume| Volume { first: SLOW, ..volume });
    let rounds = match volume {
        Some(volume) => volume.rounds(stage, &options, NAME).await?,
        None => Vec::new(),
    };
    rounds.into_iter().next().ok_or_else(|| anyhow::anyhow!("there is no scenario to compare with"))
}

async fn run(
    stage: &mut Stage,
    options: &Options,
    webhooks: std::ops::Range<u32>,
    per_second: f64,
) -> anyhow::Result<Run> {
    let seconds = f64::from(options.seconds.unwrap_or(SECONDS));
    let among = webhooks.end - webhooks.start;
    let count = (per_second * seconds) as u32 / among * among;
    let load = Load { count, batch: 100, at_once: 8, per_second: Some(per_second), webhooks, ..stage.load() };
    let expected = u64::from(count / among * (ALL - SLOW));
    let machine = Machine::now();
    let (loaded, report) = stage.play(&load, SLOW, expected).await?;
    let machine = Machine::now().since(machine);
    let rate = expected as f64 / (report.last_us.saturating_sub(loaded.first_us) as f64 / 1_000_000.0);
    let run = Run { rate, loaded, report, steal_percent: 100.0 * machine.steal / machine.all };
    let Latencies { p50, p99 } = run.report.latencies;
    eprintln!(
        "{NAME}: {among} destinations: the 98 got {rate:.0}/s, at worst {} in a second, p50 {p50:.1} ms, p99 {p99:.1} ms; steal \
         {:.1} %",
        run.report.worst_second, run.steal_percent
    );
    Ok(run)
}

async fn row(stage: &Stage, capacity: Round, offered: f64, alone: &Run, beside: &Run) -> anyhow::Result<Row> {
    let (bare_rate, one_thread) = (capacity.bare_rate, capacity.bare_one_thread_rate);
    let round = Round {
        rate: beside.rate,
        ratio: beside.rate / bare_rate,
        ratio_one_thread: beside.rate / one_thread,
        latencies: beside.report.latencies,
        accept_latencies: beside.loaded.answers,
        steal_percent: beside.steal_percent,
        doubles: beside.report.doubles,
        strange: beside.report.strange,
        unsigned: beside.report.unsigned,
        asked_to_wait: beside.loaded.asked_to_wait,
        ..capacity
    };
    let kept = beside.rate / alone.rate;
    let mut row = Row::of(NAME, vec![round], stage.memory().await)?;
    row.add("offered_rate", json!(offered));
    row.add("alone", told(alone));
    row.add("beside", told(beside));
    row.add("rate_kept", json!(kept));
    row.remarks = vec![format!(
        "rate, latency: of the 98 beside one silent and one late destination, {offered:.0}/s offered in all; without those two: \
         {:.0}/s, p50 {:.1} ms, p99 {:.1} ms; {:.1} % of the rate is kept; CPU: of the volume that was measured before on 100 \
         prompt destinations",
        alone.rate,
        alone.report.latencies.p50,
        alone.report.latencies.p99,
        100.0 * kept
    )];
    Ok(row)
}

fn told(run: &Run) -> serde_json::Value {
    let Latencies { p50, p99 } = run.report.latencies;
    json!({
        "rate": run.rate, "p50_ms": p50, "p99_ms": p99, "worst_second": run.report.worst_second,
        "steal_percent": run.steal_percent, "asked_to_wait": run.loaded.asked_to_wait,
    })
}
