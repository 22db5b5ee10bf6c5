//! A town of two nodes on this machine: `shop.test` and `customers.test`, each with its own database, vhost and processes, on
//! one private PostgreSQL and RabbitMQ.
//!
//! Promises: everything listens on loopback, on ports that were free, and lies in one directory; nothing outlives this process
//! by more than its own clean shutdown, also after `kill -9`. The nodes are the program itself, as separate processes, with TLS
//! between them; what makes the two names findable on loopback are settings that a production configuration refuses.
//! Leaves out what is done with the nodes: the demonstration, the benchmark and the tests know that.
//!
//! | path | what |
//! |---|---|
//! | `handfast-town` | marks the directory as ours |
//! | `pair/` | the private servers |
//! | `shop/`, `customers/` | a node's settings, keys, certificate and first API key |
//! | `ca.pem` | the throw-away authority both trust |
//! | `logs/` | one file a process |

mod authority;
mod node;
mod process;
mod single;

use std::path::{Path, PathBuf};

use crate::config::Secret;
use crate::db::DbError;
use crate::embedded::leash::Leash;
use crate::embedded::{Pair, PairError, make_dir, port, we_are_root, write_file};
use authority::Authority;
use node::Ports;
use process::Starter;

pub use node::TownNode;
pub use single::{Host, SingleNode, SingleSettings};

/// Marks a directory as a town's.
const MARK: &str = "handfast-town";
const SHOP: &str = "shop";
const CUSTOMERS: &str = "customers";

/// How to build a town.
#[derive(Debug, Clone)]
pub struct TownSettings {
    /// Where everything lies; missing or empty.
    pub data: PathBuf,
    /// The program: what runs as `serve` and `work`.
    pub executable: PathBuf,
    /// Worker processes of `shop.test`.
    pub shop_workers: usize,
    /// Worker processes of `customers.test`.
    pub customers_workers: usize,
    /// Further sections of both settings files, as TOML; `database`, `amqp`, `public`, `private`, `outbound` and `development`
    /// are the town's own.
    pub settings: String,
}

/// The two nodes, running. Dropping it without [`Town::stop`] still makes everything shut down, but nobody waits for it.
pub struct Town {
    shop: TownNode,
    customers: TownNode,
    starter: Starter,
    pair: Pair,
}

/// Why there is no town, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum TownError {
    /// The directory belongs to somebody.
    #[error("{} holds {what}: name a directory that is empty or does not exist", .dir.display())]
    Taken {
        /// The directory.
        dir: PathBuf,
        /// What was found in it.
        what: &'static str,
    },
    /// The private servers.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// A node's database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The throw-away authority.
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A node's first keys.
    #[error("a node's keys could not be made: {0:#}")]
    Key(anyhow::Error),
    /// A file, directory or program refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A process ended by itself.
    #[error("a process ended by itself ({status}); the last lines of {}:\n{tail}", .log.display())]
    Ended {
        /// How.
        status: std::process::ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The end of that log.
        tail: String,
    },
    /// A node runs and does not become ready.
    #[error("{what} does not say ready within a minute; see {}", .log.display())]
    Silent {
        /// Who was asked.
        what: String,
        /// Its log.
        log: PathBuf,
    },
}

impl TownError {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

/// What a node is given of the town.
struct Placed<'a> {
    domain: &'a str,
    dir: PathBuf,
    data: &'a Path,
    database: &'a Secret,
    amqp: &'a Secret,
    settings: &'a str,
}

impl Town {
    /// Builds and starts everything; returns when both nodes are ready, after about ten seconds.
    pub async fn start(settings: TownSettings) -> Result<Self, TownError> {
        take(&settings.data)?;
        let pair = Pair::start(&settings.data.join("pair")).await?;
        match build(&settings, &pair).await {
            Ok((shop, customers, starter)) => Ok(Self { shop, customers, starter, pair }),
            Err(error) => {
                // The first error is the one to tell.
                let _ = pair.stop().await;
                Err(error)
            }
        }
    }

    /// `shop.test`.
    pub fn shop(&self) -> &TownNode {
        &self.shop
    }

    /// `customers.test`.
    pub fn customers(&self) -> &TownNode {
        &self.customers
    }

    /// Starts one more worker of `node`; with its process id.
    pub async fn start_worker(&self, node: &TownNode) -> Result<u32, TownError> {
        node.start_worker(&self.starter).await
    }

    /// An error if a process of a node has ended by itself.
    pub fn check(&self) -> Result<(), TownError> {
        self.shop.check()?;
        self.customers.check()
    }

    /// The private servers.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Stops everything, the nodes first, and waits until it is gone. The directory stays.
    pub async fn stop(self) -> Result<(), TownError> {
        tokio::join!(self.shop.stop(), self.customers.stop());
        Ok(self.pair.stop().await?)
    }

    /// As [`Town::stop`], and deletes the private servers' data, wherever it lies.
    pub async fn remove(self) -> Result<(), TownError> {
        tokio::join!(self.shop.stop(), self.customers.stop());
        Ok(self.pair.remove().await?)
    }
}

/// Makes the directory ours, unless it is anybody's already.
fn take(data: &Path) -> Result<(), TownError> {
    let taken = |what| TownError::Taken { dir: data.to_owned(), what };
    if data.join(MARK).exists() {
        return Err(taken("an earlier town, which may still be running"));
    }
    // The servers' own user must be able to pass; what is secret is closed by itself.
    make_dir(data, if we_are_root() { 0o711 } else { 0o700 })?;
    let mut entries = std::fs::read_dir(data).map_err(TownError::file("read", data))?;
    if entries.next().is_some() {
        return Err(taken("other things"));
    }
    write_file(&data.join(MARK), "handfast keeps a town of two nodes here\n", 0o600)?;
    Ok(make_dir(&data.join("logs"), 0o700)?)
}

async fn build(settings: &TownSettings, pair: &Pair) -> Result<(TownNode, TownNode, Starter), TownError> {
    let authority = Authority::new()?;
    write_file(&settings.data.join("ca.pem"), authority.pem(), 0o644)?;
    let [a, b, c, d] = port::free().map_err(TownError::file("find a port for", &settings.data))?;
    let (at_shop, at_customers) = (Ports { public: a, private: b }, Ports { public: c, private: d });
    let name = |node: &str, ports: Ports| format!("\"{node}.test\" = \"127.0.0.1:{}\"", ports.public);
    let resolve = [name(SHOP, at_shop), name(CUSTOMERS, at_customers)].join(", ");
    let found = async |node: &str, ports| {
        pair.ensure_database(node).await?;
        pair.ensure_vhost(node).await?;
        let domain = format!("{node}.test");
        let placed = Placed {
            domain: &domain,
            dir: settings.data.join(node),
            data: &settings.data,
            database: &pair.database_url(node),
            amqp: &pair.amqp_url(node),
            settings: &settings.settings,
        };
        TownNode::found(placed, ports, authority.issue(&domain)?, &resolve).await
    };
    let (shop, customers) = tokio::try_join!(found(SHOP, at_shop), found(CUSTOMERS, at_customers))?;
    let leash = Leash::new().map_err(TownError::file("start processes from", &settings.executable))?;
    let starter = Starter { executable: settings.executable.clone(), leash };
    let started = tokio::try_join!(
        shop.start(&starter, settings.shop_workers),
        customers.start(&starter, settings.customers_workers),
    );
    if let Err(error) = started {
        tokio::join!(shop.stop(), customers.stop());
        return Err(error);
    }
    Ok((shop, customers, starter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once_and_never_from_somebody() {
        let root = tempfile::tempdir().expect("a directory");
        let fresh = root.path().join("fresh");
        take(&fresh).expect("ours now");
        assert!(matches!(
            take(&fresh),
            Err(TownError::Taken { what: "an earlier town, which may still be running", .. })
        ));
        let foreign = root.path().join("foreign");
        std::fs::create_dir(&foreign).expect("made");
        std::fs::write(foreign.join("thesis.txt"), "mine").expect("written");
        assert!(matches!(take(&foreign), Err(TownError::Taken { what: "other things", .. })));
        assert_eq!(std::fs::read_dir(&foreign).expect("read").count(), 1, "nothing was added");
    }
}
