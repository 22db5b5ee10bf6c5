//! Scenarios in which webhooks get as much as the node delivers.

use crate::Options;
use crate::loader::Load;
use crate::report::Row;
use crate::round::{self, Round};
use crate::stage::{Manner, Stage};

/// Calls at once that the only destination is given by its own setting.
pub(crate) const RAISED: u32 = 256;

/// What is different between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Volume {
    pub(crate) name: &'static str,
    /// Destinations, each in turn.
    pub(crate) webhooks: u32,
    /// The number of the first one.
    pub(crate) first: u32,
    /// Messages in a request.
    pub(crate) batch: u32,
    /// Requests at once.
    pub(crate) at_once: usize,
    /// Messages in a round.
    pub(crate) messages: u32,
    pub(crate) workers: usize,
}

const ONE: Volume =
    Volume { name: "webhook-1", webhooks: 1, first: 0, batch: 100, at_once: 8, messages: 100_000, workers: 1 };

/// All of them.
pub(crate) const VOLUMES: [Volume; 6] = [
    ONE,
    Volume { name: "webhook-100", webhooks: 100, ..ONE },
    Volume { name: "webhook-10000", webhooks: 10_000, ..ONE },
    Volume { name: "webhook-single-accept", batch: 1, at_once: 64, messages: 50_000, ..ONE },
    Volume { name: "workers-2", workers: 2, ..ONE },
    Volume { name: "workers-4", workers: 4, ..ONE },
];

impl Volume {
    /// The one with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        VOLUMES.into_iter().find(|volume| volume.name == name)
    }

    /// Plays it on a stage of its own.
    pub(crate) async fn play(self, options: &Options) -> anyhow::Result<Row> {
        let play = async |stage: &mut Stage| self.play_on(stage, options, self.name).await;
        let mut row = Stage::with(options, self.name, self.workers, play).await?;
        row.remarks = self.remarks();
        Ok(row)
    }

    async fn play_on(self, stage: &mut Stage, options: &Options, name: &'static str) -> anyhow::Result<Row> {
        self.register(stage).await?;
        let rounds = self.rounds(stage, options, name).await?;
        Row::of(name, rounds, stage.memory().await)
    }

    /// The destinations.
    pub(crate) async fn register(self, stage: &Stage) -> anyhow::Result<()> {
        let concurrency = (self.webhooks == 1).then_some(RAISED);
        stage.register(self.first..self.first + self.webhooks, Manner::Prompt, concurrency).await
    }

    /// A warm-up and the rounds.
    pub(crate) async fn rounds(self, stage: &mut Stage, options: &Options, name: &str) -> anyhow::Result<Vec<Round>> {
        self.warm_up(stage, options, name).await?;
        let mut rounds = Vec::new();
        for n in 1..=options.rounds {
            rounds.push(self.round(stage, options, &format!("{name}: round {n}")).await?);
        }
        Ok(rounds)
    }

    /// A fifth of a round, of which nothing is told.
    pub(crate) async fn warm_up(self, stage: &mut Stage, options: &Options, name: &str) -> anyhow::Result<()> {
        eprintln!("{name}: warm-up");
        let load = Load { count: self.count(options).div_ceil(5), ..self.load(stage) };
        round::node_alone(stage, &load).await.map(drop)
    }

    /// One round; `called` is what whoever watches reads.
    pub(crate) async fn round(self, stage: &mut Stage, options: &Options, called: &str) -> anyhow::Result<Round> {
        let load = Load { count: self.count(options), ..self.load(stage) };
        let round = round::round(stage, &load).await?;
        eprintln!("{called}: {}", round.sentence());
        Ok(round)
    }

    fn count(self, options: &Options) -> u32 {
        options.messages.unwrap_or(self.messages)
    }

    fn load(self, stage: &mut Stage) -> Load {
        let webhooks = self.first..self.first + self.webhooks;
        Load { batch: self.batch, at_once: self.at_once, webhooks, ..stage.load() }
    }

    /// What is not at its default.
    pub(crate) fn remarks(self) -> Vec<String> {
        let limits = match self.webhooks {
            1 => format!("the one webhook's concurrency is raised to {RAISED} by its own setting"),
            n => format!(
                "{n} webhooks at their default limits, all on one host name, so that they share kept-alive connections"
            ),
        };
        vec![limits]
    }
}
