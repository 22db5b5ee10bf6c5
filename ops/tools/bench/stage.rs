//! What a webhook scenario is played on: one node at its default configuration, a sink, a loader and a bare loop, each a process
//! of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use handfast::demo::town::{SingleNode, SingleSettings, TownNode};
use serde_json::json;

use crate::api::Api;
use crate::bare::{self, BareOrder, BareRate};
use crate::books::Books;
use crate::by_process::ByProcess;
use crate::loader::{Load, Loaded};
use crate::machine::Processes;
use crate::part::Part;
use crate::sink::{Report, SinkOrder};

/// The sink's name, for the node.
const HOST: &str = "sink.test";
/// When nothing new arrives for this long, the rest is lost.
const PATIENCE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(50);
/// Webhooks made at once.
const REGISTERING: usize = 16;

/// The stage.
pub(crate) struct Stage {
    single: SingleNode,
    pub(crate) books: Books,
    pub(crate) data: PathBuf,
    /// The directory is ours to remove.
    ours: bool,
    sink: Part,
    loader: Part,
    bare: Part,
    bare_one_thread: Part,
    runs: u32,
}

/// How a sink treats a destination.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    Prompt,
    Late,
    Silent,
}

impl Stage {
    /// Builds it, plays, and takes it away whatever came of that.
    pub(crate) async fn with<T>(
        options: &crate::Options,
        name: &str,
        workers: usize,
        play: impl AsyncFnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut stage = Self::build(options, name, workers).await?;
        let played = play(&mut stage).await;
        // Why it could not be played says more than why it could not be taken away.
        let struck = stage.strike().await;
        let played = played?;
        struck.map(|()| played)
    }

    /// The node is fresh.
    async fn build(options: &crate::Options, name: &str, workers: usize) -> anyhow::Result<Self> {
        let ours = options.data.is_none();
        let data = match &options.data {
            Some(data) => data.join(name),
            None => std::env::temp_dir().join(format!("handfast-bench-{}-{name}", std::process::id())),
        };
        let data = std::path::absolute(data)?;
        eprintln!("{name}: starting a node with {workers} worker(s)");
        let settings = SingleSettings {
            data: data.clone(),
            executable: crate::program()?,
            workers,
            host: HOST.into(),
            settings: options.settings.clone(),
        };
        let single = SingleNode::start(settings).await?;
        let books = Books::open(single.database_url().reveal()).await?;
        let mut stage = Self {
            single,
            books,
            data,
            ours,
            sink: Part::start("sink")?,
            loader: Part::start("loader")?,
            bare: Part::start(bare::THREADS)?,
            bare_one_thread: Part::start(bare::ONE_THREAD)?,
            runs: 0,
        };
        stage.introduce().await?;
        Ok(stage)
    }

    /// Sink and bare loop are told where things are.
    async fn introduce(&mut self) -> anyhow::Result<()> {
        let host = self.single.host().clone();
        let listen = SinkOrder::Listen { port: host.port, certificate: host.certificate, key: host.key };
        self.sink.ask::<()>(&listen).await?;
        let target = BareOrder::Target { host: host.name, port: host.port, ca_file: self.data.join("ca.pem") };
        self.bare.ask::<()>(&target).await?;
        self.bare_one_thread.ask::<()>(&target).await
    }

    /// Makes webhooks with these numbers; with a limit of their own where one is named.
    pub(crate) async fn register(
        &self,
        numbers: std::ops::Range<u32>,
        manner: Manner,
        concurrency: Option<u32>,
    ) -> anyhow::Result<()> {
        let api = Api::of(self.single.node())?;
        let kind = match manner {
            Manner::Prompt => "hook",
            Manner::Late => "late",
            Manner::Silent => "silent",
        };
        let make = |number: u32| {
            let api = api.clone();
            let mut webhook =
                json!({"name": format!("sink-{number}"), "url": format!("https://{HOST}/{kind}/{number}")});
            if let Some(concurrency) = concurrency {
                webhook["concurrency"] = concurrency.into();
            }
            async move { api.post("/webhooks", &webhook).await.map(drop) }
        };
        stream::iter(numbers.map(make)).buffer_unordered(REGISTERING).try_collect().await
    }

    /// A bare loop against an empty ledger; with the CPU seconds that it and the sink took for 1,000 calls.
    pub(crate) async fn bare(&mut self, which: &str, order: BareOrder) -> anyhow::Result<(BareRate, f64)> {
        self.sink.ask::<()>(&SinkOrder::Reset).await?;
        let sink = self.sink.pid();
        let bare = if which == bare::THREADS { &mut self.bare } else { &mut self.bare_one_thread };
        let pids = [sink, bare.pid()];
        let cpu = || {
            let processes = Processes::now();
            pids.iter().map(|pid| processes.own(*pid)).sum::<f64>()
        };
        let before = cpu();
        let rate: BareRate = bare.ask(&order).await?;
        let used = (cpu() - before) * 1000.0 / f64::from(rate.count);
        let report = self.report(0, u64::MAX).await?;
        anyhow::ensure!(report.different == u64::from(rate.count), "the sink missed calls of the bare loop");
        Ok((rate, used))
    }

    /// The node.
    pub(crate) fn node(&self) -> &TownNode {
        self.single.node()
    }

    /// A load that says how it should be, but not yet where to.
    pub(crate) fn load(&mut self) -> Load {
        self.runs += 1;
        let node = self.single.node();
        Load {
            at: node.api_url.authority().to_owned(),
            key: node.api_key.reveal().to_owned(),
            run: format!("bench-{}", self.runs),
            count: 0,
            batch: 100,
            at_once: 8,
            webhooks: 0..1,
            per_second: None,
        }
    }

    /// Loads the node and waits until `expected` different numbers have arrived at destinations from `from` on, or nothing new
    /// comes for two minutes.
    pub(crate) async fn play(&mut self, load: &Load, from: u32, expected: u64) -> anyhow::Result<(Loaded, Report)> {
        self.sink.ask::<()>(&SinkOrder::Reset).await?;
        let loaded: Loaded = self.loader.ask(load).await?;
        let (mut last, mut news) = (0, Instant::now());
        loop {
            let arrived: u64 = self.sink.ask(&SinkOrder::Count { from }).await?;
            if arrived >= expected {
                break;
            }
            if arrived > last {
                (last, news) = (arrived, Instant::now());
            }
            if news.elapsed() > PATIENCE {
                break;
            }
            self.single.node().check()?;
            tokio::time::sleep(GLANCE).await;
        }
        let report = self.report(from, loaded.last_us).await?;
        Ok((loaded, report))
    }

    /// What has arrived since the last load began.
    pub(crate) async fn report(&mut self, from: u32, until_us: u64) -> anyhow::Result<Report> {
        self.sink.ask(&SinkOrder::Report { from, until_us }).await
    }

    /// CPU seconds so far.
    pub(crate) async fn cpu(&self) -> ByProcess {
        let processes = Processes::now();
        let mut cpu = self.each(|pid| processes.tree(pid)).await;
        // The parts are its children, and the nodes are too.
        cpu.bench = processes.own(std::process::id());
        cpu
    }

    /// Memory now, in MiB.
    pub(crate) async fn memory(&self) -> ByProcess {
        let processes = Processes::now();
        self.each(|pid| processes.memory(pid)).await
    }

    async fn each(&self, of: impl Fn(u32) -> f64) -> ByProcess {
        let ids = self.single.node().process_ids();
        let (serve, workers) = ids.split_at(ids.len().min(1));
        let [postgres, rabbitmq] = self.single.pair().process_ids().await;
        let sum = |ids: &[u32]| ids.iter().map(|id| of(*id)).sum();
        ByProcess {
            serve: sum(serve),
            work: sum(workers),
            postgres: sum(postgres.as_slice()),
            rabbitmq: sum(rabbitmq.as_slice()),
            loader: of(self.loader.pid()),
            sink: of(self.sink.pid()),
            bench: 0.0,
        }
    }

    /// Stops everything; the directory goes too, unless it was named.
    async fn strike(self) -> anyhow::Result<()> {
        let Self { single, data, ours, sink, .. } = self;
        // With the sink go calls that it would never answer, which a worker would otherwise wait for.
        drop(sink);
        if !ours {
            return Ok(single.stop().await?);
        }
        single.remove().await?;
        std::fs::remove_dir_all(&data).with_context(|| format!("{} cannot be removed", data.display()))
    }
}
