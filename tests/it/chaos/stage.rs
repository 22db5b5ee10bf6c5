//! Two connected nodes between which messages flow, both ways being the same one way here: A sends, B receives.

use std::time::Duration;

use super::application::{Application, Row};
use super::ledger::{self, Balance};
use crate::node::{Net, Node, Options};

/// Accounts on each side; each of A's is connected with one of B's.
const ACCOUNTS: u32 = 6;

/// Sender and receiver.
pub(super) struct Stage {
    pub(super) a: Node,
    pub(super) b: Node,
    /// Who writes to whom.
    pub(super) routes: Vec<(String, String)>,
    pub(super) application: Application,
}

impl Stage {
    /// Both nodes with as many workers, and settings by `with`.
    pub(super) async fn new(workers: usize, with: impl Fn(Options) -> Options) -> Self {
        let net = Net::new();
        let _ = (net.socket_of("a.test"), net.socket_of("b.test"));
        let options = |domain| {
            let options = Options::of(domain).workers(workers).set("openmsg.messages_per_connection", 1_000_000);
            with(options.set("delivery.in_flight_per_destination", 16).set("delivery.chunk", 20))
        };
        let (a, b) = tokio::join!(Node::start(&net, options("a.test")), Node::start(&net, options("b.test")));
        let mut routes = Vec::new();
        for n in 1..=ACCOUNTS {
            let (from, to) = (format!("1{n}"), format!("2{n}"));
            let (sender, receiver) = tokio::join!(a.account(&from, "Ada"), b.account(&to, "Bob"));
            a.connected(&from, &receiver, &b.code(&to).await).await;
            routes.push((sender, receiver));
        }
        let application = Application::of(&a);
        Self { a, b, routes, application }
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

    /// The ledgers, when everything is done.
    pub(super) async fn balance(&self) -> Balance {
        ledger::settle(&self.a, &self.application.accepted, async || {
            let mut texts = Vec::new();
            for (_, receiver) in &self.routes {
                texts.extend(ledger::inbox(&self.b, receiver.split('*').next().expect("an id")).await);
            }
            texts
        })
        .await
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
