//! A whole node for a test: `serve` and `work` of the built program as processes of their own, with a database, a broker
//! prefix, keys and a certificate of their own, against the real PostgreSQL and RabbitMQ that the environment names.
//!
//! A test makes a [`Net`], starts peers on it or reserves domains for further nodes, and then starts nodes, which know every
//! name the net knew by then. What the node logs is shown when its test panics; when the test ends, everything is killed and
//! the database and the queues are removed (after a panic the database stays, to be looked into).

// Tests use what they need of a node; nobody uses all of it.
#![allow(dead_code)]

mod books;
mod client;
mod net;
mod process;
mod remains;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use handfast::App;
use handfast::clock::Clock;
use handfast::config::Config;
use handfast::crypto::{self, NodeKeys};
use handfast::db::Db;
use handfast::senders::{self, Scopes};

pub(crate) use self::process::Process;
use crate::peers::Attacker;
use crate::secrets;

#[allow(unused_imports)]
pub(crate) use self::{
    books::Counts,
    client::Answer,
    net::{Net, Options, Port},
};

/// Longest wait for anything that a node should do soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running node.
pub(crate) struct Node {
    /// Behind the `*` of its addresses.
    pub(crate) domain: String,
    /// Its parts, for looking into its database.
    pub(crate) app: App,
    /// Where strangers reach it.
    pub(crate) public: SocketAddr,
    /// Where its own applications reach it.
    pub(crate) private: SocketAddr,
    /// The process that serves, unless it was killed.
    pub(crate) serve: Option<Process>,
    /// The processes that work, unless they were killed.
    pub(crate) work: Vec<Process>,
    key: String,
    http: reqwest::Client,
    attacker: Attacker,
    dir: tempfile::TempDir,
    _port: Port,
}

impl Node {
    /// Starts a node; ready when this returns, unless it was to have no worker.
    pub(crate) async fn start(net: &Net, options: Options) -> Self {
        crypto::init().expect("the cryptographic library starts");
        handfast::tls::install_provider();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (public, port) = (net.socket_of(&options.host), Port::free());
        let private = port.socket();
        let workers = options.workers;
        let (domain, host) = (options.domain.clone(), options.host.clone());
        let config = options.write(net, dir.path(), public, private).await;
        let (app, key) = prepare(config).await;
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let attacker = Attacker::new(&net.ca, &host, public);
        let mut node =
            Self { domain, app, public, private, serve: None, work: Vec::new(), key, http, attacker, dir, _port: port };
        node.start_serve();
        for _ in 0..workers {
            node.start_work();
        }
        match workers {
            0 => node.alive().await,
            _ => node.ready().await,
        }
        node
    }

    /// `ID*domain`.
    pub(crate) fn address(&self, id: &str) -> String {
        format!("{id}*{}", self.domain)
    }

    /// An API key that may do everything.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Someone who calls its public listener.
    pub(crate) fn attacker(&self) -> Attacker {
        self.attacker.clone()
    }

    /// Starts the ingress again (or for the first time); see [`Self::ready`].
    pub(crate) fn start_serve(&mut self) {
        self.serve = Some(Process::start("serve", self.dir.path()));
    }

    /// Starts one more ingress beside the first, and waits until it is ready.
    pub(crate) async fn start_second_serve(&self, public: &Port, private: &Port) -> Process {
        let (public, private) = (public.socket(), private.socket());
        let settings =
            [("HANDFAST_PUBLIC__LISTEN", public.to_string()), ("HANDFAST_PRIVATE__LISTEN", private.to_string())];
        let process = Process::start_with("serve", self.dir.path(), &settings);
        let url = format!("http://{private}/readyz");
        let ready = async || self.http.get(&url).send().await.is_ok_and(|response| response.status().is_success());
        eventually("the second ingress is ready", ready).await;
        process
    }

    /// Starts one more worker; see [`Self::ready`].
    pub(crate) fn start_work(&mut self) {
        self.work.push(Process::start("work", self.dir.path()));
    }

    /// Starts one more worker with another key file, as on another machine.
    pub(crate) fn start_work_with_keys(&mut self, file: &Path) {
        let file = file.to_str().expect("a path in UTF-8").to_owned();
        self.work.push(Process::start_with("work", self.dir.path(), &[("HANDFAST_KEYS__FILE", file)]));
    }

    /// As [`Self::start_serve`], to die at a fail-point.
    pub(crate) fn start_serve_to_die(&mut self, at: &str) {
        self.serve = Some(Process::start_with("serve", self.dir.path(), &[("HANDFAST_FAILPOINT", at.to_owned())]));
    }

    /// As [`Self::start_work`], to die at a fail-point.
    pub(crate) fn start_work_to_die(&mut self, at: &str) {
        self.work.push(Process::start_with("work", self.dir.path(), &[("HANDFAST_FAILPOINT", at.to_owned())]));
    }

    /// SIGKILL for the ingress.
    pub(crate) async fn kill_serve(&mut self) {
        if let Some(process) = self.serve.take() {
            process.kill().await;
        }
    }

    /// SIGKILL for every worker.
    pub(crate) async fn kill_work(&mut self) {
        for process in self.work.drain(..) {
            process.kill().await;
        }
    }

    /// SIGKILL for all, then everything anew, with as many workers as before (one at least); ready when this returns.
    pub(crate) async fn restart(&mut self) {
        let workers = self.work.len().max(1);
        self.kill_serve().await;
        self.kill_work().await;
        self.start_serve();
        for _ in 0..workers {
            self.start_work();
        }
        self.ready().await;
    }

    /// SIGTERM for all.
    ///
    /// # Panics
    /// When one of them doesn't end by itself with exit code 0.
    pub(crate) async fn stop(&mut self) {
        for process in self.serve.take().into_iter().chain(self.work.drain(..)) {
            process.stop().await;
        }
    }

    /// Waits until `/readyz` says 200.
    pub(crate) async fn ready(&mut self) {
        self.until_status("readyz", 200).await;
    }

    /// Whether `/readyz` says 200 now.
    pub(crate) async fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.private);
        self.http.get(&url).send().await.is_ok_and(|response| response.status().as_u16() == 200)
    }

    /// Waits until the private listener answers at all.
    pub(crate) async fn alive(&mut self) {
        self.until_status("healthz", 200).await;
    }

    /// Waits until `/readyz` or `/healthz` answers this status; at once in vain when a process has ended.
    pub(crate) async fn until_status(&mut self, probe: &str, wanted: u16) {
        let (url, begun) = (format!("http://{}/{probe}", self.private), Instant::now());
        loop {
            let status = self.http.get(&url).send().await.map(|response| response.status().as_u16());
            if status.as_ref().is_ok_and(|status| *status == wanted) {
                return;
            }
            for process in self.serve.iter_mut().chain(&mut self.work) {
                process.assert_running();
            }
            assert!(begun.elapsed() < PATIENCE, "{probe} never answered {wanted}; at last: {status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Panics unless the processes are still the ones that were started, and the node is ready.
    pub(crate) async fn unharmed(&mut self) {
        for process in self.serve.iter_mut().chain(&mut self.work) {
            process.assert_running();
        }
        self.ready().await;
    }

    /// Everything the processes have logged so far.
    pub(crate) fn logs(&self) -> String {
        ["serve", "work"]
            .map(|name| fs::read_to_string(process::log_file(self.dir.path(), name)).unwrap_or_default())
            .concat()
    }

    /// Its folder: settings, keys, certificate, logs.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serve = None;
        self.work.clear();
        secrets::of_folder(self.dir.path());
        if std::thread::panicking() {
            process::show_tails(self.dir.path());
            eprintln!("its database: {}", self.app.config.database.url.reveal());
        } else {
            remains::remove(&self.app.config);
        }
    }
}

/// Waits for a condition.
///
/// # Panics
/// When it does not come to hold in time.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Keys, schema and an API key that may do everything.
async fn prepare(config: Config) -> (App, String) {
    let keys = NodeKeys::create(&config.keys_file()).expect("a key file");
    let db = Db::new(&config.database).expect("a pool");
    db.migrate().await.expect("the schema");
    let app = App { config: config.into(), clock: Clock::system(), db, keys: keys.into() };
    let (_, key) = senders::create(&app, "test", &Scopes::everything(), None).await.expect("an API key");
    secrets::note(secrets::Kind::ApiKey, key.reveal());
    (app, key.reveal().to_owned())
}
