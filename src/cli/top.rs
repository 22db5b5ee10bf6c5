//! `handfast top`: what the node is doing, live.
//!
//! On a terminal it is a screen with views, keys and charts; where output is no terminal, or with `--once`, the same in lines of text.
//! Everything it shows comes from the API: it works from any machine that reaches the private listener.

mod model;
mod screen;
mod view;

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::client::{Client, Patience, stopped_within};
use super::target::{Session, Target};
use super::{Failure, stop_on_signal};
use crate::config::Period;
pub(super) use model::Overview;
use model::{Picture, campaigns, destinations};

/// Shorter than the node looks itself is no use, and a load.
const SHORTEST: Duration = Duration::from_secs(1);

/// Show live what the node is doing.
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: 1 to 4 or Tab change the view, Space holds the picture, s sorts by the next column, r turns the order round, \
the arrows and Page keys scroll, q ends. The key needs the scope node:read, for two of the views also \
destinations:read and campaigns:read.

Examples:
  handfast top
  handfast top --view destinations --interval 5s
  handfast top --once --json | jq .rates
  handfast top --interval 1m >> node.log")]
pub struct TopCommand {
    #[command(flatten)]
    target: Target,
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "2s")]
    interval: Period,
    /// Look once, print it as text, end
    #[arg(long)]
    once: bool,
    /// The view to begin with
    #[arg(long, default_value = "overview")]
    view: View,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum View {
    /// Rates, queues, lanes
    Overview,
    /// What deliveries go to
    Destinations,
    /// Campaigns, newest first
    Campaigns,
    /// Processes that work
    Workers,
}

impl View {
    const ALL: [Self; 4] = [Self::Overview, Self::Destinations, Self::Campaigns, Self::Workers];

    fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Destinations => "Destinations",
            Self::Campaigns => "Campaigns",
            Self::Workers => "Workers",
        }
    }

    fn next(self, steps: usize) -> Self {
        Self::ALL[(self as usize + steps) % Self::ALL.len()]
    }
}

impl TopCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let session = self.target.session()?;
        let every = self.interval.duration().max(SHORTEST);
        let interactive =
            !self.once && !session.out.json && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        if interactive {
            return screen::run(&session, self.view, every).await;
        }
        let stop = stop_on_signal();
        loop {
            print(&session, self.view).await?;
            if self.once || stopped_within(Some(&stop), every).await {
                return Ok(());
            }
            if !session.out.json {
                session.out.line("")?;
            }
        }
    }
}

async fn print(session: &Session, view: View) -> Result<(), Failure> {
    let answer = session.client.get(&["overview"]).send().await?;
    let overview: Overview = answer.parse()?;
    if session.out.json {
        return session.out.line(&answer.text);
    }
    let mut words = overview.words();
    match view {
        View::Overview => {}
        View::Destinations => words.push_str(&model::table(&destinations(&session.client).await?)),
        View::Campaigns => words.push_str(&model::table(&campaigns(&session.client).await?)),
        View::Workers => words.push_str(&model::table(&overview.worker_rows())),
    }
    session.out.line(&words)
}

/// What one view needs, asked for once.
async fn look(client: &Client, view: View) -> Result<Picture, Failure> {
    let patience = Patience { away: Duration::ZERO, unavailable: Duration::ZERO, busy: Duration::ZERO };
    let overview: Overview = client.get(&["overview"]).patience(patience).parse().await?;
    let rows = match view {
        View::Overview => overview.lane_rows(),
        View::Destinations => destinations(client).await?,
        View::Campaigns => campaigns(client).await?,
        View::Workers => overview.worker_rows(),
    };
    Ok(Picture { overview, rows })
}

/// Waits, and says whether it was to the end.
async fn waited(stop: &CancellationToken, time: Duration) -> bool {
    !stopped_within(Some(stop), time).await
}
