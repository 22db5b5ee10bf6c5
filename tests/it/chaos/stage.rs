//! Two connected nodes between which messages flow: A sends, B receives. And a peer that is no handfast node, connected with both.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use handfast::embedded::Pair;

use super::application::{Application, Row};
use super::ledger::{self, Balance};
use crate::node::{Net, Node, Options};
use crate::peers::{Dialect, Peer};

/// Accounts on each side; each of A's is connected with one of B's.
const ACCOUNTS: u32 = 6;
/// The account on each side that is connected with the peer's only user.
pub(super) const WITH_PEER: &str = "9";

/// Sender and receiver.
pub(super) struct Stage {
    pub(super) a: Node,
    pub(super) b: Node,
    pub(super) peer: Peer,
    /// Who writes to whom.
    pub(super) routes: Vec<(String, String)>,
    pub(super) application: Application,
    _net: Net,
}

impl Stage {
    /// Both nodes with as many workers, and settings by `with`.
    pub(super) async fn new(workers: usize, with: impl Fn(Options) -> Options) -> Self {
        Self::set(workers, |_, options| with(options)).await
    }

    /// Both nodes on servers that this test may stop.
    pub(super) async fn on(pair: &Pair, workers: usize, with: impl Fn(Options) -> Options) -> Self {
        let url = url::Url::parse(pair.database_url("postgres").reveal()).expect("a URL");
        let database = SocketAddr::from(([127, 0, 0, 1], url.port().expect("a port")));
        Self::on_database(pair, database, workers, with).await
    }

    /// The same, with another address for the database's.
    pub(super) async fn on_database(
        pair: &Pair,
        database: SocketAddr,
        workers: usize,
        with: impl Fn(Options) -> Options,
    ) -> Self {
        for name in ["a", "b"] {
            pair.ensure_database(name).await.expect("a database");
        }
        Self::set(workers, |domain, options| {
            let name = domain.split('.').next().expect("a name");
            let mut url = url::Url::parse(pair.database_url(name).reveal()).expect("a URL");
            url.set_port(Some(database.port())).expect("a host");
            let options = options.set("database.url", url.as_str());
            with(options.set("amqp.url", pair.amqp_url("handfast").reveal()))
        })
        .await
    }

    async fn set(workers: usize, with: impl Fn(&str, Options) -> Options) -> Self {
        let net = Net::new();
        let peer = net.peer(Dialect::V1, "php.test").await;
        let _ = (net.socket_of("a.test"), net.socket_of("b.test"));
        let options = |domain| {
            let options = Options::of(domain).workers(workers).set("openmsg.messages_per_connection", 1_000_000);
            with(domain, options.set("destinations.concurrency", 16).set("delivery.chunk", 20))
        };
        let (a, b) = tokio::join!(Node::start(&net, options("a.test")), Node::start(&net, options("b.test")));
        let mut routes = Vec::new();
        for n in 1..=ACCOUNTS {
            let (from, to) = (format!("1{n}"), format!("2{n}"));
            let (sender, receiver) = tokio::join!(a.account(&from, "Ada"), b.account(&to, "Bob"));
            a.connected(&from, &receiver, &b.code(&to).await).await;
            routes.push((sender, receiver));
        }
        peer.user(WITH_PEER, "Pia");
        for node in [&a, &b] {
            node.account(WITH_PEER, "Shop").await;
            let code = peer.issue_code(WITH_PEER);
            node.connected(WITH_PEER, &peer.address(WITH_PEER), &code).await;
        }
        let application = Application::of(&a);
        Self { a, b, peer, routes, application, _net: net }
    }

    /// What strangers are told while something is missing: SM_E008, which means try again later.
    pub(super) async fn peers_are_told_to_try_later(&self) {
        let sent = self.peer.send(WITH_PEER, &self.b.address(WITH_PEER), "is anybody there?").await;
        let code = sent.expect_err("nobody is there").code;
        assert_eq!(code.as_deref(), Some("SM_E008"));
    }

    /// Messages over all routes in turn, their texts beginning with `name`.
    pub(super) fn rows(&self, name: &str, n: usize) -> Vec<Row> {
        let row = |n: usize| {
            let (from, to) = self.routes[n % self.routes.len()].clone();
            Row { from, to, text: format!("{name}-{n}") }
        };
        (0..n).map(row).collect()
    }

    /// What has arrived so far.
    pub(super) async fn arrived(&self) -> usize {
        self.b.value::<i64>("select count(*) from inbox").await as usize
    }

    /// Waits until so many more have arrived.
    ///
    /// # Panics
    /// When nothing arrives for a long time.
    pub(super) async fn arrive(&self, more: usize) {
        let wanted = self.arrived().await + more;
        crate::node::eventually("messages arrive", async || self.arrived().await >= wanted).await;
    }

    /// Waits until so many more have arrived, or all there are.
    pub(super) async fn arrive_or_done(&self, more: usize) {
        let wanted = self.arrived().await + more;
        let open = "select count(*) from chunks where state <> 2";
        let done = async || self.a.value::<i64>(open).await == 0;
        crate::node::eventually("messages arrive", async || self.arrived().await >= wanted || done().await).await;
    }

    /// Every text in every inbox.
    pub(super) async fn received(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.peer.inbox(WITH_PEER).into_iter().map(|(_, text)| text).collect();
        for (_, receiver) in &self.routes {
            texts.extend(ledger::inbox(&self.b, receiver.split('*').next().expect("an id")).await);
        }
        texts
    }

    /// The ledgers, when everything is done.
    pub(super) async fn balance(&self) -> Balance {
        ledger::settle(&self.a, &self.application.accepted, async || self.received().await).await
    }

    /// Between handfast nodes everything arrives exactly once, whatever died.
    pub(super) async fn exactly_once(&self) {
        let balance = self.balance().await;
        eprintln!(
            "{balance:?}; refused {}, lost {}",
            self.application.accepted.refused(),
            self.application.accepted.lost()
        );
        assert_eq!((balance.doubles, balance.unconfirmed), (0, 0), "{balance:?}");
        assert_eq!(balance.delivered, balance.accepted);
    }

    /// Longer than a worker's lease.
    pub(super) fn longer_than_a_lease(&self) -> Duration {
        self.a.app.config.delivery.lease.duration() + Duration::from_millis(1500)
    }
}

/// A folder for servers of a test's own, which their user can pass to.
pub(super) fn servers() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).expect("opened");
    dir
}
