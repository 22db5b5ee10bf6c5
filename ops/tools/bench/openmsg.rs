//! `openmsg`: messages per second from node to node, beside a bare loop that makes the same two HTTPS calls per message.

mod bare;
mod cpu;
mod report;
mod scenario;

use handfast::demo::town::{Town, TownSettings};

use crate::Options;

pub(crate) use scenario::Scenario;

pub(crate) const NAME: &str = "openmsg";

/// Above what any real connection sends: otherwise the flood limit would be measured.
const SETTINGS: &str = "[openmsg]\nmessages_per_connection = 10000000\n";

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) table: String,
    pub(crate) objects: Vec<serde_json::Value>,
}

/// Two nodes, accounts, connections, rounds.
pub(crate) async fn play(options: &Options) -> anyhow::Result<Outcome> {
    let name = format!("handfast-bench-{}", std::process::id());
    let data = options.data.as_ref().map_or_else(|| std::env::temp_dir().join(name), |data| data.join(NAME));
    let data = std::path::absolute(data)?;
    eprintln!("{NAME}: starting two nodes");
    let town = Town::start(TownSettings {
        data: data.clone(),
        executable: crate::program()?,
        shop_workers: options.workers,
        customers_workers: options.workers,
        settings: format!("{SETTINGS}\n{}\n", options.settings),
    });
    let town = town.await?;
    let measured = measure(&town, &data, options).await;
    if options.data.is_some() {
        town.stop().await?;
    } else {
        town.remove().await?;
        std::fs::remove_dir_all(&data)?;
    }
    let lines = measured?;
    let table = format!(
        "{}openmsg: messages_per_connection is raised, so that the flood limit of one connection is not what is measured; the other \
         node's concurrency is raised to {} by its destination's setting\n",
        report::table(&lines),
        crate::webhook::RAISED
    );
    Ok(Outcome { table, objects: report::json(&lines) })
}

async fn measure(town: &Town, data: &std::path::Path, options: &Options) -> anyhow::Result<Vec<report::Line>> {
    let bench = scenario::Bench::prepare(town, data).await?;
    let mut lines = Vec::new();
    for scenario in scenario::ALL {
        if options.only.is_none_or(|only| only == scenario) {
            lines.push(bench.line(scenario, options.rounds).await?);
        }
    }
    Ok(lines)
}
