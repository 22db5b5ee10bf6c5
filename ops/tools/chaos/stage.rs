//! Everything that is on the stage: servers, network, node, sink, and how each fault is inflicted on them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use handfast::config::Secret;
use handfast::embedded::Pair;
use handfast::embedded::cluster::BrokerCluster;

use super::books::Books;
use super::faults::{Fault, Server};
use super::load::{Api, Ledger};
use super::node::{Around, Node, Process};
use super::proxy::{Cut, Proxy};
use super::sink::{Body, Sink};

/// Nodes of the broker's cluster.
pub(crate) const NODES: usize = 3;
/// After this a node that delivers nothing counts as gone.
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);

/// What is on the stage.
pub(crate) struct Stage {
    pub(crate) pair: Pair,
    pub(crate) cluster: Option<BrokerCluster>,
    to_database: Proxy,
    to_broker: Proxy,
    pub(crate) sink: Sink,
    pub(crate) node: Node,
    pub(crate) api: Api,
    pub(crate) books: Books,
    pub(crate) ledger: Ledger,
}

/// How long it took until all was well again; none: more than [`PATIENCE`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recovery {
    /// Until a fresh probe over every ingress had arrived.
    pub(crate) probe: Option<Duration>,
    /// Until every process was at work.
    pub(crate) back: Option<Duration>,
}

impl Stage {
    /// Starts everything in `dir`, which is empty; returns when the node delivers.
    pub(crate) async fn set(dir: &Path, program: &Path) -> anyhow::Result<Self> {
        let pair = Pair::start(&dir.join("pair")).await?;
        let to_database = Proxy::start(vec![address(&pair.database_url("handfast"))?]).await?;
        let to_broker = Proxy::start(vec![address(&pair.amqp_url("handfast"))?]).await?;
        let sink = Sink::start().await?;
        let around = Around { pair: &pair, database: to_database.address(), broker: to_broker.address(), sink: &sink };
        let home = dir.join("node");
        std::fs::create_dir(&home)?;
        let node = Node::start(&home, program, around).await?;
        let api = Api::new(node.bases.clone(), node.key.reveal().to_owned())?;
        let books = Books::new(pair.database_url("handfast"));
        let stage =
            Self { pair, cluster: None, to_database, to_broker, sink, node, api, books, ledger: Ledger::default() };
        stage.until_ready().await?;
        stage.api.make_webhooks().await?;
        stage.probe(Instant::now()).await.ok_or_else(|| anyhow::anyhow!("the node delivers nothing"))?;
        Ok(stage)
    }

    /// Starts the cluster beside the broker that is used now.
    pub(crate) async fn prepare_cluster(&mut self, dir: &Path) -> anyhow::Result<()> {
        self.cluster = Some(BrokerCluster::start(&dir.join("cluster"), &self.pair, NODES).await?);
        Ok(())
    }

    /// Lets a fault happen and pass; answers how many deliveries were in flight in what it befell.
    ///
    /// Of a process those that it held in that moment, of the database all that were held. The broker holds none: what it
    /// forgets or repeats is only ids. A process that is asked to stop has the time to finish what it holds, so none either.
    pub(crate) async fn inflict(&self, fault: Fault, also: Option<Fault>) -> anyhow::Result<i64> {
        let in_the_middle = async {
            let Some(also) = also else { return Ok(0) };
            tokio::time::sleep(fault.lasts().unwrap_or_default() / 2).await;
            self.inflict_one(also).await
        };
        let (first, second) = tokio::join!(self.inflict_one(fault), in_the_middle);
        Ok(first? + second?)
    }

    async fn inflict_one(&self, fault: Fault) -> anyhow::Result<i64> {
        match fault {
            Fault::Kill(process) | Fault::Pause(process, _) | Fault::Restart(process) => {
                self.on_process(fault, self.node.process(process)).await
            }
            Fault::KillServer(server, _) | Fault::PauseServer(server, _) | Fault::RestartServer(server) => {
                let held = self.held_over(server).await;
                self.on_server(fault, server).await?;
                Ok(held)
            }
            Fault::Cut(server, _) | Fault::Refuse(server, _) | Fault::Stall(server, _) => {
                let held = self.held_over(server).await;
                on_link(fault, self.link(server)).await;
                Ok(held)
            }
            Fault::Move | Fault::LoseNode(_) | Fault::RegainNode(_) | Fault::Wipe => {
                self.on_cluster(fault).await.map(|()| 0)
            }
        }
    }

    async fn on_process(&self, fault: Fault, process: &Process) -> anyhow::Result<i64> {
        let Some(pid) = process.life().pid else { return Ok(0) };
        match fault {
            Fault::Kill(_) => process.end(libc::SIGKILL).await,
            Fault::Pause(..) => process.signal(libc::SIGSTOP),
            _ => {
                process.end(libc::SIGTERM).await;
                return Ok(0);
            }
        }
        // It is still held in its name, until its lease is over.
        let held = self.books.held(Some(pid)).await?;
        if let Fault::Pause(_, time) = fault {
            tokio::time::sleep(time).await;
            process.signal(libc::SIGCONT);
        }
        Ok(held)
    }

    async fn held_over(&self, server: Server) -> i64 {
        match server {
            Server::Database => self.books.held(None).await.unwrap_or_default(),
            Server::Broker => 0,
        }
    }

    async fn on_server(&self, fault: Fault, server: Server) -> anyhow::Result<()> {
        let wait = tokio::time::sleep(fault.lasts().unwrap_or_default());
        let pair = &self.pair;
        match (fault, server) {
            (Fault::PauseServer(..), _) => {
                self.freeze(server, true).await?;
                wait.await;
                return self.freeze(server, false).await;
            }
            (Fault::KillServer(..), Server::Database) => pair.kill_database().await?,
            (Fault::KillServer(..), Server::Broker) => pair.kill_broker().await?,
            (_, Server::Database) => pair.stop_database().await?,
            (_, Server::Broker) => pair.stop_broker().await?,
        }
        wait.await;
        self.start(server).await
    }

    async fn on_cluster(&self, fault: Fault) -> anyhow::Result<()> {
        let cluster = self.cluster.as_ref().ok_or_else(|| anyhow::anyhow!("there is no cluster"))?;
        match fault {
            Fault::LoseNode(node) => cluster.kill(node).await?,
            Fault::RegainNode(node) => cluster.restart(node).await?,
            Fault::Wipe => cluster.wipe().await?,
            _ => self.to_broker.lead_to(cluster.addresses()),
        }
        Ok(())
    }

    async fn start(&self, server: Server) -> anyhow::Result<()> {
        match server {
            Server::Database => self.pair.start_database().await?,
            Server::Broker => self.pair.start_broker().await?,
        }
        Ok(())
    }

    async fn freeze(&self, server: Server, frozen: bool) -> anyhow::Result<()> {
        match server {
            Server::Database => self.pair.freeze_database(frozen).await?,
            Server::Broker => self.pair.freeze_broker(frozen).await?,
        }
        Ok(())
    }

    fn link(&self, server: Server) -> &Proxy {
        match server {
            Server::Database => &self.to_database,
            Server::Broker => &self.to_broker,
        }
    }

    /// Waits until a probe over each ingress has arrived and every process is at work, counted from now.
    pub(crate) async fn recover(&self) -> Recovery {
        let (begun, since) = (Instant::now(), SystemTime::now());
        let (probe, back) = tokio::join!(self.probe(begun), self.all_back(begun, since));
        Recovery { probe, back }
    }

    async fn probe(&self, begun: Instant) -> Option<Duration> {
        let probes = (0..self.api.ingresses()).map(|ingress| self.probe_over(ingress));
        let all = tokio::time::timeout(PATIENCE, futures_util::future::join_all(probes)).await;
        all.ok().map(|_| begun.elapsed())
    }

    /// Probes are numbered like everything else; they are in the books and at the sink, and not in the outside ledger.
    async fn probe_over(&self, ingress: usize) {
        let n = self.ledger.number();
        self.api.only(ingress).submit_probe(&Body { n, line: None }, &format!("probe-{n}")).await;
        while !self.sink.received().first.contains_key(&n) {
            tokio::time::sleep(GLANCE).await;
        }
    }

    async fn all_back(&self, begun: Instant, since: SystemTime) -> Option<Duration> {
        while begun.elapsed() < PATIENCE {
            if self.ready().await && self.works_at_work(since).await {
                return Some(begun.elapsed());
            }
            tokio::time::sleep(GLANCE).await;
        }
        None
    }

    async fn ready(&self) -> bool {
        let each = (0..self.api.ingresses()).map(|ingress| self.api.only(ingress));
        let ready = each.map(|api| async move { api.is_ready().await });
        futures_util::future::join_all(ready).await.into_iter().all(|ready| ready)
    }

    async fn works_at_work(&self, since: SystemTime) -> bool {
        let pids: Option<Vec<u32>> = self.node.works.iter().map(|process| process.life().pid).collect();
        let Some(pids) = pids else { return false };
        self.books.at_work(&pids, since).await.is_ok_and(|at_work| at_work.len() == pids.len())
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.ready().await {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the node does not become ready");
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }

    /// Stops everything, and deletes what the servers held unless it is to be kept.
    pub(crate) async fn clear(self, keep: bool) -> anyhow::Result<()> {
        self.node.stop().await;
        if let Some(cluster) = self.cluster {
            if keep { cluster.stop().await? } else { cluster.remove().await? }
        }
        if keep {
            self.pair.stop().await?
        } else {
            self.pair.remove().await?
        }
        Ok(())
    }
}

async fn on_link(fault: Fault, link: &Proxy) {
    let wait = tokio::time::sleep(fault.lasts().unwrap_or_default());
    match fault {
        Fault::Cut(_, cut) => link.cut(cut),
        Fault::Refuse(..) => {
            link.refuse(true);
            link.cut(Cut::Reset);
            wait.await;
            link.refuse(false);
        }
        _ => {
            link.stall(true);
            wait.await;
            link.stall(false);
        }
    }
}

fn address(url: &Secret) -> anyhow::Result<SocketAddr> {
    let url: url::Url = url.reveal().parse()?;
    let port = url.port().ok_or_else(|| anyhow::anyhow!("a server without a port"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}
