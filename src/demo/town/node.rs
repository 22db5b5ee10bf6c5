//! One node of the town: its directory, its settings, its processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::authority::Issued;
use super::process::{Process, Starter};
use super::{Placed, TownError};
use crate::App;
use crate::config::{Config, Secret};
use crate::crypto::NodeKeys;
use crate::db::Db;
use crate::embedded::{make_dir, write_file};
use crate::supervise::readiness::is_ready;

/// How long `serve` and its first worker may take to say that they are ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);

/// A running node.
pub struct TownNode {
    /// Its domain.
    pub domain: String,
    /// Where other nodes reach it, by TLS.
    pub public_addr: SocketAddr,
    /// Its private listener.
    pub api_url: Url,
    /// A key that may do everything.
    pub api_key: Secret,
    /// Its settings, for `handfast COMMAND --config FILE`.
    pub config_file: PathBuf,
    logs: PathBuf,
    serve: Mutex<Option<Process>>,
    workers: Mutex<Vec<Option<Process>>>,
}

/// Where a node listens, decided before any of them has settings, because each must know the other.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) public: u16,
    pub(super) private: u16,
}

impl TownNode {
    /// Writes settings, keys and certificate, and brings the database's schema up. Nothing runs yet.
    pub(super) async fn found(
        placed: Placed<'_>,
        ports: Ports,
        issued: Issued,
        resolve: &str,
    ) -> Result<Self, TownError> {
        let Placed { domain, dir, data, database, amqp, settings, .. } = placed;
        make_dir(&dir, 0o700)?;
        let (certificate, key) = (dir.join("tls.crt"), dir.join("tls.key"));
        write_file(&certificate, &issued.certificate, 0o600)?;
        write_file(&key, &issued.key, 0o600)?;
        let public_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.public));
        let private_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.private));
        let config_file = dir.join("handfast.toml");
        let text = format!(
            "# Made by the demonstration. A production configuration refuses mode and the last section.\n\
             mode = \"development\"\ndomain = {domain}\ndata_dir = {dir}\n\n\
             [database]\nurl = {database}\n\n[amqp]\nurl = {amqp}\n\n\
             [public]\nlisten = \"{public_addr}\"\ntls_cert = {certificate}\ntls_key = {key}\n\n\
             [private]\nlisten = \"{private_addr}\"\n\n[outbound]\nca_file = {ca}\n\n\
             {settings}\n[development]\nallow_addresses = [\"127.0.0.1\"]\nresolve = {{ {resolve} }}\n",
            domain = quoted(domain),
            dir = quoted(&dir.to_string_lossy()),
            database = quoted(database.reveal()),
            amqp = quoted(amqp.reveal()),
            certificate = quoted(&certificate.to_string_lossy()),
            key = quoted(&key.to_string_lossy()),
            ca = quoted(&data.join("ca.pem").to_string_lossy()),
        );
        write_file(&config_file, &text, 0o600)?;
        let api_key = first_key(domain, &dir, database).await?;
        write_file(&dir.join("api.key"), api_key.reveal(), 0o600)?;
        let api_url = format!("http://{private_addr}");
        Ok(Self {
            domain: domain.to_owned(),
            public_addr,
            api_url: api_url.parse().map_err(|_| TownError::Silent { what: api_url, log: config_file.clone() })?,
            api_key,
            config_file,
            logs: data.join("logs"),
            serve: Mutex::default(),
            workers: Mutex::default(),
        })
    }

    /// Starts `serve` and `workers` workers, and waits until the node says that it is ready.
    pub(super) async fn start(&self, starter: &Starter, workers: usize) -> Result<(), TownError> {
        let log = self.log("serve");
        *lock(&self.serve) = Some(starter.start("serve", &self.config_file, log.clone()).await?);
        for _ in 0..workers {
            self.start_worker(starter).await?;
        }
        let deadline = Instant::now() + READY_WITHIN;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.api_url.port().unwrap_or_default()));
        while !timeout(READY_WITHIN, is_ready(address)).await.is_ok_and(|answer| answer.unwrap_or(false)) {
            self.check()?;
            if Instant::now() > deadline {
                return Err(TownError::Silent { what: format!("{}readyz", self.api_url), log });
            }
            sleep(GLANCE).await;
        }
        Ok(())
    }

    /// Starts one more worker; with its process id.
    pub(super) async fn start_worker(&self, starter: &Starter) -> Result<u32, TownError> {
        let number = lock(&self.workers).len() + 1;
        let worker = starter.start("work", &self.config_file, self.log(&format!("work-{number}"))).await?;
        let pid = worker.pid();
        lock(&self.workers).push(Some(worker));
        Ok(pid)
    }

    /// `kill -9` for the worker that was started as the `index`-th, from 0; with its process id, `None` if it runs no more.
    pub async fn kill_worker(&self, index: usize) -> Option<u32> {
        let worker = lock(&self.workers).get_mut(index).and_then(Option::take)?;
        let pid = worker.pid();
        worker.kill().await;
        Some(pid)
    }

    /// Process ids of what runs: `serve` first.
    pub fn process_ids(&self) -> Vec<u32> {
        let serve = lock(&self.serve).as_ref().map(Process::pid);
        serve.into_iter().chain(lock(&self.workers).iter().flatten().map(Process::pid)).collect()
    }

    /// An error, with the end of its log, if one of its processes has ended by itself.
    pub fn check(&self) -> Result<(), TownError> {
        lock(&self.serve).iter_mut().try_for_each(Process::check)?;
        lock(&self.workers).iter_mut().flatten().try_for_each(Process::check)
    }

    /// Stops its processes and waits for them.
    pub(super) async fn stop(&self) {
        let workers = std::mem::take(&mut *lock(&self.workers));
        let serve = lock(&self.serve).take();
        let all = workers.into_iter().flatten().chain(serve).map(Process::stop);
        futures_util::future::join_all(all).await;
    }

    fn log(&self, process: &str) -> PathBuf {
        let name = self.domain.split('.').next().unwrap_or_default();
        self.logs.join(format!("{name}-{process}.log"))
    }
}

/// Node key, schema, and an API key for everything.
async fn first_key(domain: &str, dir: &Path, database: &Secret) -> Result<Secret, TownError> {
    let mut config = Config { domain: domain.to_owned(), data_dir: dir.to_owned(), ..Config::default() };
    config.database.url = database.clone();
    NodeKeys::create(&config.keys_file()).map_err(|error| TownError::Key(error.into()))?;
    Db::new(&config.database)?.migrate().await?;
    let app = App::open(config).await.map_err(TownError::Key)?;
    let everything = "*".parse().map_err(|error: crate::senders::ScopeError| TownError::Key(error.into()))?;
    let (_, key) =
        crate::senders::create(&app, "demo", &everything, None).await.map_err(|e| TownError::Key(e.into()))?;
    Ok(key)
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
