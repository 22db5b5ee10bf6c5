//! `ops/bench`: messages per second from node to node, beside a bare loop that makes the same two HTTPS calls per message.
//!
//! Machines differ, and so do their good and bad minutes: a rate alone says little. So every round measures the bare loop before
//! and after the nodes, and the ratio is what to compare. Rates are reported, never asserted.

mod api;
mod bare;
mod cpu;
mod report;
mod scenario;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use handfast::demo::town::{Town, TownSettings};

#[derive(Parser)]
#[command(name = "ops/bench", about = "Rates beside a bare loop measured in the same run")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Messages from shop.test to customers.test over the Openmsg protocol
    Openmsg(Openmsg),
}

#[derive(clap::Args)]
struct Openmsg {
    /// Write the table as a JSON list of objects
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Rounds of each scenario, after a warm-up; the median is reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only this scenario
    #[arg(long, value_enum)]
    only: Option<scenario::Scenario>,
    /// Worker processes of each node
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Further settings of both nodes, as TOML sections
    #[arg(long, value_name = "TOML", default_value = "")]
    settings: String,
    /// Keep logs and data here: missing or empty [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Above what any real connection sends: otherwise the flood limit would be measured.
const SETTINGS: &str = "[openmsg]\nmessages_per_connection = 10000000\n";

fn main() -> ExitCode {
    handfast::tls::install_provider();
    let Arguments { what: What::Openmsg(options) } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = handfast::crypto::init().map_err(anyhow::Error::from).and_then(|()| runtime?.block_on(run(options)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ops/bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Openmsg) -> anyhow::Result<()> {
    let name = format!("handfast-bench-{}", std::process::id());
    let data = options.data.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
    let data = std::path::absolute(data)?;
    eprintln!("starting two nodes");
    let town = Town::start(TownSettings {
        data: data.clone(),
        executable: program()?,
        shop_workers: options.workers,
        customers_workers: options.workers,
        settings: format!("{SETTINGS}\n{}\n", options.settings),
    });
    let town = town.await?;
    let measured = tokio::select! {
        measured = measure(&town, &data, &options) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped")),
    };
    if options.data.is_some() {
        town.stop().await?;
    } else {
        town.remove().await?;
        std::fs::remove_dir_all(&data)?;
    }
    let lines = measured?;
    print!("{}", report::table(&lines));
    if let Some(file) = &options.json {
        std::fs::write(file, report::json(&lines)).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

async fn measure(town: &Town, data: &std::path::Path, options: &Openmsg) -> anyhow::Result<Vec<report::Line>> {
    let bench = scenario::Bench::prepare(town, data).await?;
    let mut lines = Vec::new();
    for scenario in scenario::ALL {
        if options.only.is_none_or(|only| only == scenario) {
            lines.push(bench.line(scenario, options.rounds).await?);
        }
    }
    Ok(lines)
}

/// `handfast` lies one directory above the examples.
fn program() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let program = here.parent().and_then(|examples| examples.parent()).map(|dir| dir.join("handfast"));
    program.filter(|program| program.is_file()).context("the program itself is not built: use ops/bench")
}
