//! The little internet of one test: an authority everybody trusts, and names that lead to loopback ports.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Mutex;

use handfast::config::{self, Config};
use toml::{Table, Value};

use super::Node;
use crate::peers::{Dialect, Names, Peer, TestCa};
use crate::support::fresh_database;

/// Below what the kernel gives to outgoing connections, so that a node that is restarted finds its port free.
const PORTS: std::ops::Range<u16> = 11_000..15_000;

/// Authority and names.
pub(crate) struct Net {
    /// Issues every certificate.
    pub(crate) ca: TestCa,
    /// What the peers resolve by.
    pub(crate) names: Names,
    known: Mutex<BTreeMap<String, SocketAddr>>,
    ports: Mutex<Vec<Port>>,
}

impl Net {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { ca: TestCa::new(), names: Names::default(), known: Mutex::default(), ports: Mutex::default() }
    }

    /// Starts a peer.
    pub(crate) async fn peer(&self, dialect: Dialect, domain: &str) -> Peer {
        let peer = Peer::start(dialect, domain, &self.ca, self.names.clone()).await;
        self.name(domain, peer.socket());
        peer
    }

    /// Lets a domain lead somewhere, for peers at once and for nodes that start from now on.
    pub(crate) fn name(&self, domain: &str, socket: SocketAddr) {
        self.names.add(domain, socket);
        self.known().insert(domain.to_owned(), socket);
    }

    /// Where a domain is served: as said before, else on a free port.
    pub(crate) fn socket_of(&self, domain: &str) -> SocketAddr {
        let known = self.known().get(domain).copied();
        known.unwrap_or_else(|| {
            let port = Port::free();
            let socket = port.socket();
            self.name(domain, socket);
            self.ports.lock().expect("no test panics while it holds this").push(port);
            socket
        })
    }

    /// Starts a node with one worker and the settings of [`Options::of`].
    pub(crate) async fn node(&self, domain: &str) -> Node {
        Node::start(self, Options::of(domain)).await
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, SocketAddr>> {
        self.known.lock().expect("no test panics while it holds this")
    }
}

/// How a node is to be.
pub(crate) struct Options {
    pub(super) domain: String,
    pub(super) host: String,
    pub(super) workers: usize,
    settings: Table,
}

impl Options {
    /// One worker, retries within a second or two, results written down quickly; otherwise the defaults.
    pub(crate) fn of(domain: &str) -> Self {
        Self { domain: domain.into(), host: domain.into(), workers: 1, settings: Table::new() }
            .set("mode", "development")
            .set("domain", domain)
            .set("database.pool", 8)
            .set("delivery.schedule", vec!["200ms", "500ms", "1s"])
            .set("delivery.settle_every", "50ms")
            .set("delivery.lease", "3s")
            .set("development.allow_addresses", vec!["127.0.0.1"])
    }

    /// So many workers.
    pub(crate) fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Reached under another host name than its domain (where something redirects to it).
    pub(crate) fn at(self, host: &str) -> Self {
        Self { host: host.into(), ..self }
    }

    /// A setting by its full name.
    pub(crate) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        let mut table = &mut self.settings;
        let (path, last) = name.rsplit_once('.').unwrap_or(("", name));
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let inner = table.entry(part).or_insert_with(|| Table::new().into());
            table = inner.as_table_mut().expect("a section, not a setting");
        }
        table.insert(last.into(), value.into());
        self
    }

    /// Writes settings, certificate and key into a folder, and reads the settings as the program will.
    pub(super) async fn write(self, net: &Net, dir: &Path, public: SocketAddr, private: SocketAddr) -> Config {
        let path = |name: &str| dir.join(name).to_str().expect("a path in UTF-8").to_owned();
        let file = |name: &str, text: &str| {
            fs::write(dir.join(name), text).expect("written");
            path(name)
        };
        let (certificate, key) = net.ca.issue(&self.host);
        // A test that stops servers brings its own.
        let own = |name: &str| self.settings.get(name).is_some_and(|section| section.get("url").is_some());
        let (own_database, own_amqp) = (own("database"), own("amqp"));
        let resolve: Table = net.known().iter().map(|(name, to)| (name.clone(), to.to_string().into())).collect();
        let mut options = self;
        if !own_database {
            options = options.set("database.url", fresh_database().await.reveal());
        }
        if !own_amqp {
            let amqp =
                std::env::var("HANDFAST_TEST_AMQP_URL").expect("HANDFAST_TEST_AMQP_URL names a RabbitMQ for tests");
            options = options.set("amqp.url", amqp);
        }
        let settings = options
            .set("data_dir", path("data"))
            .set("amqp.prefix", format!("it-{}", uuid::Uuid::new_v4().simple()))
            .set("public.listen", public.to_string())
            .set("public.tls_cert", file("cert.pem", &certificate))
            .set("public.tls_key", file("key.pem", &key))
            .set("private.listen", private.to_string())
            .set("outbound.ca_file", file("ca.pem", &net.ca.pem()))
            .set("development.resolve", resolve)
            .settings;
        fs::create_dir(dir.join("data")).expect("a data folder");
        let written = file(super::process::SETTINGS, &settings.to_string());
        config::load(Some(Path::new(&written))).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }
}

/// A port that nobody listens on, kept from the other tests for as long as this lives.
pub(crate) struct Port {
    /// Its number.
    pub(crate) number: u16,
    /// The same port of another protocol: only a mark that all tests of this machine see.
    _mark: UdpSocket,
}

impl Port {
    /// Any free one.
    pub(crate) fn free() -> Self {
        let take = || {
            let (number, here) = (rand::random_range(PORTS), Ipv4Addr::LOCALHOST);
            let _mark = UdpSocket::bind((here, number)).ok()?;
            TcpListener::bind((here, number)).ok()?;
            Some(Self { number, _mark })
        };
        std::iter::repeat_with(take).take(1000).flatten().next().expect("a free port")
    }

    /// On loopback.
    pub(crate) fn socket(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}
