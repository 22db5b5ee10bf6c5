//! A private PostgreSQL and RabbitMQ under one directory: the real servers, for people who have none running.
//!
//! Promises: both listen on loopback only, on free ports, with passwords made at first start; they share nothing with other
//! servers of the machine (own epmd, own cookie, own configuration); as root they run as a user of their own. What they hold
//! survives a stop, a crash of either, and a `kill -9` of the process that started them: they go down by themselves when that
//! process dies, and what should still be running is stopped before the next start.
//!
//! Leaves out: upgrades between major versions, replication, tuning. Who needs these sets `database.url` and `amqp.url`.
//!
//! What lies in the directory:
//!
//! | path | what | readable by |
//! |---|---|---|
//! | `lock` | held while a process runs the pair; its process id | us |
//! | `identity.json` | passwords, cookie, node name | us |
//! | `servers/` | everything below; a link when the servers' user could not reach it here | |
//! | `servers/etc/` | configuration, written anew at every start | us, the servers |
//! | `servers/log/`, `servers/run/` | logs and process ids | us |
//! | `servers/postgres/`, `servers/rabbitmq/` | data | the servers |

pub mod cluster;
pub mod leash;
mod lock;
mod owner;
pub(crate) mod port;
mod postgres;
mod process;
mod rabbitmq;
pub mod running;
pub mod session;
mod site;

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Secret;
use lock::Lock;
use postgres::Postgres;
use rabbitmq::RabbitMq;
use site::Site;

pub(crate) use owner::{make_dir, we_are_root, write_file};
pub use process::signal;
pub(crate) use process::tail;

/// Both servers, running. Dropping it without [`Pair::stop`] still makes them shut down, but nobody waits for it.
pub struct Pair {
    // Order matters: the site holds the leash, whose end tells the servers to go; the lock is released last.
    postgres: Option<Postgres>,
    rabbitmq: Option<RabbitMq>,
    site: Site,
    _lock: Lock,
}

/// Which of the two servers to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// PostgreSQL.
    pub database: bool,
    /// RabbitMQ.
    pub broker: bool,
}

/// Why the pair could not be started, stopped or changed.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// Another process runs the pair of this directory.
    #[error(
        "{} is in use by process {holder}: one process at a time runs the servers of a directory; stop it first or take another directory", .dir.display()
    )]
    Busy {
        /// The directory asked for.
        dir: PathBuf,
        /// Process id of the other one, or a question mark.
        holder: String,
    },
    /// A program is not on this machine.
    #[error(
        "{program} was not found: install it (Debian: `apt-get install {package}`), or set {setting} to use a server that runs elsewhere"
    )]
    Missing {
        /// What was looked for.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// The setting that makes it needless.
        setting: &'static str,
    },
    /// A file or directory refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("cannot run {program}: {source}")]
    Run {
        /// Its name.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed:\n{output}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// The last lines it wrote.
        output: String,
    },
    /// A server ended while starting, or did not answer in time.
    #[error("{server} {what}; the last lines of {}:\n{tail}", .log.display())]
    NotReady {
        /// Its name.
        server: &'static str,
        /// What happened instead.
        what: String,
        /// Its log.
        log: PathBuf,
        /// The end of that log.
        tail: String,
    },
    /// The database refused a statement.
    #[error("the private database refused: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// Asked for what runs somewhere else.
    #[error("{0} is not part of this pair")]
    Elsewhere(&'static str),
    /// A name that is neither safe in SQL nor in a URL.
    #[error("\"{0}\" cannot name a database or vhost: 1 to 63 lower-case letters, digits and underscores")]
    Name(String),
}

impl Pair {
    /// Starts both servers on `dir`, which is created with all that belongs in it when it is new.
    ///
    /// Returns when both answer: after about four seconds, after crash recovery later. Bounded: two minutes for each.
    pub async fn start(dir: &Path) -> Result<Self, PairError> {
        Self::start_only(dir, Wanted { database: true, broker: true }).await
    }

    /// Starts what is wanted of the two.
    pub async fn start_only(dir: &Path, wanted: Wanted) -> Result<Self, PairError> {
        let lock = Lock::take(dir)?;
        let site = Site::open(dir)?;
        process::stop_leftovers(&site.run()).await?;
        let postgres = async { if wanted.database { Postgres::start(&site).await.map(Some) } else { Ok(None) } };
        let rabbitmq = async { if wanted.broker { RabbitMq::start(&site).await.map(Some) } else { Ok(None) } };
        let (postgres, rabbitmq) = tokio::try_join!(postgres, rabbitmq)?;
        Ok(Self { postgres, rabbitmq, site, _lock: lock })
    }

    /// Makes the database `name` unless it exists.
    pub async fn ensure_database(&self, name: &str) -> Result<(), PairError> {
        let name = plain(name)?;
        self.database()?.ensure_database(name).await
    }

    /// Where the database `name` is, with password; empty when this pair has no PostgreSQL. The same as long as this pair
    /// runs, whatever is restarted.
    pub fn database_url(&self, name: &str) -> Secret {
        self.postgres.as_ref().map(|postgres| postgres.url(name)).unwrap_or_default()
    }

    /// Makes the vhost `name` unless it exists. `handfast` always exists.
    pub async fn ensure_vhost(&self, name: &str) -> Result<(), PairError> {
        let name = plain(name)?;
        self.broker()?.ensure_vhost(&self.site, name).await
    }

    /// Where the vhost `name` is, with password; empty when this pair has no RabbitMQ. The same as long as this pair runs,
    /// whatever is restarted or wiped.
    pub fn amqp_url(&self, vhost: &str) -> Secret {
        self.rabbitmq.as_ref().map(|rabbitmq| rabbitmq.url(vhost)).unwrap_or_default()
    }

    /// Stops both cleanly, epmd included, and waits until they are gone.
    pub async fn stop(self) -> Result<(), PairError> {
        self.stop_servers().await
    }

    /// Stops both and deletes all that they held.
    pub async fn remove(self) -> Result<(), PairError> {
        self.stop_servers().await?;
        self.site.remove()
    }

    async fn stop_servers(&self) -> Result<(), PairError> {
        let postgres = async { if let Some(postgres) = &self.postgres { postgres.stop().await } else { Ok(()) } };
        let rabbitmq = async { if let Some(rabbitmq) = &self.rabbitmq { rabbitmq.stop().await } else { Ok(()) } };
        // Both are stopped, also when one of them has trouble.
        let (postgres, rabbitmq) = tokio::join!(postgres, rabbitmq);
        postgres.and(rabbitmq)
    }

    /// Starts again what has died without being told to; names what it was. For whoever supervises the pair.
    pub async fn tend(&self) -> Result<Vec<&'static str>, PairError> {
        let mut revived = Vec::new();
        if let Some(postgres) = &self.postgres
            && postgres.revive(&self.site).await?
        {
            revived.push("PostgreSQL");
        }
        if let Some(rabbitmq) = &self.rabbitmq
            && rabbitmq.revive(&self.site).await?
        {
            revived.push("RabbitMQ");
        }
        Ok(revived)
    }

    /// Shuts PostgreSQL down in its fast, clean way.
    pub async fn stop_database(&self) -> Result<(), PairError> {
        self.database()?.stop().await
    }

    /// SIGKILL for PostgreSQL and all its back ends: what a crash of the machine would look like to it.
    pub async fn kill_database(&self) -> Result<(), PairError> {
        self.database()?.kill().await
    }

    /// SIGSTOP for PostgreSQL and all its back ends, or SIGCONT; nothing where it does not run.
    pub async fn freeze_database(&self, frozen: bool) -> Result<(), PairError> {
        self.database()?.freeze(frozen).await;
        Ok(())
    }

    /// Starts PostgreSQL again, at the same URL.
    pub async fn start_database(&self) -> Result<(), PairError> {
        self.database()?.restart(&self.site).await
    }

    /// Shuts RabbitMQ down cleanly.
    pub async fn stop_broker(&self) -> Result<(), PairError> {
        self.broker()?.stop().await
    }

    /// SIGKILL for RabbitMQ.
    pub async fn kill_broker(&self) -> Result<(), PairError> {
        self.broker()?.kill().await
    }

    /// SIGSTOP for RabbitMQ, or SIGCONT; nothing where it does not run.
    pub async fn freeze_broker(&self, frozen: bool) -> Result<(), PairError> {
        self.broker()?.freeze(frozen).await;
        Ok(())
    }

    /// Starts RabbitMQ again, at the same URL.
    pub async fn start_broker(&self) -> Result<(), PairError> {
        self.broker()?.restart(&self.site).await
    }

    /// A broker that lost its disk: stopped, all it held deleted, started at the same URL with its user and vhosts, no queue.
    pub async fn wipe_broker(&self) -> Result<(), PairError> {
        let broker = self.broker()?;
        broker.stop().await?;
        broker.wipe(&self.site)?;
        broker.restart(&self.site).await
    }

    /// Process ids of PostgreSQL and of RabbitMQ's Erlang machine, where they run.
    pub async fn process_ids(&self) -> [Option<u32>; 2] {
        let mut ids = [None; 2];
        if let Some(postgres) = &self.postgres {
            ids[0] = postgres.process_id().await;
        }
        if let Some(rabbitmq) = &self.rabbitmq {
            ids[1] = rabbitmq.process_id().await;
        }
        ids
    }

    fn database(&self) -> Result<&Postgres, PairError> {
        self.postgres.as_ref().ok_or(PairError::Elsewhere("PostgreSQL"))
    }

    fn broker(&self) -> Result<&RabbitMq, PairError> {
        self.rabbitmq.as_ref().ok_or(PairError::Elsewhere("RabbitMQ"))
    }
}

fn plain(name: &str) -> Result<&str, PairError> {
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits { Ok(name) } else { Err(PairError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_that_need_quoting_are_refused() {
        for good in ["handfast", "t_0199", "a"] {
            assert!(plain(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a b", "a\"b", "a/b", "ä", "a%2f", &"x".repeat(64)] {
            assert!(plain(bad).is_err(), "{bad}");
        }
    }
}
