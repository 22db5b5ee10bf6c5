//! The whole story: everything is started, messages flow, things go wrong, everything is let run until it is settled, and the
//! three ledgers are compared. Told by `ops/chaos`, and in short by the tests.

#[path = "books.rs"]
mod books;
#[path = "dice.rs"]
mod dice;
#[path = "faults.rs"]
mod faults;
#[path = "load.rs"]
mod load;
#[path = "node.rs"]
mod node;
#[path = "proxy.rs"]
mod proxy;
#[path = "report.rs"]
mod report;
#[path = "sink.rs"]
mod sink;
#[path = "stage.rs"]
mod stage;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dice::Dice;
use faults::{Fault, Plan, Planned};
use load::Load;
use report::Inflicted;
use stage::{NODES, Stage};

pub(crate) use report::Report;

/// Nothing is open any more after this, or something hangs.
const SETTLED_WITHIN: Duration = Duration::from_secs(400);
/// How often a node of the cluster is lost.
const NODES_LOST: usize = 3;
/// How many broken lines are worth printing.
const SHOWN: usize = 5;

/// What is to happen.
pub(crate) struct Settings {
    pub(crate) seed: u64,
    /// How long faults of every kind come.
    pub(crate) time: Duration,
    /// Then a cluster that loses nodes, and then all its disks.
    pub(crate) cluster: bool,
    /// Where everything lies: missing or empty.
    pub(crate) data: PathBuf,
    /// The program.
    pub(crate) program: PathBuf,
    /// Whether the data stays.
    pub(crate) keep: bool,
}

/// Tells it.
pub(crate) async fn tell(settings: &Settings) -> anyhow::Result<Report> {
    std::fs::create_dir_all(&settings.data)?;
    // The servers' own user must be able to pass.
    let passable = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(&settings.data, passable)?;
    let mut stage = Stage::set(&settings.data, &settings.program).await?;
    let told = act(&mut stage, settings).await;
    stage.clear(settings.keep).await?;
    told
}

async fn act(stage: &mut Stage, settings: &Settings) -> anyhow::Result<Report> {
    let mut teller = Teller { begun: Instant::now(), faults: Vec::new() };
    let load = Load::start(&stage.api, &stage.ledger);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for planned in Plan::new(settings.seed) {
        if teller.begun.elapsed() >= settings.time {
            break;
        }
        teller.suffer(stage, planned).await?;
    }
    if settings.cluster {
        eprintln!("starting a cluster of {NODES} brokers");
        stage.prepare_cluster(&settings.data).await?;
        for planned in cluster_plan(settings.seed) {
            teller.suffer(stage, planned).await?;
        }
    }
    load.stop().await;
    let mut report = Report { seed: settings.seed, faults: teller.faults, ..Report::default() };
    settle(stage, &mut report).await?;
    compare(stage, &mut report).await?;
    report.seconds = teller.begun.elapsed().as_secs_f64();
    report.judge();
    Ok(report)
}

/// To the cluster, nodes lost and regained by the seed, and at last all disks.
fn cluster_plan(seed: u64) -> Vec<Planned> {
    let mut dice = Dice::seeded(seed);
    let lost = (0..NODES_LOST).flat_map(|_| {
        let node = dice.from(0..NODES);
        [Fault::LoseNode(node), Fault::RegainNode(node)]
    });
    let all = [Fault::Move].into_iter().chain(lost).chain([Fault::Wipe]);
    all.map(|fault| Planned { quiet: Duration::from_secs(2), fault, also: None }).collect()
}

struct Teller {
    begun: Instant,
    faults: Vec<Inflicted>,
}

impl Teller {
    /// A fault, and the recovery from it.
    async fn suffer(&mut self, stage: &Stage, Planned { quiet, fault, also }: Planned) -> anyhow::Result<()> {
        tokio::time::sleep(quiet).await;
        let at = self.begun.elapsed();
        let (_, doubles) = stage.sink.received().counts();
        let in_flight = stage.inflict(fault, also).await?;
        let lasted = self.begun.elapsed() - at;
        let recovery = stage.recover().await;
        let and = |also: Fault| format!(" and {} of {}", also.what(), also.target());
        let inflicted = Inflicted {
            at_s: rounded(at),
            what: fault.what().to_owned(),
            target: fault.target() + &also.map(and).unwrap_or_default(),
            lasted_s: rounded(lasted),
            recovery_s: recovery.probe.map(rounded),
            back_s: recovery.back.map(rounded),
            in_flight,
            doubles: stage.sink.received().counts().1 - doubles,
        };
        eprintln!("{inflicted:?}");
        self.faults.push(inflicted);
        Ok(())
    }
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Lets everything run until nothing is open.
async fn settle(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut said = Instant::now();
    loop {
        let open = stage.books.open().await?;
        if open.is_empty() {
            break;
        }
        if begun.elapsed() > SETTLED_WITHIN {
            report.broken.push(format!("still open after {} s: {open:?}", SETTLED_WITHIN.as_secs()));
            break;
        }
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            eprintln!("still open: {open:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    report.settled_after_s = rounded(begun.elapsed());
    Ok(())
}

/// Accepted ⊆ recorded ⊆ received.
async fn compare(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    let recorded = stage.books.recorded().await?;
    let ended = stage.books.ended_badly().await?;
    let received = stage.sink.received();
    let accepted = stage.ledger.accepted();
    let unrecorded: Vec<&String> = accepted.ids.values().filter(|id| !recorded.contains(*id)).collect();
    let unreceived: Vec<&String> = recorded.iter().filter(|id| !received.by_id.contains_key(*id)).collect();
    let lost: HashSet<&String> = unrecorded.iter().chain(&unreceived).copied().collect();
    (report.accepted, report.recorded) = (accepted.ids.len(), recorded.len());
    (report.received, report.doubles) = received.counts();
    report.lost = lost.len();
    report.accepted_twice = accepted.twice.len() + numbers_under_two_ids(&received);
    report.unconfirmed = ended.iter().filter(|(what, _)| what == "unconfirmed").map(|(_, n)| n).sum();
    report.in_flight_at_kills = report.faults.iter().map(|fault| fault.in_flight).sum();
    report.order_violations = received.out_of_order.len();
    let recoveries = report.faults.iter().map(|fault| fault.recovery_s.unwrap_or(f64::from(60)));
    report.slowest_recovery_s = recoveries.fold(0.0, f64::max);
    (report.refused, report.unanswered) = (accepted.refused, accepted.unanswered);
    report.broken.extend(stage.node.exits());
    report.broken.extend(ended.iter().map(|(what, n)| format!("{n} deliveries are {what}")));
    report.broken.extend(lost.iter().take(SHOWN).map(|id| format!("lost: {id}")));
    report.broken.extend(received.out_of_order.iter().take(SHOWN).cloned());
    Ok(())
}

/// A number is one message, however often it was submitted under its key.
fn numbers_under_two_ids(received: &sink::Received) -> usize {
    let numbers: HashSet<u64> = received.by_id.values().map(|(n, _)| *n).collect();
    received.by_id.len() - numbers.len()
}
