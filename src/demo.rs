//! `handfast demo`: two nodes on this machine, real orders, a worker killed half-way, and a count of everything at the end.
//!
//! The story: customers of a shop (`orders`) get accounts on `customers.test` and shake hands with `1000*shop.test` (`people`);
//! every order of theirs is announced by a message (`campaign`), and when half of these have arrived one of the shop's workers
//! gets `kill -9`; then every inbox is read and compared, text by text, with what had been accepted (`inboxes`). The nodes are
//! [`town`]'s; all work goes through the API, as an application's would.
//!
//! Promises: the closing table counts what was found, not what was hoped for; the exit code is 1 if anything is lost, doubled,
//! unconfirmed or otherwise not delivered; everything that was started is ended, whatever happens (`--keep` aside).

mod campaign;
mod closing;
mod inboxes;
mod keep;
mod orders;
mod people;
mod stage;
pub mod town;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::{Client, ClientError, TargetError};
use closing::Closing;
use orders::Orders;
use stage::Stage;
use town::{Town, TownError, TownNode, TownSettings};

/// Customers without `--all` or `--customers`.
const FEW: usize = 500;
/// Workers of either node. Of the shop's, one is killed.
const WORKERS: usize = 2;

/// Two nodes, real orders, a killed worker, and nothing lost.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The orders are a CSV with the columns order_id, customer_id, date, cds and amount_usd, sorted by customer.

Nothing outside the data directory is written, no name is added to /etc/hosts, and only free ports of loopback \
are used.")]
pub struct DemoCommand {
    /// All customers of the file, instead of the first 500
    #[arg(long, conflicts_with = "customers")]
    all: bool,
    /// The first N customers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    customers: Option<u32>,
    /// Leave the nodes running, and print how to talk to them
    #[arg(long)]
    keep: bool,
    /// Write the closing table to FILE, as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where everything lies: missing or empty [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The orders
    #[arg(long, value_name = "FILE", default_value = "ops/data/cdnow_orders.csv")]
    orders: PathBuf,
    /// Stay behind to hold the nodes; used by --keep for its second process
    #[arg(long, hide = true)]
    hold: bool,
}

/// Why there is no closing table.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The nodes.
    #[error(transparent)]
    Town(#[from] TownError),
    /// A node refused, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A node's address or key.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The orders cannot be read.
    #[error("{}: {why}", .file.display())]
    Orders {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A node answered, and not as it must.
    #[error("{0}")]
    Wrong(String),
    /// A file, directory, process or signal handler.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Ctrl-C or SIGTERM.
    #[error("stopped before the end")]
    Stopped,
}

impl DemoError {
    fn system(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }
}

impl DemoCommand {
    /// Runs the demonstration. Everything has been said when this returns.
    pub async fn run(self) -> ExitCode {
        let done = if self.keep && !self.hold { keep::relay().await } else { self.play().await };
        match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("handfast: {error}");
                ExitCode::FAILURE
            }
        }
    }

    /// Everything; true if the closing table is as it should be.
    async fn play(&self) -> Result<bool, DemoError> {
        let stop = crate::run::stop_on_signal().map_err(DemoError::system("watch for signals"))?;
        let most = if self.all { usize::MAX } else { self.customers.map_or(FEW, |n| n as usize) };
        let orders = Orders::read(&self.orders, most)?;
        let place = Place::choose(self.data.as_deref())?;
        let stage = Stage::waiting("starting two nodes, PostgreSQL and RabbitMQ");
        let town = Town::start(place.settings()?).await?;
        stage.end(&format!("two nodes are up: {} and {}", town.shop().domain, town.customers().domain));
        let played = tokio::select! {
            played = play_in(&town, &orders) => played,
            () = stop.cancelled() => Err(DemoError::Stopped),
        };
        let finished = played.and_then(|closing| self.finish(&closing).map(|()| closing));
        if let (true, Ok(closing)) = (self.hold, &finished) {
            return hold(town, &place, &stop, closing.is_good()).await;
        }
        let stage = Stage::waiting("ending everything");
        place.leave(town, finished.is_ok()).await?;
        stage.clear();
        finished.map(|closing| closing.is_good())
    }

    /// The closing table, printed and written.
    fn finish(&self, closing: &Closing) -> Result<(), DemoError> {
        println!("\n{}", closing.table());
        let Some(file) = &self.json else { return Ok(()) };
        std::fs::write(file, closing.json()).map_err(DemoError::system(format!("write {}", file.display())))
    }
}

/// The story itself.
async fn play_in(town: &Town, orders: &Orders) -> Result<Closing, DemoError> {
    let shop = Client::new(town.shop().api_url.clone(), town.shop().api_key.clone())?;
    let customers = Client::new(town.customers().api_url.clone(), town.customers().api_key.clone())?;
    let begun = std::time::Instant::now();
    people::create_accounts(&shop, &customers, orders).await?;
    let handshakes = people::shake_hands(&shop, &customers, orders).await?;
    let campaign = campaign::run(town, &shop, &customers, orders).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let found = inboxes::compare(&customers, orders, &campaign.accepted).await?;
    Ok(Closing::of(handshakes, campaign, found, seconds))
}

/// `--keep`: says how to talk to the nodes, lets the terminal go, and stays until SIGTERM.
async fn hold(town: Town, place: &Place, stop: &CancellationToken, good: bool) -> Result<bool, DemoError> {
    println!("{}", how_to_talk(&town, place));
    keep::done(good);
    stop.cancelled().await;
    town.stop().await?;
    Ok(good)
}

fn how_to_talk(town: &Town, place: &Place) -> String {
    let node = |node: &TownNode| {
        let config = node.config_file.display();
        format!("  {:<15} {}  settings and API key: {config}\n", node.domain, node.api_url)
    };
    let program = std::env::current_exe().unwrap_or_else(|_| "handfast".into());
    let program = program.display();
    let (shop, customers) = (town.shop().config_file.display(), town.customers().config_file.display());
    format!(
        "The nodes are still running:\n{}{}\n\
         For instance:\n  \
         {program} inbox '00001*customers.test' --config {customers}\n  \
         {program} send --from '1000*shop.test' --to '00001*customers.test' --text 'Thank you' --config {shop} --follow\n  \
         curl -H \"Authorization: Bearer $(cat {shop_key})\" {url}api/v1/messages/summary\n\n\
         To end them: kill {pid}\nTheir data and logs stay in {data}",
        node(town.shop()),
        node(town.customers()),
        shop_key = town.shop().config_file.with_file_name("api.key").display(),
        url = town.shop().api_url,
        pid = std::process::id(),
        data = place.data.display(),
    )
}

/// Where the demonstration lives.
struct Place {
    data: PathBuf,
    is_temporary: bool,
}

impl Place {
    fn choose(data: Option<&Path>) -> Result<Self, DemoError> {
        let (data, is_temporary) = match data {
            Some(data) => (data.to_owned(), false),
            None => (std::env::temp_dir().join(format!("handfast-demo-{:08x}", rand_name())), true),
        };
        // The nodes run elsewhere: their settings need whole paths.
        let data = std::path::absolute(&data).map_err(DemoError::system(format!("find {}", data.display())))?;
        Ok(Self { data, is_temporary })
    }

    fn settings(&self) -> Result<TownSettings, DemoError> {
        Ok(TownSettings {
            data: self.data.clone(),
            executable: std::env::current_exe().map_err(DemoError::system("find the program's own file"))?,
            shop_workers: WORKERS,
            customers_workers: WORKERS,
            settings: String::new(),
        })
    }

    /// Ends everything; what lies in a temporary directory is only of interest after a failure.
    async fn leave(&self, town: Town, is_well: bool) -> Result<(), DemoError> {
        if !self.is_temporary {
            return Ok(town.stop().await?);
        }
        if is_well {
            town.remove().await?;
            let gone = std::fs::remove_dir_all(&self.data);
            return gone.map_err(DemoError::system(format!("delete {}", self.data.display())));
        }
        town.stop().await?;
        eprintln!("logs and data are left in {}", self.data.display());
        Ok(())
    }
}

fn rand_name() -> u32 {
    u32::from_be_bytes(crate::crypto::random::<4>())
}
