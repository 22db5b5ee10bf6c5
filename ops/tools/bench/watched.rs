//! `watched`: the same volume while nobody looks, and while everybody looks who may: what it costs to be asked how one is doing.
//!
//! A quiet round and a watched one in turn, on one node. Watching is a scrape of `/metrics` and a look at the overview each second:
//! fifteen times what Prometheus does by default, and as often as `handfast top` and an open page of the console look.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::Options;
use crate::api::Api;
use crate::report::Row;
use crate::round::{self, Round};
use crate::stage::Stage;
use crate::webhook::Volume;

pub(crate) const NAME: &str = "watched";
/// Between two looks.
const PACE: Duration = Duration::from_secs(1);

/// Plays it.
pub(crate) async fn play(options: &Options) -> anyhow::Result<Row> {
    Stage::with(options, NAME, 1, async |stage| play_on(stage, options).await).await
}

async fn play_on(stage: &mut Stage, options: &Options) -> anyhow::Result<Row> {
    let volume = Volume::named("webhook-1").context("there is no scenario to compare with")?;
    volume.register(stage).await?;
    volume.warm_up(stage, options, NAME).await?;
    let (mut quiet, mut watched) = (Vec::new(), Vec::new());
    for n in 1..=options.rounds {
        quiet.push(volume.round(stage, options, &format!("{NAME}, quiet round {n}")).await?);
        let watch = Watch::begin(stage)?;
        watched.push(volume.round(stage, options, &format!("{NAME}, watched round {n}")).await?);
        watch.end().await?;
    }
    row(volume, &quiet, watched, stage).await
}

async fn row(volume: Volume, quiet: &[Round], watched: Vec<Round>, stage: &Stage) -> anyhow::Result<Row> {
    let alone = round::median(quiet).context("no round")?;
    let seen = round::median(&watched).context("no round")?;
    let (kept, kept_rate) = (seen.ratio / alone.ratio, seen.rate / alone.rate);
    let mut row = Row::of(NAME, watched.clone(), stage.memory().await)?;
    row.add("quiet", json!({"rate": alone.rate, "ratio": alone.ratio, "cpu_s_per_1000": alone.cpu.total()}));
    row.add("ratio_kept", json!(kept));
    row.add("rate_kept", json!(kept_rate));
    row.remarks = volume.remarks();
    row.remarks.push(format!(
        "/metrics and the overview are asked for once a second each; quiet rounds in between: {:.0}/s, ratio {:.2}, {:.3} CPU s; \
         {:.0} % of the ratio is kept",
        alone.rate,
        alone.ratio,
        alone.cpu.total(),
        100.0 * kept
    ));
    Ok(row)
}

/// Somebody who looks once a second.
struct Watch(JoinHandle<anyhow::Result<()>>);

impl Watch {
    fn begin(stage: &Stage) -> anyhow::Result<Self> {
        let api = Api::of(stage.node())?;
        Ok(Self(tokio::spawn(async move {
            let mut looks = tokio::time::interval(PACE);
            loop {
                looks.tick().await;
                let metrics = api.metrics().await?;
                anyhow::ensure!(
                    metrics.contains("handfast_overview_up 1\n"),
                    "/metrics does not know how the node is doing"
                );
                api.get("/overview").await?;
            }
        })))
    }

    /// Its first failure, if there was one.
    async fn end(self) -> anyhow::Result<()> {
        self.0.abort();
        match self.0.await {
            Ok(ended) => ended,
            Err(_) => Ok(()),
        }
    }
}
