//! One node alone, with certificates for stand-in hosts that it may call: what a benchmark of webhooks needs.
//!
//! Lies in its directory like a town of two: `pair/`, `node/`, `ca.pem`, `logs/`, and a directory for each host.

use std::path::{Path, PathBuf};

use super::authority::Authority;
use super::node::Ports;
use super::process::Starter;
use super::{Placed, TownError, TownNode, take};
use crate::config::Secret;
use crate::embedded::leash::Leash;
use crate::embedded::{Pair, make_dir, port, write_file};

const NODE: &str = "node";

/// How to build it.
#[derive(Debug, Clone)]
pub struct SingleSettings {
    /// Where everything lies; missing or empty.
    pub data: PathBuf,
    /// The program: what runs as `serve` and `work`.
    pub executable: PathBuf,
    /// Worker processes.
    pub workers: usize,
    /// Host that the node will find on loopback.
    pub host: String,
    /// Further sections of the settings file, as TOML.
    pub settings: String,
}

/// Where a stand-in host is expected by the node.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The port on loopback that stands for its port 443.
    pub port: u16,
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// The node, running. Dropping it without [`SingleNode::remove`] still makes everything shut down, but nobody waits for it.
pub struct SingleNode {
    node: TownNode,
    host: Host,
    database: Secret,
    _starter: Starter,
    pair: Pair,
}

impl SingleNode {
    /// Builds and starts everything; returns when the node is ready, after about ten seconds. The host is the caller's to run.
    pub async fn start(settings: SingleSettings) -> Result<Self, TownError> {
        take(&settings.data)?;
        let pair = Pair::start(&settings.data.join("pair")).await?;
        match build(&settings, &pair).await {
            Ok((node, host, starter)) => {
                let database = pair.database_url(NODE);
                Ok(Self { node, host, database, _starter: starter, pair })
            }
            Err(error) => {
                // The first error is the one to tell.
                let _ = pair.stop().await;
                Err(error)
            }
        }
    }

    /// The node.
    pub fn node(&self) -> &TownNode {
        &self.node
    }

    /// What the node will call.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The node's database.
    pub fn database_url(&self) -> &Secret {
        &self.database
    }

    /// The private servers.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Stops everything and waits until it is gone. The directory stays.
    pub async fn stop(self) -> Result<(), TownError> {
        self.node.stop().await;
        Ok(self.pair.stop().await?)
    }

    /// As [`SingleNode::stop`], and deletes the private servers' data, wherever it lies.
    pub async fn remove(self) -> Result<(), TownError> {
        self.node.stop().await;
        Ok(self.pair.remove().await?)
    }
}

async fn build(settings: &SingleSettings, pair: &Pair) -> Result<(TownNode, Host, Starter), TownError> {
    let authority = Authority::new()?;
    write_file(&settings.data.join("ca.pem"), authority.pem(), 0o644)?;
    let [public, private, port] = port::free().map_err(TownError::file("find a port for", &settings.data))?;
    let host = make_host(&settings.data, &settings.host, port, &authority)?;
    pair.ensure_database(NODE).await?;
    pair.ensure_vhost(NODE).await?;
    let domain = format!("{NODE}.test");
    let placed = Placed {
        domain: &domain,
        dir: settings.data.join(NODE),
        data: &settings.data,
        database: &pair.database_url(NODE),
        amqp: &pair.amqp_url(NODE),
        settings: &settings.settings,
    };
    let resolve = format!("\"{}\" = \"127.0.0.1:{port}\"", host.name);
    let node = TownNode::found(placed, Ports { public, private }, authority.issue(&domain)?, &resolve).await?;
    let leash = Leash::new().map_err(TownError::file("start processes from", &settings.executable))?;
    let starter = Starter { executable: settings.executable.clone(), leash };
    if let Err(error) = node.start(&starter, settings.workers).await {
        node.stop().await;
        return Err(error);
    }
    Ok((node, host, starter))
}

fn make_host(data: &Path, name: &str, port: u16, authority: &Authority) -> Result<Host, TownError> {
    let dir = data.join(name);
    make_dir(&dir, 0o700)?;
    let host = Host { name: name.to_owned(), port, certificate: dir.join("tls.crt"), key: dir.join("tls.key") };
    let issued = authority.issue(name)?;
    write_file(&host.certificate, &issued.certificate, 0o600)?;
    write_file(&host.key, &issued.key, 0o600)?;
    Ok(host)
}
