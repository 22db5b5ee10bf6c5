//! `ops/bench`: how fast it is, beside a bare loop measured in the same minute.
//!
//! Machines differ, and so do their good and bad minutes: a rate alone says little. So every round measures the bare loop before
//! and after the node, and the ratio is what to compare. Rates are reported, never asserted; a lost message fails the run.
//!
//! | module | what |
//! |---|---|
//! | `webhook`, `latency`, `neighbour`, `grown`, `watched`, `openmsg` | the scenarios |
//! | `stage`, `round` | where they are played, and once |
//! | `sink`, `loader`, `bare`, `part` | the processes beside the node |
//! | `body`, `disk`, `machine`, `books` | what is sent and what is looked at |
//! | `report` | the table |

mod api;
mod bare;
mod body;
mod books;
mod by_process;
mod disk;
mod grown;
mod latencies;
mod latency;
mod loader;
mod machine;
mod neighbour;
mod openmsg;
mod pacing;
mod part;
mod report;
mod round;
mod sink;
mod stage;
mod watched;
mod webhook;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

/// In the order in which they are played.
const SCENARIOS: [&str; 11] = [
    "webhook-1",
    "webhook-100",
    "webhook-10000",
    "webhook-single-accept",
    openmsg::NAME,
    latency::NAME,
    neighbour::NAME,
    grown::NAME,
    watched::NAME,
    "workers-2",
    "workers-4",
];

/// Rates beside a bare loop measured in the same run
#[derive(Parser, Debug, Clone)]
#[command(name = "ops/bench")]
pub(crate) struct Options {
    /// What to measure [default: everything]
    #[arg(value_parser = SCENARIOS)]
    scenarios: Vec<String>,
    /// Write the table as a JSON list of objects
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Rounds of each scenario, after a warm-up; the median is reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Messages in a round of the webhook scenarios
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    messages: Option<u32>,
    /// Length of a round of latency-50 and of slow-neighbour's two runs
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// slow-neighbour: messages offered a second [default: 60 % of what a hundred destinations get]
    #[arg(long, value_name = "RATE")]
    offered: Option<f64>,
    /// grown-10m: settled deliveries filled in [default: 10000000]
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1000..))]
    grown: Option<u32>,
    /// openmsg: only this part of it
    #[arg(long, value_enum)]
    only: Option<openmsg::Scenario>,
    /// openmsg: worker processes of each node
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Further settings of all nodes, as TOML sections
    #[arg(long, value_name = "TOML", default_value = "")]
    settings: String,
    /// Keep logs and data here, a directory a scenario, which must be missing or empty [default: temporary, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    handfast::tls::install_provider();
    let mut arguments = std::env::args().skip(1);
    let part = (arguments.next().as_deref() == Some(part::SUBCOMMAND)).then(|| arguments.next().unwrap_or_default());
    match handfast::crypto::init().map_err(anyhow::Error::from).and_then(|()| play(part.as_deref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ops/bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The benchmark, or one of its parts.
fn play(part: Option<&str>) -> anyhow::Result<()> {
    let mut runtime = match part {
        Some(bare::THREADS) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    let here = tokio::task::LocalSet::new();
    match part {
        None => runtime.block_on(play_all(&Options::parse())),
        Some("sink") => runtime.block_on(here.run_until(sink::run())),
        Some("loader") => runtime.block_on(loader::run()),
        Some(bare::THREADS | bare::ONE_THREAD) => runtime.block_on(bare::run()),
        Some(_) => anyhow::bail!("there is no such part"),
    }
}

/// Rows and objects of all scenarios that have been played.
#[derive(Default)]
struct Played {
    rows: Vec<report::Row>,
    openmsg: Option<openmsg::Outcome>,
}

async fn play_all(options: &Options) -> anyhow::Result<()> {
    let all = options.scenarios.is_empty();
    let wanted = |name: &&str| all || options.scenarios.iter().any(|wanted| wanted == name);
    let mut played = Played::default();
    let mut ended = Ok(());
    for name in SCENARIOS.into_iter().filter(wanted) {
        let one = tokio::select! {
            one = played.play(name, options) => one.with_context(|| name.to_owned()),
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped")),
        };
        // What was measured before is still worth telling.
        ended = one.and(ended);
        if ended.is_err() {
            break;
        }
    }
    print!("{}", played.table());
    if let Some(file) = &options.json {
        std::fs::write(file, played.json()).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let faults: Vec<String> = played.rows.iter().flat_map(report::Row::faults).collect();
    anyhow::ensure!(faults.is_empty(), "{}", faults.join("; "));
    ended
}

impl Played {
    async fn play(&mut self, name: &str, options: &Options) -> anyhow::Result<()> {
        let row = match name {
            openmsg::NAME => {
                self.openmsg = Some(openmsg::play(options).await?);
                return Ok(());
            }
            latency::NAME => latency::play(options).await?,
            neighbour::NAME => neighbour::play(options).await?,
            grown::NAME => grown::play(options).await?,
            watched::NAME => watched::play(options).await?,
            volume => webhook::Volume::named(volume).context("unknown")?.play(options).await?,
        };
        self.rows.push(row);
        Ok(())
    }

    fn table(&self) -> String {
        let openmsg = self.openmsg.as_ref().map_or("", |outcome| outcome.table.as_str());
        format!("{}{openmsg}", report::table(&self.rows))
    }

    fn json(&self) -> String {
        let mut objects = report::json(&self.rows);
        objects.extend(self.openmsg.iter().flat_map(|outcome| outcome.objects.clone()));
        format!("{:#}\n", serde_json::Value::from(objects))
    }
}

/// `handfast` lies one directory above the examples.
fn program() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let program = here.parent().and_then(|examples| examples.parent()).map(|dir| dir.join("handfast"));
    program.filter(|program| program.is_file()).context("the program itself is not built: use ops/bench")
}
