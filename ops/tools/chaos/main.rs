//! `ops/chaos`: things go wrong while messages flow, and three ledgers are compared: what a client saw accepted, what the node's
//! books hold, what the receiver got. The exit code says whether every promise of docs/delivery.md was kept.

// A path, so that the tests can include the same file from where they are.
#[path = "story.rs"]
mod story;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use story::{Report, Settings};

#[derive(Parser)]
#[command(
    name = "ops/chaos",
    about = "Kills, pauses and cuts everything the node consists of, and compares the ledgers"
)]
struct Arguments {
    /// The same seed draws the same faults [default: one of the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults of every kind come; the broker's cluster comes after that
    #[arg(long, default_value_t = 60, value_name = "S")]
    seconds: u64,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave out the cluster that loses nodes and disks
    #[arg(long)]
    no_cluster: bool,
    /// Keep logs and data here: missing or empty [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    handfast::tls::install_provider();
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = handfast::crypto::init().map_err(anyhow::Error::from).and_then(|()| runtime?.block_on(run(&arguments)));
    match done {
        Ok(report) if report.broken.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ops/chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let seed = arguments.seed.unwrap_or(u64::from(clock.subsec_nanos()) % 1_000_000);
    let name = format!("handfast-chaos-{}", std::process::id());
    let data = arguments.data.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
    let data = std::path::absolute(data)?;
    let settings = Settings {
        seed,
        time: Duration::from_secs(arguments.seconds),
        cluster: !arguments.no_cluster,
        program: copied(&data)?,
        data: data.clone(),
        keep: arguments.data.is_some(),
    };
    eprintln!("seed {seed}");
    let report = tokio::select! {
        told = story::tell(&settings) => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped")),
    };
    if !settings.keep && report.as_ref().is_ok_and(|report| report.broken.is_empty()) {
        std::fs::remove_dir_all(&data)?;
    } else {
        eprintln!("the logs are in {}", data.join("node").display());
    }
    let report = report?;
    print!("{}", report.table());
    if let Some(file) = &arguments.json {
        std::fs::write(file, report.json()?).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(report)
}

/// `handfast` lies one directory above the examples. A copy, so that a build that runs meanwhile changes nothing.
fn copied(data: &std::path::Path) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let program = here.parent().and_then(|examples| examples.parent()).map(|dir| dir.join("handfast"));
    let program =
        program.filter(|program| program.is_file()).context("the program itself is not built: use ops/chaos")?;
    std::fs::create_dir_all(data)?;
    anyhow::ensure!(std::fs::read_dir(data)?.next().is_none(), "{} is not empty", data.display());
    let copy = data.join("handfast");
    std::fs::copy(program, &copy)?;
    Ok(copy)
}
